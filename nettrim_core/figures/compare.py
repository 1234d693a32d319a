"""Charts of several pruned networks side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from nettrim_core.figures.style import DASHES, SYMBOLS, Look, blank, look_of
from nettrim_core.plain import for_plotly

ROW = 15  # pixels of a class for each network
SPACE = 0.35  # around the candidates, of how far they are apart
NEAR = 0.08  # of a chart's height: labels closer than this are moved apart
Interval = tuple[float, float]


def looks(methods: Sequence[str]) -> list[Look]:
    """The look of each of several candidates: its method's, and where a method comes again another dash and marker."""
    found, seen = [], dict.fromkeys(methods, 0)
    for method in methods:
        look, again = look_of(method), seen[method]
        seen[method] += 1
        dash = DASHES[(DASHES.index(look.dash) + again) % len(DASHES)]
        found.append(replace(look, dash=dash, symbol=SYMBOLS[(SYMBOLS.index(look.symbol) + again) % len(SYMBOLS)]))
    return found


@dataclass(frozen=True)
class Scale:
    """An axis: its title with unit and denominator, Plotly's format of its ticks, and whether it is logarithmic."""

    title: str
    ticks: str
    log: bool = False


@dataclass(frozen=True)
class Dot:
    """A candidate on the chart. bars: the intervals along x and y, where there are any."""

    label: str
    look: Look
    x: float
    y: float
    hover: str
    bars: tuple[Interval | None, Interval | None] = (None, None)


def pareto(
    dots: Sequence[Dot],
    behind: Sequence[tuple[Look, Sequence[tuple[float, float]]]],
    front: Sequence[int],
    scales: tuple[Scale, Scale],
    dark: bool,
) -> go.Figure:
    """Candidates with their labels, those of ``front`` joined; behind them, faintly, the solved points of curves."""
    x, y = scales
    figure = blank(x.title, y.title, 420)
    for look, points in behind:
        figure.add_scatter(
            x=[p[0] for p in points], y=[p[1] for p in points], mode="lines+markers", opacity=0.3, hoverinfo="skip",
            line={"color": look.color(dark), "width": 1, "dash": look.dash},
            marker={"size": 4, "symbol": look.symbol},
        )  # fmt: skip
    figure.add_scatter(
        x=[dots[i].x for i in front], y=[dots[i].y for i in front], mode="lines", hoverinfo="skip",
        line={"color": "#8A8A8A", "width": 2, "dash": "2px,3px"},
    )  # fmt: skip
    for dot, place in zip(dots, _label_places(dots), strict=True):
        figure.add_scatter(
            x=[dot.x], y=[dot.y], mode="markers+text", text=[dot.label], textposition=place, cliponaxis=False,
            marker={"size": 12, "symbol": dot.look.symbol, "color": dot.look.color(dark)},
            error_x=_bar(dot.x, dot.bars[0]), error_y=_bar(dot.y, dot.bars[1]),
            hovertemplate=f"{dot.hover}<extra></extra>", textfont={"size": 13},
        )  # fmt: skip
    for name, scale, sides in (("xaxis", x, _sides(dots, 0)), ("yaxis", y, _sides(dots, 1))):
        figure.update_layout({name: {"tickformat": scale.ticks, "type": "log" if scale.log else "linear"}})
        if window := _window(sides, [p[name == "yaxis"] for _, points in behind for p in points], scale.log):
            figure.update_layout({name: {"range": window}})
    return figure


def _bar(value: float, interval: Interval | None) -> dict[str, object]:
    if interval is None:
        return {"visible": False}
    low, high = interval
    return {
        "type": "data", "symmetric": False, "array": [max(high - value, 0.0)], "arrayminus": [max(value - low, 0.0)],
        "thickness": 1, "width": 5,
    }  # fmt: skip


def _sides(dots: Sequence[Dot], k: int) -> list[float]:
    """Everything of the dots that is to be seen along one axis."""
    bars = [end for dot in dots if (bar := dot.bars[k]) is not None for end in bar]
    return [*[(dot.x, dot.y)[k] for dot in dots], *bars]


def _window(values: Sequence[float], behind: Sequence[float], log: bool) -> list[float] | None:
    """The part of an axis around the candidates, at least a fifth of what the curves take; None where there is none."""
    kept = [value for value in values if value > 0 or not log]
    if not kept:
        return None
    ends = [math.log10(v) if log else v for v in kept]
    others = [math.log10(v) if log else v for v in behind if v > 0 or not log] or ends
    apart = max(max(ends) - min(ends), (max(others) - min(others)) / 5, 1e-6)
    return [min(ends) - SPACE * apart, max(ends) + SPACE * apart]


def _label_places(dots: Sequence[Dot]) -> list[str]:
    """Above or below its point, towards the middle of the chart, and in turn where two are close."""
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    middle, wide, high = sum((min(xs, default=0.0), max(xs, default=0.0))) / 2, _extent(xs), _extent(ys)
    found: list[str] = []
    for i, dot in enumerate(dots):
        close = [j for j in range(i) if abs(xs[j] - dot.x) < 0.3 * wide and abs(ys[j] - dot.y) < 0.15 * high]
        found.append(f"{('top', 'bottom')[len(close) % 2]} {'left' if dot.x > middle else 'right'}")
    return found


def _extent(values: Sequence[float]) -> float:
    return (max(values, default=0.0) - min(values, default=0.0)) or 1.0


@dataclass(frozen=True)
class Parts:
    """A network's right answers by class: (part right, how many of how many, in words), in the order of the classes."""

    label: str
    look: Look | None  # None for the dense network
    right: Sequence[tuple[float, str]]


