"""A page as a notebook: it comes back as it went, Jupyter runs it, and no file can make it do anything else."""

from __future__ import annotations

import copy
import json
import re
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbformat.validator import validators

from nettrim_core import load_bundle, prune
from pages import snippets
from pages.notebook import MOST_BYTES, MOST_CELLS, Cell, read, write
from pages.state import Choice
from tests.test_state import choices

ROOT = Path(__file__).resolve().parents[1]
LINKS = st.dictionaries(st.text("abc._", min_size=1), st.text(max_size=20), max_size=4).map(urlencode)
PAGE = [
    Cell("The knob is the *tolerance*.\n\n## A heading\n", link="model=digits_mlp&eps=0.1"),
    Cell("A result", "print(1)\n\nprint(2)\n", "model=digits_mlp&wanda.pattern=2%3A4"),
    Cell("A result", "print(1)\n\nprint(2)\n", "model=digits_mlp&wanda.pattern=2%3A4"),
    Cell("", "print(3)"),
]


def as_json(data: bytes) -> dict[str, Any]:
    return json.loads(data)


def file(*cells: Any, minor: int = 5, **changed: Any) -> bytes:
    """A notebook file as another program may have written it."""
    return json.dumps({"nbformat": 4, "nbformat_minor": minor, "metadata": {}, "cells": cells} | changed).encode()


def markdown(source: Any, **changed: Any) -> dict[str, Any]:
    return {"id": "a", "cell_type": "markdown", "metadata": {}, "source": source} | changed


def code(source: Any, **changed: Any) -> dict[str, Any]:
    return {"cell_type": "code", "outputs": [], "execution_count": None} | markdown(source, cell_type="code") | changed


@settings(deadline=None)  # the first example compiles the schema
@given(st.lists(st.builds(Cell, st.text(), st.text(), LINKS), max_size=6), st.text())
def test_a_page_comes_back_as_it_went(cells: list[Cell], title: str) -> None:
    data = write(cells, title)
    assert read(data) == (" ".join(title.split()), cells)
    assert write(cells, title) == data
    assert write(read(data)[1], read(data)[0]) == data


@settings(deadline=None)
@given(choices())
def test_the_link_of_any_choice_is_kept(choice: Choice) -> None:
    cell = Cell("Some text", link=urlencode(choice.to_query()))
    assert read(write([cell], ""))[1] == [cell]


def test_what_is_written_is_a_valid_notebook_that_begins_with_its_title() -> None:
    data = write([*PAGE, Cell("One more")], "What pruning\n does")
    notebook: Any = nbformat.from_dict(as_json(data))
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown"] * 2 + ["markdown", "code"] * 3 + ["markdown"]
    assert "".join(notebook.cells[0].source) == "# What pruning does"
    assert len({cell.id for cell in notebook.cells}) == len(kinds)


def test_a_cell_keeps_its_id_when_others_come_and_go() -> None:
    def ids(cells: list[Cell]) -> list[str]:
        return [cell["id"] for cell in as_json(write(cells, "Page"))["cells"]]

    assert ids([Cell("New"), *PAGE])[2:] == ids(PAGE)[1:]
    assert ids([*PAGE[:-1], Cell("", "print(4)")])[-1] != ids(PAGE)[-1]
    assert ids([replace(PAGE[0], link="eps=0.2"), *PAGE[1:]])[1] != ids(PAGE)[1]


def test_what_jupyter_changes_is_read_as_it_stands() -> None:
    notebook = as_json(write(PAGE[1:2], "Page"))
    title, text, source = notebook["cells"]
    source["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1\n", "2\n"]}]
    source["execution_count"] = 7
    title["source"] = ["# Another title\n", "\n", "with a sentence"]
    notebook["cells"] += [
        code(["import math\n", "math.pi"]),
        {**source, "id": "b"},
        code(""),
        markdown("The end", id="c"),
    ]
    again = ("Another title", [Cell("with a sentence"), *PAGE[1:2], Cell("", "import math\nmath.pi"),
                               Cell("", PAGE[1].code), Cell("The end")])  # fmt: skip
    assert read(json.dumps(notebook).encode()) == again
    notebook["cells"] = [text, source]
    assert read(json.dumps(notebook).encode()) == ("", PAGE[1:2])


