"""What more workers bring, and what a layer costs them: ``python benchmarks/scaling.py > docs/scaling_measured.md``.

First the same sweeps with one worker of a scheduler and with two, in turn, on this machine: how much of the second one
is not lost. Then what an estimate for larger networks needs: the time of a neuron's path by the size of its layer, and
the bytes that go to and fro. Prints Markdown. Ten minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.party import Party
from nettrim_core import METHODS, environment, load_bundle, sent
from nettrim_core.cluster import connected
from nettrim_core.executor import carried_out_by
from nettrim_core.homotopy import Homotopy
from nettrim_core.network import Network
from nettrim_core.plan import Plan
from nettrim_core.problem import LayerProblem
from nettrim_core.response import response_set

NETWORK, LAYERS = "lenet_300_100", ("fc1", "fc2", "fc3")
POINTS = [float(f"{e:.3g}") for e in np.geomspace(0.5, 0.02, 12)]
SWEEPS = (("nettrim", "exactobs"), ("nettrim",), ("exactobs",), ("lobs", "magnitude_refit"))
TURNS = 2
WANTED = 0.8
NEURONS, EPSILON = 6, 0.1
SIZES = ((256, 1000), (512, 1000), (1024, 1000), (2048, 1000), (1024, 500), (1024, 2000), (2048, 2000), (4096, 1000))


class Moved:
    """Bytes that this process sends and receives."""

    def __init__(self) -> None:
        self.out = self.back = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        reduce, received = sent.Sent.__reduce_ex__, sent._received

        def out(value: sent.Sent, protocol: Any) -> Any:
            self.out += value.size
            return reduce(value, protocol)

        def back(data: Any) -> sent.Sent:
            found = received(data)
            self.back += found.size
            return found

        sent.Sent.__reduce_ex__, sent._received = out, back  # type: ignore[method-assign]
        try:
            yield
        finally:
            sent.Sent.__reduce_ex__, sent._received = reduce, received  # type: ignore[method-assign]


def swept(network: Network, names: tuple[str, ...], address: str) -> tuple[float, Moved]:
    """Seconds of a sweep with the workers of a scheduler."""
    moved = Moved()
    with connected(address) as cluster, carried_out_by(cluster), moved.counted():
        started = time.perf_counter()
        sweeps = [network.refined(METHODS[name], POINTS) for name in names]
        for points in sweeps:
            for _ in points:
                pass
        return time.perf_counter() - started, moved


def layer(N: int, P: int, seed: int = 0) -> LayerProblem:
    """Rectified features of half as many causes, as layers have them, and neurons that look at a tenth of them."""
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=g)  # noqa: E731
    X = (draw(N, N // 2) @ draw(N // 2, P)).relu() / N**0.5
    X[-1] = 1
    W = draw(N, NEURONS) * (draw(N, NEURONS) > 1.28)
    return LayerProblem(X, (W.T @ X).relu(), W, relu=True)


def path(N: int, P: int) -> tuple[float, float]:
    """Seconds and kinks of a neuron's path, from where its first weights are to EPSILON; one thread."""
    problem = layer(N, P)
    target = response_set(problem, EPSILON)
    assert isinstance(problem.X, torch.Tensor)
    engine = Homotopy(problem.X, problem.W, [target.radius])
    engine._begin(target)
    high, low = engine.known[0].high, engine.known[-1].low
    started = time.perf_counter()
    engine._follow(high, low, *engine._at(high))
    seconds = (time.perf_counter() - started) / NEURONS
    return seconds, sum(len(trace.lam) for trace in engine.known[-1].traces) / NEURONS


def fitted(rows: list[tuple[int, int, float, float]]) -> tuple[np.ndarray, float]:
    """(log c, a, b, k) of seconds = c N^a P^b kinks^k, and the largest factor by which a row is off."""
    N, P, kinks, seconds = np.log(np.array(rows)).T
    A = np.stack([np.ones_like(N), N, P, kinks], 1)
    found = np.linalg.lstsq(A, seconds, rcond=None)[0]
    return found, float(np.exp(np.abs(A @ found - seconds).max()))


def main() -> None:
    torch.set_num_threads(1)
    print(f"# More workers, measured\n\n{environment.sentence()}, distributed {metadata.version('distributed')}.\n")
    print(
        f"{NETWORK}, all layers, {len(POINTS)} epsilons from {POINTS[0]} to {POINTS[-1]}. One worker and two, each a "
        f"process with one thread, {TURNS} times in turn; seconds are the least of each. Efficiency is the seconds of "
        "one worker over twice those of two. Whoever asks, and the scheduler, share the same cores.\n"
    )
    print("| methods | points | 1 worker, s | 2 workers, s | efficiency | MB sent | MB received |")
    print("|---|---|---|---|---|---|---|")
    network = Plan(NETWORK, LAYERS).network(load_bundle(NETWORK))
    with tempfile.TemporaryDirectory() as folder:
        one, two = Party(Path(folder) / "one", 1), Party(Path(folder) / "two", 2)
        small = Plan("digits_mlp", ("fc2",)).network(load_bundle("digits_mlp"))
        for party in (one, two):  # what is compiled is loaded
            swept(small, ("nettrim", "exactobs"), party.address)
        for names in SWEEPS:
            found = [[swept(network, names, party.address) for party in (one, two)] for _ in range(TURNS)]
            (first, _), (second, moved) = (min(column, key=lambda pair: pair[0]) for column in zip(*found, strict=True))
            print(
                f"| {', '.join(names)} | {len(names) * len(POINTS)} | {first:.1f} | {second:.1f} | "
                f"{first / (2 * second):.2f} | {moved.out / 1e6:.0f} | {moved.back / 1e6:.0f} |",
                flush=True,
            )
        one.close()
        two.close()
    print(f"\n## A neuron's path\n\nDown to epsilon = {EPSILON}, mean of {NEURONS} neurons, one thread.\n")
    print("| inputs N | samples P | kinks | seconds | microseconds a kink |\n|---|---|---|---|---|")
    rows = []
    path(64, 100)  # what is compiled is loaded
    for N, P in SIZES:
        seconds, kinks = path(N, P)
        rows.append((N, P, kinks, seconds))
        print(f"| {N:,} | {P:,} | {kinks:,.0f} | {seconds:.3f} | {1e6 * seconds / kinks:.0f} |", flush=True)
    (c, a, b, k), off = fitted(rows)
    print(f"\nseconds = {np.exp(c):.2g} N^{a:.2f} P^{b:.2f} kinks^{k:.2f}, within a factor of {off:.2f} of every row.")


if __name__ == "__main__":
    sys.exit(main())
