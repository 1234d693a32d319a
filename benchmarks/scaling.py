"""What more workers bring, and what a layer costs them: ``python benchmarks/scaling.py > docs/scaling_measured.md``.

First the same sweeps with one worker of a scheduler and with two, in turn, on this machine: how much of the second one
is not lost. Then what an estimate for larger networks needs: the time of a neuron's path by the size of its layer, and
the bytes that go to and fro. Prints Markdown. Ten minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder above, as for tests

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
SWEEPS = (  # methods, samples
    (("nettrim", "exactobs"), 1000), (("nettrim",), 1000), (("exactobs",), 1000), (("lobs", "magnitude_refit"), 4000),
)  # fmt: skip
TURNS = 2
LINK = 1.25e9  # bytes a second between machines: ten gigabits
EVALUATIONS = 2  # of a solution, for each point: the root, and once more to correct it
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
        begun = [network.refined(METHODS[name], POINTS) for name in names]
        for points in begun:
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


def fitted(columns: list[list[float]], values: list[float]) -> tuple[np.ndarray, float]:
    """(log c, a, b, ...) of value = c x^a y^b ..., and the largest factor by which a row is off."""
    A = np.log(np.array([[np.e, *row] for row in zip(*columns, strict=True)]))
    found = np.linalg.lstsq(A, np.log(values), rcond=None)[0]
    return found, float(np.exp(np.abs(A @ found - np.log(values)).max()))


def gigaflops(dtype: torch.dtype) -> float:
    """Of a matrix product on one thread."""
    A = torch.randn(2000, 2000, dtype=dtype)
    A.mm(A)
    started = time.perf_counter()
    A.mm(A)
    return 2 * 2000**3 / (time.perf_counter() - started) / 1e9


@dataclass(frozen=True)
class Costs:
    """kinks(N, P) and seconds(N, P, kinks) of a neuron's path, as logarithms of powers; flops a second."""

    kinks: np.ndarray
    seconds: np.ndarray
    flops: float

    def path(self, N: int, P: int) -> tuple[float, float]:
        """(kinks, seconds) of a neuron."""
        kinks = float(np.exp(self.kinks @ [1, np.log(N), np.log(P)]))
        return kinks, float(np.exp(self.seconds @ [1, np.log(N), np.log(P), np.log(kinks)]))

    def estimate(self, layers: Sequence[tuple[int, int]], P: int, workers: int) -> tuple[float, float, float]:
        """(hours, GB that a worker holds at its peak, GB moved) of layers (N, M): a path for each neuron down to
        EPSILON, and POINTS points. See docs/scaling.md for the arithmetic."""
        busy = moved = held = most = 0.0
        for N, M in layers:
            kinks, seconds = self.path(N, P)
            shared = 8 * (2 * N * P + N**2 + 2 * M * P) + M * P
            made = 2 * N**2 * P / self.flops
            busy += M * seconds / workers + made + (workers - 1) * shared / LINK / workers
            legs, traces = 8 * (N + P / 2) * M, 41 * kinks * M
            points = EVALUATIONS * len(POINTS) * M * (N + P + 8 * min(N, P))
            moved += 8 * (N * P + 2 * M * P) + (workers - 1) * shared + legs + traces + points
            rows = min(2 * N + N // 4 + 64, N + P)
            held += shared
            most = max(most, shared + 8 * (min(rows, N) * N + 2 * N * P + 4 * min(rows, 4 * P) ** 2))
        return busy / 3600, (held + most) / 1e9, moved / 1e9


def resnet_50() -> list[tuple[int, int]]:
    """(N, M) of its convolutions, whose batch norms leave them no bias, and of its last layer."""
    layers, width = [(7 * 7 * 3, 64)], 64
    for blocks, inner in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            layers += [(width, inner), (9 * inner, inner), (inner, 4 * inner)]
            layers += [(width, 4 * inner)] * (block == 0)
            width = 4 * inner
    return [*layers, (2049, 1000)]


NETWORKS = {"VGG-16, fc6": ([(25_089, 4096)], 1000), "ResNet-50, 54 layers": (resnet_50(), 2000)}


def sweeps() -> None:
    print(
        f"{NETWORK}, all layers, {len(POINTS)} epsilons from {POINTS[0]} to {POINTS[-1]} a method. One worker and two, "
        f"each a process with one thread, {TURNS} times in turn; seconds are the least of each, as this machine is not "
        "equally fast at all times. Efficiency is the seconds of one worker over twice those of two. Whoever asks, and "
        "the scheduler, share the same cores.\n"
    )
    print("| methods | samples | points | 1 worker, s | 2 workers, s | efficiency | MB sent | MB received |")
    print("|---|---|---|---|---|---|---|---|")
    small = Plan("digits_mlp", ("fc2",)).network(load_bundle("digits_mlp"))
    with tempfile.TemporaryDirectory() as folder:
        one, two = Party(Path(folder) / "one", 1), Party(Path(folder) / "two", 2)
        for party in (one, two):  # what is compiled is loaded
            swept(small, ("nettrim", "exactobs"), party.address)
        for names, samples in SWEEPS:
            network = Plan(NETWORK, LAYERS, samples=samples).network(load_bundle(NETWORK))
            found = [[swept(network, names, party.address) for party in (one, two)] for _ in range(TURNS)]
            (first, _), (second, moved) = (min(column, key=lambda pair: pair[0]) for column in zip(*found, strict=True))
            print(
                f"| {', '.join(names)} | {samples:,} | {len(names) * len(POINTS)} | {first:.1f} | {second:.1f} | "
                f"{first / (2 * second):.2f} | {moved.out / 1e6:.0f} | {moved.back / 1e6:.0f} |",
                flush=True,
            )
        one.close()
        two.close()


def paths() -> Costs:
    print(f"\n## A neuron's path\n\nDown to epsilon = {EPSILON}, mean of {NEURONS} neurons, one thread.\n")
    print("| inputs N | samples P | kinks | seconds | microseconds a kink |\n|---|---|---|---|---|")
    path(64, 100)  # what is compiled is loaded
    found = []
    for N, P in SIZES:
        seconds, kinks = path(N, P)
        found.append((seconds, kinks))
        print(f"| {N:,} | {P:,} | {kinks:,.0f} | {seconds:.3f} | {1e6 * seconds / kinks:.0f} |", flush=True)
    N, P = ([float(size[i]) for size in SIZES] for i in range(2))
    seconds, kinks = ([row[i] for row in found] for i in range(2))
    (by_kinks, off_kinks), (by_seconds, off) = fitted([N, P], kinks), fitted([N, P, kinks], seconds)
    flops = gigaflops(torch.float64)
    print(
        f"\nkinks = {np.exp(by_kinks[0]):.3g} N^{by_kinks[1]:.2f} P^{by_kinks[2]:.2f}, within a factor of "
        f"{off_kinks:.2f} of every row;\nseconds = {np.exp(by_seconds[0]):.3g} N^{by_seconds[1]:.2f} "
        f"P^{by_seconds[2]:.2f} kinks^{by_seconds[3]:.2f}, within {off:.2f}.\n"
        f"A product of matrices runs at {flops:.1f} Gflop/s in double precision."
    )
    return Costs(by_kinks, by_seconds, flops * 1e9)


def estimates(costs: Costs) -> None:
    print(
        "\n## On paper\n\nFrom these constants, by the arithmetic of [How sweeps scale](scaling.md): Net-Trim, "
        f"{len(POINTS)} points, workers of one thread as measured here, a link of {LINK / 1e9:.2f} GB/s each. "
        "Nobody has run these.\n"
    )
    print("| network | samples | kinks | seconds a neuron | workers | hours | GB a worker | GB moved |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (layers, P) in NETWORKS.items():
        kinks, seconds = costs.path(max(layers)[0], P)
        for workers in (8, 64):
            hours, peak, moved = costs.estimate(layers, P, workers)
            print(
                f"| {name} | {P:,} | {kinks:,.0f} | {seconds:.1f} | {workers} | {hours:,.1f} | {peak:,.1f} | "
                f"{moved:,.0f} |"
            )
    print("\nKinks and seconds are those of a neuron of the layer with the most inputs.")


def main() -> None:
    torch.set_num_threads(1)
    print(f"# More workers, measured\n\n{environment.sentence()}, distributed {metadata.version('distributed')}.\n")
    sweeps()
    estimates(paths())


if __name__ == "__main__":
    main()
