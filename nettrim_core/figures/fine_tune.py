"""Retraining: accuracy and losses over epochs, and accuracy over the zeros of rounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from scipy.optimize import isotonic_regression

from nettrim_core.figures.style import blank, look_of
from nettrim_core.finetune import Epoch

GREY = {False: "#5F5F5F", True: "#B0B0B0"}
ROOM = 1.34  # of the epochs, along the chart: what is past them is for the labels
LEAST_GAP = 0.075  # between labels, of the chart's height


@dataclass(frozen=True)
class Curve:
    """One method's epochs. best: the one that is kept. before: accuracy of the pruned network."""

    method: str
    title: str
    epochs: Sequence[Epoch]
    best: Epoch | None
    before: float | None


def accuracies(curves: Sequence[Curve], dense: float | None, epochs: int, dark: bool) -> go.Figure:
    """Validation accuracy over epochs, with the dense network's and each pruned one's before retraining as lines."""
    figure = blank("Epoch (passes over the training samples)", "Right answers, of the validation samples")
    values = [v for c in curves for v in (*_values(c, "validation_accuracy"), c.before) if v is not None]
    low, high = _span([*values, *([] if dense is None else [dense])], 0.005)
    labels = []
    for curve in curves:
        color = look_of(curve.method).color(dark)
        if curve.before is not None:
            _level(figure, curve.before, epochs, color, "1px,4px", f"{curve.title}, before retraining")
            if len(curves) == 1:
                labels.append((epochs, curve.before, "before", color))
        _line(figure, curve, "validation_accuracy", dark, "%{y:.2%} right")
        labels.append((*_last(curve, "validation_accuracy"), curve.title, color))
    if dense is not None:
        _level(figure, dense, epochs, GREY[dark], "6px,3px", "Dense network")
        labels.append((epochs, dense, "dense", GREY[dark]))
    figure.update_yaxes(range=[low, high], tickformat=".1%" if high - low < 0.08 else ".0%")
    _label(figure, labels, epochs, low, high)
    return figure


def losses(curves: Sequence[Curve], epochs: int, dark: bool) -> go.Figure:
    """Training and validation loss over epochs, on a logarithmic axis."""
    figure = blank("Epoch (passes over the training samples)", "Loss, mean over the samples (log scale)")
    values = [v for c in curves for key in ("loss", "validation_loss") for v in _values(c, key) if v and v > 0]
    labels = []
    for curve in curves:
        look = look_of(curve.method)
        color = look.color(dark)
        epoch, loss = [e.number for e in curve.epochs], _values(curve, "loss")
        figure.add_scatter(
            x=epoch, y=loss, mode="lines", line={"color": color, "width": 1.3, "dash": look.dash}, opacity=0.8,
            hovertemplate=f"{curve.title}, training<br>epoch %{{x}}<br>loss %{{y:.4g}}<extra></extra>",
        )  # fmt: skip
        _line(figure, curve, "validation_loss", dark, "validation loss %{y:.4g}")
        for key, text in (("validation_loss", curve.title), ("loss", "training")):
            end, value = _last(curve, key)
            labels.append((end, _log(value), text, color))
    low, high = _span([_log(v) or 0.0 for v in values], 0.1)
    figure.update_yaxes(type="log", range=[low, high], tickformat="~g", dtick=1 if high - low > 3 else "D2")
    _label(figure, labels, epochs, low, high)
    return figure


