"""How many calibration rows each method needs: the same counts of zeros, found with 10 to 10,000 rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.papers.experiment import (
    SPREAD,
    Cell,
    Chart,
    Experiment,
    Line,
    Measured,
    Shown,
    Table,
    interval,
    spread,
    within,
)
from benchmarks.papers.training import dense, error, retrained, rows
from nettrim_core import METHODS
from nettrim_core.methods import titled

ZEROS = {"fc1": 0.933, "fc2": 0.8, "fc3": 0.35}  # what Layer-wise OBS prunes of LeNet-300-100
NAMES = (
    "nettrim", "nettrim_refit", "exactobs", "lobs", "sparsegpt", "alps", "wanda", "magnitude_refit", "magnitude",
)  # fmt: skip
SIZES = (10, 100, 1_000, 10_000)
ONCE = [(name, 10_000) for name in ("nettrim", "nettrim_refit")]  # minutes each
DRAWS = 3


def measure(
    data: str, network: str, draw: int, samples: int, zeros: Mapping[str, float], method: str
) -> dict[str, Any]:
    """kept: the weights that are left; the test error before and after an epoch of retraining."""
    here, test = dense(data, network, draw, samples), rows(data, network)[2]
    pruned, report = here.at(METHODS[method], zeros)
    return {
        "dense": error(here.model, test), "kept": 1 - report.sparsity, "error": error(pruned, test),
        "retrained": error(retrained(pruned, data, network), test),
    }  # fmt: skip


def cells(quick: bool) -> list[Cell]:
    where = {"data": "few", "network": "small"} if quick else {"data": "mnist", "network": "lenet_300_100"}
    return [
        where | {"draw": draw, "samples": size, "zeros": ZEROS, "method": name}
        for draw in range(1 if quick else DRAWS)
        for size in (SIZES[:2] if quick else SIZES)
        for name in (NAMES[2::6] if quick else NAMES)
        if draw == 0 or (name, size) not in ONCE
    ]


def table_of(measured: Sequence[Measured], what: str) -> dict[str, dict[int, list[float]]]:
    """A figure in percent of all draws, by method and number of rows."""
    found: dict[str, dict[int, list[float]]] = {}
    for cell in measured:
        by_size = found.setdefault(cell.asked["method"], {})
        by_size.setdefault(cell.asked["samples"], []).append(100 * cell.found[what])
    return found


def show(measured: list[Measured]) -> Shown:
    charts, tables = [], []
    for what, when in (("error", "before retraining"), ("retrained", "after one epoch of retraining")):
        found = table_of(measured, what)
        sizes = list(next(iter(found.values())))
        charts.append(
            Chart(
                when, "calibration rows", "test error, %", [_line(*pair) for pair in found.items()], True, True, SPREAD
            )
        )
        tables.append(Table(
            f"Test error in percent {when}", ["method", *(f"{size:,} rows" for size in sizes)],
            [[titled(name), *map(within, by_size.values())] for name, by_size in found.items()],
        ))  # fmt: skip
    before = table_of(measured, "error")
    dense_errors = next(iter(table_of(measured, "dense").values()))
    says = [f"The dense network has {within(next(iter(dense_errors.values())))} %."]
    says += [_sentence(size, before) for size in next(iter(before.values()))]
    says += _shrunk(before)
    return Shown(says, tables, charts)


def _line(name: str, by_size: Mapping[int, list[float]]) -> Line:
    mean, low, high = (list(values) for values in zip(*map(spread, by_size.values()), strict=True))
    return Line(titled(name), list(by_size), mean, low, high, method=name)


def _sentence(size: int, before: Mapping[str, Mapping[int, list[float]]]) -> str:
    means = {name: interval(by_size[size])[0] for name, by_size in before.items()}
    best, worst = min(means, key=lambda name: means[name]), max(means, key=lambda name: means[name])
    return (
        f"With {size:,} rows {titled(best)} has the least error before retraining, {means[best]:.2f} %, and "
        f"{titled(worst)} the most, {means[worst]:.2f} %."
    )


def _shrunk(before: Mapping[str, Mapping[int, list[float]]]) -> list[str]:
    """Why more rows are no help to Net-Trim, where they are none."""
    if not {"nettrim", "nettrim_refit"} <= before.keys():
        return []
    means = {size: interval(errors)[0] for size, errors in before["nettrim"].items()}
    best, most = min(means, key=lambda size: means[size]), max(means)
    if best == most:
        return []
    return [
        f"Net-Trim has {means[best]:.2f} % with {best:,} rows and {means[most]:.2f} % with {most:,}: more rows are "
        "more to keep to, so that as many zeros take a larger tolerance, and l1 shrinks what stays. Its refit, which "
        f"takes the shrinking back, has {interval(before['nettrim_refit'][most])[0]:.2f} % there."
    ]


EXPERIMENT = Experiment(
    "calibration",
    "Calibration rows",
    "Layer-wise OBS (NIPS 2017), its counts for LeNet-300-100, with other numbers of calibration rows",
    (
        "LeNet-300-100 on MNIST with the zeros that Layer-wise OBS has in each layer: "
        f"{', '.join(f'{part:.1%} of {name}' for name, part in ZEROS.items())}.",
        "Net-Trim reaches these counts by its tolerance, to within one percent of it; with 10 rows it has more zeros.",
        "Three draws, of the network's training and of the rows; one of Net-Trim with 10,000 rows: minutes each.",
    ),
    cells,
    measure,
    show,
    with_sources=("benchmarks.papers.training",),
)
