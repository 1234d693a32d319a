"""The small picture of a state: a curve for each method, and where on it the state stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from nettrim_core.figures.style import blank, look_of


@dataclass(frozen=True)
class Curve:
    """One method's solved points (x, y), in order, and where the state stands; None where it is not solved.

    method: its name in METHODS. title: as a reader knows it. hovers: a text for each point, in Plotly's few tags.
    """

    method: str
    title: str
    points: Sequence[tuple[float, float]]
    here: tuple[float, float] | None
    hovers: Sequence[str] = ()


@dataclass(frozen=True)
class Scale:
    """An axis: its title with unit and denominator, Plotly's format of its ticks, and whether it is logarithmic."""

    title: str
    ticks: str = ""
    log: bool = False


def curve(curves: Sequence[Curve], x: Scale, y: Scale, dark: bool) -> go.Figure:
    """Each curve thin, with a large marker where the state stands; the key above names dash and marker."""
    figure = blank(x.title, y.title, 330)
    for axis, scale in (("xaxis", x), ("yaxis", y)):
        kind = "log" if scale.log else "linear"
        figure.update_layout({axis: {"tickformat": scale.ticks, "type": kind, "nticks": 6, "fixedrange": True}})
    for entry in curves:
        look = look_of(entry.method)
        line = {"color": look.color(dark), "width": 2, "dash": look.dash}
        figure.add_scatter(
            x=[point[0] for point in entry.points], y=[point[1] for point in entry.points], mode="lines", line=line,
            text=list(entry.hovers), hovertemplate="%{text}<extra></extra>", name=entry.title, showlegend=False,
        )  # fmt: skip
        here = [] if entry.here is None else [entry.here]
        figure.add_scatter(
            x=[point[0] for point in here], y=[point[1] for point in here], mode="lines+markers", line=line,
            marker={"color": look.color(dark), "size": 13, "symbol": look.symbol}, hoverinfo="skip", name=entry.title,
            cliponaxis=False,
        )  # fmt: skip
    key = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False, "itemdoubleclick": False}
    figure.update_layout(dragmode=False, showlegend=True, legend=key)
    return figure
