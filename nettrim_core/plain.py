"""Names from outside, of layers, classes, files and networks, so that they are shown as they are written.

Each place that shows them has markup of its own: a page has HTML (``html.escape``), Plotly a few tags, entities and
templates, Markdown its signs, a terminal its control sequences, a spreadsheet its formulas.
"""

from __future__ import annotations

import re
from html import escape

# signs of CommonMark, its tables and formulas; Streamlit adds words after a colon; the rest counts where a line begins
_MARKDOWN = re.compile(r"([\\`*_\[\]|<>&$~]|:(?=\S)|^[-+#])")
# what makes a formula of a cell, by OWASP's list with the wide forms of the signs, and what some country's spreadsheet
# takes for the sign between cells, quoted or not
_FORMULA = re.compile(r"(?:\A|(?<=[;\t\r\n]))(?=[=+\-@\t\r\n'＝＋－＠])")
_DEFUSED = re.compile(r"(?:\A|(?<=[;\t\r\n]))'")


def for_plotly(text: str) -> str:
    """For titles, ticks, categories and hover texts of a figure, templates included."""
    return escape(text, quote=False).replace("%{", "&#37;{").replace("$", "&#36;")


def for_markdown(text: str) -> str:
    """For Markdown, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def for_terminal(text: str) -> str:
    """For a terminal, or a line of a log: control characters, which move the cursor or change what was printed before,
    come as Python writes them; line breaks and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def for_cell(text: str) -> str:
    """For a cell of a spreadsheet: an apostrophe stands before what would be taken for a formula.
    :func:`from_cell` takes it away."""
    return _FORMULA.sub("'", text)


def from_cell(text: str) -> str:
    """The text that :func:`for_cell` was given."""
    return _DEFUSED.sub("", text)
