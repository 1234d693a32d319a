"""The Learn page: truths of the stored sweeps, nothing shown before the guess, and ways into the studio."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from nettrim_core import METHODS, load_bundle
from nettrim_core.bundle import SAMPLE_MODELS
from nettrim_core.figures import lessons as figures
from nettrim_core.jobs import Job, Status
from nettrim_core.record import Point, Stored, load_points
from nettrim_core.subsets import restored
from nettrim_core.tasks.lessons import FRACTIONS, as_linear
from nettrim_core.worker import serve
from pages import lessons_numbers as numbers
from pages import session, store, work
from pages.lessons import CARDS, Card, Evidence, Options, Slider, glossary
from pages.state import Choice, parse
from tests.browsing import opened
from tests.conftest import random_layer
from tests.test_snippets import printed

ROOT = Path(__file__).resolve().parents[1]
BY_KEY = {card.key: card for card in CARDS}


# ---------------------------------------------------------------- the stored files, read without the page's store


@pytest.fixture(scope="module")
def files() -> dict[tuple[str, str], Stored]:
    return {
        (name, mode): load_points(
            SAMPLE_MODELS / name / f"sweep_{mode}.npz", load_bundle(name).fingerprint
        )
        for name in ("lenet_300_100", "spirals", "digits_mlp")
        for mode in ("parallel", "cascade")
    }  # fmt: skip


def points_of(files: dict[tuple[str, str], Stored], choice: Choice, method: str) -> list[Point]:
    """The points of a file for these layers, by epsilon."""
    stored = files[choice.model, choice.mode]
    chosen = [(i, p) for i, p in enumerate(stored.points) if p.method == method]
    if choice.layers == stored.plan.layers:
        return sorted((p for _, p in chosen), key=lambda p: p.epsilon)
    found = stored.subsets[choice.layers]
    parts = [restored(p, choice.layers, {name: values[i] for name, values in found.items()}) for i, p in chosen]
    return sorted(parts, key=lambda p: p.epsilon)


def evidence_of(files: dict[tuple[str, str], Stored], card: Card, answers: list[dict[str, Any]]) -> Evidence:
    def get(choice: Choice, method: str, epsilon: float) -> Point:
        return next(p for p in points_of(files, choice, method) if p.epsilon == epsilon)

    grid = np.zeros((96, 96), np.uint8), np.linspace(0, 1, 96), np.linspace(0, 1, 96)
    return Evidence(get, answers, grid if card.states[0].model == "spirals" else None)


@pytest.fixture(scope="module")
def answers() -> dict[str, list[dict[str, Any]]]:
    """What a worker says of each card's task."""
    asked = [card for card in CARDS if card.request is not None]
    lines = (json.loads(line) for line in serve(json.dumps(card.request) for card in asked))
    return {card.key: list(itertools.takewhile(lambda answer: "done" not in answer, lines)) for card in asked}


@pytest.fixture(scope="module")
def evidence(files: dict[tuple[str, str], Stored], answers: dict[str, list[dict[str, Any]]]) -> dict[str, Evidence]:
    return {card.key: evidence_of(files, card, answers.get(card.key, [])) for card in CARDS}


# ---------------------------------------------------------------- truths


