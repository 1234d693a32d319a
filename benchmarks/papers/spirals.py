"""Nested spirals, as in the supplementary of paper 1: networks of two hidden layers, trained with dropout and, or not,
an l1 penalty, pruned as a cascade and in parallel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.papers.experiment import Cell, Chart, Experiment, Line, Measured, Shown, Table, interval, within
from nettrim_core import METHODS
from nettrim_core.cascade import Cascade
from nettrim_core.network import Network
from nettrim_core.report import Report

HIDDEN = (50, 75, 125, 175, 200)
SEEDS = 20
POINTS, EPOCHS, RATE = 400, 300, 5e-3
DROPOUT, L1 = 0.1, 2e-5
GAMMA, KAPPA = 1.1, 0.35
# Of the first layer in a cascade, of every layer in parallel
EPSILONS = (0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.008, 0.006)
NEAR, COMPARED = 0.02, 0.1  # rd of the tables; where cascade and parallel are compared

# Paper 1's supplementary: weights of the three layers before, after, and rd; of (size, with l1), all with dropout
PUBLISHED = {
    (200, True): ((319, 6554, 304), (189, 929, 84), "0.0183"),
    (50, False): ((99, 2483, 100), (98, 467, 54), "< 0.02"),
    (75, False): ((149, 5594, 150), (149, 710, 72), "< 0.02"),
    (175, False): ((349, 30395, 350), (348, 1743, 116), "< 0.02"),
}


def spirals(points: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two arms of one and a half turns in [-1, 1]^2, without noise: points (points, 2) and the arm of each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(points) % 2
    t = torch.rand(points, generator=generator).sqrt() * 3 * torch.pi
    angle = t + torch.pi * labels
    return torch.stack([t * angle.cos(), t * angle.sin()], 1) / (3 * torch.pi), labels


def trained(hidden: int, l1: bool, seed: int, epochs: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """The network, and what it was trained on: Adam, all points at a time."""
    torch.manual_seed(seed)
    X, labels = spirals(POINTS, seed)
    model = nn.Sequential(
        nn.Linear(2, hidden), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(hidden, 2),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4 * epochs)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    for _ in range(epochs):
        for rows in torch.randperm(POINTS).chunk(4):
            optimizer.zero_grad()
            loss = cross_entropy(model(X[rows]), labels[rows])
            if l1:
                loss = loss + L1 * torch.stack([p.abs().sum() for p in matrices]).sum()
            loss.backward()
            optimizer.step()
            schedule.step()
    if l1:  # what the penalty has brought to next to nothing
        with torch.no_grad():
            for p in matrices:
                p[p.abs() < 1e-3 * p.abs().max()] = 0
    return model.eval(), X, labels


def measure(hidden: int, l1: bool, seed: int, epochs: int, epsilons: Sequence[float]) -> dict[str, Any]:
    """before: weights of the layers; per mode and epsilon, the weights after, rd, and whether all is certified."""
    model, X, labels = trained(hidden, l1, seed, epochs)
    network = Network(model, X, test=spirals_test(seed))
    found: dict[str, Any] = {
        "before": [int((p != 0).sum()) for p in model.parameters() if p.dim() > 1],
        "right": float((model(X).argmax(1) == labels).float().mean()),
    }
    for mode, cascade in (("cascade", Cascade(gamma=GAMMA, kappa=KAPPA)), ("parallel", False)):
        reports = [report for _, report in network.points(METHODS["nettrim"], epsilons, cascade)]
        found[mode] = [_told(epsilon, report) for epsilon, report in zip(epsilons, reports, strict=True)]
    return found


def spirals_test(seed: int) -> tuple[Tensor, Tensor]:
    return spirals(1000, 10_000 + seed)


def _told(epsilon: float, report: Report) -> dict[str, Any]:
    last = report.layers[-1]
    return {
        "epsilon": epsilon,
        "after": [layer.weights - layer.weight_zeros for layer in report.layers],
        "rd": last.error / last.output_norm,
        "bound": None if last.bound is None else last.bound / last.output_norm,
        "accuracy": report.accuracy,
        "certified": all(layer.converged for layer in report.layers),
    }


def cells(quick: bool) -> list[Cell]:
    hidden, seeds, epochs = (HIDDEN[:1], 1, 40) if quick else (HIDDEN, SEEDS, EPOCHS)
    epsilons = EPSILONS[1:4:2] if quick else EPSILONS
    return [
        {"hidden": n, "l1": l1, "seed": seed, "epochs": epochs, "epsilons": list(epsilons)}
        for n in hidden for l1 in (False, True) for seed in range(seeds)
    ]  # fmt: skip


def show(measured: list[Measured]) -> Shown:
    groups: dict[tuple[int, bool], list[dict[str, Any]]] = {}
    for cell in measured:
        groups.setdefault((cell.asked["hidden"], cell.asked["l1"]), []).append(cell.found)
    tables = [_table(l1, {n: found for (n, other), found in groups.items() if other == l1}) for l1 in (False, True)]
    charts = [_chart(n, l1, found) for (n, l1), found in groups.items() if n == max(n for n, _ in groups)]
    return Shown(_sentences(groups), tables, charts)


def nearest(points: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The sparsest of a training's points whose rd is below NEAR; None if there is none."""
    good = [point for point in points if point["rd"] < NEAR]
    return min(good, key=lambda point: sum(point["after"]), default=None)


