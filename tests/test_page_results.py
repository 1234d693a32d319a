"""The Results page: what the files say, and a way from a row to the studio."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from benchmarks.papers.experiment import Chart, Experiment, Heat, Line, Measured, Shown, Table, written
from nettrim_core import places
from nettrim_core.figures import results as figures
from nettrim_core.figures.style import look_of

LINE = Line("measured", [1, 2], [3, 4], [2, 3], [4, 5], dashed=True)
CHART = Chart("Cold", "x", "y", [LINE], log_x=True)
HEAT = Heat("Warm", "x", "y", [1, 2], [3, 4], [[0, 1], [1, 0.5]], [LINE])


def show(cells: list[Measured]) -> Shown:
    rows, links = [["digits_mlp", "lobs"], ["nobody", ""]], ["model=digits_mlp&methods=lobs,nobody&eps=0.3", ""]
    return Shown(["It holds."], [Table("Some rows", ["network", "method"], rows, "A note.", links)], [CHART], [HEAT])


@pytest.fixture
def results(app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(places, "RESULTS", tmp_path)
    for name in ("first", "second"):
        experiment = Experiment(name, name.title(), f"a paper, {name}", ["Not much."], lambda quick: [], dict, show)
        written(experiment, False, [Measured({}, {}, 150.0)], tmp_path)
    return app.run().switch_page("pages/results.py").run()


def test_the_page_says_what_the_files_say(results: AppTest) -> None:
    assert not results.exception
    said = " ".join(element.value for element in results.markdown)
    for part in (
        "Redoes: a paper, first.",
        "* It holds.",
        "* Not much.",
        "A note.",
        "took 2 minutes on",
        " thread",
        "Bands: 95 %",
    ):
        assert part in said
    assert [title.value for title in results.header] == ["First"]
    assert list(results.table[0].value["network"]) == ["digits_mlp", "nobody"]
    (which,) = (group for group in results.get("button_group") if group.key == "results_title")
    which.set_value("Second").run()  # type: ignore[union-attr]
    assert [title.value for title in results.header] == ["Second"]


def test_a_row_leads_to_its_point_in_the_studio(results: AppTest) -> None:
    assert results.selectbox[0].options == ["digits_mlp, lobs"]
    results.button[-1].click().run()
    assert not results.exception
    choice = results.session_state["choice"]
    assert (choice.model, choice.methods, choice.eps) == ("digits_mlp", ("lobs",), 0.3)
    assert results.title[0].value == "How much can we trim?"
    assert any("nobody" in warning.value for warning in results.warning)


def test_without_results_the_page_says_how_to_get_them(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(places, "RESULTS", tmp_path)
    app.run().switch_page("pages/results.py").run()
    assert "make results" in app.info[0].value


def test_charts_show_every_line_and_its_interval() -> None:
    chart, heat = (draw(vars_of(content), False) for draw, content in ((figures.chart, CHART), (figures.heat, HEAT)))
    assert [trace.name for trace in chart.data if trace.name] == ["measured"]
    (band,) = (trace for trace in chart.data if trace.fill == "toself")
    assert list(band.x) == [1, 2, 2, 1]
    assert list(band.y) == [4, 5, 3, 2]
    assert (chart.layout.xaxis.type, chart.layout.yaxis.type) == ("log", "linear")
    assert list(map(list, heat.data[0].z)) == [[0, 1], [1, 0.5]]
    assert "measured" in figures.alt(vars_of(HEAT))


def test_only_bands_that_are_there_are_spoken_of() -> None:
    bare = Chart("Bare", "x", "y", [Line("measured", [1, 2], [3, 4])])
    assert figures.bands(vars_of(CHART)).startswith("95 %")
    assert figures.bands(vars_of(bare)) == ""


def test_an_interval_below_zero_stays_on_a_log_axis() -> None:
    wide = Chart("Wide", "x", "y", [Line("one", [1, 2], [3, 4], [-1, 2], [7, 6])], log_y=True)
    band, _ = figures.chart(vars_of(wide), False).data
    assert list(band.y) == [7, 6, 2, 0.3]


def test_a_method_looks_as_everywhere() -> None:
    own = Chart("Own", "x", "y", [Line("Exact OBS, cascade", [1, 2], [3, 4], method="exactobs"), LINE])
    line, *_ = figures.chart(vars_of(own), True).data
    look = look_of("exactobs")
    assert (line.line.color, line.marker.color, line.marker.symbol) == (look.dark, look.dark, look.symbol)


def vars_of(content: Chart | Heat) -> dict[str, object]:
    return {**vars(content), "lines": [vars(line) for line in content.lines]}
