"""My page: cells are added, ordered, taken out and put back; files are kept and opened; a stranger's file does no harm.
And the pins, which a page of one's own is made from."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
import streamlit as st
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from nettrim_core.figures.curve import Curve, Scale, curve
from nettrim_core.figures.style import look_of
from nettrim_core.jobs import Job, Status
from nettrim_core.tasks import TASKS
from nettrim_core.tasks.sweeps import solve
from nettrim_core.workbench import Workbench
from pages import notebook, pins, session, snippets, store, words, work
from pages import words_my_page as said
from pages.curves import curve_key
from pages.notebook import Cell
from pages.own import MOST, Own
from pages.state import Choice
from pages.watch import IDLE
from tests.browsing import ROOT, charted, opened, settled
from tests.conftest import unfolded
from tests.test_foreign import FENCES, PICTURES, diagram

LINK = "model=digits_mlp&layers=fc3&eps=0.3&methods=magnitude&n=200"
PAGE = [Cell("First *words*"), Cell("## A result", "", LINK), Cell("", "print(3)")]
MIME = "application/x-ipynb+json"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setattr(store, "points", functools.cache(store.Points))
    st.cache_data.clear()
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=240)
    st.cache_resource.clear()


def shown(app: AppTest, cells: list[Cell] | None = None, **query: str) -> AppTest:
    """My page with some cells on it."""
    for name, value in ({"model": "digits_mlp"} | query).items():
        app.query_params[name] = value
    if cells:
        app.session_state["own"] = Own().added(cells)
    app.switch_page("pages/my_page.py").run()
    assert not app.exception
    return app


def click(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    assert not app.exception


def open_file(app: AppTest, data: bytes) -> None:
    app.file_uploader[0].set_value(("page.ipynb", data, MIME)).run()
    assert not app.exception


def own(app: AppTest) -> Own:
    return app.session_state["own"]


def keys(app: AppTest) -> set[str | None]:
    return {button.key for button in app.button}


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def warnings(app: AppTest) -> str:
    return "\n".join(element.value for element in app.warning)


def solved(link: str = LINK) -> Choice:
    """The state of a link, with its points in the store."""
    choice, _ = session.choice_of(parse_qs(link))
    bundle, plan = store.bundle_of(choice.model), choice.plan()
    curves = [{"method": name, "settings": {}, "epsilons": [choice.eps]} for name in choice.methods]
    for point in solve(plan, curves, bundle):
        store.points().add(bundle, plan, point)
    return choice


def test_an_empty_page_says_how_to_begin(app: AppTest) -> None:
    shown(app)
    assert [info.value for info in app.info] == [said.EMPTY]
    assert {"add_text", "add_now"} <= keys(app)
    assert len(app.file_uploader) == 1
    assert not app.get("download_button")


def test_a_text_is_written_with_a_preview_edited_and_cancelled(app: AppTest) -> None:
    shown(app)
    click(app, "add_text")
    assert not app.info
    app.text_area(key="w_own_text").set_value("Some **words**").run()
    assert "Some **words**" in text(app)  # the preview
    click(app, "keep")
    assert own(app).cells == (Cell("Some **words**"),)
    click(app, "edit_1")
    app.text_area(key="w_own_text").set_value("Other words").run()
    click(app, "dismiss")
    assert own(app).cells == (Cell("Some **words**"),)
    click(app, "edit_1")
    assert app.text_area(key="w_own_text").value == "Some **words**"
    app.text_area(key="w_own_text").set_value("Other words").run()
    click(app, "keep")
    assert own(app).cells == (Cell("Other words"),)
    click(app, "add_text")
    click(app, "keep")  # nothing was written
    assert own(app).cells == (Cell("Other words"),)


def test_the_present_state_and_a_pin_become_results(app: AppTest) -> None:
    pinned, _ = session.choice_of(parse_qs(LINK))
    app.session_state["pins"] = [pins.Pin(pinned, "A ![name](https://a.example/x.png)")]
    shown(app, eps="0.2", methods="lobs")
    assert "![" not in app.button(key="add_pin_0").label
    click(app, "add_now")
    click(app, "add_pin_0")
    first, second = own(app).cells
    now: Choice = app.session_state["choice"]
    assert session.choice_of(parse_qs(first.link))[0] == now
    assert session.choice_of(parse_qs(second.link))[0] == pinned
    assert (first.code, second.code) == (snippets.at_epsilon(now), snippets.at_epsilon(pinned))
    assert "ε = 0.2" in first.text
    assert [e.label for e in app.expander] == [said.CODE_HERE] * 2


def test_a_result_says_what_the_report_says_and_draws_it(app: AppTest) -> None:
    choice = solved()
    shown(app, PAGE)
    curve = curve_key(choice, "magnitude")
    point = store.points().get(store.bundle_of("digits_mlp"), choice.plan(), curve, 0.3)
    assert point is not None
    assert words.sentence(point) in text(app)
    assert said.about(choice) in text(app)
    assert len(app.get("plotly_chart")) == 1
    assert "solve_2" not in keys(app)


class Hand:
    """A pool whose jobs are carried out by hand."""

    condition = staticmethod(lambda: IDLE)

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> Job:
        job._cancel = lambda: setattr(job, "status", Status.CANCELLED)
        self.jobs.append(job)
        return job

    def ahead_of(self, job: Job) -> int:
        return 0

    def carry_out(self) -> None:
        job = self.jobs[-1]
        for answer in TASKS[job.request["task"]](job.request, Workbench()):
            job.on_answer(answer)
        job.status = Status.DONE


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    made = Hand()
    monkeypatch.setattr(work, "pool", lambda: made)
    return made


def test_what_is_not_solved_is_said_and_solved_on_demand(app: AppTest, hand: Hand) -> None:
    shown(app, PAGE)
    assert "**Magnitude** is not solved here yet." in text(app)
    assert not app.get("plotly_chart")
    assert not hand.jobs  # a file starts no work by itself
    click(app, "solve_2")
    assert "cancel" in keys(app)
    assert "solve_2" not in keys(app)
    hand.carry_out()
    app.run()
    assert "**Magnitude** sets" in text(app)
    assert {"solve_2", "cancel"}.isdisjoint(keys(app))
    assert len(app.get("plotly_chart")) == 1


def test_who_has_a_turn_first_is_said(app: AppTest, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    shown(app, PAGE)
    said = []
    click(app, "solve_2")
    for status, ahead in ((Status.QUEUED, 2), (Status.QUEUED, 1), (Status.RUNNING, 1), (Status.RUNNING, 0)):
        hand.jobs[-1].status = status
        monkeypatch.setattr(hand, "ahead_of", lambda job, ahead=ahead: ahead)
        app.run()
        said.append(app.get("progress")[0].proto.text)
    assert said[:2] == ["In line: 2 others have their turn first", "In line: 1 other has its turn first"]
    assert said[2] == f"{said[3]}. It takes turns with 1 other on this server"


def test_work_that_was_stopped_or_failed_can_be_started_again(app: AppTest, hand: Hand) -> None:
    shown(app, [*PAGE, Cell("", "", LINK.replace("0.3", "0.4"))])
    for number in (2, 4):
        click(app, f"solve_{number}")
        click(app, "cancel")
    assert {"solve_2", "solve_4"} <= keys(app)
    click(app, "solve_4")
    hand.jobs[-1].status, hand.jobs[-1].error = Status.FAILED, "it ran out of memory"
    app.run()
    assert not app.exception
    assert "it ran out of memory" in app.error[0].value
    click(app, "solve_4")
    hand.carry_out()
    app.run()
    assert "**Magnitude** sets" in text(app)
    assert "solve_2" in keys(app)
    assert not app.error


def test_one_piece_of_work_shows_its_progress_once(app: AppTest, hand: Hand) -> None:
    shown(app, [Cell("", "", LINK), Cell("", "", f"{LINK}&y=drop"), Cell("", "", LINK)])
    click(app, "solve_2")
    assert [button.key for button in app.button].count("cancel") == 1
    assert text(app).count(said.ABOVE) == 1
    hand.carry_out()
    app.run()
    assert len(app.get("plotly_chart")) == 2  # the same state with other axes is another picture


def test_one_state_is_drawn_once(app: AppTest) -> None:
    solved()
    shown(app, [PAGE[1], PAGE[1], PAGE[1]])
    assert len(app.get("plotly_chart")) == 1
    assert text(app).count(said.AGAIN) == 2
    assert {"open_1", "open_2", "open_3"} <= keys(app)


def test_opening_a_state_makes_it_the_choice_and_goes_to_explore(app: AppTest) -> None:
    theirs = f"{LINK}&hide=model,methods&present=True"
    shown(app, [Cell("", "", theirs)])
    click(app, "open_1")
    now: Choice = app.session_state["choice"]
    assert (now.eps, now.layers, now.methods, now.n) == (0.3, ("fc3",), ("magnitude",), 200)
    assert now.hide == ()  # a file does not decide what the visitor sees
    assert not now.view.present
    assert [t.value for t in app.title] == ["How much can we trim?"]
    click(app, "undo")
    assert app.session_state["choice"].layers == ("fc1", "fc2", "fc3")


def test_cells_move_go_and_come_back(app: AppTest) -> None:
    shown(app, PAGE)
    assert app.button(key="up_1").disabled
    assert app.button(key="down_3").disabled
    click(app, "down_1")
    assert [entry.number for entry in own(app).entries] == [2, 1, 3]
    click(app, "up_3")
    assert [entry.number for entry in own(app).entries] == [2, 3, 1]
    click(app, "remove_3")
    assert [entry.number for entry in own(app).entries] == [2, 1]
    assert "Removed." in text(app)
    click(app, "put_back")
    assert [entry.number for entry in own(app).entries] == [2, 3, 1]
    assert "put_back" not in keys(app)


def test_a_cell_that_is_edited_can_be_removed(app: AppTest) -> None:
    shown(app, PAGE)
    click(app, "edit_1")
    click(app, "remove_1")
    assert not app.text_area
    assert own(app).cells == tuple(PAGE[1:])


def test_the_file_is_written_once_and_kept_in_the_session(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = notebook.write
    monkeypatch.setattr(notebook, "write", lambda *page: written.append(write(*page)) or written[-1])
    shown(app, PAGE)
    app.run()
    assert written == [app.session_state["own_written"][1]]
    click(app, "remove_1")
    assert len(written) == 2
    other = AppTest.from_file(str(ROOT / "app.py"), default_timeout=240)
    shown(other, PAGE)
    assert written[2] == written[0]


def test_the_page_and_a_draft_survive_another_page(app: AppTest) -> None:
    shown(app, PAGE)
    app.text_input(key="w_own_title").set_value("On digits").run()
    click(app, "edit_1")
    app.text_area(key="w_own_text").set_value("A draft").run()
    app.switch_page("pages/export.py").run()
    app.switch_page("pages/my_page.py").run()
    assert not app.exception
    assert app.text_input(key="w_own_title").value == "On digits"
    assert app.text_area(key="w_own_text").value == "A draft"
    assert own(app).cells == tuple(PAGE)


def test_an_empty_page_takes_a_file_and_a_full_one_asks(app: AppTest) -> None:
    data = notebook.write(PAGE, "Theirs")
    shown(app)
    open_file(app, data)
    assert (own(app).title, own(app).cells) == ("Theirs", tuple(PAGE))
    assert app.text_input(key="w_own_title").value == "Theirs"
    open_file(app, notebook.write([Cell("Again")], "Second"))
    assert own(app).cells == tuple(PAGE)  # nothing happens before the answer
    click(app, "neither")
    assert own(app).cells == tuple(PAGE)
    open_file(app, notebook.write([Cell("Again")], "Second"))
    click(app, "append")
    assert own(app).cells == (*PAGE, Cell("Again"))
    assert own(app).title == "Theirs"
    open_file(app, data)
    click(app, "replace")
    assert (own(app).title, own(app).cells) == ("Theirs", tuple(PAGE))
    assert {"append", "replace", "neither"}.isdisjoint(keys(app))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\x00", "not a notebook"),
        (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}', "no cell"),
        (notebook.write([Cell(str(i)) for i in range(MOST + 1)], ""), f"at most {MOST}"),
    ],
)
@pytest.mark.parametrize("before", [[], PAGE])
def test_a_file_that_cannot_be_opened_is_explained_and_costs_nothing(
    app: AppTest, data: bytes, word: str, before: list[Cell]
) -> None:
    shown(app, before)
    open_file(app, data)
    if "replace" in keys(app):
        click(app, "replace")
    assert word in warnings(app)
    assert own(app).cells == tuple(before)


def test_a_bad_link_of_a_cell_is_said_at_the_cell(app: AppTest) -> None:
    shown(app, [Cell("", "", "model=digits_mlp&layers=fc3&eps=7&methods=%21%5Ba%5D%28https://a.example/x.png%29")])
    assert "eps = 7" in warnings(app)
    assert "methods = (picture, not loaded" in warnings(app)
    assert "![" not in warnings(app)


def test_foreign_python_is_shown_as_such_and_not_run(app: AppTest, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    shown(app, [Cell("", f"open({str(trace)!r}, 'w')"), Cell("", "import os", LINK)])
    assert [e.label for e in app.expander] == [said.CODE_THERE] * 2
    assert not trace.exists()
    assert "import os" in [code.value for code in unfolded(app).code]


def test_a_link_can_hide_the_python(app: AppTest) -> None:
    shown(app, PAGE, hide="code")
    assert not unfolded(app).code


def test_a_page_that_is_too_large_to_keep_says_so(app: AppTest) -> None:
    shown(app, [Cell("x" * notebook.MOST_BYTES)])
    assert "The page cannot be saved." in warnings(app)
    assert not app.get("download_button")


def test_the_words() -> None:
    assert said.file_name("On digits: 2 ways?") == "on-digits-2-ways.ipynb"
    assert said.file_name("数字") == "my-page.ipynb"
    assert said.file_name("../../x") == "x.ipynb"
    one = Choice("digits_mlp", ("fc1",), n=1000, mode="cascade")
    assert said.about(one).startswith("Layer fc1, pruned as a cascade with 1,000")
    assert said.asking("T", 1, 2) == "The file holds “T”, 1 cell. The page holds 2 cells."


def test_the_small_picture_has_a_line_and_a_marker_of_each_method() -> None:
    points = [(0.5, 0.9), (0.8, 0.7)]
    figure = curve(
        [Curve("nettrim", "Net-Trim", points, points[1], ["a", "b"]), Curve("lobs", "L-OBS", points[:1], None)],
        Scale("Zeros, of the weights", ".0%"), Scale("Weights left", "~s", True), dark=True,
    )  # fmt: skip
    line, marker, other, none = figure.data
    assert list(zip(line.x, line.y, strict=True)) == points
    assert (marker.x, marker.y) == ((0.8,), (0.7,))
    assert not none.x
    assert marker.marker.symbol == look_of("nettrim").symbol
    assert line.line.dash != other.line.dash
    assert line.line.color == look_of("nettrim").dark
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.title.text == "Zeros, of the weights"


def test_pins_are_named_taken_away_and_recalled(app: AppTest) -> None:
    for name, value in {"model": "digits_mlp", "layers": "fc3", "methods": "magnitude", "n": "200"}.items():
        app.query_params[name] = value
    app.run()
    click(app, "pin")
    pinned = app.session_state["choice"]
    app.text_input(key="w_pin_0").set_value("  The   start ").run()
    assert app.session_state["pins"] == [pins.Pin(pinned, "The start")]
    app.text_input(key="w_pin_0").set_value(" ").run()
    assert app.session_state["pins"][0].name == pins.name_of(pinned)
    app.selectbox(key="w_model").set_value("spirals").run()
    click(app, "recall_0")
    assert app.session_state["choice"] == pinned
    assert app.selectbox(key="w_model").value == "digits_mlp"
    click(app, "unpin_0")
    assert app.session_state["pins"] == []
    assert "recall_0" not in keys(app)


def test_a_number_that_comes_late_does_not_take_a_recalled_pin_back(app: AppTest) -> None:
    """Nor a preset: the two numbers would call each other back without end."""
    for name, value in {"model": "lenet_300_100", "eps": "0.2037", "methods": "lobs"}.items():
        app.query_params[name] = value
    app.run()
    click(app, "pin")
    click(app, "preset_Exact")
    exact = app.session_state["choice"].eps
    app.number_input(key="w_eps").set_value(0.2037).run()
    assert app.session_state["choice"].eps == exact
    click(app, "recall_0")
    app.number_input(key="w_eps").set_value(exact).run()
    assert app.session_state["choice"].eps == 0.2037
    app.number_input(key="w_eps").set_value(0.3013).run()
    assert app.session_state["choice"].eps == 0.3013
    click(app, "undo")
    app.number_input(key="w_eps").set_value(0.3013).run()
    assert app.session_state["choice"].eps == 0.2037


def test_digits_recall_pins_by_keyboard_with_the_controls(page: Page) -> None:
    charted(page, "/?model=digits_mlp&methods=nettrim,lobs&eps=0.2037")
    layers = page.locator('.st-key-w_layers [aria-pressed="true"]')
    expect(layers).to_have_count(3)
    page.keyboard.press("p")
    expect(page.locator(".st-key-recall_0")).to_contain_text("digits_mlp ε 0.2037")
    page.get_by_role("button", name="Exact", exact=True).click()
    expect(page).not_to_have_url(re.compile("eps=0.2037"), timeout=15_000)
    page.get_by_role("spinbutton", name="Exact epsilon").click()
    page.keyboard.press("1")  # typed, no shortcut
    page.wait_for_timeout(1000)
    assert "eps=0.2037" not in page.url
    page.keyboard.press("Backspace")
    settled(page)
    page.locator(".st-key-w_layers").get_by_text("fc1").click()
    expect(layers).to_have_count(2, timeout=15_000)
    expect(page).to_have_url(re.compile("layers=fc2%2Cfc3"), timeout=15_000)
    page.locator("h1").click()
    page.keyboard.press("1")
    expect(page).to_have_url(re.compile("layers=fc1%2Cfc2%2Cfc3&eps=0.2037"), timeout=15_000)
    expect(layers).to_have_count(3, timeout=15_000)


def test_from_a_text_and_a_result_to_a_file_and_back(page: Page, tmp_path: Path) -> None:
    opened(page, "/my-page?" + LINK.replace("n=200", "n=170"))  # which no other test has solved
    page.get_by_role("button", name="Add text").click()
    page.get_by_role("textbox", name="Text in Markdown").fill("What **small** weights cost")
    page.get_by_role("button", name="Keep this text").click()
    expect(page.locator(".st-key-cell_1 strong")).to_have_text("small")
    page.get_by_role("button", name="Add a result").click()
    page.get_by_role("button", name=re.compile("What is chosen now")).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Solve it").click()
    expect(page.locator(".st-key-card_2")).to_contain_text("Magnitude sets", timeout=60_000)
    expect(page.locator(".st-key-card_2 .js-plotly-plot")).to_be_visible(timeout=30_000)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a file").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "my-page.ipynb"
    _, cells = notebook.read(path.read_bytes())
    assert cells[0] == Cell("What **small** weights cost")
    assert cells[1].code == snippets.at_epsilon(session.choice_of(parse_qs(cells[1].link))[0])
    opened(page, "/my-page?model=spirals")
    page.locator('input[type="file"]').set_input_files(path)
    expect(page.locator(".st-key-cell_1 strong")).to_have_text("small", timeout=15_000)
    expect(page.locator(".st-key-card_2")).to_contain_text("Magnitude sets", timeout=15_000)
    page.get_by_role("button", name="Open this state").click()
    expect(page.locator("h1")).to_have_text("How much can we trim?", timeout=30_000)
    expect(page).to_have_url(re.compile(r"/\?model=digits_mlp&layers=fc3&eps=0.3&"), timeout=15_000)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_strangers_file_loads_nothing_and_runs_nothing(page: Page, tmp_path: Path) -> None:
    """The fixture fails on any request that leaves the machine."""
    texts = [*PICTURES, *map(diagram, FENCES), "<script>window.ran = 1</script>", "[x](javascript:window.ran=1)"]
    texts += ["<javascript:window.ran=1>", "[A bank](https://elsewhere.example/bank)"]
    path = tmp_path / "theirs.ipynb"
    path.write_bytes(notebook.write([Cell(text) for text in texts], "![t](https://elsewhere.example/t.png)"))
    opened(page, "/my-page?model=digits_mlp")
    page.locator('input[type="file"]').set_input_files(path)
    last = page.locator(f".st-key-cell_{len(texts)}")
    expect(last).to_contain_text("A bank (https://elsewhere.example/bank)", timeout=30_000)
    page.locator('input[type="file"]').set_input_files(path)  # and the question that names its title
    expect(page.locator(".st-key-asking")).to_be_visible(timeout=15_000)
    page.wait_for_timeout(2000)  # what is loaded late
    assert page.locator(".stMain img, .stMain svg[id^=mermaid], .stMain iframe").count() == 0
    assert page.evaluate("window.ran") is None
    for link in page.locator(".stMarkdown a[href^=http]").all():
        assert unquote(link.get_attribute("href") or "") == link.inner_text()
    assert page.locator('a[href^="javascript"]').count() == 0
