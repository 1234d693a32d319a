"""The pictures of the lesson's cards from their evidence, each with what it shows in a sentence. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nettrim_core.figures import lessons as figures
from nettrim_core.figures.lessons import Line
from nettrim_core.figures.style import look_of
from nettrim_core.methods import METHOD_TITLES
from nettrim_core.plan import EPSILONS
from nettrim_core.record import Point
from pages.axes import X_AXES, Y_AXES, kilobytes, percent
from pages.lessons_numbers import (
    BALL,
    CASCADE,
    GREEDY,
    HOW_MANY,
    PROMISE,
    RIVAL_PLACES,
    RIVALS,
    STORAGE,
    Evidence,
    accuracy,
    beside,
    in_parallel,
    matched,
    most_zeros,
    near,
    promised,
)
from pages.words import right

ZEROS, RIGHT = X_AXES["sparsity"].title, Y_AXES["accuracy"].title
Guess = Any  # a number of a slider or the key of an option


@dataclass(frozen=True, eq=False)
class Picture:
    figure: Any
    alt: str
    title: str = ""


def _line(label: str, look: Any, points: Sequence[Point], marked: Sequence[Point], place: str = "top center") -> Line:
    spots = [next(i for i, p in enumerate(points) if p is m) for m in marked]
    return Line(label, look, [p.report.sparsity for p in points], [accuracy(p) for p in points], spots, place)


def how_many(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    best, points = most_zeros(e), e.curve(HOW_MANY)
    before = best.report.accuracy_before or 0.0
    line = _line(f"{percent(best.report.sparsity)} zeros", look_of("nettrim"), points, [best], "bottom left")
    figure = figures.curves(
        [line],
        ZEROS,
        RIGHT,
        dark,
        floor=(before - 0.01, "1 point fewer than before"),
        guess=guess / 100,
        window=(0, 1.02),
    )
    alt = (
        f"Right answers over zeros, a curve that is flat and then falls. The last point within 1 point of before has "
        f"{percent(best.report.sparsity)} zeros and {right(accuracy(best))}."
    )
    return [Picture(figure, alt)]


def ball(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    answer = e.answers[0]
    figure = figures.ball(answer["norm"], BALL.eps * answer["norm"], answer["along"], answer["across"], dark)
    alt = (
        f"An arrow of length {answer['norm']:.1f}, and around its tip a circle of {BALL.eps:g} times that. The pruned "
        f"response ends inside, {answer['changed']:.1f} from the tip, close to the circle."
    )
    return [Picture(figure, alt)]


def greedy(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    assert e.plane is not None
    dense, x, y = e.plane
    ours, *theirs = near(e, GREEDY)
    shown: list[tuple[str, np.ndarray | None, str]] = [
        ("Trained", dense, f"No zeros, {right(ours.report.accuracy_before)}.")
    ]
    for point, why in ((ours, ""), *((point, ", the solved point nearest to as many zeros") for point in theirs)):
        text = f"{percent(point.report.sparsity)} zeros, {right(accuracy(point))}, at ε = {point.epsilon:g}{why}."
        shown.append((METHOD_TITLES[point.method], point.regions, text))
    pictures = []
    for title, classes, text in shown:
        if classes is not None:
            figure = figures.regions(classes, x, y, dark)
            pictures.append(Picture(figure, f"Decision regions. {title}. {text}", f"**{title}.** {text}"))
    return pictures


def two_sets(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    answer = e.answers[0]
    pictures = []
    for key, title in (("two", "With both sets"), ("linear", "Near everywhere")):
        figure = figures.samples(answer["trained"], answer[key], answer["half_width"], dark, halves=key == "two")
        trained, pruned = (np.asarray(answer[name]) for name in ("trained", key))
        moved = [float(np.sqrt(np.mean((pruned - trained)[on] ** 2))) for on in (trained > 0, trained <= 0)]
        text = (
            f"{len(trained):,} samples in neuron {answer['neuron']}: on ω (filled) they moved by {moved[0]:.2f}, off ω "
            f"(open) by {moved[1]:.2f} (root mean square). Grey: where they may lie, if all near ones share alike."
        )
        alt = f"Response after pruning over the one before. {title}: {text}"
        pictures.append(Picture(figure, alt, f"**{title}.** {text}"))
    return pictures


def cascade(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    here, fewer, _ = beside(e, CASCADE)
    lines = [
        _line("cascade", look_of("nettrim"), e.curve(CASCADE), [here], "top right"),
        _line("parallel", figures.variant("nettrim"), e.curve(in_parallel(CASCADE)), [fewer], "bottom left"),
    ]
    figure = figures.curves(lines, ZEROS, RIGHT, dark, window=(here.report.sparsity - 0.15, 0.96))
    alt = (
        f"Right answers over zeros for both modes. Marked: the cascade, {percent(here.report.sparsity)} zeros and "
        f"{right(accuracy(here))}; in parallel, {percent(fewer.report.sparsity)} zeros and {right(accuracy(fewer))}."
    )
    return [Picture(figure, alt)]


def rivals(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    names, values, said = [], [], []
    for choice, label in zip(RIVAL_PLACES.values(), RIVAL_LABELS.values(), strict=True):
        ours, theirs = matched(e, choice)
        if theirs is None:
            continue
        names.append(f"{label}, {percent(ours.sparsity)} zeros")
        values.append([ours.accuracy or 0.0, theirs.accuracy or 0.0])
        said.append(f"{names[-1]}: Net-Trim {right(ours.accuracy)}, L-OBS {right(theirs.accuracy)}.")
    figure = figures.pairs(names, [(name, METHOD_TITLES[name]) for name in RIVALS], values, dark)
    return [Picture(figure, " ".join(said))]


RIVAL_LABELS = {"spirals": "Spirals", "parallel": "LeNet in parallel", "cascade": "LeNet as a cascade"}


def promise(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    points = e.curve(PROMISE)
    bounds, errors = zip(*map(promised, points), strict=True)
    here = EPSILONS.index(PROMISE.eps)
    figure = figures.promise(EPSILONS, bounds, errors, here, dark)
    at = f"At ε = {PROMISE.eps:g}: {errors[here]:.3f} measured, {bounds[here]:.3f} promised."
    alt = f"Promise and measurement over ε. {at}"
    return [Picture(figure, alt)]


def storage(e: Evidence, guess: Guess, dark: bool) -> list[Picture]:
    answer, point = e.answers[0], e.at(STORAGE, "lobs")
    compact = Y_AXES["bytes"].value(point.report) or 0.0
    rows = {
        "before": answer["dense_before"],
        "with zeros": answer["dense"],
        "zipped": answer["zipped"],
        "compact": compact,
    }
    said = ", ".join(f"{name} {kilobytes(size)}" for name, size in rows.items())
    bars = figures.sizes(list(rows), list(rows.values()), guess / 100 * answer["dense_before"], dark)
    ratios = [seconds / answer["seconds_before"] for seconds in answer["sparse_seconds"]]
    chart = figures.times(answer["fractions"], ratios, 0, dark)
    text = f"A sparse matrix with {percent(answer['fractions'][0])} zeros takes {ratios[0]:.1f} times the dense time."
    return [Picture(bars, f"Sizes: {said}.", "**Size**"), Picture(chart, text, "**Time** of one product")]