def curve(points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    zeros = [sum(e.weight_zeros for e in p.report.layers) / sum(e.weights for e in p.report.layers) for p in points]
    return np.array(zeros), np.array([p.report.accuracy for p in points], float)


def accuracy_at(points: list[Point], zeros: float) -> float:
    """On the line between points, the last place that has so many zeros, by numpy."""
    x, y = curve(points)
    for k in reversed(range(len(x) - 1)):
        low, high = sorted((k, k + 1), key=lambda i: x[i])
        if x[low] <= zeros <= x[high]:
            return float(np.interp(zeros, [x[low], x[high]], [y[low], y[high]]))
    return math.nan


def test_the_most_zeros_within_a_point(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    points = points_of(files, numbers.HOW_MANY, "nettrim")
    zeros, right = curve(points)
    n, before = points[0].report.test_samples, points[0].report.accuracy_before
    assert before is not None
    most = max(z for z, r in zip(zeros, right, strict=True) if round(before * n) - round(r * n) <= n // 100)
    assert BY_KEY["how_many"].truth(evidence["how_many"]) == pytest.approx(100 * most)
    assert 50 < 100 * most < 100


def test_the_tolerance_that_is_used(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    (point,) = [p for p in points_of(files, numbers.BALL, "nettrim") if p.epsilon == numbers.BALL.eps]
    (layer,) = [e for e in point.report.layers if e.name == "fc1"]
    truth = BY_KEY["ball"].truth(evidence["ball"])
    assert truth == pytest.approx(100 * layer.discrepancy / numbers.BALL.eps)
    (answer,) = evidence["ball"].answers
    assert answer["changed"] / answer["norm"] == pytest.approx(layer.discrepancy, rel=1e-3)
    assert math.hypot(answer["along"], answer["across"]) == pytest.approx(answer["changed"])
    assert answer["norm"] * numbers.BALL.eps == pytest.approx(layer.radius, rel=1e-3)


def test_who_wins_the_duel(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    ours, theirs = (points_of(files, numbers.GREEDY, name) for name in ("nettrim", "lobs"))
    here = [p.epsilon for p in ours].index(numbers.GREEDY.eps)
    zeros, right = curve(ours)
    more = "nettrim" if zeros[here] > curve(theirs)[0][here] else "lobs"
    keeps = "lobs" if accuracy_at(theirs, zeros[here]) > right[here] else "nettrim"
    assert BY_KEY["greedy"].truth(evidence["greedy"]) == f"{more} {keeps}" == "nettrim nettrim"


def test_which_mode_is_ahead(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    """By the lines between the points, which agree with the points that the card compares; and the exception."""
    card = BY_KEY["cascade"]
    gaps = []
    for choice in (numbers.CASCADE, numbers.CASCADE_TURNED):
        cascade = points_of(files, choice, "nettrim")
        parallel = points_of(files, dataclasses.replace(choice, mode="parallel"), "nettrim")
        here = [p.epsilon for p in cascade].index(choice.eps)
        zeros, right = curve(cascade)
        gaps.append(right[here] - accuracy_at(parallel, zeros[here]))
    assert gaps[0] > 0.005
    assert card.truth(evidence["cascade"]) == "cascade"
    assert gaps[1] < -0.005
    assert "That is no law" in card.explain(evidence["cascade"])
    assert numbers.better_mode(evidence["cascade"], numbers.CASCADE_TURNED) == "parallel"


def test_where_lobs_wins(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    leads = {}
    for name, choice in numbers.RIVAL_PLACES.items():
        ours, theirs = (points_of(files, choice, method) for method in ("nettrim", "lobs"))
        here = [p.epsilon for p in ours].index(choice.eps)
        zeros, right = curve(ours)
        leads[name] = accuracy_at(theirs, zeros[here]) - right[here]
        assert numbers.lead(evidence["rivals"], choice) == pytest.approx(leads[name])
    assert [name for name, value in leads.items() if value > 0] == ["cascade"]
    assert BY_KEY["rivals"].truth(evidence["rivals"]) == "cascade"
    # what is said of shrinking is so: at the same zeros Net-Trim's weights add up to less
    shrunk, adjusted = numbers.matched(evidence["rivals"], numbers.SHRUNK)
    assert adjusted is not None
    assert shrunk.y < adjusted.y < 1


def test_how_loose_the_promise_is(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    (point,) = [p for p in points_of(files, numbers.PROMISE, "nettrim") if p.epsilon == numbers.PROMISE.eps]
    last = point.report.layers[-1]
    assert last.bound is not None
    truth = BY_KEY["promise"].truth(evidence["promise"])
    assert truth == pytest.approx(last.bound / last.error)
    assert all(numbers.looseness(p) >= 1 for p in points_of(files, numbers.PROMISE, "nettrim"))


def test_what_two_sets_of_constraints_save(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    (point,) = [p for p in points_of(files, numbers.TWO_SETS, "nettrim") if p.epsilon == numbers.TWO_SETS.eps]
    (layer,) = [e for e in point.report.layers if e.name == "fc2"]
    first, turned = evidence["two_sets"].answers
    left = layer.weights - layer.weight_zeros
    assert first["kept"] == pytest.approx(left, rel=0.002)
    assert BY_KEY["two_sets"].truth(evidence["two_sets"]) == pytest.approx(first["kept_linear"] / first["kept"])
    assert first["kept_linear"] > first["kept"]
    assert turned["kept_linear"] < turned["kept"]  # the other side of it, which the card tells too
    trained, two = np.array(first["trained"]), np.array(first["two"])
    on = trained > 0
    assert 0.25 <= on.mean() <= 0.75
    assert two[~on].max() <= first["half_width"]  # below zero, to within the certificate


def test_a_layer_taken_for_a_linear_one_keeps_the_same_promise() -> None:
    """||act(V'X) - Y|| <= ||V'X - W'X|| <= epsilon ||Y||: the ReLU brings responses no further apart."""
    problem = random_layer(p=80)
    linear = as_linear(problem)
    assert not linear.relu
    epsilon = 0.3 * problem.norm / linear.norm
    V = dataclasses.replace(METHODS["nettrim"], epsilon=epsilon).prune(linear).U  # type: ignore[type-var]
    change = problem.activate(problem.response(V)) - problem.Y
    apart = problem.response(V) - problem.response(problem.W)
    assert float(change.norm()) <= float(apart.norm()) <= 0.3 * problem.norm * 1.001


def test_what_zeros_take_in_store(files: dict[tuple[str, str], Stored], evidence: dict[str, Evidence]) -> None:
    (point,) = [p for p in points_of(files, numbers.STORAGE, "lobs") if p.epsilon == numbers.STORAGE.eps]
    (layer,) = point.report.layers
    (answer,) = evidence["storage"].answers
    assert answer["dense"] == answer["dense_before"] == 4 * layer.weights
    assert BY_KEY["storage"].truth(evidence["storage"]) == 100
    assert answer["fractions"][0] == pytest.approx(layer.sparsity, abs=1e-3)
    assert answer["fractions"][1:] == list(FRACTIONS)
    assert answer["zipped"] < answer["zipped_before"] < answer["dense"]
    assert all(seconds > 0 for seconds in answer["sparse_seconds"])
    left = layer.weights - layer.weight_zeros
    assert f"{(layer.weights / 8 + 4 * left) / 1e3:,.1f}\u00a0kB" in BY_KEY["storage"].explain(evidence["storage"])


def test_a_sparse_matrix_pays_from_where_it_stays_faster() -> None:
    answer = {"seconds_before": 2.0, "fractions": [0.8, 0.5, 0.9, 0.99], "sparse_seconds": [1.0, 5.0, 3.0, 0.1]}
    assert numbers.pays_from(answer) == 0.99  # faster at .8 as well, but not from there on
    assert numbers.pays_from({**answer, "sparse_seconds": [3.0] * 4}) is None


# ---------------------------------------------------------------- cards


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.key)
def test_a_card_is_whole(card: Card, evidence: dict[str, Evidence]) -> None:
    here = evidence[card.key]
    truth = card.truth(here)
    control = card.control
    if isinstance(control, Slider):
        assert control.low <= control.start <= control.high
        assert control.low <= truth <= control.high
        guess: Any = control.start
    else:
        assert truth in control.texts
        guess = next(iter(control.texts))
    said = card.verdict(guess, truth)
    assert control.say(guess) in said
    assert set(card.symbols) <= set(glossary())
    assert "nan" not in card.explain(here)
    for picture in card.pictures(here, guess, False):
        assert len(picture.alt) > 40
        json.loads(picture.figure.to_json())
    assert len({other.key for other in CARDS}) == len(CARDS)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.key)
def test_doors_open_without_a_notice(card: Card, evidence: dict[str, Evidence]) -> None:
    lookup = {name: (lambda name=name: store.facts_of(name)) for name in ("lenet_300_100", "spirals", "digits_mlp")}
    for door in card.doors(evidence[card.key]):
        query = {name: [value] for name, value in door.choice.to_query().items()}
        again, said = parse(query, lookup)
        assert said == []
        assert again == door.choice
        assert (ROOT / "pages" / f"{door.page}.py").exists()


@pytest.mark.parametrize("key", ["how_many", "cascade", "rivals"])
def test_a_verdict_says_both(key: str, evidence: dict[str, Evidence]) -> None:
    card = BY_KEY[key]
    truth = card.truth(evidence[key])
    if isinstance(card.control, Options):
        wrong = next(option for option in card.control.texts if option != truth)
        assert card.control.texts[truth] in card.verdict(wrong, truth)
        assert "that is what was measured" in card.verdict(truth, truth)
    else:
        assert card.verdict(50.0, 81.04) == "You said **50\u00a0%**, it is **81.0\u00a0%**."


@pytest.mark.parametrize("key", ["ball", "two_sets", "storage"])
def test_the_python_of_a_card_gives_its_numbers(key: str, evidence: dict[str, Evidence]) -> None:
    card, here = BY_KEY[key], evidence[key]
    output = printed(card.code(card.doors(here)[0].choice))
    first = here.answers[0]
    if key == "ball":
        assert output.strip() == f"length {first['norm']:.1f}, moved by {first['changed']:.1f}"
    elif key == "two_sets":
        kept = [int(line.split()[0].replace(",", "")) for line in output.splitlines()]
        assert kept == pytest.approx([first["kept"], first["kept_linear"]], rel=0.005)
    else:
        assert output.splitlines()[1] == f"{first['dense']:,} bytes, zipped {first['zipped']:,}"


def test_numbers_in_the_lesson_are_links_only() -> None:
    """docs/lesson.md leaves what was measured to the pages."""
    text = (ROOT / "docs" / "lesson.md").read_text()
    assert "%" not in text
    for k in range(1, len(CARDS) + 1):
        assert f"/learn?card={k})" in text


def test_links_of_the_lesson_open_without_a_notice() -> None:
    from urllib.parse import parse_qs, urlsplit

    text = (ROOT / "docs" / "lesson.md").read_text() + (ROOT / "README.md").read_text()
    links = [part.split(")")[0] for part in text.split("](http://127.0.0.1:8501")[1:]]
    assert len(links) > 16
    for link in links:
        assert session.choice_of(parse_qs(urlsplit(link).query))[1] == []


# ---------------------------------------------------------------- figures


def test_the_ball_is_to_scale() -> None:
    figure = figures.ball(10.0, 2.0, -1.0, 1.5, dark=False)
    circle, trained, pruned = figure.data
    radii = np.hypot(np.array(circle.x) - 10.0, np.array(circle.y))
    assert radii == pytest.approx(np.full(len(radii), 2.0))
    assert (trained.x[1], trained.y[1]) == (10.0, 0.0)
    assert (pruned.x[1], pruned.y[1]) == (9.0, 1.5)
    assert figure.layout.yaxis.scaleanchor == "x"


def test_samples_are_split_by_omega() -> None:
    figure = figures.samples([-1.0, 2.0, -3.0], [-5.0, 2.1, -0.5], 0.2, False, halves=True)
    on, off = figure.data[-2:]
    assert list(on.x) == [2.0]
    assert list(off.x) == [-1.0, -3.0]
    assert on.marker.symbol != off.marker.symbol
    whole = figures.samples([-1.0, 2.0], [-5.0, 2.1], 0.2, False, halves=False)
    assert len(whole.data) == len(figure.data) - 1  # no half-line


# ---------------------------------------------------------------- the page


def learn(app: AppTest, **query: str) -> AppTest:
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("pages/learn.py").run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def button(app: AppTest, start: str) -> Any:
    return next(b for b in app.button if (b.key or "").startswith(start))


def has(app: AppTest, start: str) -> bool:
    return any((b.key or "").startswith(start) for b in app.button)


def place_of(key: str) -> str:
    return str(list(BY_KEY).index(key) + 1)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.key)
def test_nothing_is_revealed_before(app: AppTest, card: Card, evidence: dict[str, Evidence]) -> None:
    learn(app, card=place_of(card.key))
    assert app.header[0].value == card.title
    assert "You said" not in text(app)
    assert card.explain(evidence[card.key])[:40] not in text(app)
    assert not app.get("plotly_chart")
    assert not has(app, "door")
    if isinstance(card.control, Slider):
        assert card.control.say(card.truth(evidence[card.key]), exact=True) not in text(app)
    else:
        assert app.radio[0].value is None
        assert button(app, "reveal").disabled  # nothing was guessed


def test_a_guess_is_kept_beside_the_truth(app: AppTest, evidence: dict[str, Evidence]) -> None:
    card = BY_KEY["how_many"]
    learn(app)
    app.slider(key="guess_how_many").set_value(42.0).run()
    assert "You said" not in text(app)
    button(app, "reveal").click().run()
    said = card.verdict(42.0, card.truth(evidence["how_many"]))
    assert said in text(app)
    assert card.explain(evidence["how_many"]) in text(app)
    assert app.get("plotly_chart")
    assert app.slider(key="guess_how_many").disabled
    button(app, "next").click().run()
    assert said not in text(app)
    assert app.session_state["choice"].card == 2
    button(app, "back").click().run()
    assert said in text(app)
    assert "42" not in str(dict(app.query_params))
    button(app, "again").click().run()
    assert said not in text(app)
    assert app.slider(key="guess_how_many").value == 42.0


def test_the_ends_of_the_lesson(app: AppTest) -> None:
    learn(app)
    assert button(app, "back").disabled
    for _ in CARDS[1:]:
        button(app, "next").click().run()
    assert not app.exception
    assert app.header[0].value == CARDS[-1].title
    assert button(app, "next").disabled


@pytest.mark.parametrize("wrong", ["0", str(len(CARDS) + 1), "two"])
def test_a_card_that_is_none(app: AppTest, wrong: str) -> None:
    learn(app, card=wrong)
    (warning,) = app.warning
    assert f"card = {wrong}" in warning.value
    assert f"from 1 to {len(CARDS)}" in warning.value
    assert app.header[0].value == CARDS[0].title


def test_a_door_leads_to_the_numbers_that_were_said(app: AppTest, evidence: dict[str, Evidence]) -> None:
    card = BY_KEY["greedy"]
    learn(app, card=place_of("greedy"))
    app.radio[0].set_value("lobs lobs").run()
    button(app, "reveal").click().run()
    button(app, "door_greedy_0").click().run()
    assert not app.exception
    assert not app.warning
    door = card.doors(evidence["greedy"])[0]
    assert app.session_state["choice"] == dataclasses.replace(door.choice, card=int(place_of("greedy")))
    app.switch_page("pages/explore.py").run()
    ours, theirs = numbers.matched(evidence["greedy"], numbers.GREEDY)
    assert theirs is not None
    for number in (ours.sparsity, ours.accuracy, theirs.accuracy):
        assert f"{100 * (number or 0):.1f}\u00a0%" in text(app)


def test_work_that_was_stopped_or_failed_can_be_resumed(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Job] = []

    def submit(_: Any, job: Job) -> Job:
        job.status = Status.RUNNING
        job._cancel = lambda: setattr(job, "status", Status.CANCELLED)
        made.append(job)
        return job

    monkeypatch.setattr(work.Pool, "submit", submit)
    monkeypatch.setattr(work.Pool, "ahead_of", lambda *_: 0)
    learn(app, card=place_of("ball"))
    assert len(made) == 1  # under way while people guess
    assert not has(app, "cancel")
    button(app, "reveal").click().run()
    assert has(app, "cancel")
    button(app, "cancel").click().run()
    assert "Stopped" in text(app)
    assert "You said" not in text(app)
    button(app, "resume").click().run()
    assert len(made) == 2
    made[-1].error, made[-1].status = "the worker ended", Status.FAILED
    app.run()
    assert "the worker ended" in app.error[0].value
    button(app, "resume").click().run()
    made[-1].on_answer({"norm": 10.0, "changed": 1.0, "along": -0.6, "across": 0.8, "count": 7})
    made[-1].status = Status.DONE
    app.run()
    assert not app.exception
    assert "You said" in text(app)


def test_points_that_are_not_stored_are_solved(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Job] = []

    def submit(_: Any, job: Job) -> Job:
        job.status = Status.RUNNING
        asked.append(job)
        return job

    monkeypatch.setattr(work.Pool, "submit", submit)
    monkeypatch.setattr(work.Pool, "ahead_of", lambda *_: 0)
    monkeypatch.setattr(store.Points, "read_stored", lambda *_: None)
    learn(app, card=place_of("how_many"))
    button(app, "reveal").click().run()
    assert has(app, "cancel")
    (job,) = asked
    assert job.request["task"] == "sweep"
    assert job.total == 25
    (sweep,) = job.request["sweeps"]
    assert sweep["plan"]["bundle"] == "lenet_300_100"


# ---------------------------------------------------------------- in a browser


@pytest.mark.long
def test_all_cards_with_the_keyboard_alone(page: Page) -> None:
    opened(page, "/learn?card=1")
    for k, card in enumerate(CARDS, 1):
        expect(page.get_by_role("heading", name=card.title)).to_be_visible(timeout=30_000)
        expect(page.get_by_role("heading", name="Why", exact=True)).to_have_count(0)
        focus(page, "slider" if isinstance(card.control, Slider) else "radio")
        page.keyboard.press("ArrowRight" if isinstance(card.control, Slider) else "Space")
        reveal = page.get_by_role("button", name="Reveal")
        expect(reveal).to_be_enabled(timeout=30_000)
        focus(page, "button", "Reveal")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Why", exact=True)).to_be_visible(timeout=240_000)
        expect(page.get_by_role("heading", name="You said")).to_be_visible()
        if k < len(CARDS):
            focus(page, "button", "Next")
            page.keyboard.press("Enter")


def test_next_and_doors_leave_the_answer(page: Page) -> None:
    opened(page, "/learn?card=1")
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_role("button", name="Next card")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Next card").click()
    expect(page.get_by_role("heading", name=CARDS[1].title)).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Back").click()
    said = page.get_by_role("heading", name="You said").inner_text()
    page.get_by_role("button", name="Open the studio in exactly this state").click()
    expect(page.get_by_role("heading", name="How much can we trim?")).to_be_visible(timeout=60_000)
    zeros = said.split("it is ")[1].rstrip(".")
    expect(page.locator(".st-key-sentence")).to_contain_text(f"sets {zeros} of the weights to zero", timeout=60_000)
    page.get_by_role("link", name="Learn").click()
    expect(page.get_by_role("heading", name=said)).to_be_visible(timeout=30_000)


def focus(page: Page, role: str, name: str = "") -> None:
    """Go on with Tab until something of this role, and of a name that begins so, has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => { const e = document.activeElement, kinds = {radio: "radio", range: "slider"}
            return [e.getAttribute("role") || kinds[e.type] || e.tagName.toLowerCase(), e.innerText || ""] }"""
        )
        if found[0] == role and found[1].strip().startswith(name):
            return
    raise AssertionError(f"no {role} {name!r} can be reached with Tab")


@pytest.mark.long
def test_the_answer_fits_a_narrow_screen(page: Page) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    opened(page, f"/learn?card={place_of('rivals')}")
    page.get_by_text("Spirals, in parallel").or_(page.get_by_text("The spirals, in parallel")).first.click()
    page.get_by_role("button", name="Reveal").click()
    expect(page.get_by_role("heading", name="Why", exact=True)).to_be_visible(timeout=60_000)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 400