def rounds(
    method: str, dense: float, steps: Sequence[tuple[float, float | None, float | None]], dark: bool
) -> go.Figure:
    """A saw: down with the pruning of each round, up with its retraining. steps: (zeros, accuracy after pruning,
    accuracy after retraining) of every round that began."""
    figure = blank("Zeros among the weights of the chosen layers", "Right answers, of the validation samples")
    look = look_of(method)
    color = look.color(dark)
    path = [(0.0, dense), *((x, y) for x, *both in steps for y in both if y is not None)]
    figure.add_scatter(
        x=[x for x, _ in path], y=[y for _, y in path], mode="lines", line={"color": color, "width": 1.6},
        hoverinfo="skip",
    )  # fmt: skip
    for place, symbol, words in ((1, f"{look.symbol}-open", "after pruning"), (2, look.symbol, "after retraining")):
        at = [(step[0], step[place]) for step in steps if step[place] is not None]
        figure.add_scatter(
            x=[x for x, _ in at], y=[y for _, y in at], mode="markers",
            marker={"symbol": symbol, "size": 10, "color": color, "line": {"width": 2, "color": color}},
            hovertemplate=f"{words}<br>%{{x:.1%}} zeros<br>%{{y:.2%}} right<extra></extra>",
        )  # fmt: skip
        if at:  # the last round says what the markers are
            figure.add_annotation(
                x=at[-1][0], y=at[-1][1], text=words, showarrow=False, xanchor="left", xshift=10, font={"color": color}
            )
    low, high = _span([y for _, y in path], 0.005)
    figure.add_hline(y=dense, line={"color": GREY[dark], "width": 1.4, "dash": "6px,3px"})
    figure.add_annotation(
        x=0, y=dense, text="dense", showarrow=False, xanchor="left", yanchor="bottom", font={"color": GREY[dark]}
    )
    figure.update_xaxes(range=[0, 1.4], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(range=[low, high], tickformat=".1%" if high - low < 0.08 else ".0%")
    return figure


def _line(figure: go.Figure, curve: Curve, key: str, dark: bool, says: str) -> None:
    """A method's curve in its look, and a ring at its best epoch."""
    look = look_of(curve.method)
    color = look.color(dark)
    figure.add_scatter(
        x=[epoch.number for epoch in curve.epochs], y=_values(curve, key), mode="lines+markers",
        line={"color": color, "width": 2.2, "dash": look.dash},
        marker={"symbol": look.symbol, "size": 7 if len(curve.epochs) < 50 else 4, "color": color},
        hovertemplate=f"{curve.title}<br>epoch %{{x}}<br>{says}<extra></extra>",
    )  # fmt: skip
    if curve.best is not None and getattr(curve.best, key) is not None:
        figure.add_scatter(
            x=[curve.best.number], y=[getattr(curve.best, key)], mode="markers",
            marker={"symbol": "circle-open", "size": 17, "color": color, "line": {"width": 2.5}}, hoverinfo="skip",
        )  # fmt: skip


def _level(figure: go.Figure, y: float, epochs: int, color: str, dash: str, title: str) -> None:
    figure.add_scatter(
        x=[0, epochs], y=[y, y], mode="lines", line={"color": color, "width": 1.4, "dash": dash},
        hovertemplate=f"{title}<br>%{{y:.2%}} right<extra></extra>",
    )  # fmt: skip


def _label(
    figure: go.Figure, labels: Sequence[tuple[int, float | None, str, str]], epochs: int, low: float, high: float
) -> None:
    """A label at the right end of each line; those of one epoch stand apart, as near to their lines as that allows."""
    step = next(size for size in _steps() if epochs / size <= 10)
    figure.update_xaxes(range=[-0.03 * epochs, ROOM * epochs], tickvals=list(range(0, epochs + 1, step)))
    there = [(end, at, text.replace(" + ", " +<br>"), color) for end, at, text, color in labels if at is not None]
    for end, group in itertools.groupby(sorted(there), key=lambda entry: entry[0]):
        entries = list(group)
        lines = [text.count("<br>") + 1 for _, _, text, _ in entries]
        heights = _apart([at for _, at, _, _ in entries], [n * LEAST_GAP * (high - low) for n in lines], low, high)
        for (_, _, text, color), y in zip(entries, heights, strict=True):
            figure.add_annotation(
                x=end + 0.05 * epochs, y=y, text=text, showarrow=False, xanchor="left", align="left",
                font={"color": color},
            )  # fmt: skip


def _apart(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> list[float]:
    """Middles of boxes of these sizes, in this order, that do not overlap: the nearest to those wanted by least squares
    (an isotonic regression, once the room that the boxes below take is subtracted), then moved into low .. high."""
    below = [sum(sizes[:k]) + sizes[k] / 2 for k in range(len(sizes))]
    free = [y - room for y, room in zip(wanted, below, strict=True)]
    most = max(high - sum(sizes), low)
    return [min(max(y, low), most) + room for y, room in zip(isotonic_regression(free).x, below, strict=True)]


def _steps() -> Iterator[int]:
    """1, 2, 5, 10, 20, ..."""
    return (first * 10**power for power in itertools.count() for first in (1, 2, 5))


def _values(curve: Curve, key: str) -> list[float | None]:
    return [getattr(epoch, key) for epoch in curve.epochs]


def _last(curve: Curve, key: str) -> tuple[int, float | None]:
    """The last epoch with a value, and the value."""
    there = [(epoch.number, getattr(epoch, key)) for epoch in curve.epochs if getattr(epoch, key) is not None]
    return there[-1] if there else (0, None)


def _span(values: Sequence[float], least: float) -> tuple[float, float]:
    """A range around values, with a margin of at least so much."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = max(0.08 * (high - low), least)
    return low - margin, high + margin


def _log(value: float | None) -> float | None:
    return None if value is None or value <= 0 else math.log10(value)
