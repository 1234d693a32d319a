"""A layer's weights before and after: picture, histogram, spectrum, dead inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nettrim_core.figures.style import GREY, INK, blank, legend, look_of

# weights from the most negative to the most positive; what is nearly zero keeps a tint, as exact zeros are plain
WEIGHTS = {
    False: [[0, "#00466E"], [0.25, "#3D8DC0"], [0.5, "#D3E4F0"], [0.5, "#F6DDCB"], [0.75, "#E07B39"], [1, "#8A3300"]],
    True: [[0, "#A6DBFF"], [0.25, "#3F90C4"], [0.5, "#1F3A4D"], [0.5, "#4D3316"], [0.75, "#D08420"], [1, "#FFD27A"]],
}


def weights(
    canvas: np.ndarray, top: float, dark: bool, frame: Sequence[int] | None, tiled: bool, first: int, noun: str
) -> go.Figure:
    """Weights as they lie on a picture (NaN: plain), on one scale from -top to top.

    frame: (top, left, bottom, right) in cells, around what is looked at. tiled: cells are square and without axes; else
    a row is a neuron, the first of them ``first``, and a column an input.
    """
    figure = blank("" if tiled else "Input", "" if tiled else noun.capitalize(), 380)
    said = "weight %{z:.3g}" if tiled else f"{noun} %{{y}}, input %{{x}}: %{{z:.3g}}"
    figure.add_trace(
        go.Heatmap(
            z=canvas.astype(np.float32), zmin=-top, zmax=top, colorscale=WEIGHTS[dark], hoverongaps=False, y0=first,
            hovertemplate=f"{said}<extra></extra>",
            colorbar={"thickness": 8, "len": 0.9, "nticks": 5, "outlinewidth": 0, "xpad": 6},
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, dtick=1 if len(canvas) <= 12 else None)
    figure.update_xaxes(showgrid=False)
    if tiled:
        figure.update_xaxes(visible=False, constrain="domain")
        figure.update_yaxes(visible=False, scaleanchor="x", constrain="domain")
        figure.update_layout(margin={"l": 4, "r": 4, "t": 8, "b": 8})
    if frame is not None:
        high, left, low, right = frame
        figure.add_shape(
            type="rect", x0=left - 0.5, x1=right - 0.5, y0=high - 0.5 + first, y1=low - 0.5 + first,
            line={"color": INK[dark], "width": 2},
        )  # fmt: skip
    return figure


def histogram(told: Mapping[str, Any], method: str, title: str, dark: bool) -> go.Figure:
    """How many weights have which size before and after, exact zeros left out."""
    figure = blank("Weight", "Weights in a bin (log scale)", 300)
    edges, look = np.array(told["edges"]), look_of(method)
    for name, which, color in (("before", "trained", GREY[dark]), (title, "pruned", look.color(dark))):
        counts = np.array(told[which]["counts"], float)
        counts[counts == 0] = np.nan
        figure.add_trace(
            go.Bar(
                x=(edges[1:] + edges[:-1]) / 2, y=counts, width=np.diff(edges), name=name,
                marker={"color": color if which == "pruned" else "rgba(0,0,0,0)", "line": {"color": color, "width": 1}},
                hovertemplate=f"{name}: %{{y}} weights about %{{x:.3g}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(barmode="overlay", bargap=0, showlegend=True, legend=legend())
    figure.update_yaxes(type="log", rangemode="tozero", dtick=1)
    return figure


def spectrum(told: Mapping[str, Any], method: str, title: str, dark: bool) -> go.Figure:
    """The singular values, largest first; those that are nothing are left out."""
    figure = blank("Singular value, by size", "Singular value (log scale)", 300)
    look, floor = look_of(method), rank_floor(told)
    lines = (
        ("before", "trained", {"color": GREY[dark], "width": 2, "dash": "2px,3px"}),
        (title, "pruned", {"color": look.color(dark), "width": 2, "dash": look.dash}),
    )
    for name, which, line in lines:
        values = [value for value in told[which]["singular"] if value > floor]
        figure.add_trace(
            go.Scatter(
                x=list(range(1, len(values) + 1)), y=values, mode="lines+markers" if len(values) < 40 else "lines",
                name=name, line=line, marker={"symbol": look.symbol if which == "pruned" else "circle-open", "size": 6},
                hovertemplate=f"{name}, number %{{x}}: %{{y:.3g}}<extra></extra>",
            )
        )  # fmt: skip
    drawn = [value for trace in figure.data for value in trace.y]  # type: ignore[attr-defined]
    wide = max(drawn, default=1.0) > 30 * min(drawn, default=1.0)
    figure.update_layout(showlegend=True, legend=legend())
    figure.update_yaxes(type="log", tickformat="~g", dtick=1 if wide else "D2")
    return figure


def rank_floor(told: Mapping[str, Any]) -> float:
    """Singular values below are rounding."""
    largest = max([0.0, *told["trained"]["singular"], *told["pruned"]["singular"]])
    return largest * 1e-7


def input_map(state: np.ndarray, dark: bool) -> go.Figure:
    """An image of the inputs: 0 used, 1 not used any more, 2 never did anything."""
    figure = blank("", "", 260)
    colors = ["#0072B2", "#E69F00", "#8C8C8C"] if not dark else ["#2F7FB3", "#F0B13C", "#6B6B6B"]
    scale = [[at, color] for i, color in enumerate(colors) for at in (i / 3, (i + 1) / 3)]
    names = np.array(["used", "not used any more", "zero on every sample, or never used"])[state.astype(int)]
    figure.add_trace(
        go.Heatmap(
            z=state.astype(np.int8), zmin=-0.5, zmax=2.5, colorscale=scale, text=names, xgap=1, ygap=1, showscale=False,
            hovertemplate="pixel in row %{y}, column %{x}: %{text}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_layout(margin={"l": 4, "r": 4, "t": 8, "b": 4})
    return figure
