"""Curves of several runs on one chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go

from nettrim_core.figures.compare import looks
from nettrim_core.figures.style import blank, legend
from nettrim_core.methods import titled
from nettrim_core.report import Report


def curves(runs: Mapping[str, Sequence[Report]], dark: bool) -> go.Figure:
    """Right answers over zeros, a line for each method of each run; how much the output changed where there are no
    labels."""
    labelled = all(report.accuracy is not None for reports in runs.values() for report in reports)
    title = "Right answers, of the validation samples" if labelled else "Change of the output, relative"
    figure = blank("Zeros among the weights of the chosen layers", title, 420)
    lines = [(name, method) for name, reports in runs.items() for method in dict.fromkeys(r.method for r in reports)]
    for (name, method), look in zip(lines, looks([method for _, method in lines]), strict=True):
        reports = sorted((r for r in runs[name] if r.method == method), key=lambda report: report.sparsity)
        color = look.color(dark)
        figure.add_scatter(
            x=[report.sparsity for report in reports],
            y=[report.accuracy if labelled else report.output_error for report in reports],
            mode="lines+markers", name=escape(f"{name}, {titled(method)}"),
            line={"color": color, "dash": look.dash}, marker={"color": color, "symbol": look.symbol},
            hovertemplate="%{x:.1%} zeros, %{y:.3~g}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(tickformat=".0%" if labelled else "~g")
    figure.update_layout(showlegend=True, legend=legend(), margin={"t": 60})
    return figure
