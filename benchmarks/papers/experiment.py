"""An experiment: cells that are measured one by one, each kept as soon as it is, and written down together.

What is written down is plain data with what it was made with; tables and charts come with it, so that whoever shows
them (the documentation, the studio) has nothing to compute and nothing to type.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student

from nettrim_core import environment
from nettrim_core.durable.address import Address, address
from nettrim_core.durable.carry import written_down
from nettrim_core.durable.files import write_whole
from nettrim_core.durable.kept import Kept
from nettrim_core.durable.runs import Runs
from nettrim_core.durable.sealed import Sealed
from nettrim_core.durable.store import Store

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
STORE = ROOT / ".results"

Cell = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One cell: what was asked, what was found, and the seconds it took."""

    asked: Cell
    found: dict[str, Any]
    seconds: float


@dataclass(frozen=True)
class Table:
    """Rows of texts. links: for each row, the studio's query that shows its point; "" for none."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    links: Sequence[str] = ()


@dataclass(frozen=True)
class Line:
    """low, high: the ends of a band around y, or nothing. method: whose look it has, one of METHODS; "" for none."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False
    method: str = ""


INTERVALS, SPREAD = "95 % intervals of the means", "from the least to the largest of the draws"


@dataclass(frozen=True)
class Chart:
    """bands: what lies around its lines, where something does."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    bands: str = INTERVALS


@dataclass(frozen=True)
class Heat:
    """values: a row for each of ys. lines lie above it."""

    title: str
    x: str
    y: str
    xs: Sequence[float]
    ys: Sequence[float]
    values: Sequence[Sequence[float]]
    lines: Sequence[Line] = ()


@dataclass(frozen=True)
class Shown:
    """What is said of an experiment: sentences, each on what the numbers beside it show, and the numbers."""

    says: Sequence[str] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    heats: Sequence[Heat] = ()


@dataclass(frozen=True)
class Experiment:
    """source: what it redoes, and where that is to be found. differs: how its protocol is another one than there,
    sentences. cells: what is asked, of the whole experiment or of a quick one. measure: of one cell, plain data.
    show: of all of them. alone: nothing may run beside it, as its seconds are what it is about."""

    name: str
    title: str
    source: str
    differs: Sequence[str]
    cells: Callable[[bool], list[Cell]]
    measure: Callable[..., dict[str, Any]]
    show: Callable[[list[Measured]], Shown]
    with_sources: Sequence[str] = field(default=())  # modules that say what is measured, beside its own
    alone: bool = False

    def version(self) -> str:
        """A hash of the sources that say what is measured."""
        names = (self.measure.__module__, *self.with_sources)
        sources = [Path(str(sys.modules[name].__file__)).read_bytes() for name in names]
        return hashlib.blake2b(b"\0".join(sources), digest_size=10).hexdigest()


def carried_out(experiment: Experiment, quick: bool, store: Store, tell: Callable[[str], None]) -> list[Measured]:
    """All cells: those that are kept, and the others, each kept as soon as it is measured; a run of the store."""
    cells = experiment.cells(quick)
    request = {"task": "experiment", "name": experiment.name, "cells": cells}
    recording = Runs(store).begin(request, len(cells), experiment.title, subject={"command": command(experiment)})
    kept, found = Kept(store, "" if recording is None else recording.id), []
    where = {"version": experiment.version(), "made": _environment()}
    with written_down(recording):
        for number, cell in enumerate(cells, 1):
            here = address("experiment", name=experiment.name, cell=cell, **where)
            found.append(_measured(experiment, cell, kept, here))
            if recording is not None:
                recording.heard({"number": number})
            tell(f"{experiment.name} {number} of {len(cells)}: {cell}, {found[-1].seconds:.1f} s")
    return found


def _measured(experiment: Experiment, cell: Cell, kept: Kept, here: Address) -> Measured:
    if (before := kept.get(here)) is not None:
        return Measured(cell, before.about["found"], before.about["seconds"])
    started = time.perf_counter()
    found = experiment.measure(**cell)
    measured = Measured(cell, found, time.perf_counter() - started)
    kept.put(here, Sealed({"found": found, "seconds": measured.seconds}, {}))
    return measured


def command(experiment: Experiment) -> str:
    return f"python -m benchmarks.papers {experiment.name}"


def written(experiment: Experiment, quick: bool, cells: list[Measured], folder: Path) -> Path:
    """The file of an experiment: what it is, what it was made with, every cell, and what is shown of them."""
    path = folder / f"{experiment.name}.json"
    _write(path, {
        **_said(experiment, cells),
        "command": command(experiment) + (" --quick" if quick else ""),
        "environment": _environment(),
        "seconds": round(sum(cell.seconds for cell in cells), 1),
        "cells": [asdict(cell) for cell in cells],
    })  # fmt: skip
    return path


def said_again(experiment: Experiment, path: Path) -> None:
    """Bring what a file says and shows up to date with the experiment. What was measured stays as it is."""
    content = json.loads(path.read_text(encoding="utf-8"))
    _write(path, content | _said(experiment, [Measured(**cell) for cell in content["cells"]]))


def _said(experiment: Experiment, cells: list[Measured]) -> dict[str, Any]:
    return {
        "place": 1,
        "name": experiment.name,
        "title": experiment.title,
        "source": f"Redoes: {experiment.source}.",
        "differs": list(experiment.differs),
        "shown": asdict(experiment.show(cells)),
    }


def _environment() -> dict[str, Any]:
    """What a file says of all its cells, so that those of another machine or other threads are none of them."""
    return environment.versions() | {"machine": environment.machine(), "threads": torch.get_num_threads()}


def _made(content: dict[str, Any]) -> str:
    """How it was measured, a sentence: the command, its time, the machine and the versions."""
    made = content["environment"]
    versions = ", ".join(f"{name} {made[name]}" for name in sorted(made) if name not in ("machine", "threads"))
    return (
        f"`{content['command']}` took {content['seconds'] / 60:,.0f} minutes on {made['machine']}, with "
        f"{made['threads']} thread{'s' if made['threads'] > 1 else ''}; {versions}."
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    write_plain(path, content | {"made": _made(content)})


def write_plain(path: Path, content: dict[str, Any]) -> None:
    """place: whoever shows files shows them by it, and then by name."""
    write_whole(path, (json.dumps(content, sort_keys=True, allow_nan=False) + "\n").encode())


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, low, high): the mean of some seeds and its 95 % interval, by Student's law, as there are few; of one
    value, itself."""
    mean, count = math.fsum(values) / len(values), len(values)
    if count == 1:
        return mean, mean, mean
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = float(student.ppf(0.975, count - 1)) * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """(mean, least, largest): what three draws say on a log axis, where an interval of theirs may leave it."""
    return math.fsum(values) / len(values), min(values), max(values)


def within(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The same as text."""
    mean, low, _ = interval(values)
    return form.format(mean) + (f" ± {form.format(mean - low)}" if len(values) > 1 else "")
