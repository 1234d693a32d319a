"""The Budget page: its tasks, words, figures and locks, the states it can be in, and its table in a browser."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from nettrim_core import AccuracyDrop, Magnitude, MultiplyAdds, Report, allocate, load_bundle, sensitivity
from nettrim_core.allocate import Budget
from nettrim_core.figures import budget as figures
from nettrim_core.plan import Plan, method_from
from nettrim_core.report import Allocation, LayerShare
from nettrim_core.sensitivity import SPARSITIES
from nettrim_core.tasks import TASKS
from nettrim_core.workbench import Workbench
from pages import budgets, locks, snippets_budget
from pages import words_budget as words
from pages.state import Choice
from tests import browsing
from tests.conftest import unfolded

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("fc1", "fc2", "fc3")
PLAN = Plan("digits_mlp", LAYERS, samples=200)
REQUEST: dict[str, Any] = {
    "plan": PLAN.to_dict(), "method": "lobs", "settings": {}, "target": {"sparsity": 0.8}, "rule": "hull",
    "locked": {}, "offers": {},
}  # fmt: skip
CHOICE = Choice("digits_mlp", LAYERS, methods=("lobs",), n=200)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench()


@pytest.fixture(scope="module")
def report(bench: Workbench) -> Report:
    return shared(bench)


def shared(bench: Workbench, **changes: Any) -> Report:
    return Report.from_dict(list(TASKS["budget"]({**REQUEST, **changes}, bench))[-1]["report"])


def zeros(report: Report) -> list[int]:
    assert report.allocation is not None
    return [share.zeros for share in report.allocation.shares]


# tasks


@pytest.mark.parametrize(
    ("data", "target", "rule", "locked"),
    [
        ({"sparsity": 0.8}, 0.8, "hull", {}),
        ({"sparsity": 0.8}, 0.8, "erk", {"fc2": 0.7}),
        ({"left": 0.3}, MultiplyAdds(0.3), "hull", {"fc3": 0.0}),
        ({"drop": 0.05}, AccuracyDrop(0.05), "uniform", {}),
    ],
)
def test_the_task_gives_what_allocate_gives(
    bench: Workbench, data: dict[str, float], target: Any, rule: str, locked: dict[str, float]
) -> None:
    found = shared(bench, target=data, rule=rule, locked=locked)
    bundle = load_bundle("digits_mlp")
    _, wanted = allocate(
        bundle.model, bundle.calibration_sample(200), "lobs", target, rule=rule, locked=locked,
        validation=bundle.validation, test=bundle.validation, max_patches=PLAN.patches,
    )  # fmt: skip
    assert wanted.allocation is not None
    assert found.allocation == wanted.allocation
    assert (found.accuracy, found.accuracy_before) == (wanted.accuracy, wanted.accuracy_before)
    assert [layer.bound for layer in found.layers] == [layer.bound for layer in wanted.layers]


def test_a_layer_is_priced_once_for_all_targets_and_locks(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = list(TASKS["budget"](REQUEST, Workbench()))
    assert [answer.get("layer") for answer in answers] == [*LAYERS, None]
    offers = {answer["layer"]: answer["offer"] for answer in answers[:-1]}
    fresh = Workbench()
    monkeypatch.setattr(Budget, "_probed", None)  # whoever prices a layer again fails
    recalled = list(TASKS["budget"]({**REQUEST, "offers": offers}, fresh))
    assert len(recalled) == 1
    assert recalled[0]["report"]["allocation"] == answers[-1]["report"]["allocation"]
    assert len(list(TASKS["budget"]({**REQUEST, "locked": {"fc1": 0.6}, "target": {"left": 0.4}}, fresh))) == 3


def test_relocked_budgets_are_those_made_with_the_locks() -> None:
    network = PLAN.network(load_bundle("digits_mlp"))
    first = Budget(network, Magnitude())
    first.share(0.6)
    again, anew = (
        budget.share(0.6)[1] for budget in (first.relocked({"fc2": 0.2}), Budget(network, Magnitude(), {"fc2": 0.2}))
    )
    assert again.allocation == anew.allocation
    assert zeros(again)[1] == round(0.2 * 5050)
    assert zeros(first.share(0.6)[1])[1] != zeros(again)[1]
    with pytest.raises(ValueError, match="nothing is left"):
        first.relocked(dict.fromkeys(LAYERS, 0.5))


def test_a_target_that_cannot_be_reached_raises_before_any_work(bench: Workbench) -> None:
    with pytest.raises(ValueError, match="cannot be reached"):
        next(iter(TASKS["budget"]({**REQUEST, "target": {"sparsity": 0.99}, "locked": {"fc1": 0.0}}, bench)))


def test_each_layer_alone_is_worth_what_the_core_says(bench: Workbench) -> None:
    bundle = load_bundle("digits_mlp")
    answers = list(TASKS["sensitivity"]({**REQUEST, "layers": ["fc1", "fc3"]}, bench))
    wanted = [
        (layer, asked, report.accuracy, report.output_error)
        for layer, asked, report in sensitivity(
            bundle.model, bundle.calibration_sample(200), "lobs", test=bundle.validation, max_patches=PLAN.patches
        )
        if layer != "fc2"
    ]
    assert [(a["layer"], a["asked"], a["accuracy"], a["output_error"]) for a in answers] == wanted
    sizes = {"fc1": 6500, "fc3": 510}
    assert all(a["zeros"] * sizes[a["layer"]] == pytest.approx(round(a["asked"] * sizes[a["layer"]])) for a in answers)


def test_what_is_left_and_the_even_share_are_counted_in_the_budgets_unit() -> None:
    shares = [LayerShare("a", 100, 50, 40, unit=10), LayerShare("b", 1000, 1000, 900), LayerShare("c", 50, 5, 5, True)]
    found = Allocation("hull", {"left": 0.3}, "multiply-add", "kl", shares)
    assert found.left == (10 * 50 + 0 + 45) / (1000 + 1000 + 50)
    assert found.uniform == (10 * 40 + 900) / 2000
    assert dataclasses.replace(found, shares=shares[2:]).uniform is None


# locks

GIVEN = {"fc1": 0.89312, "fc2": 0.95, "fc3": 0.5}


@pytest.mark.parametrize(
    ("begun", "edits", "after"),
    [
        ({}, {0: {"lock": True}}, {"fc1": 0.8931}),
        ({}, {1: {"own": 12.5}}, {"fc2": 0.125}),
        ({}, {1: {"own": 0}}, {"fc2": 0.0}),
        ({}, {1: {"own": 0, "lock": False}, 2: {"lock": True}}, {"fc2": 0.0, "fc3": 0.5}),
        ({"fc2": 0.125}, {}, {"fc2": 0.125}),
        ({"fc2": 0.125}, {1: {"own": None}}, {}),
        ({"fc2": 0.125}, {1: {"own": 33.3, "lock": True}}, {"fc2": 0.333}),
        ({"fc2": 0.125}, {1: {"own": None, "lock": True}}, {"fc2": 0.125}),
        ({}, {7: {"lock": True}}, {}),
    ],
)
def test_edits_become_locks(begun: dict[str, float], edits: locks.Edits, after: dict[str, float]) -> None:
    choice = dataclasses.replace(CHOICE, settings={f"lock.{name}": value for name, value in begun.items()})
    found = locks.edited(choice, begun, GIVEN, edits)
    assert found.locked == after
    assert locks.agree(found, begun, edits)
    assert locks.edited(found, begun, {"fc1": 0.1}, edits) == found  # another budget does not move what is held


def test_a_table_agrees_with_the_locks_that_it_made_until_they_change_elsewhere() -> None:
    begun, edits = {"fc3": 0.4}, {0: {"lock": True}, 1: {"own": 12.5}}
    locked = locks.edited(CHOICE.with_setting("lock.fc3", 0.4), begun, GIVEN, edits)
    assert locked.locked == {"fc1": 0.8931, "fc2": 0.125, "fc3": 0.4}
    assert not locks.agree(CHOICE, begun, edits)
    assert not locks.agree(locks.unlocked(locked), begun, edits)
    assert not locks.agree(locked.with_setting("lock.fc2", 0.2), begun, edits)
    assert not locks.agree(locked, {}, edits)
    assert locks.unlocked(locked) == CHOICE


def test_the_rows_show_the_locks_in_per_cent() -> None:
    rows = locks.rows(LAYERS, {"fc2": 0.125})
    assert rows["layer"] == list(LAYERS)
    assert rows["own"][1] == 12.5
    assert math.isnan(rows["own"][0])


# words and figures


def test_the_figures_are_the_reports(report: Report) -> None:
    values = {label: value for label, value, _ in words.figures(report)}
    assert values["Zeros got"] == f"{100 * sum(zeros(report)) / 12060:.1f}\u00a0%"
    assert values["Right after"] == f"{100 * (report.accuracy or 0):.1f}\u00a0%"
    assert "297 validation samples" in words.denominators(report)
    unlabelled = dataclasses.replace(report, accuracy=None, accuracy_before=None, test_samples=0)
    assert [label for label, _, _ in words.figures(unlabelled)] == ["Zeros asked for", "Zeros got"]
    assert "validation" not in words.denominators(unlabelled)


def test_the_price_is_said_with_its_unit_or_its_absence(report: Report) -> None:
    assert report.allocation is not None
    assert f"{report.allocation.price:.2g} nats a weight" in words.price(report.allocation)
    assert "knows no price" in words.price(dataclasses.replace(report.allocation, loss=None, rule="erk"))
    free = [dataclasses.replace(share, paid=None) for share in report.allocation.shares]
    assert "no price" in words.price(dataclasses.replace(report.allocation, shares=free))


def test_what_is_done_is_told_as_it_goes() -> None:
    assert "1 of 3 layers" in words.doing(1, 4, "zeros")
    assert "Sharing" in words.doing(3, 4, "zeros")
    assert "often enough" in words.doing(3, 4, "accuracy")


def test_what_to_do_about_a_refusal_fits_the_goal() -> None:
    asked = CHOICE.with_setting("budget.of", "accuracy")
    assert "allow more" in words.refusal("no", asked)
    assert "unlock" not in words.refusal("no", asked)
    assert "unlock a layer" in words.refusal("no", asked.with_setting("lock.fc1", 0.0))


def test_the_bars_are_the_shares_and_the_line_the_even_share(report: Report) -> None:
    shared = report.allocation
    assert shared is not None
    figure = figures.shares(shared, "lobs", dark=False)
    assert list(figure.data[0].x) == [share.zeros / share.size for share in shared.shares]
    assert figure.layout.shapes[0].x0 == shared.uniform == pytest.approx(0.8, abs=1e-3)


def test_a_layer_alone_is_marked_on_its_curve_where_the_budget_put_it() -> None:
    points = [
        {"zeros": 0.5, "accuracy": 0.9, "dense": 1.0, "output_error": 0.1},
        {"zeros": 0.9, "accuracy": 0.5, "dense": 1.0, "output_error": 0.7},
    ]
    figure = figures.alone(points, 0.6, "lobs", dark=True)
    assert list(figure.data[0].y) == [1.0, 0.9, 0.5]
    assert list(figure.data[1].x) == [0.6]
    assert figure.data[1].y[0] == pytest.approx(0.8)
    assert len(figures.alone(points, 0.95, "lobs", dark=True).data) == 1  # beyond what was measured
    unlabelled = [{**point, "accuracy": None, "dense": None} for point in points]
    assert list(figures.alone(unlabelled, None, "lobs", dark=True).data[0].y) == [0.0, 0.1, 0.7]
    assert "changed by 70.0\u00a0%" in words.alone_alt("fc1", unlabelled, None)


def test_bounds_have_their_dots_and_their_reasons(report: Report) -> None:
    assert all(layer.bound is not None and layer.error <= layer.bound * (1 + 1e-6) for layer in report.layers)
    last = dataclasses.replace(report.layers[-1], bound=None, notes=["no bound: a reason"])
    first = dataclasses.replace(report.layers[0], error=0.0, bound=1.0)
    guessed = dataclasses.replace(report.layers[1], bound_is_estimate=True)
    layers = [first, guessed, last]
    *lines, measured, promised = figures.bounds(layers, "lobs", dark=False).data
    assert [list(line.y) for line in lines] == [["fc2", "fc2"]]
    assert list(measured.y) == ["fc2", "fc3"]
    assert list(promised.y) == ["fc1", "fc2"]
    assert promised.x[1] == guessed.bound / guessed.output_norm
    notes = words.bound_notes(layers)
    assert [re.findall(r"\*\*(.+?)\*\*: (.{8})", note)[0] for note in notes] == [
        ("fc1", "no error"), ("fc2", "the boun"), ("fc3", "no bound"),
    ]  # fmt: skip
    assert "no bound" in words.bounds_alt(layers)


# snippets


def printed(source: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "<snippet>", "exec"), {})
    return output.getvalue()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"budget.of": "multiply-adds", "budget.left": 0.3, "budget.rule": "lamp", "lock.fc2": 0.5},
        {"budget.of": "accuracy", "budget.drop": 0.05, "lobs.damping": 0.01},
    ],
)
def test_the_snippets_run_and_agree(bench: Workbench, settings: dict[str, Any]) -> None:
    choice = dataclasses.replace(CHOICE, settings=settings, mode="cascade" if not settings else "parallel")
    report = Report.from_dict(list(TASKS["budget"]({**budgets._request(choice), "offers": {}}, bench))[-1]["report"])
    assert report.allocation is not None
    out = printed(snippets_budget.decided(choice))
    assert out.splitlines()[0] == f"{report.accuracy_before:.1%} right before, {report.accuracy:.1%} right after"
    assert out.splitlines()[1:] == report.allocation.sentences
    out = printed(snippets_budget.shares(choice))
    assert out.count("weights and biases") == 3
    assert f"even share: {report.allocation.uniform:.1%}" in out
    last = report.layers[-1]
    assert f"fc3: {last.error / last.output_norm:.3g} measured" in printed(snippets_budget.bounds(choice))


def test_the_snippet_of_layers_alone_runs_and_agrees(bench: Workbench) -> None:
    lines = printed(snippets_budget.alone(CHOICE)).splitlines()
    answers = list(TASKS["sensitivity"]({**REQUEST, "layers": list(LAYERS)}, bench))
    assert lines == [f"{a['layer']} alone at {a['asked']:.0%} zeros: {a['accuracy']:.1%} right" for a in answers]


# the page


def opened(app: AppTest, **query: str) -> AppTest:
    for name, value in {"model": "digits_mlp", "methods": "lobs", "n": "200", **query}.items():
        app.query_params[name] = value
    app.switch_page("pages/budget.py").run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.warning, *app.info])


def run_until(app: AppTest, awaited: str) -> str:
    """Look again, as the page itself does, until a text is there."""
    deadline = time.monotonic() + 240
    while awaited not in text(app):
        assert time.monotonic() < deadline, f"{awaited!r} did not come; there is {text(app)}"
        time.sleep(0.2)
        app.run()
        assert not app.exception
    return text(app)


def keys(app: AppTest) -> set[str]:
    return {button.key for button in app.button if button.key}


def shown(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def test_a_link_is_shared_and_explained(app: AppTest, report: Report) -> None:
    said = run_until(opened(app, **{"budget.zeros": "0.8"}), "The price")
    assert report.allocation is not None
    assert all(sentence in said for sentence in report.allocation.sentences)
    assert shown(app)["Right after"] == f"{100 * (report.accuracy or 0):.1f}\u00a0%"
    assert app.dataframe[0].value["weights"].tolist() == [6500, 5050, 510]
    assert app.dataframe[0].value["given"].tolist() == pytest.approx(
        [100 * share.zeros / share.size for share in report.allocation.shares], abs=1e-3
    )
    assert {"pin", "measure", "unlock"} <= keys(app)
    assert sum("allocate(" in code.value for code in unfolded(app).code) == 3
    app.button(key="measure").click().run()
    deadline = time.monotonic() + 240
    while len(app.get("plotly_chart")) < 2 + len(LAYERS) or "cancel" in keys(app):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    assert not {"measure", "cancel"} & keys(app)


def test_a_target_in_per_cent_and_a_rule_reach_the_link(app: AppTest) -> None:
    run_until(opened(app), "The price")
    app.number_input(key="w_budget.zeros").set_value(55.5).run()
    app.selectbox(key="w_budget.rule").set_value("erk").run()
    assert app.query_params["budget.zeros"] == "0.555"
    assert app.query_params["budget.rule"] == "erk"
    run_until(app, "knows no price")
    assert shown(app)["Zeros asked for"] == "55.5\u00a0%"


def test_locks_of_a_link_are_kept_to_and_can_be_taken_away(app: AppTest) -> None:
    said = run_until(opened(app, **{"lock.fc1": "0.25", "budget.zeros": "0.5"}), "The price")
    assert "fc1 gives 25.0% of its weights" in said
    table = app.data_editor[0].value
    assert table["own"].tolist()[0] == 25
    assert table["own"].isna().tolist() == [False, True, True]
    app.button(key="unlock").click().run()
    assert "lock.fc1" not in app.query_params
    assert app.data_editor[0].value["own"].isna().all()
    run_until(app, "The price")
    app.button(key="undo").click().run()
    assert app.query_params["lock.fc1"] == "0.25"


def test_a_target_out_of_reach_is_a_sentence_and_the_page_stays_up(app: AppTest) -> None:
    said = run_until(opened(app, **{"lock.fc1": "0", "budget.zeros": "0.9"}), "cannot be made")
    assert "unlock a layer" in said
    assert not app.metric
    app.number_input(key="w_budget.zeros").set_value(20.0).run()
    run_until(app, "The price")


def test_an_accuracy_out_of_reach_says_so_too(app: AppTest) -> None:
    locked = {"lock.fc1": "1", "budget.of": "accuracy", "budget.drop": "0"}
    assert "allow more of the right answers" in run_until(opened(app, **locked), "cannot be made")


def test_everything_locked_says_what_to_do(app: AppTest) -> None:
    opened(app, **{f"lock.{name}": "0.5" for name in LAYERS})
    assert "Every layer is locked" in text(app)
    assert not {"cancel", "measure"} & keys(app)
    app.button(key="unlock").click().run()
    run_until(app, "The price")


def test_a_pattern_leaves_nothing_to_share(app: AppTest) -> None:
    assert "2:4" in run_until(opened(app, **{"lobs.pattern": "2:4"}), "cannot be made")


@pytest.mark.parametrize("empty", ["layers", "methods"])
def test_nothing_chosen_is_said(app: AppTest, empty: str) -> None:
    opened(app)
    app.session_state["choice"] = dataclasses.replace(choice(app), **{empty: ()})
    app.run()
    assert not app.exception
    assert f"Pick at least one {empty[:-1]}" in text(app)


def choice(app: AppTest) -> Choice:
    return app.session_state["choice"]


def test_cancel_stops_and_resume_goes_on(app: AppTest) -> None:
    opened(app)  # the worker is still starting
    app.button(key="cancel").click().run()
    assert "Stopped. What was solved stays." in text(app)
    app.run()
    assert "resume" in keys(app)
    assert not app.metric
    app.button(key="resume").click().run()
    run_until(app, "The price")


def test_a_bad_link_is_mended_with_a_word(app: AppTest) -> None:
    said = text(opened(app, **{"budget.zeros": "3", "budget.rule": "fair", "lock.fc1": "two"}))
    for wrong in ("budget.zeros = 3", "budget.rule = fair", "lock.fc1 = two"):
        assert wrong in said
    assert not {"budget.zeros", "budget.rule", "lock.fc1"} & set(app.query_params)


def test_epsilon_is_no_part_of_a_budget() -> None:
    other = dataclasses.replace(CHOICE, eps=0.3, settings={"scale.fc1": 2.0})
    assert budgets.key_of(other) == budgets.key_of(CHOICE)
    assert budgets.key_of(CHOICE.with_setting("lock.fc1", 0.5)) != budgets.key_of(CHOICE)
    assert budgets.about(CHOICE.with_setting("lock.fc1", 0.5)) == budgets.about(CHOICE)
    assert method_from("lobs", budgets._request(CHOICE)["settings"]) == method_from("lobs", {})
    assert len(SPARSITIES) == 6


# in a browser


def cell(page: Page, row: int, column: str) -> tuple[float, float]:
    """Where on the page the middle of a cell of the table of locks is."""
    table = page.get_by_test_id("stDataFrame").last
    expect(table.locator("canvas").first).to_be_visible()
    box = table.bounding_box()
    assert box is not None
    across = {"lock": 0.32, "own": 0.75}[column]
    return box["x"] + across * box["width"], box["y"] + 35 * (row + 1.5)  # a header, then rows, each 35 pixels high


def tick(page: Page, row: int) -> None:
    page.mouse.click(*cell(page, row, "lock"))


def write(page: Page, row: int, text: str) -> None:
    """As somebody types: the table takes keys that come faster for nothing."""
    page.mouse.dblclick(*cell(page, row, "own"))
    expect(page.locator(".gdg-input")).to_be_focused()
    page.keyboard.type(text, delay=80)
    page.keyboard.press("Enter", delay=80)


def still(page: Page) -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=30_000)
    expect(page.get_by_test_id("stDataFrame")).to_have_count(2)
    page.wait_for_timeout(500)


@pytest.mark.long
def test_edits_of_the_table_are_each_kept_and_reach_the_link(page: Page) -> None:
    browsing.opened(page, "/budget?model=digits_mlp&methods=lobs&n=200&budget.zeros=0.5")
    expect(page.get_by_role("heading", name="What was decided")).to_be_visible(timeout=90_000)
    still(page)
    tick(page, 2)
    expect(page).to_have_url(re.compile(r"lock\.fc3=0\.\d+"), timeout=20_000)
    write(page, 0, "20")  # while the budget is shared anew
    expect(page).to_have_url(re.compile(r"lock\.fc1=0\.2&lock\.fc3=0\.\d+"), timeout=20_000)
    expect(page.get_by_text("fc1 gives 20.0% of its weights")).to_be_visible(timeout=60_000)
    tick(page, 2)
    expect(page).not_to_have_url(re.compile(r"lock\.fc3"), timeout=20_000)
    expect(page).to_have_url(re.compile(r"lock\.fc1=0\.2"))
    still(page)
    page.get_by_role("button", name="Unlock all").click()
    expect(page).not_to_have_url(re.compile(r"lock\."), timeout=20_000)
    still(page)
    tick(page, 0)
    expect(page).to_have_url(re.compile(r"lock\.fc1=0\.\d+"), timeout=20_000)


@pytest.mark.long
def test_undo_takes_the_top_of_the_page_along(page: Page) -> None:
    browsing.opened(page, "/budget?model=digits_mlp&methods=magnitude&n=200&budget.rule=uniform")
    expect(page.get_by_role("heading", name="What was decided")).to_be_visible(timeout=90_000)
    pill = page.get_by_role("button", name="fc1", exact=True)
    pill.click()
    expect(page).to_have_url(re.compile("layers=fc2(,|%2C)fc3"), timeout=20_000)
    expect(pill).to_have_attribute("aria-pressed", "false")
    still(page)
    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile("layers=fc1"), timeout=20_000)
    expect(pill).to_have_attribute("aria-pressed", "true", timeout=20_000)
