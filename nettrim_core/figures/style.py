"""How every chart looks: a colour, a dash and a marker for each method, so that no colour carries a meaning alone."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from nettrim_core.methods import METHODS

# blue and vermilion of the Okabe-Ito set first: apart for every kind of colour vision
LIGHT = (
    "#0072B2", "#C75000", "#00805F", "#A8508A", "#5F5F5F", "#8A5A00", "#4B4BB5", "#B0305C", "#007A8A", "#667200",
    "#9A3BC0",
)  # fmt: skip
DARK = (
    "#56B4E9", "#E69F00", "#2FC79A", "#E3A3C8", "#B0B0B0", "#D9A15C", "#A5A5F5", "#FF8FAB", "#58D0DE", "#C3CF55",
    "#CF8CF0",
)  # fmt: skip
DASHES = ("solid", "7px,4px", "2px,3px", "10px,3px,2px,3px", "4px,2px")
SYMBOLS = (
    "circle", "diamond", "square", "triangle-up", "cross", "triangle-down", "star", "hexagon2", "x", "pentagon",
    "hourglass",
)  # fmt: skip
GREY, INK = {False: "#5F5F5F", True: "#B0B0B0"}, {False: "#1C1C1C", True: "#F2F2F2"}  # on light, on dark ground
CONFIG = {
    "displaylogo": False,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d", "toImage"],
}


@dataclass(frozen=True)
class Look:
    """A method's colour on light and on dark ground, its dash and its marker."""

    light: str
    dark: str
    dash: str
    symbol: str

    def color(self, dark: bool) -> str:
        return self.dark if dark else self.light


LOOKS = tuple(Look(LIGHT[i], DARK[i], DASHES[i % len(DASHES)], SYMBOLS[i]) for i in range(len(LIGHT)))


def look_of(method: str) -> Look:
    """Of a method in METHODS, by its place there."""
    return LOOKS[list(METHODS).index(method) % len(LOOKS)]


def blank(x: str, y: str, height: int = 320) -> go.Figure:
    """An empty chart with titled axes, without legend."""
    figure = go.Figure()
    figure.update_layout(
        height=height, margin={"l": 64, "r": 18, "t": 14, "b": 48}, showlegend=False, hovermode="closest",
        xaxis={"title": {"text": x, "standoff": 8}, "zeroline": False},
        yaxis={"title": {"text": y, "standoff": 8}, "zeroline": False},
    )  # fmt: skip
    return figure


def legend() -> dict[str, object]:
    """Above the chart, in a row."""
    return {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"}
