"""Accuracy on inputs with noise, dense against pruned: an experiment of paper 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.papers.experiment import Cell, Chart, Experiment, Line, Measured, Shown, Table, interval, within
from benchmarks.papers.training import error
from nettrim_core import METHODS, load_bundle
from nettrim_core.methods import titled
from nettrim_core.network import Network

NETWORKS = ("lenet_300_100", "lenet_5")
METHOD_NAMES = ("nettrim", "nettrim_refit", "exactobs", "lobs", "magnitude_refit", "magnitude")
EPSILONS = (0.05, 0.1, 0.2)
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)  # ||noise|| / ||input||, of each input
SAMPLES, PATCHES, SEEDS = 1000, 2000, 3


def measure(
    network: str, samples: int, epsilons: Sequence[float], levels: Sequence[float], seed: int, names: Sequence[str]
) -> dict[str, Any]:
    """accuracy on the test rows by level: of the dense network, and by method and epsilon of the pruned ones."""
    bundle = load_bundle(network)
    X, labels = bundle.test
    assert labels is not None
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(X.shape, generator=generator)
    axes = tuple(range(1, X.dim()))
    noise *= torch.linalg.vector_norm(X, dim=axes, keepdim=True) / torch.linalg.vector_norm(
        noise, dim=axes, keepdim=True
    )

    def accuracies(model: torch.nn.Module) -> list[float]:
        return [1 - error(model, (X + level * noise, labels)) for level in levels]

    dense = Network(bundle.model, bundle.calibration_sample(samples, seed), max_patches=PATCHES, seed=seed)
    found: dict[str, Any] = {"dense": accuracies(bundle.model), "pruned": {}}
    for name in names:
        points = dense.points(METHODS[name], epsilons)
        found["pruned"][name] = [
            {"epsilon": epsilon, "sparsity": report.sparsity, "accuracy": accuracies(model)}
            for epsilon, (model, report) in zip(epsilons, points, strict=True)
        ]
    return found


def cells(quick: bool) -> list[Cell]:
    networks, samples, seeds = (("digits_mlp",), 100, 1) if quick else (NETWORKS, SAMPLES, SEEDS)
    return [
        {"network": network, "samples": samples, "epsilons": list(EPSILONS[1:2] if quick else EPSILONS),
         "levels": list(LEVELS[::4] if quick else LEVELS), "seed": seed, "names": list(METHOD_NAMES)}
        for network in networks for seed in range(seeds)
    ]  # fmt: skip


def show(measured: list[Measured]) -> Shown:
    charts, tables, says = [], [], []
    for network in dict.fromkeys(cell.asked["network"] for cell in measured):
        here = [cell for cell in measured if cell.asked["network"] == network]
        levels, epsilons = here[0].asked["levels"], here[0].asked["epsilons"]
        rows, links = [["dense", "", "", *_cells([cell.found["dense"] for cell in here])]], [f"model={network}"]
        for name in here[0].asked["names"]:
            for i, epsilon in enumerate(epsilons):
                points = [cell.found["pruned"][name][i] for cell in here]
                zeros = within([100 * point["sparsity"] for point in points], "{:.1f}")
                rows.append([titled(name), f"{epsilon:g}", zeros, *_cells([point["accuracy"] for point in points])])
                links.append(f"model={network}&methods={name}&eps={epsilon:g}&n={here[0].asked['samples']}")
        tables.append(Table(
            f"{network}: test accuracy in percent, by the noise's norm relative to the input's",
            ["method", "epsilon", "zeros, %", *(f"{level:g}" for level in levels)], rows, links=links,
        ))  # fmt: skip
        middle = epsilons[len(epsilons) // 2]
        lines = [_line("dense", levels, [cell.found["dense"] for cell in here])]
        lines += [
            _line(
                titled(name),
                levels,
                [cell.found["pruned"][name][len(epsilons) // 2]["accuracy"] for cell in here],
                True,
                name,
            )
            for name in here[0].asked["names"]
        ]
        charts.append(Chart(f"{network}, epsilon = {middle:g}", "||noise|| / ||input||", "test accuracy", lines))
        says.append(_sentence(network, here, len(epsilons) // 2, levels))
    return Shown(says, tables, charts)


def _cells(rows: list[list[float]]) -> list[str]:
    return [within([100 * value for value in column], "{:.1f}") for column in zip(*rows, strict=True)]


def _line(name: str, levels: Sequence[float], rows: list[list[float]], dashed: bool = False, method: str = "") -> Line:
    mean, low, high = (
        list(values) for values in zip(*(interval(list(c)) for c in zip(*rows, strict=True)), strict=True)
    )
    return Line(name, levels, mean, low, high, dashed, method)


def under_noise(here: list[Measured], place: int) -> dict[str, float]:
    """The mean accuracy over all levels of at least the input's own norm, of the dense network ("") and of each method
    at one of its tolerances."""
    strong = [i for i, level in enumerate(here[0].asked["levels"]) if level >= 1]

    def mean(rows: list[list[float]]) -> float:
        return sum(row[i] for row in rows for i in strong) / (len(rows) * len(strong))

    found = {"": mean([cell.found["dense"] for cell in here])}
    for name in here[0].asked["names"]:
        found[name] = mean([cell.found["pruned"][name][place]["accuracy"] for cell in here])
    return found


def _sentence(network: str, here: list[Measured], place: int, levels: Sequence[float]) -> str:
    """Who stands the most noise and who the least."""
    means = under_noise(here, place)
    dense = means.pop("")
    best, worst = max(means, key=lambda name: means[name]), min(means, key=lambda name: means[name])
    better = [titled(name) for name in means if means[name] > dense]
    return (
        f"{network}, epsilon = {here[0].asked['epsilons'][place]:g}, mean accuracy under noise of 1 to {levels[-1]:g} "
        f"times the input: dense {dense:.1%}, the highest {titled(best)} with {means[best]:.1%}, the lowest "
        f"{titled(worst)} with {means[worst]:.1%}. Above the dense network: {', '.join(better) or 'no method'}."
    )


EXPERIMENT = Experiment(
    "robustness",
    "Noise on the inputs",
    "Fast Convex Pruning (2020), experiment on robustness",
    (
        "Networks are this project's samples, with all layers pruned, convolutions too.",
        "Each input gets noise of its own of exactly the given relative norm; the draws differ by calibration rows and "
        "noise, and intervals are over them.",
    ),
    cells,
    measure,
    show,
)