def dumbbells(classes: Sequence[str], dense: Parts, pruned: Sequence[Parts], dark: bool) -> go.Figure:
    """For each class, from the top, a line from the dense network's accuracy to each pruned one's."""
    rows, classes = len(pruned) + 1, [for_plotly(name) for name in classes]
    figure = blank("Right answers, of the test samples of the class", "", 90 + ROW * rows * len(classes))
    for k, part in enumerate(pruned):
        assert part.look is not None
        at = [c * rows + k for c in range(len(classes))]
        xs = [v for (a, _), (b, _) in zip(dense.right, part.right, strict=True) for v in (a, b, None)]
        ys = [v for y in at for v in (y, y, None)]
        color = part.look.color(dark)
        figure.add_scatter(
            x=xs, y=ys, mode="lines", line={"color": color, "width": 2}, hoverinfo="skip", showlegend=False
        )
        figure.add_scatter(
            x=[right for right, _ in dense.right], y=at, mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "line-ns-open", "size": 9, "color": "#808080", "line": {"width": 2}},
        )  # fmt: skip
        figure.add_scatter(
            x=[right for right, _ in part.right], y=at, mode="markers+text", name=part.label, showlegend=True,
            marker={"symbol": part.look.symbol, "size": 9, "color": color}, text=[part.label[0]] * len(classes),
            textposition=[f"middle {'right' if now > was else 'left'}" for (was, _), (now, _)
                          in zip(dense.right, part.right, strict=True)], textfont={"size": 11}, cliponaxis=False,
            customdata=[f"class {c}: {said}; dense {was}" for c, (_, said), (_, was)
                  in zip(classes, part.right, dense.right, strict=True)],
            hovertemplate=f"<b>{part.label}</b><br>%{{customdata}}<extra></extra>",
        )  # fmt: skip
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name=dense.label, showlegend=True,
        marker={"symbol": "line-ns-open", "size": 9, "color": "#808080", "line": {"width": 2}},
    )  # fmt: skip
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        margin={"l": 96, "r": 18, "t": 60, "b": 48},
    )  # fmt: skip
    middle = (len(pruned) - 1) / 2
    figure.update_yaxes(
        tickvals=[c * rows + middle for c in range(len(classes))], ticktext=classes,
        range=[rows * len(classes) - 0.5, -1], showgrid=False,
    )  # fmt: skip
    figure.update_xaxes(tickformat=".0%")
    return figure


@dataclass(frozen=True)
class Line:
    """A network's accuracy at each norm of the noise, with its interval. look: None for the dense network."""

    label: str
    look: Look | None
    points: Sequence[tuple[float, float, float, float]]  # norm, value, low, high


def noise(lines: Sequence[Line], of: str, dark: bool) -> go.Figure:
    """Accuracy under noise: a line with its band for each network. of: what the vertical axis is a part of."""
    figure = blank("Size of the noise, of the sample's own size", of, 400)
    for k, line in enumerate(lines):
        color = ("#B0B0B0" if dark else "#5F5F5F") if line.look is None else line.look.color(dark)
        xs = [p[0] for p in line.points]
        figure.add_scatter(
            x=[*xs, *reversed(xs)], y=[*[p[2] for p in line.points], *[p[3] for p in reversed(line.points)]],
            fill="toself", mode="lines", line={"width": 0}, fillcolor=_faint(color), hoverinfo="skip",
            showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=xs, y=[p[1] for p in line.points], mode="lines+markers+text", name=line.label, showlegend=True,
            text=[line.label[0] if line.look and i == k % len(xs) else "" for i in range(len(xs))],
            textposition="top right", textfont={"size": 13},
            line={"color": color, "dash": "solid" if line.look is None else line.look.dash, "width": 2},
            marker={"symbol": "circle-open" if line.look is None else line.look.symbol, "size": 8},
            customdata=[[p[2], p[3]] for p in line.points],
            hovertemplate=f"<b>{line.label}</b><br>noise %{{x}}: %{{y:.1%}}<br>95 % interval %{{customdata[0]:.1%}} to "
            "%{customdata[1]:.1%}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(
        showlegend=True, legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        margin={"l": 64, "r": 18, "t": 60, "b": 48},
    )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure


def _faint(color: str) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.12)"


@dataclass(frozen=True)
class Draws:
    """One figure of a method with several draws: each value, their mean, and the interval of the mean."""

    label: str
    look: Look
    values: Sequence[float]
    mean: float
    interval: Interval | None


def draws(rows: Sequence[Draws], title: str, dark: bool) -> go.Figure:
    """A row for each method: a faint dot for each draw, and the mean with its interval as a bar."""
    figure = blank(title, "", 100 + 52 * len(rows))
    for k, row in enumerate(rows):
        color = row.look.color(dark)
        figure.add_scatter(
            x=list(row.values), y=[k + 0.22] * len(row.values), mode="markers", hoverinfo="skip",
            marker={"symbol": "circle-open", "size": 7, "color": color}, opacity=0.55,
        )  # fmt: skip
        said = "" if row.interval is None else f"<br>95 % interval {row.interval[0]:.2%} to {row.interval[1]:.2%}"
        figure.add_scatter(
            x=[row.mean], y=[k], mode="markers", marker={"symbol": row.look.symbol, "size": 11, "color": color},
            error_x=_bar(row.mean, row.interval) | {"thickness": 2},
            hovertemplate=f"<b>{row.label}</b><br>mean of {len(row.values)}: {row.mean:.2%}{said}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[row.label for row in rows], range=[len(rows) - 0.4, -0.6],
        automargin=True, showgrid=False,
    )  # fmt: skip
    figure.update_xaxes(tickformat=".1%", nticks=6)
    return figure
