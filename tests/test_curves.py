"""The knob's stops and what is left to solve; where methods stand at the same zeros; what a chart measures."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest

from nettrim_core import load_bundle
from nettrim_core.plan import EPSILONS, Plan
from nettrim_core.record import Point
from nettrim_core.tasks.sweeps import solve
from pages import curves, words
from pages.axes import X_AXES, Y_AXES, known
from pages.matching import places
from pages.state import Choice, knobs, stops

HERE = Choice("digits_mlp", ("fc2", "fc3"), methods=("nettrim", "magnitude"), n=200)
ROWS = 1000


def nothing(*_: Any) -> None:
    return None


def test_a_knob_of_epsilon_stops_at_the_grid_and_at_what_was_typed() -> None:
    found = curves.stops_of(dataclasses.replace(HERE, eps=0.123), ROWS, [0.123, 0.4])
    assert [stop.value for stop in found] == sorted({*EPSILONS, 0.123, 0.4})
    assert all(stop.choice.eps == stop.value for stop in found)
    assert curves.place_of(dataclasses.replace(HERE, eps=0.123), found) == sorted({*EPSILONS, 0.123, 0.4}).index(0.123)


@pytest.mark.parametrize("name", knobs(dataclasses.replace(HERE, mode="cascade", methods=("nettrim", "lobs"))))
def test_any_number_can_be_on_the_knob(name: str) -> None:
    choice = dataclasses.replace(HERE, mode="cascade", methods=("nettrim", "lobs"), knob=name)
    found = curves.stops_of(choice, ROWS)
    assert len(found) >= 5
    assert [stop.value for stop in found] == sorted({stop.value for stop in found})
    assert found[curves.place_of(choice, found)].choice == choice
    for stop in found:
        assert stop.choice.value(name) == stop.value
        for method in choice.methods:
            stop.choice.solving(method)  # every stop is legal
        assert stop.choice.n <= ROWS
        assert words.value(name, stop.value)
    assert words.setting_title(name)


def test_what_is_missing_is_asked_for_once_by_plan_and_curve() -> None:
    states = curves.wanted(HERE, ROWS)
    (sweep,) = curves.missing(states, nothing)
    assert [curve["method"] for curve in sweep["curves"]] == ["nettrim", "magnitude"]
    assert all(sorted(curve["epsilons"]) == list(EPSILONS) for curve in sweep["curves"])
    assert sweep["curves"][0]["epsilons"][:3] == [EPSILONS[-1], EPSILONS[0], EPSILONS[12]]  # coarse to fine
    assert curves.count([sweep]) == 2 * len(EPSILONS)
    samples = dataclasses.replace(HERE, knob="n")
    by_samples = curves.missing(curves.wanted(samples, ROWS), nothing)
    assert by_samples[0]["plan"]["samples"] == 200  # where the knob is
    assert {sweep["plan"]["samples"] for sweep in by_samples} == set(stops(samples, "n", ROWS))
    damping = dataclasses.replace(HERE, knob="magnitude.damping")
    (only,) = curves.missing(curves.wanted(damping, ROWS), nothing)
    assert len([curve for curve in only["curves"] if curve["method"] == "nettrim"]) == 1  # damping is not its


def test_a_value_typed_by_hand_is_solved_first() -> None:
    choice = dataclasses.replace(HERE, eps=0.123)
    (sweep,) = curves.missing(curves.wanted(choice, ROWS, [0.123]), nothing)
    assert all(curve["epsilons"][0] == 0.123 for curve in sweep["curves"])


def test_a_grid_is_every_pair_for_the_method_under_the_lens() -> None:
    choice = dataclasses.replace(HERE, grid="n", method_shown="magnitude")
    states = curves.wanted(choice, ROWS)
    beside = stops(choice, "n", ROWS)
    pairs = {(state.n, state.eps) for state, name in states if name == "magnitude"}
    assert pairs == {(n, e) for n in beside for e in EPSILONS}
    assert {state.n for state, name in states if name == "nettrim"} == {200}


def test_moving_the_knob_is_the_same_work_and_a_setting_is_not() -> None:
    def key(choice: Choice) -> str:
        return curves.work_key(curves.wanted(choice, ROWS))

    assert key(HERE) == key(dataclasses.replace(HERE, eps=EPSILONS[3]))
    assert key(HERE) != key(dataclasses.replace(HERE, seed=1))
    assert key(HERE) != key(HERE.with_setting("scale.fc2", 0.5))
    along = dataclasses.replace(HERE, knob="n")
    assert key(along) == key(dataclasses.replace(along, n=500))


@pytest.fixture(scope="module")
def found() -> dict[str, list[Point | None]]:
    wanted = [{"method": name, "settings": {}, "epsilons": list(EPSILONS)} for name in ("exactobs", "magnitude")]
    points: dict[str, list[Point | None]] = {"exactobs": [], "magnitude": []}
    for point in solve(Plan("digits_mlp", ("fc2", "fc3"), samples=200), wanted, load_bundle("digits_mlp")):
        points[point.method].append(point)
    return points


@pytest.mark.parametrize("match", ["sparsity", "accuracy"])
def test_at_the_same_zeros_or_accuracy_the_others_stand_on_their_line(
    found: dict[str, list[Point | None]], match: str
) -> None:
    x, y = X_AXES["sparsity"], Y_AXES["accuracy"]
    standing = places(found, match, x, y)
    compared = 0
    for lead, other in zip(standing["exactobs"], standing["magnitude"], strict=True):
        assert lead is not None
        if other is None:
            values = [p.report.sparsity if match == "sparsity" else p.report.accuracy for p in found["magnitude"] if p]
            assert not min(values) <= (lead.sparsity if match == "sparsity" else lead.accuracy) <= max(values)
            continue
        compared += 1
        same = (lead.sparsity, other.sparsity) if match == "sparsity" else (lead.accuracy, other.accuracy)
        assert same[0] == pytest.approx(same[1])
        assert (other.x, other.y) == pytest.approx((other.sparsity, other.accuracy))
        line = [(p.report.sparsity, p.report.accuracy) for p in found["magnitude"] if p is not None]
        assert any(_on(other.x, other.y, a, b) for a, b in pairwise(line))
    assert compared >= 5


def _on(x: float, y: float, a: Any, b: Any) -> bool:
    """Is a point on the piece of line from a to b?"""
    across = (x - a[0]) * (b[1] - a[1]) - (y - a[1]) * (b[0] - a[0])
    inside = (
        min(a[0], b[0]) - 1e-9 <= x <= max(a[0], b[0]) + 1e-9 and min(a[1], b[1]) - 1e-9 <= y <= max(a[1], b[1]) + 1e-9
    )
    return abs(across) < 1e-9 and inside


def test_at_the_same_epsilon_each_stands_at_its_own_point(found: dict[str, list[Point | None]]) -> None:
    standing = places(found, "epsilon", X_AXES["epsilon"], Y_AXES["l1"])
    for name, points in found.items():
        for i, (place, point) in enumerate(zip(standing[name], points, strict=True)):
            assert place is not None
            assert point is not None
            assert (place.x, place.near, place.between) == (point.epsilon, i, False)


@pytest.mark.parametrize("name", list(Y_AXES))
def test_every_axis_has_a_value_a_text_and_a_band_around_it(found: dict[str, list[Point | None]], name: str) -> None:
    axis = Y_AXES[name]
    for point in (p for points in found.values() for p in points if p is not None):
        value = known(axis, point.report)
        assert value is not None or axis.log
        if value is None:
            continue
        assert axis.text(value)
        if axis.band and (band := axis.band(point.report)) is not None:
            assert band[0] <= value * (1 + 1e-9)
            assert band[0] <= band[1]


def test_axes_measure_what_they_say(found: dict[str, list[Point | None]]) -> None:
    point = found["magnitude"][15]
    assert point is not None
    report, bundle = point.report, load_bundle("digits_mlp")
    left = {name: point.mask(name).sum() for name in ("fc2", "fc3")}
    weights = {name: bundle.model.get_parameter(f"{name}.weight").detach().double().abs() for name in left}
    total = sum(weight.numel() for weight in weights.values())
    assert Y_AXES["nonzeros"].value(report) == sum(left.values())
    assert Y_AXES["bytes"].value(report) == total / 8 + 4 * sum(left.values())
    kept = sum(float((weight.T.numpy() * point.mask(name)).sum()) for name, weight in weights.items())
    before = sum(float(weight.sum()) for weight in weights.values())
    assert Y_AXES["l1"].value(report) == pytest.approx(kept / before, rel=1e-5)  # magnitude leaves the others alone
    assert Y_AXES["drop"].value(report) == pytest.approx((report.accuracy_before or 0) - (report.accuracy or 0))
    assert Y_AXES["discrepancy"].value(report) == max(layer.held for layer in report.layers)


def test_words_follow_what_the_methods_have_in_common(found: dict[str, list[Point | None]]) -> None:
    choice = dataclasses.replace(HERE, methods=("exactobs", "magnitude")).with_setting("match", "sparsity")
    standing = places(found, "sparsity", X_AXES["sparsity"], Y_AXES["accuracy"])
    at = next(i for i, place in enumerate(standing["magnitude"]) if place is not None and place.between)
    here = {name: line[at] for name, line in standing.items()}
    text = words.matched(here, choice)
    lead = here["exactobs"]
    assert lead is not None
    assert text.startswith(f"With {words.percent(lead.sparsity)} zeros: Exact OBS has")
    assert "Magnitude has about" in text
    assert "between two solved points" in text
    assert words.matched({"exactobs": lead, "magnitude": None}, choice) == ""
    gone = words.story([found["exactobs"][at]], {"exactobs": lead, "magnitude": None}, choice)  # type: ignore[list-item]
    assert "**Magnitude** has no point on its curve with the zeros that Exact OBS has here" in gone
