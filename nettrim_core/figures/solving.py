"""How solvers go about one layer: Net-Trim's certificates, L-OBS's removals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from nettrim_core.figures.style import GREY, INK, blank, legend, look_of

BOTTOM = 1e-10  # of the largest error: what is less is drawn there


def convergence(iterates: Sequence[Mapping[str, Any]], tol: float, end: Mapping[str, Any], dark: bool) -> go.Figure:
    """Gap and violation over the iterations; ``end``: gap and violation of the certificate that the page's weights
    carry."""
    figure = blank("Iteration (log scale)", "Gap, violation (log scale)", 360)
    lines = (("gap", "duality gap", look_of("nettrim")), ("violation", "violation", look_of("lobs")))
    x = [entry["iteration"] for entry in iterates if entry["iteration"]]
    last = 1.6 * max(x, default=10)
    for key, name, look in lines:
        color, values = look.color(dark), [positive(entry[key]) for entry in iterates if entry["iteration"]]
        figure.add_trace(
            go.Scatter(
                x=x, y=values, mode="lines+markers", name=name, line={"color": color, "dash": look.dash, "width": 2},
                marker={"symbol": look.symbol, "size": 6},
                hovertemplate=f"{name} after %{{x}} iterations: %{{y:.2g}}<extra></extra>",
            )
        )  # fmt: skip
        figure.add_trace(
            go.Scatter(
                x=[last], y=[positive(end[key])], mode="markers", name=f"{name}, these weights",
                marker={"symbol": f"{look.symbol}-open", "size": 11, "color": color, "line": {"width": 2}},
                hovertemplate=f"{name} of this page's weights: %{{y:.2g}}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_hline(y=tol, line={"color": INK[dark], "dash": "dot", "width": 1.5})
    figure.add_annotation(
        x=1, xref="x domain", y=math.log10(tol), text=f"tolerance {tol:g}", showarrow=False, xanchor="right",
        yanchor="bottom",
    )  # fmt: skip
    figure.update_layout(showlegend=True, legend=legend())
    figure.update_xaxes(type="log", tickvals=[10, 20, 50, 100, 200, 500, 1000])
    figure.update_yaxes(type="log", exponentformat="power", nticks=6)
    return figure


def positive(value: float | None) -> float | None:
    """A figure on a logarithmic axis, None where it cannot be drawn."""
    return value if value and value > 0 else None


def removals(
    curves: Mapping[str, Sequence[Mapping[str, Any]]], chosen: str, step: int, stop: int, dark: bool
) -> go.Figure:
    """The error so far over the weights removed, classic and exact, with one step of one of them marked; what was
    predicted of each step of that one is a small open marker. stop: where the method itself stops."""
    figure = blank("Weights removed", "Error so far (log scale)", 360)
    floor = BOTTOM * max([entry["error"] for steps in curves.values() for entry in steps], default=1.0)
    for name, method in (("classic", "lobs"), ("exact", "exactobs")):
        steps, look = curves[name], look_of(method)
        color = look.color(dark)
        figure.add_trace(
            go.Scatter(
                x=[entry["step"] for entry in steps], y=[max(entry["error"], floor) for entry in steps], mode="lines",
                name=name, line={"color": color, "dash": look.dash, "width": 3 if name == chosen else 1.5},
                hovertemplate=f"{name}: error %{{y:.3g}} after %{{x}}<extra></extra>",
            )
        )  # fmt: skip
        if name != chosen or not steps:
            continue
        promised = [max(entry["error"] - entry["measured"] + entry["predicted"], floor) for entry in steps]
        figure.add_trace(
            go.Scatter(
                x=[entry["step"] for entry in steps], y=promised, mode="markers", name="as predicted",
                marker={"symbol": "circle-open", "size": 6, "color": INK[dark]},
                hovertemplate="predicted: %{y:.3g} after %{x}<extra></extra>",
            )
        )  # fmt: skip
        at = steps[step - 1]
        figure.add_vline(x=step, line={"color": INK[dark], "width": 1, "dash": "dot"})
        figure.add_trace(
            go.Scatter(
                x=[step], y=[max(at["error"], floor)], mode="markers", showlegend=False,
                marker={"symbol": look.symbol, "size": 13, "color": color, "line": {"width": 2, "color": INK[dark]}},
                hovertemplate=f"step {step}: error %{{y:.4g}}<extra></extra>",
            )
        )  # fmt: skip
    most = max(len(steps) for steps in curves.values())
    if 0 < stop <= most:
        figure.add_vline(x=stop, line={"color": GREY[dark], "width": 1}, annotation_text="stops here at this ε",
                         annotation_position="bottom right" if stop < most / 2 else "bottom left")  # fmt: skip
    figure.update_layout(showlegend=True, legend=legend())
    figure.update_xaxes(range=[0, most + 1])
    figure.update_yaxes(type="log", exponentformat="power", nticks=6)
    return figure
