"""Charts of what experiments found, from their files (``benchmarks/results``): plain data with its own titles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from nettrim_core.figures.style import DASHES, LOOKS, blank, legend, look_of

SHADE = 0.15


def documents(folder: Path) -> list[dict[str, Any]]:
    """What the files of a folder say, in the order in which it is shown: by their place, then by name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(found, key=lambda content: (content["place"], content["name"]))


def bands(content: Mapping[str, Any]) -> str:
    """What lies around the lines of a chart, in words; "" where nothing does, and for a heat map."""
    return content.get("bands", "") if any(line["low"] for line in content["lines"]) else ""


def chart(content: Mapping[str, Any], dark: bool) -> go.Figure:
    """Lines with their intervals, a method's in its own look. content: title, x, y, log_x, log_y, lines. On a log
    axis an interval goes down a decade at most, as it may reach below zero."""
    figure = blank(content["x"], content["y"], 420)
    for i, line in enumerate(content["lines"]):
        look = look_of(line["method"]) if line["method"] else LOOKS[i % len(LOOKS)]
        if content["log_y"]:
            line = {**line, "low": [max(low, y / 10) for low, y in zip(line["low"], line["y"], strict=False)]}
        _line(figure, line, look.color(dark), look.symbol)
    figure.update_xaxes(type="log" if content["log_x"] else "linear")
    figure.update_yaxes(type="log" if content["log_y"] else "linear")
    figure.update_layout(showlegend=True, legend=legend(), margin={"t": 60})
    return figure


def heat(content: Mapping[str, Any], dark: bool) -> go.Figure:
    """Parts from 0 to 1 over two quantities, and lines above them. content: title, x, y, xs, ys, values, lines."""
    figure = blank(content["x"], content["y"], 420)
    figure.add_heatmap(
        x=content["xs"], y=content["ys"], z=content["values"], zmin=0, zmax=1, colorscale="Greys",
        reversescale=not dark, colorbar={"tickformat": ".0%"}, hovertemplate="%{x}, %{y}: %{z:.0%}<extra></extra>",
    )  # fmt: skip
    for i, line in enumerate(content["lines"]):
        look = LOOKS[i % len(LOOKS)]
        _line(figure, line, look.color(dark), look.symbol)
    figure.update_yaxes(range=[min(content["ys"]), max(content["ys"])])
    figure.update_layout(showlegend=bool(content["lines"]), legend=legend(), margin={"t": 60})
    return figure


def alt(content: Mapping[str, Any]) -> str:
    """What a chart shows, in words."""
    names = [line["name"] for line in content["lines"]]
    shown = f", with lines for {', '.join(names)}" if names else ""
    return f"{content['title']}: {content['y']} against {content['x']}{shown}. The tables below have the numbers."


def _line(figure: go.Figure, line: Mapping[str, Any], color: str, symbol: str) -> None:
    if line["low"]:
        figure.add_scatter(
            x=[*line["x"], *reversed(line["x"])], y=[*line["high"], *reversed(line["low"])], fill="toself",
            fillcolor=_pale(color), line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    figure.add_scatter(
        x=line["x"], y=line["y"], name=line["name"], mode="lines+markers", marker={"symbol": symbol, "color": color},
        line={"color": color, "dash": DASHES[1] if line["dashed"] else DASHES[0]},
        hovertemplate="%{x:.3~g}, %{y:.3~g}<extra></extra>",
    )  # fmt: skip


def _pale(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{SHADE})"