def _table(l1: bool, by_size: dict[int, list[dict[str, Any]]]) -> Table:
    rows = []
    for n, found in by_size.items():
        chosen = [point for each in found if (point := nearest(each["cascade"])) is not None]
        published = PUBLISHED.get((n, l1))
        rows.append([
            f"2.{n}.{n}.2",
            _counts([each["before"] for each in found]),
            _counts([point["after"] for point in chosen]) if chosen else "none",
            within([point["rd"] for point in chosen], "{:.4f}") if chosen else "",
            f"{len(chosen)} of {len(found)}",
            " → ".join("/".join(f"{count:,}" for count in counts) for counts in published[:2]) if published else "",
            published[2] if published else "",
        ])  # fmt: skip
    return Table(
        f"Dropout{' and l1' if l1 else ''}: weights of the three layers before and after, rd below {NEAR}",
        ["network", "before", "after", "rd", "trainings", "published", "its rd"], rows,
        "Means over the trainings whose cascade has a point with so small an rd, and of each the sparsest such point.",
    )  # fmt: skip


def _counts(rows: list[list[int]]) -> str:
    return " / ".join(f"{sum(column) / len(rows):,.0f}" for column in zip(*rows, strict=True))


def _chart(n: int, l1: bool, found: list[dict[str, Any]]) -> Chart:
    lines = []
    for mode in ("cascade", "parallel"):
        columns = list(zip(*(each[mode] for each in found), strict=True))
        left = [interval([sum(point["after"]) for point in column]) for column in columns]
        x = [interval([point["rd"] for point in column])[0] for column in columns]
        lines.append(Line(mode, x, *(list(values) for values in zip(*left, strict=True)), dashed=mode == "parallel"))
    return Chart(
        _name(n, l1), "rd, ||Z^ - Z|| / ||Z|| on the logits",
        "weights that stay", lines, log_x=True, log_y=True,
    )  # fmt: skip


def _sentences(groups: dict[tuple[int, bool], list[dict[str, Any]]]) -> list[str]:
    every = [point for found in groups.values() for each in found for mode in ("cascade", "parallel")
             for point in each[mode]]  # fmt: skip
    certified = sum(point["certified"] for point in every)
    return [
        f"{certified:,} of {len(every):,} pruned networks are certified in every layer; a cascade's output layer has "
        f"{KAPPA} of its radius, which nothing promises to be feasible.",
        *(_modes(*which, groups[which]) for which in groups if which[0] == max(n for n, _ in groups)),
        *(_against(*which, groups[which]) for which in PUBLISHED if which in groups),
    ]


def left_at(points: list[dict[str, Any]], rd: float) -> float:
    """The weights that stay at that rd, read between the points beside it on log axes."""
    points = sorted(points, key=lambda point: point["rd"])
    x, y = ([math.log(value) for value in values] for values in
            ([point["rd"] for point in points], [sum(point["after"]) for point in points]))  # fmt: skip
    return math.exp(np.interp(math.log(rd), x, y))


def _modes(n: int, l1: bool, found: list[dict[str, Any]]) -> str:
    cascade, parallel = (
        math.fsum(left_at(each[mode], COMPARED) for each in found) / len(found) for mode in ("cascade", "parallel")
    )
    return (
        f"{_name(n, l1)}: at an rd of {COMPARED:g} a cascade keeps {cascade:,.0f} weights, pruning in parallel "
        f"{parallel:,.0f}."
    )


def _name(n: int, l1: bool) -> str:
    return f"2.{n}.{n}.2, dropout{' and l1' if l1 else ''}"


def _against(n: int, l1: bool, found: list[dict[str, Any]]) -> str:
    """What is left here and in the paper, of how many."""
    chosen = [(each, point) for each in found if (point := nearest(each["cascade"])) is not None]
    before, after, _ = PUBLISHED[n, l1]
    name = _name(n, l1)
    if not chosen:
        return f"{name}: no cascade here has an rd below {NEAR}; in the paper {sum(after) / sum(before):.1%} stay."
    left = sum(sum(point["after"]) / sum(each["before"]) for each, point in chosen) / len(chosen)
    return (
        f"{name}: {left:.1%} of the weights stay here, in the paper {sum(after) / sum(before):.1%}; another training "
        "makes other networks, so that less or more is no better or worse."
    )


EXPERIMENT = Experiment(
    "spirals",
    "Nested spirals",
    "Net-Trim (NIPS 2017), supplementary: tables S.1 and S.2, figure S.2",
    (
        f"{POINTS} points without noise, drawn anew for each training; Adam, {EPOCHS} epochs, dropout of "
        f"{DROPOUT:.0%}: the paper's are not given in numbers that could be checked.",
        "Biases are pruned too and not counted; the paper's networks are counted as it counts them.",
    ),
    cells,
    measure,
    show,
)
