"""The charts of a result as parts of an HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterable

import plotly.graph_objects as go
from plotly.io import to_html

from nettrim_core.figures.budget import bounds, shares
from nettrim_core.figures.curve import Curve, Scale, curve
from nettrim_core.figures.style import CONFIG
from nettrim_core.methods import titled
from nettrim_core.report import Report


def drawn(report: Report, curves: Iterable[Report]) -> list[tuple[str, str]]:
    """(heading, HTML) of each chart; Plotly.js comes with the first."""
    charts = []
    if curves := list(curves):
        charts.append(("Zeros against what they cost", _curves(report, curves)))
    charts.append(("Promised and measured", bounds(report.layers, report.method, dark=False)))
    if report.allocation is not None:
        charts.append(("Who gave how much", shares(report.allocation, report.method, dark=False)))
    parts = []
    for number, (heading, figure) in enumerate(charts):
        figure.update_layout(template="plotly_white", font={"family": "system-ui, sans-serif", "size": 14})
        div = to_html(
            figure, config=CONFIG, full_html=False, include_plotlyjs=number == 0, div_id=f"figure-{number}",
            default_width="100%",
        )  # fmt: skip
        parts.append((heading, div))
    return parts


def _curves(report: Report, curves: list[Report]) -> go.Figure:
    judged = any(entry.accuracy is not None for entry in curves)
    groups: dict[str, list[tuple[float, float]]] = {}
    for entry in curves:
        height = entry.accuracy if judged else entry.output_error
        if height is not None and math.isfinite(height):
            groups.setdefault(entry.method, []).append((entry.sparsity, height))
    own = report.accuracy if judged else report.output_error
    lines = [
        Curve(
            name, titled(name), sorted(points), (report.sparsity, own) if name == report.method and own else None,
            [f"{titled(name)}: {x:.1%} zeros, {y:.1%}" for x, y in sorted(points)],
        )
        for name, points in groups.items()
    ]  # fmt: skip
    right = "Right answers" if judged else "Change of the outputs, of their size"
    figure = curve(lines, Scale("Zeros in the pruned layers", ".0%"), Scale(right, ".0%"), dark=False)
    figure.update_layout(dragmode="zoom")
    figure.update_xaxes(fixedrange=False)
    figure.update_yaxes(fixedrange=False)
    return figure
