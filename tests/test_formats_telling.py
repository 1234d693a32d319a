"""Formats that tell of a result: the page, the table, the recipe, and Python that makes it again."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from safetensors.torch import load_file

from nettrim_core import FORMATS, DataOptions, Outcome, Plan, Recipe, Report, carry_out, export, load_bundle, load_data
from nettrim_core import sweep as swept
from nettrim_core.formats import source
from nettrim_core.plan import method_from
from nettrim_core.recipes.made import digest
from nettrim_core.recipes.script import script
from tests.test_recipe import LAYERS, LOBS, RECIPES

pytestmark = pytest.mark.usefixtures("one_thread")


@functools.cache
def outcome(name: str) -> Outcome:
    return carry_out(RECIPES[name], load_bundle("digits_mlp"))


@functools.cache
def curves() -> tuple[Report, ...]:
    bundle = load_bundle("digits_mlp")
    found = swept(
        bundle.model, bundle.calibration_sample(200), ["lobs", "nettrim"], [0.1, 0.3], list(LAYERS), test=bundle.test
    )
    return tuple(report for *_, report in found)


def weights(folder: Path) -> str:
    return digest(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("name", RECIPES)
def test_the_script_makes_the_same_bits(name: str, tmp_path: Path) -> None:
    found = outcome(name)
    export(found.model, found.report, tmp_path, ["safetensors", "script"], recipe=found.recipe)
    code = (tmp_path / "remake.py").read_text()
    exec(compile(code.replace('"pruned"', repr(str(tmp_path / "again"))), "remake.py", "exec"), {})
    assert found.recipe.made is not None
    assert weights(tmp_path / "again") == weights(tmp_path) == found.recipe.made.weights


def test_the_script_reads_files_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = load_bundle("digits_mlp")
    torch.save(bundle.model.state_dict(), "net.pt")
    torch.save(bundle.train[0], "rows.pt")
    import numpy as np

    np.savez("rows.npz", inputs=bundle.train[0].numpy(), labels=bundle.train[1].numpy())
    data = load_data("rows.npz", DataOptions(seed=3, test=0.1))
    recipe = Recipe(Plan("net.pt", LAYERS, samples=100), LOBS, data=data.reading)
    code = script(recipe)
    assert "DataOptions(test=0.1, seed=3)" in code
    exec(compile(code, "remake.py", "exec"), {})
    from nettrim_core import Bundle, load_model

    made = carry_out(recipe, Bundle.of(load_model("net.pt"), data)).recipe.made
    assert made is not None
    assert weights(tmp_path / "pruned") == made.weights


def test_the_notebook_runs_and_makes_the_same_bits(tmp_path: Path) -> None:
    found = outcome("parallel")
    export(found.model, found.report, tmp_path, ["safetensors", "notebook"], recipe=found.recipe)
    written = nbformat.read(tmp_path / "remake.ipynb", as_version=4)
    NotebookClient(written, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = "".join(output.text for cell in written.cells for output in cell.get("outputs", []) if "text" in output)
    assert "model.safetensors was loaded again" in said
    assert weights(tmp_path / "pruned") == weights(tmp_path)


def test_the_script_is_run_as_a_program(tmp_path: Path) -> None:
    found = outcome("cascade")
    export(found.model, found.report, tmp_path, ["safetensors", "script"], recipe=found.recipe)
    done = subprocess.run(
        [sys.executable, "remake.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert "model.safetensors was loaded again" in done.stdout
    assert weights(tmp_path / "pruned") == weights(tmp_path)


def test_the_table_holds_every_figure_to_the_last_digit(tmp_path: Path) -> None:
    found = outcome("parallel")
    (check,) = export(found.model, found.report, tmp_path, ["curves"], curves=curves())
    assert "4 points" in check
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, report in zip(rows, curves(), strict=True):
        assert (row["method"], float(row["epsilon"])) == (report.method, report.settings["epsilon"])
        assert float(row["zeros"]) == report.sparsity
        assert float(row["accuracy"]) == report.accuracy
        assert (float(row["accuracy_low"]), float(row["accuracy_high"])) == report.accuracy_interval
        for layer in report.layers:
            assert float(row[f"{layer.name}:zeros"]) == layer.sparsity
            assert float(row[f"{layer.name}:discrepancy"]) == layer.discrepancy
            assert row[f"{layer.name}:gap"] == ("" if layer.gap is None else str(layer.gap))
            assert layer.bound is not None
            assert float(row[f"{layer.name}:bound"]) == layer.bound / layer.output_norm
    assert {row["method"] for row in rows} == {"lobs", "nettrim"}


@pytest.mark.parametrize("name", ["parallel", "budget", "retrained"])
def test_the_page_says_what_happened_and_needs_nothing_else(name: str, tmp_path: Path) -> None:
    found = outcome(name)
    (check,) = export(found.model, found.report, tmp_path, ["html"], recipe=found.recipe, curves=curves())
    text = (tmp_path / "report.html").read_text()
    assert f"{3 if name == 'budget' else 2} charts" in check
    body = re.sub(r"<script type=\"text/javascript\">.*?</script>", "", text, flags=re.DOTALL)
    assert f"{found.report.sparsity:.1%}" in body
    assert f"{found.report.accuracy:.2%} of {found.report.test_samples:,} test samples" in body
    assert ("Retraining with zeros held" in body) == (name == "retrained")
    assert "fingerprint = " in body
    assert "from nettrim_core import" in body
    data = re.search(r'<script type="application/json" id="report">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert Report.from_dict(json.loads(data[1])).to_dict() == found.report.to_dict()
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", body)


def test_names_cannot_write_on_the_page(tmp_path: Path) -> None:
    found = outcome("parallel")
    evil = "</script><script>alert(1)</script><b>"
    layers = [dataclasses.replace(layer, notes=[evil], name=evil) for layer in found.report.layers]
    report = dataclasses.replace(found.report, layers=layers)
    entry = FORMATS["html"]
    made = dataclasses.replace(source(found.model, found.report, None), report=report)
    entry.write(made, tmp_path / entry.file)
    text = (tmp_path / entry.file).read_text()
    outside = re.sub(r"<script type=\"text/javascript\">.*?</script>", "", text, flags=re.DOTALL)
    assert "<script>alert" not in outside
    assert "<b>" not in outside
    assert text.count("&lt;/script&gt;") >= 4
    entry.check(made, tmp_path / entry.file)


@pytest.mark.parametrize("name", ["html", "curves", "recipe", "script", "notebook"])
def test_what_tells_of_another_result_is_refused(name: str, tmp_path: Path) -> None:
    found = outcome("parallel")
    other = method_from("nettrim", {"epsilon": 0.3})
    made = source(found.model, found.report, None, found.recipe, curves()[:2])
    told = source(
        found.model, dataclasses.replace(found.report, seed=7), None, dataclasses.replace(found.recipe, method=other),
        curves()[2:],
    )  # fmt: skip
    entry = FORMATS[name]
    entry.write(told, tmp_path / entry.file)
    with pytest.raises(ValueError, match=rf"{re.escape(entry.file)}: .* after loading"):
        entry.check(made, tmp_path / entry.file)


def test_every_column_of_the_table_is_compared(tmp_path: Path) -> None:
    found, entry = outcome("parallel"), FORMATS["curves"]
    made, file = source(found.model, found.report, None, curves=curves()), tmp_path / entry.file
    entry.write(made, file)
    assert "4 points as written" in entry.check(made, file)
    lines = file.read_text().splitlines()
    for column in range(lines[0].count(",") + 1):
        cells = lines[2].split(",")
        cells[column] += "1"
        file.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:], ""]))
        with pytest.raises(ValueError, match=r"line 3 differs"):
            entry.check(made, file)
    for fewer in (lines[:-1], [*lines, lines[-1]], []):
        file.write_text("\n".join([*fewer, ""]))
        with pytest.raises(ValueError, match=r"line \d differs"):
            entry.check(made, file)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (r'"seed": 0', '"seed": 1', "report in the page"),
        (r"<p>", "<p>In short: ", "text"),
        (r"</td>", "0</td>", "table"),
        (r"<br><small>", "<br><small>not ", "table"),
        (r"<tr><td>.*?</tr>", "", "table"),
        (r"fingerprint = ", "fingerprint  = ", "recipe or the Python"),
        (r"from nettrim_core import", "from nettrim import", "recipe or the Python"),
        (r'plotly-graph-div"', '"', "charts|figures"),
    ],
)
def test_everything_that_the_page_shows_is_compared(before: str, after: str, what: str, tmp_path: Path) -> None:
    found, entry = outcome("parallel"), FORMATS["html"]
    layers = [dataclasses.replace(layer, notes=["a < b & c", *layer.notes]) for layer in found.report.layers]
    made = source(found.model, dataclasses.replace(found.report, layers=layers), None, found.recipe)
    file = tmp_path / entry.file
    entry.write(made, file)
    assert "the sentences, the table, the recipe and the Python as written" in entry.check(made, file)
    parts = re.split(r'(?s)(<script type="text/javascript".*?</script>)', file.read_text())  # Plotly's between ours
    place = next(i for i, part in enumerate(parts) if i % 2 == 0 and re.search(before, part))
    parts[place] = re.sub(before, after, parts[place], count=1)
    file.write_text("".join(parts))
    with pytest.raises(ValueError, match=what):
        entry.check(made, file)
