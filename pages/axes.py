"""What a chart can measure: figures of a report by name, with their units. No Streamlit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from nettrim_core.pareto import Better
from nettrim_core.report import Report

Value = Callable[[Report], float | None]
Band = Callable[[Report], tuple[float, float] | None]


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\u00a0%"


def megabytes(size: float) -> str:
    return f"{max(round(size / 1e6), 1):,}\u00a0MB"


def kilobytes(size: float) -> str:
    return f"{size / 1e3:,.1f}\u00a0kB"


def file_size(size: float) -> str:
    return kilobytes(size) if size < 1e6 else f"{size / 1e6:,.1f}\u00a0MB"


def points(value: float) -> str:
    """A difference of two fractions of the samples, in percentage points."""
    return f"{100 * value:.1f} points"


@dataclass(frozen=True)
class Axis:
    """title: with its unit and denominator. text: a value in words. ticks: Plotly's format. log: a logarithmic axis.
    best: is more or less of it better? band: what lies around a value; about: what the band is, in words."""

    title: str
    value: Value
    text: Callable[[float], str]
    ticks: str
    best: Better
    log: bool = False
    band: Band | None = None
    about: str = ""


def _drop(report: Report) -> float | None:
    if report.accuracy is None or report.accuracy_before is None:
        return None
    return report.accuracy_before - report.accuracy


def _drop_band(report: Report) -> tuple[float, float] | None:
    interval, before = report.accuracy_interval, report.accuracy_before
    return None if interval is None or before is None else (before - interval[1], before - interval[0])


def _l1(report: Report) -> float | None:
    """The l1 norm that is left, of that before."""
    before = sum(layer.l1_before or 0.0 for layer in report.layers)
    return sum(layer.l1 or 0.0 for layer in report.layers) / before if before else None


def _left(report: Report) -> int:
    return sum(layer.weights - layer.weight_zeros for layer in report.layers)


def _bytes(report: Report) -> float:
    """One bit a weight for where it is, four bytes for each that is left."""
    return sum(layer.weights for layer in report.layers) / 8 + 4 * _left(report)


def _bound(report: Report) -> float | None:
    last = report.layers[-1]
    return None if last.bound is None or not last.output_norm or not last.bound else last.bound / last.output_norm


def _bound_band(report: Report) -> tuple[float, float] | None:
    last, bound = report.layers[-1], _bound(report)
    return None if bound is None or not last.error else (last.error / last.output_norm, bound)


def _allowed(report: Report) -> tuple[float, float]:
    """The largest change of a layer, and the largest that one was allowed."""
    return max(layer.held for layer in report.layers), max(layer.epsilon for layer in report.layers)


Y_AXES: dict[str, Axis] = {
    "accuracy": Axis(
        "Right answers, of the validation samples",
        lambda r: r.accuracy,
        lambda v: f"{percent(v)} right",
        ".0%",
        "high",
        band=lambda r: r.accuracy_interval,
        about="95 % interval of the accuracy, for so many samples",
    ),
    "drop": Axis(
        "Right answers lost, in percentage points",
        _drop,
        lambda v: f"{points(v)} lost",
        ".1%",
        "low",
        band=_drop_band,
        about="95 % interval of the accuracy, for so many samples",
    ),
    "discrepancy": Axis(
        "Largest change of a layer's response, of its size",
        lambda r: max(layer.held for layer in r.layers),
        lambda v: f"{v:.4f} changed",
        ".2f",
        "low",
        band=_allowed,
        about="from what a layer's response changed to what was allowed",
    ),
    "bound": Axis(
        "Promised error of the last pruned layer, of its size",
        _bound,
        lambda v: f"{v:.3g} promised at most",
        "~g",
        "low",
        log=True,
        band=_bound_band,
        about="from the measured error to the promised one",
    ),
    "l1": Axis(
        "Sum of the weights' sizes (l1), of that before", _l1, lambda v: f"l1 {percent(v)} of before", ".0%", "low"
    ),
    "nonzeros": Axis(
        "Weights left in the chosen layers",
        lambda r: float(_left(r)),
        lambda v: f"{round(v):,} weights left",
        "~s",
        "low",
        log=True,
    ),
    "bytes": Axis(
        "Size of the chosen layers, stored compactly", _bytes, lambda v: f"{kilobytes(v)} stored", "~s", "low", log=True
    ),
    "seconds": Axis("Time to solve, in seconds", lambda r: r.seconds, lambda v: f"{v:.2f} s", "~g", "low", log=True),
}
X_AXES: dict[str, Axis] = {
    "sparsity": Axis(
        "Zeros among the weights of the chosen layers", lambda r: r.sparsity, lambda v: f"{percent(v)} zeros", ".0%",
        "high",
    ),
    "epsilon": Axis(
        "Error tolerance epsilon", lambda r: r.settings.get("epsilon"), lambda v: f"ε = {v:.4g}", "~g", "low", log=True
    ),
}  # fmt: skip


def known(axis: Axis, report: Report) -> float | None:
    """The value, None where there is none or a logarithm of it would not be."""
    value = axis.value(report)
    if value is None or not math.isfinite(value) or (axis.log and value <= 0):
        return None
    return value