@pytest.mark.parametrize("minor", [0, 2, 4, 5, 9])
def test_a_notebook_from_elsewhere_is_read_as_far_as_it_goes(minor: int) -> None:
    cells: list[dict[str, Any]] = [
        code("# not a heading"),
        markdown(["# Mine\n", "text"]),
        {**markdown("left out"), "cell_type": "raw"},
        code("plot()", outputs=[{"output_type": "display_data", "data": {"image/png": "AAAA"}, "metadata": {}}]),
    ]
    if minor < 5:
        for cell in cells:
            del cell["id"]
    found = [Cell("# Mine\ntext"), Cell("", "plot()")]
    assert read(file(*cells, minor=minor)) == ("", [Cell("", "# not a heading"), *found])
    assert read(file(*cells[1:], minor=minor)) == ("Mine", [Cell("text"), Cell("", "plot()")])


def test_a_notebook_of_a_later_minor_version_may_have_cells_that_are_not_known() -> None:
    later = {"cell_type": ["x"], "metadata": {"nettrim": 3}, "source": 3}
    assert read(file(later, markdown("text"), minor=10**9)) == ("", [Cell("text")])
    kept = len(validators)
    for minor in range(6, 12):
        read(file(minor=minor))
    assert len(validators) == kept  # a visitor cannot fill the memory with made-up versions


LINK = "model=digits_mlp&layers=fc1%2Cfc2&eps=0.1"


@pytest.mark.parametrize(
    "link",
    [
        "https://example.org/?" + LINK, "//example.org/?" + LINK, "javascript:alert(1)", "javascript:a=1",
        "/explore?" + LINK, "?" + LINK, "&" + LINK, LINK + "#top", LINK + "\n", LINK + "&x=<b>", LINK + "&x=](y)",
        LINK + "&x=%zz", LINK + "&x=é", "model", "a=" + "1" * 1999, 7, None, ["a=1"], {"a": 1},
    ],
)  # fmt: skip
def test_a_link_that_is_not_a_plain_query_is_dropped(link: Any) -> None:
    assert read(file(markdown("text", metadata={"nettrim": {"link": link}}))) == ("", [Cell("text")])
    longest = "a=" + "1" * 1998
    for good in (LINK, "wanda.pattern=2:4&x=", longest):
        assert read(file(markdown("", metadata={"nettrim": {"link": good}}))) == ("", [Cell("", link=good)])


def test_foreign_metadata_is_passed_over() -> None:
    for own in (3, "x", [], {"link": LINK, "joined": "yes"}):
        cells = [markdown("text"), code("1", id="b", metadata={"nettrim": own})]
        assert read(file(*cells)) == ("", [Cell("text"), Cell("", "1")])
    assert read(file(code("1", metadata={"nettrim": {"joined": True}}))) == ("", [Cell("", "1")])


def test_half_a_surrogate_pair_does_not_reach_a_page() -> None:
    (cell,) = read(file(markdown("a \ud800 b")))[1]
    assert cell == Cell("a ? b")


