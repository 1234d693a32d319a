"""The pictures of the lesson's cards, from plain numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from nettrim_core.figures.style import INK, Look, blank, look_of

REGION_COLORS = ("#0072b2", "#e69f00")
OTHER = Look("#5F5F5F", "#B0B0B0", "7px,4px", "diamond")  # beside a method: another way, or what was measured


@dataclass(frozen=True)
class Line:
    """One curve with its label at its marked point. marked: indices of the points that the card speaks of; the others
    are drawn small."""

    label: str
    look: Look
    x: Sequence[float]
    y: Sequence[float]
    marked: Sequence[int] = ()
    place: str = "top center"  # of the label, beside the last marked point


def variant(method: str) -> Look:
    """A method's colour with another dash and marker: the same method in another way."""
    return dataclasses.replace(look_of(method), dash="7px,4px", symbol="diamond-open")


def curves(
    lines: Sequence[Line], x: str, y: str, dark: bool, *, floor: tuple[float, str] | None = None,
    guess: float | None = None, window: tuple[float, float] | None = None,
) -> go.Figure:  # fmt: skip
    """Curves of fractions over fractions. floor: a height below which things are not allowed, and what it is; guess: a
    place along x that somebody said; window: of x."""
    figure = blank(x, y, 380)
    for line in lines:
        figure.add_trace(_line(line, dark))
    if floor is not None:
        figure.add_hline(floor[0], line={"color": INK[dark], "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=0, xref="x domain", xanchor="left", y=floor[0], yanchor="top", text=floor[1], showarrow=False
        )
    if guess is not None:
        figure.add_vline(guess, line={"color": INK[dark], "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            x=guess, y=0.02, yref="y domain", yanchor="bottom", xanchor="left" if guess < 0.5 else "right",
            text=" you said ", showarrow=False,
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", range=window)
    figure.update_yaxes(tickformat=".0%")
    return figure


def _line(line: Line, dark: bool) -> go.Scatter:
    sizes = [11 if i in line.marked else 5 for i in range(len(line.x))]
    texts = [line.label if line.marked and i == line.marked[-1] else "" for i in range(len(line.x))]
    color = line.look.color(dark)
    return go.Scatter(
        x=list(line.x), y=list(line.y), name=line.label, mode="lines+markers+text", text=texts,
        textposition=line.place, textfont={"color": color}, cliponaxis=False,
        line={"color": color, "dash": line.look.dash, "width": 2},
        marker={"color": color, "symbol": line.look.symbol, "size": sizes},
        hovertemplate=f"{line.label}<br>%{{x:.1%}}, %{{y:.1%}}<extra></extra>",
    )  # fmt: skip


def ball(norm: float, radius: float, along: float, across: float, dark: bool) -> go.Figure:
    """The plane through the trained response and the pruned one, to scale: where the trained one ends is the middle of
    the ball. along, across: how far the pruned one is from it, along its line and at right angles to that."""
    color, ink = look_of("nettrim").color(dark), INK[dark]
    figure = blank("Along the trained response", "At right angles to it", 340)
    turn = np.linspace(0, 2 * math.pi, 181)
    figure.add_trace(
        go.Scatter(
            x=norm + radius * np.cos(turn), y=radius * np.sin(turn), mode="lines", fill="toself", hoverinfo="skip",
            line={"color": color, "width": 1.5, "dash": "dot"}, fillcolor="rgba(0,114,178,0.10)",
        )
    )  # fmt: skip
    for end, tint, text, side in (
        ((norm, 0.0), ink, "trained response", "bottom center"),
        ((norm + along, across), color, "after pruning", "top center"),
    ):
        figure.add_trace(
            go.Scatter(
                x=[0, end[0]], y=[0, end[1]], mode="lines+markers+text", text=["", text], textposition=side,
                textfont={"color": tint}, line={"color": tint, "width": 2}, cliponaxis=False,
                marker={"size": [0, 10], "color": tint, "symbol": "circle" if tint == ink else "diamond"},
                hovertemplate="%{x:.1f}, %{y:.1f}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_annotation(
        x=norm + 1.5 * radius,
        y=-radius,
        xanchor="right",
        yanchor="top",
        text="the ball: ε times the arrow",
        showarrow=False,
    )
    figure.update_xaxes(range=[-0.02 * norm, norm + 1.6 * radius])
    figure.update_yaxes(range=[-1.9 * radius, 1.7 * radius], scaleanchor="x", scaleratio=1)
    return figure


def regions(classes: np.ndarray, x: np.ndarray, y: np.ndarray, dark: bool) -> go.Figure:
    """The plane of two inputs by predicted class, with the line between the classes."""
    figure = blank("First input", "Second input", 300)
    scale = [[0, REGION_COLORS[0]], [1, REGION_COLORS[1]]]
    z = classes.astype(float)
    figure.add_trace(
        go.Heatmap(x=x, y=y, z=z, zmin=0, zmax=1, colorscale=scale, showscale=False,
                   hovertemplate="(%{x:.2f}, %{y:.2f}): class %{z:.0f}<extra></extra>")
    )  # fmt: skip
    figure.add_trace(
        go.Contour(x=x, y=y, z=z, contours={"start": 0.5, "end": 0.5, "size": 1, "coloring": "lines"},
                   colorscale=[[0, "#ffffff"], [1, "#ffffff"]], line={"width": 2}, showscale=False, hoverinfo="skip")
    )  # fmt: skip
    figure.update_yaxes(scaleanchor="x", scaleratio=1, constrain="domain")
    figure.update_xaxes(constrain="domain")
    return figure


def samples(
    trained: Sequence[float], pruned: Sequence[float], half_width: float, dark: bool, *, halves: bool
) -> go.Figure:
    """One neuron's samples: its pruned response over its trained one. halves: beside the tube around the trained
    response, where that is positive, the half-line below zero; else the tube everywhere."""
    t, p = np.asarray(trained), np.asarray(pruned)
    figure = blank("Before pruning", "After pruning", 340)
    low, high = float(min(t.min(), p.min())), float(max(t.max(), p.max()))
    start, shade = (0.0 if halves else low), "rgba(128,128,128,0.25)"
    tube = [
        (start, start - half_width),
        (high, high - half_width),
        (high, high + half_width),
        (start, start + half_width),
    ]
    shapes = [tube] + ([[(low, low), (0, low), (0, 0), (low, 0)]] if halves else [])
    for corners in shapes:
        x, y = zip(*corners, strict=True)
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines", fill="toself", fillcolor=shade, line={"width": 0}, hoverinfo="skip")
        )
    for on, method, symbol in ((True, "nettrim", "circle"), (False, "lobs", "diamond-open")):
        chosen = (t > 0) == on
        figure.add_trace(
            go.Scatter(
                x=t[chosen], y=p[chosen], mode="markers",
                marker={"size": 5, "symbol": symbol, "color": look_of(method).color(dark), "opacity": 0.7},
                hovertemplate="%{x:.2f} became %{y:.2f}<extra></extra>",
            )
        )  # fmt: skip
    figure.add_hline(0, line={"color": INK[dark], "width": 1})
    figure.add_vline(0, line={"color": INK[dark], "width": 1})
    return figure


def pairs(
    places: Sequence[str], methods: Sequence[tuple[str, str]], values: Sequence[Sequence[float]], dark: bool
) -> go.Figure:
    """For each place the values of a few methods on one line. methods: (name in METHODS, title)."""
    figure = blank("Right answers, of the validation samples", "", 300)
    ticks = [place.replace(", ", "<br>", 1) for place in places]
    for row, tick in zip(values, ticks, strict=True):
        figure.add_trace(
            go.Scatter(
                x=list(row), y=[tick] * len(row), mode="lines", hoverinfo="skip", line={"color": OTHER.color(dark)}
            )
        )
    for k, (name, title) in enumerate(methods):
        look = look_of(name)
        texts = [f"{title} {row[k]:.1%}" for row in values]
        sides = ["top center" if k == 0 else "bottom center"] * len(texts)
        figure.add_trace(
            go.Scatter(
                x=[row[k] for row in values], y=ticks, mode="markers+text", text=texts, textposition=sides,
                textfont={"color": look.color(dark)}, cliponaxis=False, hoverinfo="skip",
                marker={"size": 12, "symbol": look.symbol, "color": look.color(dark)},
            )
        )  # fmt: skip
    figure.update_xaxes(tickformat=".0%", range=[0.35, 1.1], tickvals=[0.4, 0.6, 0.8, 1.0])
    figure.update_yaxes(autorange="reversed")
    return figure


def promise(
    epsilons: Sequence[float], bounds: Sequence[float], errors: Sequence[float], marked: int, dark: bool
) -> go.Figure:
    """What is promised and what was measured over epsilon, both axes logarithmic."""
    figure = blank("Error tolerance epsilon", "Error of the last layer, of its size", 380)
    look = look_of("nettrim")
    lines = [
        Line("promised at most", dataclasses.replace(look, dash="7px,4px"), epsilons, bounds, (marked,), "top left"),
        Line("measured", dataclasses.replace(OTHER, dash="solid"), epsilons, errors, (marked,), "bottom right"),
    ]
    for line in lines:
        trace = _line(line, dark)
        trace.hovertemplate = f"{line.label}<br>ε = %{{x:.4g}}: %{{y:.3f}}<extra></extra>"
        figure.add_trace(trace)
    figure.add_shape(
        type="line", x0=epsilons[marked], x1=epsilons[marked], y0=errors[marked], y1=bounds[marked],
        line={"color": INK[dark], "width": 1.5, "dash": "dot"},
    )  # fmt: skip
    figure.update_xaxes(type="log", tickformat="~g", dtick="D2")
    figure.update_yaxes(type="log", tickformat="~g", dtick="D2")
    return figure


def sizes(labels: Sequence[str], values: Sequence[float], guess: float | None, dark: bool) -> go.Figure:
    """A bar for each way of keeping the same weights, in bytes. guess: a size that somebody said."""
    figure = blank("Size of the layer's weights, in kB", "", 270)
    kilobytes = [value / 1e3 for value in values]
    figure.add_trace(
        go.Bar(
            x=kilobytes, y=list(labels), orientation="h", text=[f"{value:,.1f} kB" for value in kilobytes],
            textposition="auto", marker={"color": look_of("nettrim").color(dark)}, hoverinfo="skip",
        )
    )  # fmt: skip
    if guess is not None:
        figure.add_vline(guess / 1e3, line={"color": INK[dark], "width": 1.5, "dash": "dash"})
        figure.add_annotation(x=guess / 1e3, y=1.0, yref="y domain", yanchor="bottom", text="you said", showarrow=False)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_layout(margin={"t": 30, "l": 8})
    return figure


def times(fractions: Sequence[float], ratios: Sequence[float], marked: int, dark: bool) -> go.Figure:
    """The time of a product with a sparse matrix, of that with the dense one, over its zeros."""
    figure = blank("Zeros in the matrix", "Time, of the dense matrix's", 270)
    order = sorted(range(len(fractions)), key=fractions.__getitem__)
    look = look_of("nettrim")
    line = Line("this layer", look, [fractions[i] for i in order], [ratios[i] for i in order], (order.index(marked),))
    trace = _line(dataclasses.replace(line, place="top right"), dark)
    trace.hovertemplate = "%{x:.1%} zeros: %{y:.2f} times the dense time<extra></extra>"
    figure.add_trace(trace)
    figure.add_hline(1, line={"color": INK[dark], "width": 1, "dash": "dot"})
    figure.add_annotation(x=0, xref="x domain", xanchor="left", y=1, yanchor="bottom", text="dense", showarrow=False)
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(ticksuffix="×", rangemode="tozero")
    return figure
