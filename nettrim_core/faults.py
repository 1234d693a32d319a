"""Faults that nobody foresaw: what is said of one, and where the rest of it goes."""

from __future__ import annotations

import logging
import re

from nettrim_core.configuration import Public
from nettrim_core.plain import for_terminal

LOG = logging.getLogger("nettrim")
LONGEST = 4000  # characters of a text from elsewhere in the log
ELSEWHERE = "the server's log has the details"


def told(error: BaseException) -> str:
    """The fault's type and first line, without folders; where strangers come nothing of it, but all in the log."""
    if not Public.configured().on:
        return first_line(error)
    LOG.error("%s", first_line(error), exc_info=error)
    return ELSEWHERE


def log(text: str) -> None:
    """Write down what another process says of a fault, so that it cannot be taken for other lines of the log."""
    LOG.error("%s", for_terminal(text[:LONGEST]).replace("\n", "\n  "))


def first_line(error: BaseException) -> str:
    """An error's type and the first line of what it says, of which a library may say pages, without folders."""
    text = str(error).strip()
    return f"{type(error).__name__}: {without_folders(text.splitlines()[0])}" if text else type(error).__name__


def without_folders(text: str) -> str:
    """The text with the names of files in place of their paths."""
    return re.sub(r"(?<![\w.])/(?:[^\s/'\":]+/)+", "", text)