REFUSED = {
    "empty": (b"", "not JSON text"),
    "not JSON": (b"PK\x03\x04", "not JSON text"),
    "not text": (b"\xff\xfe\xff", "not JSON text"),
    "deep": (b"[" * 100_000, "not JSON text"),
    "a number": (b"3", "no notebook version"),
    "no version": (b'{"cells": []}', "no notebook version"),
    "half a version": (b'{"nbformat": 4}', "no notebook version"),
    "a word for a version": (file(nbformat="4"), "no notebook version"),
    "below zero": (file(minor=-1), "no notebook version"),
    "old": (file(nbformat=3), "older than 4"),
    "new": (file(nbformat=5), "newer than 4"),
    "too large": (file(markdown("x" * MOST_BYTES)), r"has 5,000,\d+ bytes and at most 5,000,000"),
    "too many": (file(*[markdown("x")] * 501), "has 501 cells and at most 500"),
    "no cells": (b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "rules of its format outside its cells"),
    "cells that are none": (file(cells={}), "outside its cells"),
    "extra": (file(more=1), "outside its cells"),
    "a bad cell": (file(markdown("x"), markdown(3)), "in cell 2"),
    "a cell of no kind": (file(markdown("x", cell_type={})), "in cell 1"),
    "no id": (file({k: v for k, v in markdown("x").items() if k != "id"}), "in cell 1"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_bad_file_is_refused_in_one_sentence(name: str) -> None:
    data, cause = REFUSED[name]
    with pytest.raises(ValueError, match=cause) as caught:
        read(data)
    assert re.fullmatch(r"The [^\n]+: [^\n]+ (it again|\.ipynb)\.", str(caught.value))
    assert ". " not in str(caught.value)


def test_a_hostile_file_takes_no_memory_to_refuse() -> None:
    data = file(code("", outputs=[{}] * 20_000))
    read(file())  # compiles the schema
    tracemalloc.start()
    with pytest.raises(ValueError, match="in cell 1"):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * len(data)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["source", "link", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_notebook_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    notebook: Any = copy.deepcopy(as_json(write(PAGE[1:3], "Page")))
    notebook["nbformat_minor"] = data.draw(st.sampled_from([4, 5, 6]))
    for _ in range(data.draw(st.integers(1, 3))):
        inside, key = notebook, data.draw(st.sampled_from(sorted(notebook)))
        while isinstance(inside[key], dict | list) and inside[key] and data.draw(st.booleans()):
            inside = inside[key]
            key = data.draw(st.sampled_from(sorted(inside) if isinstance(inside, dict) else range(len(inside))))
        inside[key] = data.draw(ANY)
    try:
        title, cells = read(json.dumps(notebook).encode())
    except ValueError:
        return  # anything else than this is a failure
    assert read(write(cells, title)) == (" ".join(title.split()), cells)


def test_a_page_that_could_not_be_opened_again_is_not_written() -> None:
    fits = [Cell("", "1")] * 249 + [Cell("text")]
    assert read(write(fits, ""))[1] == fits
    with pytest.raises(ValueError, match=f"^cells: 250 .* notebook of 501 cells, and at most {MOST_CELLS}"):
        write([Cell("", "1")] * 250, "")
    with pytest.raises(ValueError, match=r"^cells: the notebook has 5,000,\d+ bytes, and at most 5,000,000"):
        write([Cell("x" * MOST_BYTES)], "")


def test_jupyter_runs_the_page_and_prints_what_prune_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Choice("digits_mlp", ("fc3",), methods=("lobs",), n=200)
    sources = [snippets.curves(choice), snippets.at_epsilon(choice), snippets.sight(choice)]
    cells = [Cell("A result", source, urlencode(choice.to_query())) for source in sources]
    notebook = nbformat.reads(write(cells, "Pruning").decode(), as_version=4)

    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    swept, at_epsilon, sight = (
        "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    )

    bundle = load_bundle(choice.model)
    method = replace(choice.method("lobs"), epsilon=choice.eps)
    pruned, report = prune(
        bundle.model, bundle.calibration_sample(choice.n, choice.seed), method, choice.layers, False, bundle.validation,
        seed=choice.seed, max_patches=choice.patches,
    )  # fmt: skip
    assert f"{report.method}: {report.sparsity:.1%} zeros, {report.accuracy:.1%} right" in at_epsilon
    point = f"epsilon {choice.eps:<7.4g} {report.sparsity:6.1%} zeros, {report.accuracy:6.1%} right"
    assert point in swept
    used = pruned.state_dict()["fc3.weight"].ne(0).any(0)
    assert sight == f"{int(used.sum())} of {len(used)} inputs are still used\n"
    assert read(nbformat.writes(notebook).encode()) == ("Pruning", cells)  # what it printed is left out
