"""A page as a notebook file: cells that Jupyter runs and that the studio opens again. Nothing is executed here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nbformat
from nbformat.validator import get_validator

MOST_BYTES = 5_000_000
MOST_CELLS = 500
MOST_LINK = 2000
KEY = "nettrim"  # the studio's part of a notebook cell's metadata
HEADING = "# "

_PAIR = r"[\w.~-]+=(?:[\w.~+,:*-]|%[0-9A-Fa-f]{2})*"
_QUERY = re.compile(rf"{_PAIR}(?:&{_PAIR})*", re.ASCII)


@dataclass(frozen=True)
class Cell:
    """A piece of a page.

    text: Markdown, to be shown with HTML off. code: Python source that runs as it stands, "" for none. link: the query
    string of the studio state that the cell shows, without its question mark and percent-encoded as by
    ``urllib.parse.urlencode``, "" for none.
    """

    text: str
    code: str = ""
    link: str = ""


def write(cells: Sequence[Cell], title: str) -> bytes:
    """The page as a notebook (nbformat 4.5, kernel python3): the title as a heading, and for every cell its text and
    then its code, if it has any. Equal pages give equal bytes.

    Raises ValueError for a page that :func:`read` would find too large.
    """
    parts: list[dict[str, Any]] = [_markdown(HEADING + " ".join(title.split()), {})]
    for cell in cells:
        parts.append(_markdown(cell.text, {KEY: {"link": cell.link}}))
        if cell.code:
            parts.append(_code(cell.code, {KEY: {"joined": True}}))
    if len(parts) > MOST_CELLS:
        raise ValueError(
            f"cells: {len(cells)} of them with a title make a notebook of {len(parts)} cells, and at most "
            f"{MOST_CELLS} can be opened again: make two pages of it"
        )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": _with_ids(parts)}
    notebook = nbformat.from_dict(content)
    nbformat.validate(notebook)
    data = (nbformat.writes(notebook) + "\n").encode()
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"cells: the notebook has {len(data):,} bytes, and at most {MOST_BYTES:,} can be opened again: make two "
            "pages of it"
        )
    return data


def _markdown(source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": metadata, "source": source}


def _code(source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}


def _with_ids(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The notebook cells with ids made of their content; cells of one content are numbered."""
    seen: Counter[str] = Counter()
    made = []
    for part in parts:
        digest = hashlib.blake2b(json.dumps(part, sort_keys=True).encode(), digest_size=8).hexdigest()
        seen[digest] += 1
        made.append({"id": f"{digest}-{seen[digest]}", **part})
    return made


def read(data: bytes) -> tuple[str, list[Cell]]:
    """The title and the cells of a notebook.

    One that :func:`write` made gives the same cells back. Of any other, Markdown cells become text and code cells code;
    the title is the heading that the first cell begins with, "" without one; outputs, attachments and raw cells are
    left out. Links that are not plain query strings are dropped.

    Raises ValueError, one sentence for the visitor, if the file is not a valid notebook of version 4, or too large.
    """
    cells: list[Cell] = []
    above = None  # what kind of cell came before
    for part in _checked(data):
        kind, own = part["cell_type"], part["metadata"].get(KEY)
        own = own if isinstance(own, dict) else {}
        if kind == "markdown":
            cells.append(Cell(_source(part), link=_plain(own.get("link"))))
        elif kind == "code" and above == "markdown" and own.get("joined") is True:
            cells[-1] = dataclasses.replace(cells[-1], code=_source(part))
        elif kind == "code" and part["source"]:
            cells.append(Cell("", _source(part)))
        above = kind
    if not cells or not cells[0].text.startswith(HEADING):
        return "", cells
    title, _, rest = cells[0].text.removeprefix(HEADING).partition("\n")
    first = dataclasses.replace(cells[0], text=rest.lstrip("\n"))
    return title.strip(), cells[1:] if first == Cell("") else [first, *cells[1:]]


def _checked(data: bytes) -> list[dict[str, Any]]:
    """The cells of a valid notebook file as plain data."""
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"The file has {len(data):,} bytes and at most {MOST_BYTES:,} are read: clear the outputs in Jupyter, save "
            "the notebook and choose it again."
        )
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError(
            "The file is not a notebook, because it is not JSON text: choose a file that ends in .ipynb."
        ) from None
    minor = _minor_version(notebook)
    cells = notebook.get("cells")
    if isinstance(cells, list) and len(cells) > MOST_CELLS:
        raise ValueError(
            f"The notebook has {len(cells):,} cells and at most {MOST_CELLS} are read: leave some out and choose it "
            "again."
        )
    # The compiled validator alone: the one with which nbformat.validate explains an error takes gigabytes for a hostile
    # file. One is kept for every minor version that is asked for, and those to come are all alike.
    validator = get_validator(4, min(minor, 6), name="fastjsonschema")
    assert validator is not None
    for error in validator.iter_errors(notebook):
        cell = re.match(r"data\.cells\[(\d+)\]", error.message)
        where = f"in cell {int(cell[1]) + 1}" if cell else "outside its cells"
        raise ValueError(
            f"The notebook breaks the rules of its format {where}: open it in Jupyter, save it and choose it again."
        )
    return cells


def _minor_version(notebook: Any) -> int:
    """The y of version 4.y; a notebook of another version is refused."""
    said = notebook if isinstance(notebook, dict) else {}
    major, minor = said.get("nbformat"), said.get("nbformat_minor")
    if isinstance(major, int) and major != 4:
        raise ValueError(
            f"The notebook's version is {'older' if major < 4 else 'newer'} than 4: open it in Jupyter, save it as "
            "version 4 and choose it again."
        )
    if not isinstance(major, int) or not isinstance(minor, int) or minor < 0:
        raise ValueError(
            "The file is JSON but not a notebook, because it has no notebook version: choose a file that ends in "
            ".ipynb."
        )
    return minor


def _source(part: dict[str, Any]) -> str:
    """The source of a notebook cell, which may be stored line by line; half a surrogate pair, which no page can show,
    becomes a question mark."""
    return "".join(part["source"]).encode("utf-8", "replace").decode()


def _plain(link: object) -> str:
    return link if isinstance(link, str) and len(link) <= MOST_LINK and _QUERY.fullmatch(link) else ""
