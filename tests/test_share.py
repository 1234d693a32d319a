"""Links that leave parts of a page out, links for a projector, and where they are made."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from pages import session, share, store, words
from pages.notebook import Cell
from pages.own import Own
from pages.state import HIDABLE, PRESETS, Choice
from tests.browsing import ROOT, charted, opened
from tests.conftest import unfolded
from tests.test_page_my_page import solved

STATE = {"model": "digits_mlp", "layers": "fc2,fc3", "methods": "magnitude", "n": "200", "eps": "0.3"}
# the keys of each part's widgets on Explore
PARTS = {
    "intro": set(),
    "model": {"w_model"},
    "layers": {"w_layers"},
    "methods": {"w_methods"},
    "mode": {"w_mode"},
    "settings": {"w_n", "w_seed", "w_magnitude.damping", "w_magnitude.pattern", "w_scale.fc2", "w_scale.fc3"},
    "options": {"w_match", "w_x", "w_y", "w_knob", "w_grid"},
    "presets": {f"preset_{name}" for name in PRESETS},
    "code": set(),
    "notebook": {"notebook"},
    "share": {"w_share_present", "w_share_hide"},
}
PRESENTED = ("intro", "settings", "options", "code", "notebook", "mode")  # what a projector does not show


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    monkeypatch.setattr(store, "points", functools.cache(store.Points))
    st.cache_data.clear()
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    st.cache_resource.clear()


def shown(app: AppTest, page: str = "explore", **query: str) -> AppTest:
    for name, value in (STATE | query).items():
        app.query_params[name] = value
    app.switch_page(f"pages/{page}.py").run()
    deadline = time.monotonic() + 60
    while any("not solved here yet" in element.value for element in app.markdown):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        app.run()
    assert not app.exception
    return app


def parts(app: AppTest) -> dict[str, set[str]]:
    """What a page is made of: widgets by key, headings, the pictures, Python and texts."""
    widgets: set[str] = set()
    for kind in ("button", "selectbox", "multiselect", "button_group", "number_input", "toggle", "download_button"):
        widgets |= {str(element.key) for element in app.get(kind)}
    return {
        "widgets": widgets - {"None"},
        "headings": {element.value for element in [*app.title, *app.header]},
        "pictures": {str(i) for i, _ in enumerate(app.get("bidi_component"))},
        "python": {element.value for element in unfolded(app).code if "nettrim_core" in element.value},
        "text": {element.value for element in app.markdown},
    }


def test_every_part_that_can_be_hidden_is_tested_and_has_a_name() -> None:
    assert set(PARTS) == set(HIDABLE) == set(words.PARTS)


@pytest.mark.parametrize("part", HIDABLE)
def test_a_link_hides_exactly_what_it_names(app: AppTest, part: str) -> None:
    whole = parts(shown(app))
    del app.session_state["choice"]
    less = parts(shown(app, hide=part))
    assert whole["widgets"] - less["widgets"] == PARTS[part]
    assert whole["headings"] == less["headings"]
    assert whole["pictures"] == less["pictures"]
    assert less["python"] == (set() if part == "code" else whole["python"])
    assert len(whole["python"]) == 3
    gone = whole["text"] - less["text"]
    if part == "intro":
        assert [text[:9] for text in gone] == ["A trained"]
    elif part == "settings":
        assert any(text.startswith("#### ") for text in gone)
    else:
        assert not gone
    for widgets in (whole, less):
        assert not widgets["widgets"] - whole["widgets"]


@pytest.mark.parametrize("page", ["explore", "export", "my_page"])
def test_a_page_without_all_of_them_stands(app: AppTest, page: str) -> None:
    shown(app, page, hide=",".join(HIDABLE))
    for keys in PARTS.values():
        assert not keys & parts(app)["widgets"]
    assert app.query_params["hide"] == ",".join(HIDABLE)


def test_a_projector_keeps_what_is_looked_at(app: AppTest) -> None:
    whole = parts(shown(app))
    del app.session_state["choice"]
    less = parts(shown(app, present="1"))
    assert whole["widgets"] - less["widgets"] == set().union(*(PARTS[part] for part in PRESENTED))
    assert whole["headings"] == less["headings"]
    assert whole["pictures"] == less["pictures"]
    assert {"w_layers", "w_share_present", "undo", "pin"} <= less["widgets"]


def test_the_link_is_composed_and_nothing_changes_for_the_visitor(app: AppTest) -> None:
    shown(app)
    before: Choice = app.session_state["choice"]

    def link() -> str:
        (found,) = [code.value for code in app.code if code.value.startswith("/?")]
        return found

    def asked() -> tuple[Choice, list[str]]:
        return session.choice_of(parse_qs(urlsplit(link()).query))

    assert asked() == (before, [])
    app.toggle(key="w_share_present").set_value(True).run()
    app.multiselect(key="w_share_hide").set_value(["notebook", "intro"]).run()
    assert not app.exception
    theirs, notices = asked()
    assert notices == []
    assert theirs.view.present
    assert theirs.hide == ("intro", "notebook")
    assert theirs == share.composed(before, True, ["notebook", "intro"])
    assert app.session_state["choice"] == before
    assert app.get("download_button")


def test_who_came_by_such_a_link_hands_on_the_same(app: AppTest) -> None:
    shown(app, present="1", hide="code")
    assert app.toggle(key="w_share_present").value is True
    assert app.multiselect(key="w_share_hide").value == ["code"]


def test_a_projector_enlarges_the_other_charts_too(app: AppTest) -> None:
    link = "&".join(f"{name}={value}" for name, value in STATE.items())
    app.session_state["own"] = Own().added([Cell("", "", link)])
    solved(link)
    shown(app, "my_page", present="1")
    (chart,) = app.get("plotly_chart")
    layout = json.loads(chart.proto.spec)["layout"]
    for part in (layout["xaxis"]["tickfont"], layout["yaxis"]["title"]["font"], layout["legend"]["font"]):
        assert part["size"] >= 1.2 * 12
    assert layout["yaxis"]["title"]["text"].startswith("Right answers")


SIZES = """() => Object.fromEntries(Object.entries({
  title: "h1", text: ".stMain .stMarkdown p", heading: "h2", button: ".st-key-undo button p",
  readout: ".ntk-readout td", bars: ".ntp-bars td", axis: ".ntk-plot .xtick text", label: ".ntk-markers text",
}).map(([name, selector]) => [name, parseFloat(getComputedStyle(document.querySelector(selector)).fontSize)]))"""


@pytest.mark.long
def test_a_projector_shows_larger_type_everywhere(page: Page) -> None:
    query = "/?model=digits_mlp&layers=fc3&methods=magnitude&n=200&eps=0.3"
    charted(page, query)
    expect(page.locator(".ntk-markers text").first).to_be_attached(timeout=60_000)
    usual = page.evaluate(SIZES)
    charted(page, f"{query}&present=1")
    expect(page.locator(".ntk-markers text").first).to_be_attached(timeout=60_000)
    large = page.evaluate(SIZES)
    assert usual.keys() == large.keys()
    for name, size in large.items():
        assert size == pytest.approx(1.25 * usual[name], rel=0.03), name
    for part in (".ntk", ".ntp-mask", ".ntp-bars"):
        expect(page.locator(part).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_shared_link_is_whole_fresh_and_opens_what_it_says(page: Page, server: str) -> None:
    charted(page, "/?model=lenet_300_100&methods=lobs&eps=0.2037")  # nothing is left to solve
    page.get_by_role("button", name="Exact", exact=True).click()
    expect(page).not_to_have_url(re.compile("eps=0.2037"), timeout=15_000)
    expect(page.locator(".ntk-value")).to_contain_text("0.009", timeout=15_000)
    page.get_by_role("button", name="Share").click()
    link = page.get_by_test_id("stPopoverBody").get_by_test_id("stCode")
    fresh = f"{server}/?{urlsplit(page.url).query}".replace("%2C", ",")
    expect(link).to_have_text(fresh, timeout=15_000)
    page.get_by_test_id("stPopoverBody").get_by_text("For a projector").click()
    expect(link).to_have_text(f"{fresh}&present=True", timeout=15_000)
    opened(page, link.inner_text().strip())
    expect(page.get_by_text("The link asked for")).to_have_count(0)
    expect(page.locator(".st-key-w_layers")).to_be_visible()
    expect(page.get_by_role("button", name="Settings")).to_have_count(0)
