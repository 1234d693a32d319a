"""What is promised of a pruned network's error, and what is measured: how loose the bounds are, and where that comes
from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.papers.experiment import Cell, Chart, Experiment, Line, Measured, Shown, Table, interval
from nettrim_core import METHODS, load_bundle
from nettrim_core.cascade import Cascade
from nettrim_core.methods import titled
from nettrim_core.network import Network
from nettrim_core.report import Report

NETWORKS = ("digits_mlp", "lenet_300_100")
EPSILONS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
SAMPLES, SEEDS = 1000, 3


def measure(network: str, method: str, mode: str, samples: int, epsilons: Sequence[float], seed: int) -> dict[str, Any]:
    """By epsilon: the relative error of the output measured and promised, by the spectral norms of the pruned weights
    and by the l1 norms of the trained ones (theorem 1, which speaks of layers scaled to one). layers: of each the same
    at its own output, and its own discrepancy."""
    bundle = load_bundle(network)
    dense = Network(bundle.model, bundle.calibration_sample(samples, seed))
    points = dense.points(METHODS[method], epsilons, Cascade() if mode == "cascade" else False)
    return {"points": [_told(epsilon, report) for epsilon, (_, report) in zip(epsilons, points, strict=True)]}


def _told(epsilon: float, report: Report) -> dict[str, Any]:
    last = report.layers[-1]
    return {
        "epsilon": epsilon,
        "error": last.error / last.output_norm,
        "bound": None if last.bound is None else last.bound / last.output_norm,
        "by_l1": _theorem_1(report) / last.output_norm,
        "layers": [[layer.error / layer.output_norm, None if layer.bound is None else layer.bound / layer.output_norm,
                    layer.held] for layer in report.layers],
        "sparsity": report.sparsity,
    }  # fmt: skip


def _theorem_1(report: Report) -> float:
    """sum_j radius_j prod_{k > j} ||W_k||_1, in the units of the network as it is."""
    total, scale = 0.0, 1.0
    for layer in reversed(report.layers):
        total += layer.radius * scale
        scale *= layer.l1_before or 0.0
    return total


def cells(quick: bool) -> list[Cell]:
    networks, samples, seeds = (NETWORKS[:1], 100, 1) if quick else (NETWORKS, SAMPLES, SEEDS)
    epsilons = list(EPSILONS[1:5:3] if quick else EPSILONS)
    return [
        {"network": network, "method": method, "mode": mode, "samples": samples, "epsilons": epsilons, "seed": seed}
        for network in networks for method in ("nettrim", "exactobs") for mode in ("parallel", "cascade")
        for seed in range(seeds)
    ]  # fmt: skip


def show(measured: list[Measured]) -> Shown:
    charts, rows, links = [], [], []
    for network in dict.fromkeys(cell.asked["network"] for cell in measured):
        for mode in ("parallel", "cascade"):
            wanted = (network, mode, "nettrim")
            here = [c for c in measured if (c.asked["network"], c.asked["mode"], c.asked["method"]) == wanted]
            epsilons = here[0].asked["epsilons"]
            columns = list(zip(*(cell.found["points"] for cell in here), strict=True))
            lines = [
                _line("measured", epsilons, columns, "error"),
                _line("promised, by spectral norms", epsilons, columns, "bound", True),
            ]
            if mode == "parallel":
                lines.append(_line("promised, by l1 norms (theorem 1)", epsilons, columns, "by_l1", True))
            charts.append(Chart(f"{network}, {mode}", "epsilon", "relative error of the output", lines, True, True))
        for cell in measured:
            asked = cell.asked
            if asked["network"] == network and asked["seed"] == 0:
                for point in cell.found["points"]:
                    rows.append(_row(asked, point))
                    links.append(
                        f"model={network}&methods={asked['method']}&eps={point['epsilon']:g}&mode={asked['mode']}"
                        f"&n={asked['samples']}"
                    )
    points = [point for cell in measured for point in cell.found["points"] if point["bound"] is not None]
    kept = [point["bound"] >= point["error"] for point in points]
    table = Table(
        "Measured and promised errors, draw 0", ["network", "method", "mode", "epsilon", "zeros", "error", "promised",
        "times", "where the factor comes from, layer by layer"], rows,
        "The last column says of each layer how many times its own promise, from what came in and what it added, is "
        "what it then does: the product of what norms and triangle inequalities lose on the way.", links,
    )  # fmt: skip
    return Shown([f"The promise is kept in {sum(kept):,} of {len(kept):,} cases.", _loose(measured)], [table], charts)


def _loose(measured: list[Measured]) -> str:
    """By how much both kinds of promise exceed what was measured."""
    parallel = [cell for cell in measured if cell.asked["mode"] == "parallel" and cell.asked["method"] == "nettrim"]
    points = [point for cell in parallel for point in cell.found["points"] if point["bound"] is not None]
    ours, theirs = (sorted(point[key] / point["error"] for point in points) for key in ("bound", "by_l1"))
    return (
        f"For Net-Trim in parallel, spectral norms promise {ours[0]:.1f} to {ours[-1]:.1f} times the error that is "
        f"measured, the l1 norms of theorem 1 {theirs[0]:,.0f} to {theirs[-1]:,.0f} times."
    )


def _line(name: str, epsilons: Sequence[float], columns: list[Any], key: str, dashed: bool = False) -> Line:
    some = [(e, interval([p[key] for p in column])) for e, column in zip(epsilons, columns, strict=True)
            if all(p[key] is not None for p in column)]  # fmt: skip
    mean, low, high = ([values[i] for _, values in some] for i in range(3))
    return Line(name, [e for e, _ in some], mean, low, high, dashed)


def _row(asked: Cell, point: dict[str, Any]) -> list[str]:
    loose = [bound / error if bound is not None and error else math.nan for error, bound, _ in point["layers"]]
    steps = [loose[0], *(b / a for a, b in itertools.pairwise(loose))]
    bound = point["bound"]
    return [
        asked["network"], titled(asked["method"]), asked["mode"], f"{point['epsilon']:g}", f"{point['sparsity']:.1%}",
        f"{point['error']:.4f}", "none" if bound is None else f"{bound:.4f}",
        "" if bound is None else f"{bound / point['error']:.1f}",
        " x ".join("?" if math.isnan(step) else f"{step:.1f}" for step in steps),
    ]  # fmt: skip


EXPERIMENT = Experiment(
    "bounds",
    "Promised and measured errors",
    "Net-Trim (NIPS 2017), theorems 1 and 2; Layer-wise OBS (NIPS 2017), theorem 3.2",
    (
        "The bounds here use the spectral norms of the pruned weights; theorem 1 is evaluated beside them in the units "
        "of the network as it is, which multiplies its sum by the layers' l1 norms.",
        "A cascade's bound is that of theorem 2's recursion, with gamma = 1.1.",
    ),
    cells,
    measure,
    show,
)
