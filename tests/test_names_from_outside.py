"""Names that are markup somewhere, of layers, classes, files and networks: wherever they are shown they are words."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import re
from pathlib import Path

import nbformat
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from playwright.sync_api import Browser
from rich.console import Console

from nettrim_cli import show
from nettrim_core import FORMATS, Report, carry_out, load_bundle
from nettrim_core.figures import compare
from nettrim_core.figures.style import look_of
from nettrim_core.formats import source
from nettrim_core.formats.format import Source
from nettrim_core.plain import for_cell, for_markdown, for_terminal, from_cell
from nettrim_core.recipes.script import notebook, script
from nettrim_core.report import Allocation
from nettrim_core.tabulate import csv_rows, csv_text, curves_csv
from tests.test_recipe import RECIPES

pytestmark = pytest.mark.usefixtures("one_thread")

MARKDOWN = MarkdownIt("commonmark").enable("table")
HOST = "http://localhost:9"
NAMES = (
    f'<img src="{HOST}/a" onerror="alert(1)">',
    f"</script><script>alert(2); fetch('{HOST}/b')</script>",
    f'"><svg onload=alert(3)><a href="{HOST}/c">click</a>',
    f"![picture]({HOST}/d) [link]({HOST}/e) `code` **bold** $x$",
    "[red]red[/red] [/] [link=http://localhost:9/f]x[/link] :smile:",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x9b2J",
    "=cmd|' /C calc'!A1",
    "%{x} %{customdata[0]} &lt;b&gt; <b>bold</b><br><sub>low</sub>",
    "+1",
    "-1;=2",
    "@SUM(A1)\t=3",
)


@functools.cache
def hostile(name: str = "budget") -> Source:
    """A result whose layers are called by these names."""
    found = carry_out(RECIPES[name], load_bundle("digits_mlp"))
    report = found.report
    layers = [dataclasses.replace(report.layers[0], name=evil, notes=[evil]) for evil in NAMES]
    assert report.allocation is not None
    shares = tuple(dataclasses.replace(report.allocation.shares[0], name=evil) for evil in NAMES)
    allocation: Allocation = dataclasses.replace(report.allocation, shares=shares)
    report = dataclasses.replace(report, layers=layers, allocation=allocation, skipped=[(evil, evil) for evil in NAMES])
    plan = dataclasses.replace(found.recipe.plan, layers=NAMES)
    made = source(found.model, found.report, None, dataclasses.replace(found.recipe, plan=plan, made=None), [report])
    return dataclasses.replace(made, report=report)


def test_the_report_runs_no_script_and_loads_nothing(browser: Browser, tmp_path: Path) -> None:
    entry = FORMATS["html"]
    entry.write(hostile(), tmp_path / entry.file)
    entry.check(hostile(), tmp_path / entry.file)
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.on("console", lambda said: asked.append(said.text) if said.type == "error" else None)
    address = (tmp_path / entry.file).as_uri()
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.main-svg').length > 2")
    page.wait_for_timeout(300)
    assert asked == [address]
    plain = [" ".join(name.split()) for name in NAMES]
    cells = [" ".join(text.split()) for text in page.locator("td:first-child").all_inner_texts()]
    assert cells == [f"{name} {name}" for name in plain]
    for number in (1, 2):  # the ticks of both charts of layers
        ticks = page.locator(f"#figure-{number} .ytick text")
        said = {" ".join((text or "").split()) for text in ticks.all_text_contents()}
        assert said <= set(plain) or said <= {re.sub(r"[\x00-\x1f\x7f-\x9f]", "", name) for name in plain}
        assert len(said) >= len(NAMES) // 2
    assert page.locator("a").count() == 0
    page.close()


def test_the_reports_policy_stops_what_escaping_would_miss(browser: Browser, tmp_path: Path) -> None:
    """The page with the attack written into it, as if nothing had been escaped."""
    entry = FORMATS["html"]
    entry.write(hostile(), tmp_path / entry.file)
    text = (tmp_path / entry.file).read_text(encoding="utf-8")
    (tmp_path / "open.html").write_text(text.replace("<h1>", f"{NAMES[0]}{NAMES[1].removeprefix('</script>')}<h1>"))
    page = browser.new_page()
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    address = (tmp_path / "open.html").as_uri()
    page.goto(address)
    page.wait_for_function("document.querySelectorAll('.main-svg').length > 2")  # the charts are drawn all the same
    assert asked == [address]
    page.close()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_names_as_they_are(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(show, "OUT", Console(file=written, force_terminal=terminal, width=4000, highlight=False))
    show.report(hostile().report)
    show.table(("A", "B"), [(name, name) for name in NAMES])
    said = written.getvalue()
    bare = re.sub(r"\x1b\[[0-9;]*m", "", said)  # what rich itself sets for the head of a table
    assert "\x1b" not in bare.replace("\\x1b", "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", bare)
    for name in NAMES:
        assert for_terminal(name).split("\t")[0] in bare
    if not terminal:
        assert said == bare


def test_a_notebook_shows_names_as_they_are() -> None:
    recipe = hostile().made_by
    for cell in nbformat.reads(notebook(recipe), 4).cells:
        if cell.cell_type == "markdown":
            html = MARKDOWN.render(cell.source)
            assert not re.search(r"<(?!/?p>)", html), html
    compile(script(recipe), "remake.py", "exec")
    statements = re.sub(r"^#.*$", "", script(recipe), flags=re.MULTILINE)
    assert statements.count("alert(1)") == 1  # as a string, in the list of layers


def test_figures_hold_no_markup_of_names() -> None:
    look = look_of("nettrim")
    parts = [compare.Parts(who, look, [(0.5, "half")] * len(NAMES)) for who in ("dense", "A Net-Trim")]
    figure = compare.dumbbells(list(NAMES), parts[0], parts[1:], dark=False)
    ticks = figure.layout.yaxis.ticktext  # type: ignore[attr-defined]
    for text in (*ticks, *(said for trace in figure.data for said in words(trace))):
        bare = re.sub(r"</?b>|<br>|<extra></extra>|%\{customdata\}", "", text)
        assert not re.search(r"<|>|%\{", bare), text


def words(trace: object) -> list[str]:
    assert isinstance(trace, go.Scatter)
    found = [trace.hovertemplate, *(trace.customdata if trace.customdata is not None else ())]  # type: ignore[attr-defined]
    return [text for text in found if isinstance(text, str)]


@given(st.text(max_size=30))
def test_a_cell_is_no_formula_and_comes_back(text: str) -> None:
    assert not re.match(r"[=+\-@\t\r\n＝＋－＠]", for_cell(text))
    assert from_cell(for_cell(text)) == text


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=4, unique=True))
def test_a_table_of_any_texts_comes_back(texts: list[str]) -> None:
    rows = [dict.fromkeys(texts, text) for text in texts]
    assert csv_rows(csv_text(texts, rows)) == rows


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_no_cell_of_curves_is_a_formula_in_any_country(between: str) -> None:
    """Whatever a spreadsheet takes for the sign between cells; figures stay figures."""
    text = curves_csv([hostile().report])
    for line in csv.reader(io.StringIO(text, newline=""), delimiter=between):
        for cell in line:
            first = cell.split(",")[0]  # other spreadsheets see more than one figure in a cell
            assert re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", first) or not re.match(r"[=+\-@\t\r]", cell), cell
    (row,) = csv_rows(text)
    for layer in hostile().report.layers:
        assert float(row[f"{layer.name}:zeros"]) == layer.sparsity
        assert float(row[f"{layer.name}:error"]) == layer.error / (layer.output_norm or 1.0)


def test_numbers_are_not_defused() -> None:
    assert csv_text(["a", "=b"], [{"a": -0.5, "=b": None}, {"a": True}]) == "a,'=b\n-0.5,\nTrue,\n"


@given(st.text(max_size=40))
def test_markdown_of_a_name_is_the_name(text: str) -> None:
    html = MARKDOWN.render(f"x {for_markdown(text)}")
    assert not re.search(r"<(?!/?p>)", html)


def test_what_a_report_from_outside_says_is_read_as_data() -> None:
    again = Report.from_dict(hostile().report.to_dict())
    assert [layer.name for layer in again.layers] == list(NAMES)
