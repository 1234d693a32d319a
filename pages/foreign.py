"""Markdown of unknown origin, made safe to show: no picture is loaded, no diagram drawn, and no link hides where it
leads. No Streamlit.

A reader's browser tells another host of every picture that it loads from there. Pictures come from ``![``, and from
fenced blocks of the language mermaid, whose diagrams may hold some. What is looked for is broken wherever it stands, as
what counts as code is for the browser's parser to say; a space more does not hurt code.
"""

from __future__ import annotations

import re

_TARGET = r"\]\(\s*+<?([^\s<>()]*+)>?[^()]*+\)"
_PICTURE = re.compile(rf"!\[([^\[\]]*+){_TARGET}")
_LINK = re.compile(rf"\[([^\[\]]*+){_TARGET}")
_FENCE = re.compile(r"(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)$", re.MULTILINE)
_PLAIN_LANGUAGE = re.compile(r"[ \t]*[\w+#.-]*[ \t]*", re.ASCII)
_ADDRESS = re.compile(r"https?://|mailto:", re.IGNORECASE)


def shown(markdown: str) -> str:
    """The text for ``st.markdown``, HTML off: a picture gives way to its words and its address, a link is followed by
    its address, and other ways to write them come out as they were written, with a space inside."""
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    text = _FENCE.sub(_fence, text)
    text = _PICTURE.sub(_picture, text)
    text = _LINK.sub(_link, text)
    # what is left of pictures, links, and definitions of where references lead
    return text.replace("![", "! [").replace("](", "] (").replace("]:", "] :")


def _fence(found: re.Match[str]) -> str:
    """A fence that names a language plainly, or else plain text."""
    ticks, language = found.groups()
    if _PLAIN_LANGUAGE.fullmatch(language) and "mermaid" not in language.lower():
        return found[0]
    return f"{ticks}text {language}"


def _picture(found: re.Match[str]) -> str:
    words, address = found.groups()
    said = ", ".join(part for part in (words, address if _ADDRESS.match(address) else "") if part)
    return f"(picture, not loaded: {said})" if said else "(picture, not loaded)"


def _link(found: re.Match[str]) -> str:
    words, address = found.groups()
    if not _ADDRESS.match(address):
        return found[0]  # in code this may be a call
    return address if words in ("", address) else f"{words} ({address})"
