"""remake.py and remake.ipynb: Python that makes the network again."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat

from nettrim_core.formats.format import Format, Source
from nettrim_core.recipes.script import cells, notebook, script


def _write_script(source: Source, path: Path) -> None:
    path.write_text(script(source.made_by), encoding="utf-8")


def _check_script(source: Source, path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if text != script(source.made_by):
        raise ValueError(f"{path}: the script differs after loading")
    ast.parse(text, path.name)
    return f"{path.name} was loaded again: whole Python, line by line as written; it was not run"


def _write_notebook(source: Source, path: Path) -> None:
    path.write_text(notebook(source.made_by), encoding="utf-8")


def _check_notebook(source: Source, path: Path) -> str:
    found = nbformat.read(path, as_version=4)
    nbformat.validate(found)
    code = [cell.source for cell in found.cells if cell.cell_type == "code"]
    if code != [text.rstrip("\n") for _, text in cells(source.made_by)]:
        raise ValueError(f"{path}: the notebook's code differs after loading")
    for text in code:
        ast.parse(text, path.name)
    return f"{path.name} was loaded again: a valid notebook of {len(code)} code cells as written; it was not run"


SCRIPT = Format(
    "Script (Python)",
    "remake.py",
    "Makes the result again with the functions of nettrim_core, and exports it.",
    _write_script,
    _check_script,
    needs_recipe=True,
)
NOTEBOOK = Format(
    "Notebook (Jupyter)",
    "remake.ipynb",
    "The same as the script, in cells with a word on each.",
    _write_notebook,
    _check_notebook,
    needs_recipe=True,
)
