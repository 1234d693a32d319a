"""The main journeys in a real Chromium, against a real server. A missing browser fails; it does not skip."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from safetensors.torch import load_file

from nettrim_core import load_bundle
from pages.stage import KNOB as HTML
from pages.stage import WEB
from tests.browsing import KNOB, charted, opened, serving


def marker_offsets(page: Page) -> list[float]:
    """Distance in pixels of each moving marker from the curve's own point at the knob's place."""
    return page.evaluate(
        """() => {
          const gd = document.querySelector(".ntk-plot"), i = Number(document.querySelector(".ntk input").value)
          const {xaxis: X, yaxis: Y} = gd._fullLayout
          return [...document.querySelectorAll(".ntk-markers > g")].map((g, k) => {
            const t = gd.data[k], j = t.customdata.findIndex(([, at]) => at === i)
            const [x, y] = g.getAttribute("transform").match(/-?[\\d.]+/g).map(Number)
            return Math.hypot(x - X._offset - X.d2p(t.x[j]), y - Y._offset - Y.d2p(t.y[j]))
          })
        }"""
    )


@pytest.mark.parametrize(
    "path", ["/export?model=digits_mlp&eps=0.2", pytest.param("/?model=digits_mlp&eps=0.2037", marks=pytest.mark.long)]
)
def test_a_deep_link_is_served_as_the_first_request_of_a_fresh_server(
    browser: Browser, tmp_path: Path, path: str
) -> None:
    with serving(tmp_path / "log") as url:
        context = browser.new_context(base_url=url)
        page = opened(context.new_page(), path)
        expect(page.locator("h1")).to_have_text("Take it with you" if "export" in path else "How much can we trim?")
        expect(page.get_by_text("Page not found")).to_have_count(0)
        expect(page.get_by_role("dialog")).to_have_count(0)
        context.close()


def test_dragging_moves_markers_and_readout_without_a_message_and_release_sends_one(page: Page) -> None:
    sent: list[object] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    charted(page, "/?model=lenet_300_100")
    knob, readout = page.get_by_role("slider", name=KNOB), page.locator(".ntk-readout")
    plot = page.locator(".ntk-plot .main-svg").first.element_handle()
    sentence, before = page.locator(".st-key-sentence"), readout.inner_text()
    said = sentence.inner_text()
    box = knob.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.62 * box["width"], y)
    page.mouse.down()
    count, places, last = len(sent), set(), ""
    for k in range(20):
        page.mouse.move(box["x"] + (0.62 + 0.015 * k) * box["width"], y)
        page.wait_for_timeout(30)
        last = page.locator(".ntk-markers > g").first.get_attribute("transform") or ""
        places.add(last)
    assert len(sent) == count
    assert len(places) >= 5
    assert readout.inner_text() != before
    assert sentence.inner_text() == said
    page.mouse.up()
    expect(page).not_to_have_url(re.compile("eps=0.1097"), timeout=10_000)
    page.wait_for_timeout(500)
    assert sentence.inner_text() != said
    assert len(sent) == count + 1
    assert max(marker_offsets(page)) < 0.5
    assert plot is not None
    assert plot.evaluate("node => node.isConnected")  # the chart was not drawn anew


def test_keyboard_alone_moves_the_knob_and_the_link_follows(page: Page) -> None:
    charted(page, "/?model=digits_mlp&eps=0.1097")
    knob = page.get_by_role("slider", name=KNOB)
    knob.focus()
    knob.press("End")
    expect(page).to_have_url(re.compile("eps=0.7"), timeout=10_000)
    value = knob.get_attribute("aria-valuetext") or ""
    assert "Net-Trim" in value
    assert "L-OBS" in value
    page.reload()
    expect(page.get_by_role("slider", name=KNOB)).to_have_value("24", timeout=30_000)


def test_markers_sit_on_their_curves_after_zoom_resize_and_theme(page: Page) -> None:
    charted(page, "/?model=digits_mlp&methods=nettrim,lobs,exactobs")
    assert len(marker_offsets(page)) == 3
    page.evaluate(
        "() => Plotly.relayout(document.querySelector('.ntk-plot'), {'xaxis.range': [0.3, 1], 'yaxis.range': [0, 1]})"
    )
    assert max(marker_offsets(page)) < 0.5
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(600)
    assert max(marker_offsets(page)) < 0.5
    page.emulate_media(color_scheme="dark")
    page.wait_for_timeout(600)
    assert max(marker_offsets(page)) < 0.5


def test_a_call_that_streamlit_takes_back_leaves_the_knob_as_it_was(page: Page) -> None:
    """Late calls for older data come after the call for the newest, with their clean-up right behind them."""
    charted(page, "/?model=digits_mlp")
    page.evaluate(
        """async ([source, html]) => {
          const knob = (await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})))).default
          const parentElement = document.createElement("div")
          parentElement.id = "second"
          parentElement.innerHTML = html
          document.querySelector(".ntk").after(parentElement)
          const axis = {title: "", ticks: "", log: false, range: null}
          const call = (point) => {
            const said = [point ? [`${100 * point.x} % zeros`, `${100 * point.y} % right`] : ["not solved yet"]]
            const series = [{name: "Mine", style: 0, curve: [point], places: [point], said}]
            const data = {stops: ["0.1"], symbol: "", label: "", series, index: 0, dense: null, x: axis, y: axis}
            return knob({data: [{...data, alt: "", plotly: ""}], parentElement, setTriggerValue: () => {}})
          }
          const point = (x, y, quality) => ({x, y, low: null, high: null, quality, hover: ""})
          call(point(0.5, 0.75, "certified"))
          for (const late of [null, point(0.1, 0.2, "rough")]) await Promise.resolve(call(late)).then((back) => back())
        }""",
        [(WEB / "shared.js").read_text() + (WEB / "knob.js").read_text(), HTML],
    )
    expect(page.locator('#second .ntk[data-state="ready"]')).to_be_visible(timeout=10_000)
    expect(page.locator("#second .ntk-readout")).to_have_text(re.compile("Mine.*50 % zeros.*75 % right"))
    assert page.evaluate("document.querySelector('#second .ntk-plot').data[0].x") == [0.5]


def test_a_typed_epsilon_is_solved_for(page: Page) -> None:
    charted(page, "/?model=digits_mlp&layers=fc3")
    page.get_by_role("spinbutton", name="Exact epsilon").fill("0.123")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("eps=0.123"), timeout=15_000)
    expect(page.locator(".ntk-value")).to_have_text("ε = 0.123", timeout=15_000)
    expect(page.locator(".st-key-sentence")).to_contain_text("Net-Trim sets", timeout=60_000)
    expect(page.locator(".st-key-sentence")).not_to_contain_text("not solved here yet", timeout=60_000)
    expect(page.get_by_role("slider", name=KNOB)).to_have_attribute("max", "25")


def test_recompute_live_cancel_and_move_the_knob_meanwhile(page: Page) -> None:
    page.goto("/?model=lenet_300_100&n=900")
    cancel = page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible(timeout=60_000)
    expect(page.get_by_text(re.compile(r"Solving: [3-9]|Solving: \d\d"))).to_be_visible(timeout=120_000)
    knob = page.get_by_role("slider", name=KNOB)
    knob.focus()
    knob.press("End")
    expect(page).to_have_url(re.compile("eps=0.7"), timeout=10_000)
    expect(page.locator(".st-key-sentence")).to_contain_text("Net-Trim sets", timeout=10_000)
    cancel.click()
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_visible(timeout=10_000)
    expect(page.locator(".st-key-sentence")).to_contain_text("Net-Trim sets")  # what was solved stays
    resume.click()
    expect(cancel).to_be_visible(timeout=10_000)
    cancel.click()
    expect(resume).to_be_visible(timeout=10_000)


def test_a_look_that_is_late_does_not_clear_the_page_that_one_went_to(page: Page) -> None:
    """As on a slow line: the page that is left goes on looking at running work until it hears of the other."""
    sent: list[str | bytes] = []
    look: list[str | bytes] = []

    def between(browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()

        def up(message: str | bytes) -> None:
            sent.append(message)
            server.send(message)

        def down(message: str | bytes) -> None:
            for late in look:
                server.send(late)
            browser.send(message)

        browser.on_message(up)
        server.on_message(down)

    page.route_web_socket(re.compile("/_stcore/stream"), between)
    page.goto("/?model=lenet_300_100&n=910")
    expect(page.get_by_role("button", name="Cancel")).to_be_visible(timeout=60_000)
    page.get_by_role("link", name="Learn").click()  # which looks again as long as there is work under way
    page.get_by_role("button", name="Reveal").click()
    door = page.get_by_role("button", name="Open the studio in exactly this state")
    expect(door).to_be_visible(timeout=60_000)
    page.wait_for_timeout(2_000)
    look.append(sent[-1])
    door.click()
    expect(page.get_by_role("heading", name="How much can we trim?")).to_be_visible(timeout=60_000)
    look.clear()
    page.wait_for_timeout(2_000)
    expect(page.get_by_role("heading", name="How much can we trim?")).to_be_visible()
    expect(page.locator(".st-key-sentence")).to_contain_text("Net-Trim sets", timeout=60_000)


def test_a_bad_link_falls_back_with_a_word(page: Page) -> None:
    charted(page, "/?model=digits_mlp&eps=banana&mode=sideways")
    expect(page.get_by_text("The link asked for eps = banana")).to_be_visible()
    expect(page.get_by_text("The link asked for mode = sideways")).to_be_visible()


def test_from_the_knob_to_a_file_that_loads_in_plain_torch(page: Page, tmp_path: Path) -> None:
    charted(page, "/?model=digits_mlp&eps=0.2037&methods=exactobs")
    page.get_by_role("link", name="Export").click()
    formats = page.get_by_role("combobox", name="Formats")
    formats.fill("Report")
    formats.press("Enter")
    formats.press("Escape")
    page.get_by_role("button", name="Prepare the files").click()
    expect(page.get_by_role("heading", name="Checked")).to_be_visible(timeout=60_000)
    saved = {}
    for file in ("model.safetensors", "report.json"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"{file} (").click()
        saved[file] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[file])
    report = json.loads(saved["report.json"].read_text())
    model = torch.nn.Sequential()
    for name, module in load_bundle("digits_mlp").model.named_children():
        model.add_module(name, module)
    model.load_state_dict(load_file(saved["model.safetensors"]), strict=True)
    for layer in report["layers"]:
        weight = model.state_dict()[f"{layer['name']}.weight"]
        assert int((weight == 0).sum()) == layer["weight_zeros"] > 0
    inputs, labels = load_bundle("digits_mlp").test
    assert float((model(inputs).argmax(1) == labels).double().mean()) == pytest.approx(report["accuracy"])


def test_two_visitors_do_not_see_each_others_choice(page: Page, browser: Browser, server: str) -> None:
    charted(page, "/?model=digits_mlp&eps=0.2")
    context = browser.new_context(base_url=server)
    other = charted(context.new_page(), "/?model=spirals")
    page.reload()
    expect(page.get_by_role("slider", name=KNOB)).to_be_visible(timeout=30_000)
    assert "model=digits_mlp" in page.url
    assert "model=spirals" in other.url
    context.close()
