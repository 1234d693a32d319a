"""Figures of one budget for a network: who gives how much, how much each layer matters, what was promised."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from nettrim_core.figures.style import blank, look_of
from nettrim_core.plain import for_plotly
from nettrim_core.report import Allocation, LayerReport

ROW = 34  # pixels of a layer
QUIET = "#767676"
ROUNDING = 1e-6  # of the response: what is less is the arithmetic's, and would stretch a logarithmic axis


def shares(shared: Allocation, method: str, dark: bool) -> go.Figure:
    """A bar for each layer: its zeros, as a fraction of its weights and biases, against the even share."""
    look = look_of(method)
    figure = blank("Zeros, of the layer's weights and biases", "", 110 + ROW * len(shared.shares))
    figure.add_bar(
        y=[for_plotly(share.name) for share in shared.shares],
        x=[share.zeros / share.size for share in shared.shares],
        text=[f"{share.zeros / share.size:.1%}{' locked' if share.locked else ''}" for share in shared.shares],
        customdata=[[share.zeros, share.size, share.asked] for share in shared.shares],
        hovertemplate="<b>%{y}</b><br>%{customdata[0]:,} of %{customdata[1]:,} are zero<br>"
        "%{customdata[2]:,} were asked for<extra></extra>",
        orientation="h", insidetextanchor="end", cliponaxis=False, insidetextfont={"color": "#111" if dark else "#fff"},
        textposition=["outside" if s.locked or s.zeros < 0.3 * s.size else "inside" for s in shared.shares],
        marker={
            "color": look.color(dark),
            "pattern": {"shape": ["/" if share.locked else "" for share in shared.shares], "fillmode": "overlay"},
        },
    )  # fmt: skip
    if shared.uniform is not None:
        figure.add_vline(x=shared.uniform, layer="below", line={"dash": "dash", "width": 2, "color": QUIET})
        figure.add_annotation(
            x=shared.uniform, y=1, yref="paper", yanchor="bottom", showarrow=False, text=f"even {shared.uniform:.1%}",
            xanchor="right" if shared.uniform > 0.5 else "left",
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    figure.update_layout(bargap=0.35, margin={"l": 8, "r": 60, "t": 30, "b": 48})
    return figure


def alone(points: Sequence[Mapping[str, Any]], given: float | None, method: str, dark: bool) -> go.Figure:
    """One layer's accuracy (or, without labels, the change of the network's output) over its own zeros.

    points: what the sensitivity task answered of the layer, at least one; given: its fraction of zeros in the budget.
    """
    dense = points[0]["dense"]
    look, measure = look_of(method), "output_error" if dense is None else "accuracy"
    curve = sorted((point["zeros"], point[measure]) for point in points if point[measure] is not None)
    curve = [(0.0, 0.0 if dense is None else dense), *curve]
    title = "Change of the output, of its size" if dense is None else "Right, of the validation samples"
    figure = blank("Zeros in this layer alone", title, 230)
    figure.add_scatter(
        x=[x for x, _ in curve], y=[y for _, y in curve], mode="lines+markers",
        hovertemplate="%{x:.1%} zeros<br>%{y:.1%}<extra></extra>",
        line={"color": look.color(dark), "width": 2}, marker={"size": 6, "symbol": "circle"},
    )  # fmt: skip
    if given is not None:
        figure.add_vline(x=given, line={"dash": "dot", "width": 2, "color": QUIET})
        if (there := between(curve, given)) is not None:
            figure.add_scatter(
                x=[given], y=[there], mode="markers",
                hovertemplate="in the budget: %{x:.1%} zeros<br>about %{y:.1%}<extra></extra>",
                marker={"size": 12, "symbol": "diamond-open", "color": look.color(dark), "line": {"width": 2.5}},
            )  # fmt: skip
    figure.update_xaxes(range=[-0.02, 1.04], tickformat=".0%", dtick=0.25)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", range=None if dense is None else [0, 1.04])
    figure.update_layout(margin={"l": 58, "r": 8, "t": 8, "b": 44})
    return figure


def between(curve: Sequence[tuple[float, float]], at: float) -> float | None:
    """A curve's height on the line between its points, which ascend; None beyond them."""
    for (a, b), (c, d) in itertools.pairwise(curve):
        if a <= at <= c and a < c:
            return b + (d - b) * (at - a) / (c - a)
    return None


def bounds(layers: Sequence[LayerReport], method: str, dark: bool) -> go.Figure:
    """For each layer the measured error of its response in the network and the promised one, of the response's size,
    joined by a line; without the dots of what has no bound, or is ROUNDING."""
    color = look_of(method).color(dark)
    figure = blank("Error of the response, of its size (logarithmic)", "", 110 + ROW * len(layers))
    names = {e.name: for_plotly(e.name) for e in layers}
    dots = [(names[e.name], e.error / (e.output_norm or 1.0)) for e in layers]
    dots = [(name, error) for name, error in dots if error > ROUNDING]
    promised = [(names[e.name], (e.bound or 0.0) / (e.output_norm or 1.0), e.bound_is_estimate) for e in layers]
    promised = [entry for entry in promised if entry[1] > ROUNDING]
    for name, bound, _ in promised:
        if name in dict(dots):
            figure.add_scatter(
                x=[dict(dots)[name], bound], y=[name, name], mode="lines", hoverinfo="skip", showlegend=False,
                line={"color": QUIET, "width": 2},
            )  # fmt: skip
    figure.add_scatter(
        x=[error for _, error in dots], y=[name for name, _ in dots], mode="markers", name="measured",
        hovertemplate="<b>%{y}</b><br>measured %{x:.3g}<extra></extra>", marker={"size": 11, "color": color},
    )  # fmt: skip
    figure.add_scatter(
        x=[bound for _, bound, _ in promised], y=[name for name, _, _ in promised], mode="markers", name="promised",
        customdata=["about " if estimate else "at most " for _, _, estimate in promised],
        hovertemplate="<b>%{y}</b><br>promised: %{customdata}%{x:.3g}<extra></extra>",
        marker={"size": 12, "symbol": "diamond-open", "color": color, "line": {"width": 2.5}},
    )  # fmt: skip
    figure.update_xaxes(type="log", exponentformat="power")
    figure.update_yaxes(
        categoryorder="array", categoryarray=list(names.values()), autorange="reversed", automargin=True,
    )  # fmt: skip
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 8, "r": 18, "t": 40, "b": 48},
    )  # fmt: skip
    return figure
