"""The Compare page: candidates, tables, pictures, words and what the worker answers, then the page in its states."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import importlib
import io
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from nettrim_core import LOBS, by_class, evaluate, load_bundle, prune, prune_seeds, spread
from nettrim_core.bundle import Bundle
from nettrim_core.figures import compare as figures
from nettrim_core.figures.style import look_of
from nettrim_core.methods import METHODS
from nettrim_core.pareto import front
from nettrim_core.record import Point
from nettrim_core.tasks import TASKS
from nettrim_core.workbench import Workbench
from pages import behaviours, pins, snippets_compare, store, tables_compare, work
from pages import words_compare as words
from pages.axes import X_AXES, Y_AXES
from pages.candidates import MOST, Candidate, candidates_of, differing, same
from pages.pins import Pin
from pages.state import Choice, Facts, parse
from pages.thumbnails import drawable, thumbnail
from tests.browsing import opened

ROOT = Path(__file__).resolve().parents[1]
SMALL = Choice("digits_mlp", ("fc3",), 0.3, ("lobs", "magnitude"), n=200)
TIGHT = dataclasses.replace(SMALL, eps=0.1, methods=("lobs",))


def answers(candidates: list[Candidate], bench: Workbench | None = None) -> list[dict[str, Any]]:
    request = {"task": "behaviour", "candidates": [candidate.request for candidate in candidates]}
    return list(TASKS["behaviour"](request, bench or Workbench()))


@pytest.fixture(scope="module")
def small() -> list[dict[str, Any]]:
    return answers(candidates_of([("now", SMALL)]))


# ---- the core ----


@given(some.lists(some.tuples(some.integers(0, 4), some.integers(0, 4)), max_size=8), some.booleans(), some.booleans())
def test_the_front_is_what_nobody_dominates(points: list[tuple[float, float]], up: bool, right: bool) -> None:
    better = [(lambda a, b: a >= b) if high else (lambda a, b: a <= b) for high in (right, up)]

    def dominated(p: tuple[float, float]) -> bool:
        return any(q != p and all(as_good(q[k], p[k]) for k, as_good in enumerate(better)) for q in points)

    found = front(points, ("high" if right else "low", "high" if up else "low"))
    assert sorted(found) == [i for i, p in enumerate(points) if not dominated(p)]
    assert [points[i] for i in found] == sorted(points[i] for i in found)


def test_the_front_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        front([(0.0, float("nan"))], ("high", "low"))


def test_accuracy_by_class_is_the_count() -> None:
    labels, old, new = (torch.tensor(values) for values in ([0, 0, 0, 2, 2], [0, 0, 1, 2, 2], [0, 2, 1, 2, 0]))
    zero, two = by_class(old, new, labels)
    assert (zero.label, zero.samples, zero.dense.value, zero.pruned.value) == (0, 3, 2 / 3, 1 / 3)
    assert (two.label, two.samples, two.dense.value, two.pruned.value) == (2, 2, 1.0, 0.5)
    assert zero.pruned.low < 1 / 3 < zero.pruned.high
    with pytest.raises(ValueError, match="equal length"):
        by_class(old[:3], new, labels)
    with pytest.raises(ValueError, match="at least 1"):
        by_class(old[:0], new[:0], labels[:0])


def test_the_task_says_what_evaluate_says_of_the_same_pruning(small: list[dict[str, Any]]) -> None:
    bundle = load_bundle("digits_mlp")
    pruned, report = prune(
        bundle.model, bundle.calibration_sample(200, 0), LOBS(epsilon=0.3), ["fc3"], test=bundle.validation
    )
    found = evaluate(pruned, bundle.test, bundle.model)
    answer = small[0]
    assert [entry["candidate"] for entry in small] == [0, 1]
    assert answer["evaluation"] == found.to_dict()
    assert found.changes is not None
    assert found.changes.indices
    assert Point.from_dict(answer["point"]).report.accuracy == report.accuracy
    labels = bundle.test[1]
    right = {who: sum(round(e[who]["value"] * e["samples"]) for e in answer["classes"]) for who in ("dense", "pruned")}
    for who, model in (("dense", bundle.model), ("pruned", pruned)):
        assert right[who] == int((model(bundle.test[0]).argmax(1) == labels).sum())
    assert sum(entry["samples"] for entry in answer["classes"]) == len(labels)


def unlabelled(bundle: Bundle) -> Bundle:
    """The bundle as if nobody had labelled its test rows."""
    found = dataclasses.replace(bundle, test=(bundle.test[0], None))
    found.__dict__["fingerprint"] = "without labels"
    return found


def test_without_labels_all_but_accuracy_is_answered() -> None:
    bench = Workbench()
    bundle = unlabelled(load_bundle("digits_mlp"))
    bench.bundle = lambda name: bundle  # type: ignore[assignment]
    answer = answers(candidates_of([("now", SMALL)])[:1], bench)[0]
    assert answer["classes"] == []
    assert answer["evaluation"]["accuracy"] is None
    assert answer["evaluation"]["changes"]["p_value"] is None
    assert answer["evaluation"]["changes"]["indices"]
    assert answer["evaluation"]["noise_dense"][0][1]["value"] == 1.0


def test_noise_is_put_on_evenly_spread_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("nettrim_core.tasks.behaviour"), "NOISE_SAMPLES", 100)
    bundle = load_bundle("digits_mlp")
    answer = answers(candidates_of([("now", TIGHT)]))[0]
    assert answer["noise_samples"] == 100
    assert answer["evaluation"]["samples"] == 500
    inputs, labels = (part[::5] for part in bundle.test)
    assert answer["evaluation"]["noise_dense"] == evaluate(bundle.model, (inputs, labels)).to_dict()["noise"]


def test_what_is_solved_quickly_is_asked_for_first(
    small: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    st.cache_resource.clear()
    candidates = candidates_of([("now", SMALL), ("then", TIGHT)])
    for candidate, answer, seconds in zip(candidates, small, (9.0, 1.0), strict=False):
        point = Point.from_dict(answer["point"])
        slow = dataclasses.replace(point.report.layers[0], seconds=seconds)
        timed = dataclasses.replace(point, report=dataclasses.replace(point.report, layers=[slow]))
        store.points().add(store.bundle_of("digits_mlp"), candidate.plan, timed)
    asked: list[Any] = []
    monkeypatch.setattr(behaviours.work, "visit", lambda: type("Visit", (), {"start": lambda _, *a: asked.extend(a)})())
    behaviours.start(candidates)
    _, request, total, take = asked
    assert [wanted["method"] for wanted in request["candidates"]] == ["magnitude", "lobs", "lobs"]
    assert total == 3
    take({**small[1], "candidate": 0})
    assert behaviours.missing(candidates) == [candidates[0], candidates[2]]
    st.cache_resource.clear()


# ---- figures ----


def test_candidates_of_one_method_do_not_look_alike() -> None:
    found = figures.looks(["lobs", "nettrim", "lobs", "lobs"])
    assert found[0] == look_of("lobs")
    assert found[1] == look_of("nettrim")
    assert {look.light for look in (found[0], found[2], found[3])} == {look_of("lobs").light}
    assert len({(look.dash, look.symbol) for look in found}) == 4


@pytest.mark.parametrize("dark", [False, True])
def test_the_pareto_chart_joins_the_front_alone(dark: bool) -> None:
    points = [(0.2, 0.9), (0.5, 0.8), (0.4, 0.7)]
    dots = [
        figures.Dot(f"{i}", look_of("lobs"), *p, "", (None, (p[1] - 0.1, p[1] + 0.2))) for i, p in enumerate(points)
    ]
    scale = figures.Scale("right", ".0%"), figures.Scale("zeros", ".0%")
    chart = figures.pareto(dots, [(look_of("lobs"), [(0.1, 0.95), (0.6, 0.2)])], front(points, ("high", "high")),
                           scale, dark)  # fmt: skip
    behind, joined, *marks = chart.data
    assert list(behind.x) == [0.1, 0.6]
    assert behind.opacity < 0.5
    assert list(zip(joined.x, joined.y, strict=True)) == points[:2]
    assert [mark.text[0] for mark in marks] == ["0", "1", "2"]
    assert marks[0].error_y.array[0] == pytest.approx(0.2)
    assert marks[0].error_y.arrayminus[0] == pytest.approx(0.1)
    low, high = chart.layout.yaxis.range
    assert low < 0.6
    assert high > 1.1


def test_the_pareto_chart_stands_nothing_and_logarithms() -> None:
    scale = figures.Scale("size", "~s", log=True), figures.Scale("seconds", "~g", log=True)
    empty = figures.pareto([], [], [], scale, False)
    assert empty.layout.xaxis.range is None
    one = figures.pareto([figures.Dot("A", look_of("lobs"), 100.0, 0.1, "")], [], [0], scale, False)
    low, high = one.layout.xaxis.range
    assert low < 2 < high  # the range of a logarithmic axis is in powers of ten


def test_dumbbells_run_from_dense_to_pruned() -> None:
    dense = figures.Parts("dense", None, [(0.9, "9 of 10"), (0.5, "5 of 10")])
    pruned = [figures.Parts(f"{letter} x", look_of("lobs"), [(0.7, "7"), (0.6, "6")]) for letter in "AB"]
    chart = figures.dumbbells(["3", "8"], dense, pruned, False)
    line = chart.data[0]
    assert list(line.x) == [0.9, 0.7, None, 0.5, 0.6, None]
    assert len({y for trace in chart.data if trace.mode == "markers+text" for y in trace.y}) == 4  # no two overlap
    assert [trace.name for trace in chart.data if trace.showlegend] == ["A x", "B x", "dense"]


def test_noise_has_a_band_around_each_line() -> None:
    points = [(0.0, 0.9, 0.85, 0.95), (1.0, 0.5, 0.4, 0.6)]
    chart = figures.noise([figures.Line("dense", None, points), figures.Line("A", look_of("lobs"), points)], "of", True)
    band, line = chart.data[0], chart.data[1]
    assert list(band.y) == [0.85, 0.4, 0.6, 0.95]
    assert list(line.y) == [0.9, 0.5]
    assert chart.data[3].line.dash != line.line.dash


def test_draws_show_every_value_and_the_interval_of_the_mean() -> None:
    found = spread([0.7, 0.8, 0.9])
    assert found.low is not None
    assert found.high is not None
    row = figures.Draws("L-OBS", look_of("lobs"), found.values, found.mean, (found.low, found.high))
    rings, mean = figures.draws([row], "Zeros", False).data
    assert list(rings.x) == [0.7, 0.8, 0.9]
    assert mean.x[0] + mean.error_x.array[0] == pytest.approx(found.high)


# ---- candidates, tables, words ----


def test_every_axis_knows_its_better_direction() -> None:
    high = {name for name, axis in (X_AXES | Y_AXES).items() if axis.best == "high"}
    assert high == {"sparsity", "accuracy"}


def test_candidates_have_letters_and_come_once() -> None:
    seen = dataclasses.replace(SMALL, settings={"pareto_x": "seconds"})
    found = candidates_of([("one", SMALL), ("again", seen), ("two", TIGHT)])
    assert [(c.letter, c.method, c.state) for c in found] == [
        ("A", "lobs", "one"), ("B", "magnitude", "one"), ("C", "lobs", "two"),
    ]  # fmt: skip
    assert same(SMALL, seen)
    assert not same(SMALL, TIGHT)


def test_only_settings_that_differ_are_listed() -> None:
    assert differing(candidates_of([("now", SMALL)])) == {}
    other = dataclasses.replace(
        TIGHT, methods=("lobs", "magnitude"), mode="cascade",
        settings={"lobs.damping": 0.01, "cascade.gamma": 1.5, "scale.fc3": 2.0, "wanda.damping": 9, "train.rate": 1},
    )  # fmt: skip
    rows = differing(candidates_of([("a", SMALL), ("b", other)]))
    usual = f"{METHODS['lobs'].damping:g}"  # type: ignore[attr-defined]
    assert rows == {
        "Layers are pruned": ["in parallel", "in parallel", "as a cascade", "as a cascade"],
        "Epsilon": ["0.3", "0.3", "0.1", "0.1"],
        "L-OBS: damping": [usual, "–", "0.01", "–"],
        "Cascade: gamma": ["–", "–", "1.5", "1.5"],
        "Epsilon of fc3, times": ["1", "1", "2", "2"],
    }


def test_the_new_settings_are_in_the_link() -> None:
    choice = SMALL.with_setting("pareto_x", "bytes").with_setting("pareto_y", "seconds").with_setting("changes", "lost")
    query = {name: [value] for name, value in choice.to_query().items()}
    again, said = parse(query, {"digits_mlp": lambda: Facts(("fc1", "fc2", "fc3"), 1000)})
    assert (again, said) == (choice, [])
    _, said = parse(query | {"pareto_x": ["beauty"]}, {"digits_mlp": lambda: Facts(("fc1", "fc2", "fc3"), 1000)})
    assert "pareto_x = beauty" in said[0]


def reports(small: list[dict[str, Any]]) -> list[tuple[Candidate, Any]]:
    found = [Point.from_dict(answer["point"]).report for answer in small]
    return list(zip(candidates_of([("<b>mine</b>", SMALL)]), found, strict=True))


def test_side_by_side_has_every_figure_and_escapes_names(small: list[dict[str, Any]]) -> None:
    shown = reports(small)
    tight = candidates_of([("x", SMALL), ("<i>&", TIGHT)])[2]
    html = tables_compare.side_by_side([*shown, (tight, None)])
    assert "&lt;b&gt;mine&lt;/b&gt;" in html
    assert "<b>mine" not in html
    assert "&lt;i&gt;&amp;" in html
    for _, report in shown:
        low, high = report.accuracy_interval
        assert f"{100 * report.sparsity:.1f}\u00a0%" in html
        assert f"{100 * low:.1f}\u00a0% to {100 * high:.1f}\u00a0%" in html
    assert html.count(tables_compare.WAITING) == len(tables_compare.FIGURES)
    sparsest = max(report.sparsity for _, report in shown)
    assert f'<strong>{100 * sparsest:.1f}\u00a0%</strong> <span class="w">best' in html


def test_a_tie_has_no_best_and_no_labels_have_no_accuracy(small: list[dict[str, Any]]) -> None:
    candidate, report = reports(small)[0]
    blind = dataclasses.replace(report, accuracy=None, accuracy_before=None)
    html = tables_compare.side_by_side([(candidate, blind), (candidate, blind)])
    assert "best" not in html
    assert "no labels" in html
    assert "no labels" in words.best_for([(candidate, blind), (candidate, blind)])


def test_the_verdict_names_the_best_of_each(small: list[dict[str, Any]]) -> None:
    shown = reports(small)
    text = words.best_for(shown)
    quickest = min(shown, key=lambda entry: entry[1].seconds)[0].title
    smallest = max(shown, key=lambda entry: entry[1].sparsity)[0].title
    assert f"**Little time**: {quickest}" in text
    assert f"**Little memory**: {smallest}" in text
    assert "none of these has a certificate" in text
    assert "may be too few to tell them apart" in text
    assert words.best_for(shown[:1]) == ""


def test_certified_says_why_not(small: list[dict[str, Any]]) -> None:
    report = reports(small)[0][1]
    assert words.certified(report) == "no, the method has no certificate"
    proved = dataclasses.replace(report, layers=[dataclasses.replace(report.layers[0], gap=1e-7)])
    assert words.certified(proved) == "yes"
    open_ = dataclasses.replace(report, layers=[dataclasses.replace(proved.layers[0], converged=False)])
    assert words.certified(open_) == "no, its tolerance was not reached"


CHANGES: dict[str, dict[str, Any]] = {
    "A": {"indices": [2, 5, 9], "old": [1, 0, 3], "new": [7, 1, 4], "lost": [2], "won": [5], "wrong": [9]},
    "B": {"indices": [5], "old": [0], "new": [2], "lost": [], "won": [], "wrong": [5]},
}
LABELS = [0, 0, 1, 0, 0, 1, 0, 0, 0, 8]


@pytest.mark.parametrize(
    ("kind", "letter", "rows"),
    [("changed", "", [2, 5, 9]), ("changed", "B", [5]), ("lost", "", [2]), ("won", "A", [5]), ("won", "B", []),
     ("wrong", "", [5, 9]), ("wrong", "A", [9])],
)  # fmt: skip
def test_changed_samples_are_filtered(kind: str, letter: str, rows: list[int]) -> None:
    found = tables_compare.changed(CHANGES, kind, letter, LABELS)
    assert [entry.row for entry in found] == rows
    by_row = {entry.row: entry for entry in tables_compare.changed(CHANGES, "changed", "", LABELS)}
    assert by_row[2].answers == {"A": 7, "B": 1}  # B answers as the dense network
    assert (by_row[5].true, by_row[5].dense, by_row[5].answers) == (1, 0, {"A": 1, "B": 2})


def test_the_table_of_samples_shows_sixty_with_words_for_every_picture() -> None:
    candidates = candidates_of([("now", dataclasses.replace(SMALL, methods=("lobs",)))])
    rows = [tables_compare.Changed(row, 1, 1, {"A": 2}) for row in range(70)]
    html = tables_compare.samples(rows, np.random.default_rng(0).random((70, 64)), candidates)
    assert html.count("<img") == tables_compare.MOST_SAMPLES == 60
    assert html.count('alt="Test sample') == 60
    assert 'alt="Test sample 3 of class 1, an image of 8 by 8 pixels"' in html
    assert '2 <span class="w">wrong' in html
    assert words.listed(60, 70) == "60 of 70 test samples."
    unlabelled_ = tables_compare.samples([tables_compare.Changed(0, None, 1, {"A": 2})], np.zeros((1, 64)), candidates)
    assert "True class" not in unlabelled_
    assert "wrong" not in unlabelled_


def changes_of(lost: int, won: int, p: float | None) -> dict[str, Any]:
    counts = {"changed": lost + won + 1, "lost": lost, "won": won, "wrong": 1}
    return {"samples": 500, "changes": {"counts": counts, "p_value": p}}


def test_a_change_is_called_chance_or_not() -> None:
    candidate = candidates_of([("now", SMALL)])[0]
    assert "14 became wrong, 5 became right, 1 stayed wrong" in words.changed(candidate, changes_of(14, 5, 0.06))
    assert "That can be chance" in words.changed(candidate, changes_of(14, 5, 0.06))
    assert "**worse, more than by chance**" in words.changed(candidate, changes_of(30, 5, 1e-9))
    assert "below 0.0001" in words.changed(candidate, changes_of(30, 5, 1e-9))
    assert "**better, more than by chance**" in words.changed(candidate, changes_of(1, 20, 0.001))
    assert "exactly as often" in words.changed(candidate, changes_of(0, 0, 1.0))
    assert "Without labels" in words.changed(candidate, changes_of(0, 0, None))
    assert "no classes" in words.changed(candidate, {"samples": 5, "changes": None})


# ---- pictures of samples ----


@pytest.mark.parametrize(
    ("shape", "kind", "drawn"),
    [((784,), "image", (28, 28)), ((64,), "image", (8, 8)), ((1, 28, 28), "image", (28, 28)),
     ((3, 12, 10), "image", (12, 10, 3)), ((5, 12, 10), "image", (12, 10)), ((28, 28), "image", (28, 28)),
     ((1, 40), "signal", (1, 40)), ((4, 40), "signal", (4, 40)), ((40,), "signal", (1, 40)), ((2,), "numbers", (2,)),
     ((4,), "numbers", (4,))],
)  # fmt: skip
def test_what_a_sample_is_drawn_as(shape: tuple[int, ...], kind: str, drawn: tuple[int, ...]) -> None:
    found, values = drawable(np.arange(float(np.prod(shape))).reshape(shape))
    assert (found, values.shape) == (kind, drawn)


def picture(html: str) -> np.ndarray:
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_pixels_are_the_samples_values() -> None:
    sample = np.arange(64.0).reshape(8, 8) / 63
    np.testing.assert_array_equal(picture(thumbnail(sample.ravel(), "x")), np.round(255 * sample))
    color = np.random.default_rng(0).random((3, 9, 9))
    color.flat[0], color.flat[-1] = 0, 1
    np.testing.assert_array_equal(picture(thumbnail(color, "x")), np.round(255 * np.moveaxis(color, 0, 2)))
    assert not picture(thumbnail(np.full((8, 8), 3.0), "flat")).any()


def test_a_signals_line_follows_it() -> None:
    drawn = picture(thumbnail(np.repeat([0.0, 1.0], 20)[None], "step"))
    dark = np.argwhere(drawn.sum(2) < 600)
    left, right = dark[dark[:, 1] < drawn.shape[1] // 3], dark[dark[:, 1] > 2 * drawn.shape[1] // 3]
    assert left[:, 0].min() > right[:, 0].max()  # the step goes up


def test_two_inputs_are_coordinates_and_names_are_escaped() -> None:
    assert thumbnail(np.array([0.5, -1.25]), "x") == "<span>(0.50, -1.25)</span>"
    assert 'alt="&lt;script&gt;&quot;, an image' in thumbnail(np.zeros(64), '<script>"')


# ---- the Python under the results ----


def printed(source: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "<snippet>", "exec"), {})
    return output.getvalue()


STATES = [("one", SMALL), ("two", dataclasses.replace(TIGHT, mode="cascade", settings={"cascade.gamma": 1.2}))]


def test_the_snippets_give_the_pages_numbers(small: list[dict[str, Any]]) -> None:
    candidates = candidates_of(STATES)
    _, report = reports(small)[0]
    low, high = report.accuracy_interval
    table = printed(snippets_compare.table(candidates))
    assert f"A L-OBS: {report.sparsity:.1%} zeros, {report.accuracy:.1%} right ({low:.1%} to {high:.1%})" in table
    assert f"{(Y_AXES['bytes'].value(report) or 0) / 1e3:,.1f} kB, certified False" in table
    assert len(table.splitlines()) == 3
    changes = small[0]["evaluation"]["changes"]
    found = printed(snippets_compare.changes(candidates))
    assert f"A L-OBS: {changes['counts']}, p = {changes['p_value']:.2g}" in found
    first = f"test sample {changes['indices'][0]}:"
    assert first in found
    entry = min(small[0]["classes"], key=lambda e: e["pruned"]["value"] - e["dense"]["value"])
    line = f"class {entry['label']}, {entry['samples']} samples: {entry['dense']['value']:.1%} -> "
    assert line + f"{entry['pruned']['value']:.1%}" in printed(snippets_compare.classes(candidates))
    norm, right = small[0]["evaluation"]["noise"][2]
    assert f"A L-OBS: noise {norm:g}: {right['value']:.1%} right" in printed(snippets_compare.noise(candidates, 1))
    assert printed(snippets_compare.pareto(candidates)).count("zeros") == 3


def test_the_seeds_snippet_gives_the_spread_of_prune_seeds() -> None:
    choice = dataclasses.replace(TIGHT, settings={"scale.fc3": 2.0})
    bundle = load_bundle("digits_mlp")
    runs = prune_seeds(
        bundle.model, bundle.calibration, LOBS(epsilon=0.1), range(3), 200, bundle.validation, layers=["fc3"],
        scale={"fc3": 2.0}, max_patches=choice.patches,
    )  # fmt: skip
    found = spread(report.sparsity for _, report in runs)
    assert f"lobs: {found.mean:.2%} zeros" in printed(snippets_compare.seeds(choice, range(3)))


# ---- the page ----


def show(app: AppTest, choice: Choice = SMALL, held: tuple[Pin, ...] = ()) -> AppTest:
    """The page, straight from a link."""
    for name, value in choice.to_query().items():
        app.query_params[name] = value
    app.session_state["pins"] = list(held)
    return look(app.switch_page("pages/compare.py"))


def look(app: AppTest) -> AppTest:
    app.run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def html(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def run_until(app: AppTest, awaited: str) -> None:
    """Look again, as the page itself does, until a text is there."""
    deadline = time.monotonic() + 240
    while awaited not in text(app):
        assert time.monotonic() < deadline, f"{awaited!r} did not come"
        time.sleep(0.2)
        look(app)


def keys(app: AppTest) -> set[str | None]:
    return {button.key for button in app.button}


def test_without_pins_the_methods_of_now_are_compared(app: AppTest) -> None:
    show(app)
    assert "press *Pin* here" in text(app)
    run_until(app, "**B Magnitude** answers")
    assert "**A L-OBS** answers" in text(app)
    assert "Side by side" in [header.value for header in app.header]
    assert {"Best for whom", "Class by class", "Under noise", "With other samples"} <= {h.value for h in app.header}
    assert len(app.get("plotly_chart")) == 3
    assert "cancel" not in keys(app)
    assert tables_compare.WAITING not in html(app)
    assert 'src="data:image/png;base64,' in html(app)


def test_pins_are_compared_renamed_removed_and_put_back(app: AppTest) -> None:
    show(app, SMALL, (Pin(TIGHT, "tight"), Pin(dataclasses.replace(TIGHT, n=150), "few")))
    picked = app.multiselect(key="w_compared")
    assert len(picked.value) == 3
    run_until(app, "**D L-OBS** answers")
    assert "Calibration samples" in html(app)
    assert "2: few" in html(app)
    app.text_input(key="w_pin_1").set_value("<b>very few</b>").run()
    assert "&lt;b&gt;very few" in html(app)
    assert "<b>very" not in html(app)
    app.button(key="remove_1").click().run()
    assert "very few" not in html(app)
    assert app.button(key="put_back").label == "Removed. Put it back"
    app.button(key="put_back").click().run()
    assert not app.exception
    assert [pin.name for pin in app.session_state["pins"]] == ["tight", "<b>very few</b>"]
    assert "put_back" not in keys(app)
    app.text_input(key="w_pin_1").set_value("  ").run()
    assert app.session_state["pins"][1].name == pins.name_of(TIGHT)


def test_a_state_that_is_pinned_is_not_offered_twice(app: AppTest) -> None:
    show(app, TIGHT, (Pin(TIGHT.with_setting("pareto_x", "bytes"), "mine"),))
    assert len(app.multiselect(key="w_compared").options) == 1
    run_until(app, "**A L-OBS** answers")
    assert "**B" not in text(app)


def test_nothing_picked_is_said(app: AppTest) -> None:
    show(app, TIGHT, (Pin(dataclasses.replace(TIGHT, eps=0.2), "other"),))
    app.multiselect(key="w_compared").set_value([]).run()
    assert not app.exception
    assert any("Pick at least one state" in info.value for info in app.info)


def test_no_layers_are_said(app: AppTest) -> None:
    show(app)
    app.session_state["choice"] = dataclasses.replace(app.session_state["choice"], layers=())
    look(app)
    assert any("Pick at least one layer" in info.value for info in app.info)


def test_a_pin_without_methods_is_said(app: AppTest) -> None:
    show(app, TIGHT, (Pin(dataclasses.replace(TIGHT, methods=()), "empty"),))
    app.multiselect(key="w_compared").set_value([app.multiselect(key="w_compared").value[1]]).run()
    assert not app.exception
    assert any("no layers or no methods" in info.value for info in app.info)


def test_a_filter_that_is_not_offered_any_more_is_left(app: AppTest) -> None:
    app.session_state["changed_by"], app.session_state["answers_of"] = "F", "lenet_5"
    show(app, TIGHT)
    run_until(app, "**A L-OBS** answers")
    assert app.selectbox(key="changed_by").value == ""


def test_no_more_candidates_than_fit(app: AppTest) -> None:
    many = dataclasses.replace(SMALL, methods=("lobs", "exactobs", "magnitude", "wanda"))
    show(app, many, (Pin(dataclasses.replace(many, eps=0.1), "a"),))
    assert f"The first {MOST} of 8 candidates" in text(app)
    app.button(key="cancel").click().run()


def test_stopping_and_going_on(app: AppTest) -> None:
    show(app, dataclasses.replace(SMALL, methods=("nettrim",), layers=("fc1", "fc2", "fc3"), n=1000, eps=0.05))
    app.button(key="cancel").click().run()
    assert not app.exception
    assert "Stopped. What was solved stays." in text(app)
    app.button(key="resume").click().run()
    assert "cancel" in keys(app)
    app.button(key="cancel").click().run()


def test_a_failure_is_told_with_a_way_on(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = work.Visit.start

    def broken(self: work.Visit, key: str, request: dict[str, Any], *rest: Any) -> None:
        wrong = [{**wanted, "method": "nope"} for wanted in request["candidates"]]
        submit(self, key, {**request, "candidates": wrong}, *rest)

    monkeypatch.setattr(work.Visit, "start", broken)
    show(app)
    deadline = time.monotonic() + 240
    while not app.error:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        look(app)
    assert "unknown method 'nope'" in app.error[0].value
    monkeypatch.setattr(work.Visit, "start", submit)
    app.button(key="resume").click().run()
    run_until(app, "**A L-OBS** answers")


def test_filters_and_axes(app: AppTest) -> None:
    show(app, SMALL.with_setting("pareto_x", "bytes"))
    run_until(app, "**B Magnitude** answers")
    assert app.selectbox(key="w_pareto_x").value == "bytes"
    app.selectbox(key="w_pareto_y").set_value("seconds").run()
    assert app.query_params["pareto_y"] in ("seconds", ["seconds"])
    everything = html(app).count("<img")
    app.selectbox(key="w_changes").set_value("wrong").run()
    assert not app.exception
    counted = [int(n) for n in re.findall(r"(\d+) stayed wrong", text(app))]
    assert html(app).count("<img") <= sum(counted) < everything
    app.selectbox(key="changed_by").set_value("A").run()
    assert html(app).count("<img") == counted[0]


def test_two_networks_are_asked_one_at_a_time(app: AppTest) -> None:
    spirals = Choice("spirals", ("fc3",), 0.3, ("magnitude",), n=200)
    show(app, TIGHT, (Pin(spirals, "spirals"),))
    run_until(app, "**A L-OBS** answers")
    run_until(app, "different networks, judged on different samples")
    assert "**B Magnitude** answers" not in text(app)
    (which,) = (group for group in app.get("button_group") if group.key == "answers_of")
    which.set_value("spirals").run()
    assert not app.exception
    run_until(app, "**B Magnitude** answers")
    assert "**A L-OBS** answers" not in text(app)
    assert "<span>(" in html(app)


def test_other_draws_are_the_spread_over_the_seeds(app: AppTest) -> None:
    show(app, TIGHT)
    run_until(app, "**A L-OBS** answers")
    app.button(key="draw").click().run()
    run_until(app, "**L-OBS**, 5 draws")
    bundle = load_bundle("digits_mlp")
    runs = prune_seeds(
        bundle.model, bundle.calibration, LOBS(epsilon=0.1), range(5), 200, bundle.validation, layers=["fc3"],
        max_patches=TIGHT.patches,
    )  # fmt: skip
    found = spread(report.sparsity for _, report in runs)
    assert found.low is not None
    assert found.high is not None
    said = [f"{100 * value:.2f}\u00a0%" for value in (found.mean, found.low, found.high)]
    assert f"{said[0]} ({said[1]} to {said[2]}) zeros" in text(app)
    assert "draw" not in keys(app)


def test_without_labels_everything_but_accuracy_is_shown(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = unlabelled(load_bundle("digits_mlp"))
    bench = Workbench()
    bench.bundle = lambda name: bundle  # type: ignore[assignment]
    (candidate,) = candidates_of([("now", TIGHT)])
    (answer,) = answers([candidate], bench)
    point = Point.from_dict(answer["point"])
    blind = dataclasses.replace(point.report, accuracy=None, accuracy_before=None, test_samples=0)
    monkeypatch.setattr(store, "bundle_of", lambda name: bundle)
    store.points().add(bundle, candidate.plan, dataclasses.replace(point, report=blind))
    behaviours.behaviours().put(candidate, answer)
    show(app, TIGHT)
    assert "no labels" in html(app)
    assert "Without labels nobody can say" in text(app)
    assert "as the dense network's without noise" in text(app)
    assert "Class by class" not in [header.value for header in app.header]
    assert "True class" not in html(app)
    assert 'src="data:image/png;base64,' in html(app)
    assert "no value on these axes" in text(app)


# ---- in a browser ----


def test_pinning_and_comparing_in_a_browser(page: Page) -> None:
    link = "model=digits_mlp&layers=fc3&methods=lobs,magnitude&n=200"
    opened(page, f"/compare?{link}&eps=0.3")
    expect(page.get_by_role("heading", name="Under noise")).to_be_visible(timeout=60_000)
    picture = page.locator(".ntc.tall img").first
    expect(picture).to_be_visible()
    assert picture.evaluate("node => node.complete && node.naturalWidth") == 8
    assert "Test sample" in (picture.get_attribute("alt") or "")
    page.locator(".st-key-pin button").first.click()
    expect(page.get_by_text("1: digits_mlp", exact=False).first).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Rename or remove").click()
    page.locator(".st-key-remove_0 button:visible").first.click()
    back = page.get_by_role("button", name="Removed. Put it back")
    expect(back).to_be_visible(timeout=20_000)
    back.click()
    expect(page.get_by_text("1: digits_mlp", exact=False).first).to_be_visible(timeout=20_000)


def test_nothing_is_wider_than_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    opened(page, "/compare?model=digits_mlp&layers=fc3&methods=lobs,magnitude,exactobs,wanda&n=200&eps=0.3")
    expect(page.get_by_role("heading", name="Under noise")).to_be_visible(timeout=60_000)
    assert page.evaluate("() => document.querySelector('.stMain').scrollWidth") <= 400
    table = page.locator(".ntc").first
    assert table.evaluate("node => node.clientWidth") <= 400
