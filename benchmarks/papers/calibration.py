"""How many calibration rows each method needs: the same counts of zeros, found with 10 to 10,000 rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.papers.experiment import Cell, Chart, Experiment, Line, Measured, Shown, Table, interval, within
from benchmarks.papers.training import dense, error, is_sample, retrained, rows
from nettrim_core import METHODS
from nettrim_core.methods import titled

ZEROS = {"fc1": 0.933, "fc2": 0.8, "fc3": 0.35}  # what paper 3 prunes of LeNet-300-100
NAMES = (
    "nettrim", "nettrim_refit", "exactobs", "lobs", "sparsegpt", "alps", "wanda", "magnitude_refit", "magnitude",
)  # fmt: skip
SIZES = (10, 100, 1_000, 10_000)
DRAWS = 3


def measure(
    data: str, network: str, draw: int, samples: Sequence[int], zeros: Mapping[str, float], method: str
) -> dict[str, Any]:
    """points: by number of rows, the weights that are left, and the test error before and after an epoch of
    retraining."""
    test = rows(data, network)[2]
    points = []
    for count in samples:
        pruned, report = dense(data, network, draw, count).at(METHODS[method], zeros)
        points.append({
            "samples": count, "kept": 1 - report.sparsity, "error": error(pruned, test),
            "retrained": error(retrained(pruned, data, network), test),
        })  # fmt: skip
    return {"dense": error(dense(data, network, draw, samples[0]).model, test), "points": points}


def cells(quick: bool) -> list[Cell]:
    where = {"data": "few", "network": "small"} if quick else {"data": "mnist", "network": "lenet_300_100"}
    return [
        where | {"draw": draw, "samples": list(SIZES[:2] if quick else SIZES), "zeros": ZEROS, "method": name}
        for draw in range(1 if quick else DRAWS) for name in (NAMES[2::6] if quick else NAMES)
    ]  # fmt: skip


def show(measured: list[Measured]) -> Shown:
    by_method: dict[str, list[Measured]] = {}
    for cell in measured:
        by_method.setdefault(cell.asked["method"], []).append(cell)
    sizes = measured[0].asked["samples"]
    charts, tables = [], []
    for what, when in (("error", "before retraining"), ("retrained", "after one epoch of retraining")):
        found = {name: [_column(cells, i, what) for i in range(len(sizes))] for name, cells in by_method.items()}
        lines = [_line(name, sizes, columns) for name, columns in found.items()]
        charts.append(Chart(when, "calibration rows", "test error, %", lines, True, True))
        tables.append(Table(
            f"Test error in percent {when}", ["method", *(f"{size:,} rows" for size in sizes)],
            [[titled(name), *map(within, columns)] for name, columns in found.items()],
            links=[_link(cells) for cells in by_method.values()] if is_sample(**_where(measured[0])) else (),
        ))  # fmt: skip
    dense_errors = [100 * cell.found["dense"] for cell in by_method[measured[0].asked["method"]]]
    says = [
        f"The dense network has {within(dense_errors)} %.",
        *(_sentence(sizes, i, by_method) for i in range(len(sizes))),
    ]
    return Shown(says, tables, charts)


def _line(name: str, sizes: Sequence[int], columns: list[list[float]]) -> Line:
    mean, low, high = (list(values) for values in zip(*map(interval, columns), strict=True))
    return Line(titled(name), sizes, mean, low, high, method=name)


def _where(cell: Measured) -> dict[str, Any]:
    return {"data": cell.asked["data"], "name": cell.asked["network"], "draw": 0}


def _column(cells: list[Measured], place: int, what: str) -> list[float]:
    return [100 * cell.found["points"][place][what] for cell in cells]


def _sentence(sizes: Sequence[int], place: int, by_method: Mapping[str, list[Measured]]) -> str:
    means = {name: interval(_column(cells, place, "error"))[0] for name, cells in by_method.items()}
    best, worst = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
    return (
        f"With {sizes[place]:,} rows {titled(best)} has the least error before retraining, {means[best]:.2f} %, and "
        f"{titled(worst)} the most, {means[worst]:.2f} %."
    )


def _link(cells: list[Measured]) -> str:
    """The studio with 1,000 rows; the layers' counts are told there by the tolerance."""
    asked = cells[0].asked
    return f"model={asked['network']}&methods={asked['method']}&n=1000"


EXPERIMENT = Experiment(
    "calibration",
    "Calibration rows",
    "nothing; neither paper varies them",
    (
        f"LeNet-300-100 on MNIST with the zeros that Layer-wise OBS has in each layer: "
        f"{', '.join(f'{part:.1%} of {name}' for name, part in ZEROS.items())}.",
        "Net-Trim reaches these counts by its tolerance, to within one percent of it.",
        "Three draws: of the network's training and of the rows.",
    ),
    cells,
    measure,
    show,
    with_sources=("benchmarks.papers.training",),
)
