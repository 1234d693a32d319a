"""What My page says. No Streamlit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nettrim_core.methods import METHOD_TITLES
from nettrim_core.record import Point
from pages import words
from pages.state import Choice

INTRO = (
    "Put results and your own words together on one page, in your order, and keep it as a file: it opens in Jupyter, "
    "where its Python runs, and here again."
)
EMPTY = (
    "Nothing is here yet. Begin with a text or with a result, pinned before or shown in Explore now; or open a page "
    "that was saved as a file."
)
NO_PINS = "Nothing is pinned. In Explore, **Pin** puts a state aside, and it is offered here."
CODE_HERE = "The Python that makes this"
CODE_THERE = "Python from the file; it is shown here and never run"
ABOVE = "It is being solved, see above."
AGAIN = "The same state as above."
MODES = {"parallel": "in parallel", "cascade": "as a cascade"}


def heading(title: str, choice: Choice) -> str:
    """The text that a result begins with on the page (Markdown). title: of the network."""
    return f"## {title}, ε = {choice.eps:g}"


def about(choice: Choice) -> str:
    """What a card's numbers are of (Markdown)."""
    layers = f"Layer{'s' * (len(choice.layers) > 1)} {', '.join(choice.layers)}"
    return f"{layers}, pruned {MODES[choice.mode]} with {choice.n:,} calibration samples (seed {choice.seed})."


def sentences(choice: Choice, here: Mapping[str, Point | None]) -> str:
    """A sentence for each method, solved or not (Markdown)."""
    said = []
    for name in choice.methods:
        point = here[name]
        said.append(f"**{METHOD_TITLES[name]}** is not solved here yet." if point is None else words.sentence(point))
    return "\n".join(f"- {sentence}" for sentence in said)


def adding(name: str, choice: Choice) -> str:
    """The label of a button that adds a state."""
    return f"{name} ({', '.join(METHOD_TITLES[method] for method in choice.methods)})"


def asking(title: str, cells: int, held: int) -> str:
    """What to do with a file that was opened while there was something on the page."""
    named = f"“{title}”, " if title else ""
    return f"The file holds {named}{count(cells)}. The page holds {count(held)}."


def count(cells: int) -> str:
    return f"{cells} cell{'s' * (cells != 1)}"


def file_name(title: str) -> str:
    """Of the saved page: plain letters that every system takes."""
    return (re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-") or "my-page") + ".ipynb"
