"""Many visitors at once: ``python benchmarks/load.py [--visitors 25] [--sweeps 4] [--seconds 300] [--compare 2]``.

A server of its own on loopback. Some visitors move the knob over stored results, each in a rhythm of its own, while
others have sweeps solved, one after the other, in whose results nobody shares. Printed as Markdown: the seconds from a
release to all that follows it, what went wrong, the memory of the server and its workers, and whether what was seen is
what a visitor sees who is alone: every knob position, and so many sweeps of each visitor. Ends with 1 if a limit is
passed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
from screenshots import serving  # noqa: E402

from benchmarks.visitor import Visitor  # noqa: E402
from nettrim_core import environment  # noqa: E402

MODELS = ("digits_mlp", "lenet_300_100", "spirals", "mnist1d_conv")  # whose stored results are looked at
SWEEP = "model=digits_mlp&methods=nettrim,exactobs&n={n}&seed={seed}"
PAUSE = (1.5, 4.5)  # seconds between a visitor's releases
EVERY = 2.0  # seconds between looks at the memory
WARM = 60.0  # seconds after which memory is to stay as it is, at most a quarter of the whole
P95, FLAT = 1.0, 0.10  # the limits: seconds, and the part by which memory may change


@dataclass(frozen=True)
class Load:
    """visitors, sweeps: who moves the knob and who has sweeps solved; compare: sweeps that are solved once more, alone;
    samples: calibration inputs of a sweep, which say how long it takes."""

    visitors: int = 25
    sweeps: int = 4
    seconds: float = 300
    compare: int = 8
    samples: int = 1000


@dataclass
class Found:
    """waits: seconds of each release; seen: (query, stop) -> digests; swept: query -> curves; memory: (seconds since
    the start, server's bytes, workers' bytes)."""

    waits: list[float] = field(default_factory=list)
    seen: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    swept: dict[str, object] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    memory: list[tuple[float, int, int]] = field(default_factory=list)


async def move(address: str, query: str, over: Callable[[], bool], found: Found, rng: random.Random) -> None:
    """A visitor who moves the knob."""
    async with Visitor(address, query) as visitor:
        stops = len(visitor.curves[0])
        await asyncio.sleep(rng.uniform(*PAUSE))
        while not over():
            stop = rng.choice([place for place in range(stops) if place != visitor.at])
            found.waits.append(await visitor.release(stop))
            found.seen.setdefault((query, stop), set()).add(visitor.seen())
            await asyncio.sleep(rng.uniform(*PAUSE))
        found.troubles += visitor.troubles


async def sweep(address: str, query: str, over: Callable[[], bool], found: Found) -> None:
    """A visitor who has a sweep solved and leaves."""
    async with Visitor(address, query) as visitor:
        while not over():
            await visitor.settled()
            curves = visitor.curves
            if all(point is not None and point["quality"] != "rough" for curve in curves for point in curve):
                found.swept[query] = curves
                break
            await asyncio.sleep(0.2)
        found.troubles += visitor.troubles


async def sweep_on(address: str, number: int, samples: int, over: Callable[[], bool], found: Found) -> None:
    """One such visitor after the other."""
    for turn in itertools.count():
        if over():
            break
        await sweep(address, SWEEP.format(n=samples, seed=1000 * number + turn), over, found)


async def watch(address: str, over: Callable[[], bool], found: Found) -> None:
    """The memory of the server at an address, and of its workers without what they share."""
    port = f"--server.port={address.rpartition(':')[2]}"
    began, (server,) = time.monotonic(), [one for one in psutil.Process().children() if port in one.cmdline()]
    while not over():
        workers = 0
        for child in server.children(recursive=True):
            try:
                workers += child.memory_full_info().uss
            except psutil.Error:  # it ended just now
                continue
        found.memory.append((time.monotonic() - began, server.memory_info().rss, workers))
        await asyncio.sleep(EVERY)


async def loaded(address: str, asked: Load) -> Found:
    found, end = Found(), time.monotonic() + asked.seconds
    rng = random.Random(0)

    def over() -> bool:
        return time.monotonic() > end

    async with asyncio.TaskGroup() as group:
        group.create_task(watch(address, over, found))
        for number in range(asked.sweeps):
            group.create_task(sweep_on(address, number, asked.samples, over, found))
        for number in range(asked.visitors):
            query = f"model={MODELS[number % len(MODELS)]}"
            group.create_task(move(address, query, over, found, random.Random(rng.random())))
    return found


async def alone(address: str, found: Found, compare: int) -> list[str]:
    """What somebody sees otherwise who is alone, place for place."""
    other = []
    for query in sorted({query for query, _ in found.seen}):
        async with Visitor(address, query) as visitor:
            for stop in sorted(stop for of, stop in found.seen if of == query):
                await visitor.release((stop + 1) % len(visitor.curves[0]))  # from somewhere else
                await visitor.release(stop)
                if found.seen[query, stop] != {visitor.seen()}:
                    other.append(f"{query} at stop {stop}")
    for query in list(found.swept)[:compare]:
        again = Found()
        await sweep(address, query, lambda: False, again)
        if again.swept[query] != found.swept[query]:
            other.append(query)
    return other


@asynccontextmanager
async def served(folder: str, name: str) -> AsyncIterator[str]:
    log = Path(folder) / name
    with serving(log) as address:
        yield address
    bad = [line for line in log.read_text().splitlines() if "Traceback" in line or "Error" in line]
    assert not bad, f"the server says: {bad[:5]}"


def flatness(values: list[int]) -> float:
    """By what part the last third's median differs from the first third's."""
    third = max(len(values) // 3, 1)
    before, after = statistics.median(values[:third]), statistics.median(values[-third:])
    return after / before - 1


def percentile(values: list[float], which: int) -> float:
    return sorted(values)[max(math.ceil(len(values) * which / 100) - 1, 0)]


async def measured(asked: Load) -> tuple[Found, list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with served(folder, "loaded.log") as address:
            found = await loaded(address, asked)
        async with served(folder, "alone.log") as address:
            return found, await alone(address, found, asked.compare)


def table(found: Found, other: list[str], asked: Load) -> bool:
    """Print what was found; is it within the limits?"""
    warm = min(WARM, asked.seconds / 4)
    settled = [entry for entry in found.memory if entry[0] >= warm]
    p95 = percentile(found.waits, 95)
    grown = flatness([server + workers for _, server, workers in settled])
    server, workers = (statistics.median(entry[place] for entry in settled) / 1e6 for place in (1, 2))
    compared = len(found.seen) + min(len(found.swept), asked.compare)
    print(f"{environment.sentence()}; load average at the end {psutil.getloadavg()[0]:.1f}\n")
    print(f"{asked.visitors} visitors moved the knob while {asked.sweeps} sweeps ran, for {asked.seconds:g} seconds.\n")
    print("| what | found | limit |\n|---|---|---|")
    rows = [
        ("releases of the knob", f"{len(found.waits):,}", ""),
        ("seconds to all that follows, median", f"{percentile(found.waits, 50):.2f}", ""),
        ("seconds, 95th percentile", f"{p95:.2f}", f"{P95:g}"),
        ("seconds, longest", f"{max(found.waits):.2f}", ""),
        ("sweeps solved to the end", f"{len(found.swept)}", ""),
        ("errors seen", f"{len(found.troubles)}", "0"),
        ("results other than alone", f"{len(other)} of {compared}", "0"),
        ("memory of the server and of its workers, MB", f"{server:,.0f} and {workers:,.0f}", ""),
        ("change of both from the first third to the last", f"{grown:+.1%}", f"±{FLAT:.0%}"),
    ]
    for row in rows:
        print(f"| {' | '.join(row)} |")
    for line in [*found.troubles, *other][:20]:
        print(f"- {line}")
    return p95 <= P95 and not found.troubles and not other and abs(grown) <= FLAT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for f in fields(Load):
        parser.add_argument(f"--{f.name}", type=type(f.default), default=f.default)
    asked = Load(**vars(parser.parse_args()))
    sys.exit(not table(*asyncio.run(measured(asked)), asked))


if __name__ == "__main__":
    main()
