"""One neuron on its samples, and what Net-Trim's two constraints leave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nettrim_core.figures.style import INK, blank, legend, look_of

ALLOWED = {False: "rgba(0,128,95,.14)", True: "rgba(47,199,154,.20)"}
LINE = {False: "#00664C", True: "#2FC79A"}
BAD = {False: "#B0305C", True: "#FF8FAB"}


def neuron(told: Mapping[str, Any], method: str, title: str, dark: bool, noun: str = "samples") -> go.Figure:
    """A neuron's pre-activations before and after, sorted, with what Net-Trim's two constraints leave."""
    samples, half = told["samples"], told["constraints"]["half_width"]
    trained, pruned, center = (np.array(samples[name], float) for name in ("trained", "pruned", "center"))
    on = np.array(samples["on"], bool)
    order = np.lexsort((np.where(on, center, trained), on))
    trained, pruned, center, on, column = (a[order] for a in (trained, pruned, center, on, np.array(samples["shown"])))
    x, look = np.arange(1, len(on) + 1), look_of(method)
    figure = blank(f"{noun.capitalize()}, sorted by the trained value", "Pre-activation", 420)
    low = float(min(trained.min(), pruned.min(), (center - half)[on].min(initial=0.0)))
    off = ~on
    if off.any():
        floor = np.full(off.sum(), low - 0.05 * abs(low))
        _band(figure, x[off], floor, center[off], dark)
        _says(
            figure,
            int(x[off][-1]),
            float(floor[0]),
            "off Ω: stay below V",
            dark,
            "left" if off.mean() > 0.3 else "right",
        )
    if on.any():
        _band(figure, x[on], center[on] - half, center[on] + half, dark, both=True)
        at = on.sum() // 2
        said = f"on Ω: ±{half:.2g} each,<br>if all use the same share"
        _says(figure, int(x[on][at]), float(center[on][at] + half), said, dark, "arrow")
    over = off & (pruned > center + 1e-3 * told["constraints"]["radius"])
    marks = ((~over, title, look.color(dark), look.symbol), (over, f"{title}, above V", BAD[dark], "x"))
    for chosen, name, color, symbol in marks:
        if not chosen.any():
            continue
        figure.add_trace(
            go.Scatter(
                x=x[chosen], y=pruned[chosen], mode="markers", name=name,
                marker={"color": color, "symbol": symbol, "size": 5, "opacity": 0.75},
                customdata=np.stack([trained[chosen], column[chosen]], 1),
                hovertemplate=f"{name}: %{{y:.4g}}<br>before: %{{customdata[0]:.4g}}<br>sample %{{customdata[1]}}"
                "<extra></extra>",
            )
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=x, y=trained, mode="lines", name="before", line={"color": INK[dark], "width": 1.5},
            hovertemplate="before: %{y:.4g}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(showlegend=True, legend=legend())
    figure.update_xaxes(range=[0, len(x) + 1])
    return figure


def _band(figure: go.Figure, x: Any, low: Any, high: Any, dark: bool, both: bool = False) -> None:
    """What is allowed between two lines; a line at the upper end, and at the lower too where ``both``."""
    edge = {"color": LINE[dark], "width": 1.2}
    for y, line, fill in ((low, edge if both else {"width": 0}, None), (high, edge, "tonexty")):
        figure.add_trace(
            go.Scatter(
                x=x, y=y, mode="lines", line=line, fill=fill, fillcolor=ALLOWED[dark], showlegend=False,
                hoverinfo="skip",
            )
        )  # fmt: skip


def _says(figure: go.Figure, x: float, y: float, text: str, dark: bool, side: str) -> None:
    """A label above a point, to the "left" or "right" of it, or by an "arrow" to it."""
    aside: dict[str, Any] = {"ax": -60, "ay": -44, "arrowcolor": LINE[dark]}
    if side != "arrow":
        aside = {"xanchor": "right" if side == "left" else "left", "yanchor": "bottom"}
    font = {"color": LINE[dark], "size": 12}
    figure.add_annotation(x=x, y=y, text=text, font=font, align="left", showarrow=side == "arrow", **aside)
