"""Tables: which columns are inputs, which one holds the labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nettrim_core.data.options import DataOptions
from nettrim_core.data.source import Source, shown

LABEL_NAMES = ("label", "labels", "class", "classes", "target", "targets", "y", "species")
MOST_COLUMNS = 100_000


def notes_on(names: list[str], label: int | None, options: DataOptions) -> tuple[str, ...]:
    """What a reader ought to know of the columns that were taken."""
    found = []
    if label is None and options.labelled:
        found.append("No column has a usual name of labels: if one holds them, name it with the option label.")
    if any(names) and not names[0] and label != 0 and not {0, "0", ""} & set(options.leave_out):
        found.append("The first column has no name: if it only counts the rows, leave it out.")
    return tuple(found)


def column_word(name: str, number: int) -> str:
    return f"column '{shown(name, 40)}'" if name else f"column {number} (from 0)"


def chosen(source: Source, names: list[str], options: DataOptions) -> tuple[list[int], int | None]:
    """The numbers of the columns that are inputs, and of the one with the labels. names: "" for one without."""
    left_out = {_number(source, names, column, "leave_out") for column in options.leave_out}
    label = _label(source, names, options) if options.labelled else None
    inputs = [i for i in range(len(names)) if i != label and i not in left_out]
    if not inputs:
        raise source.refusal("no column is left for the inputs", "give a table with more columns, or another delimiter")
    return inputs, label


def _label(source: Source, names: list[str], options: DataOptions) -> int | None:
    if options.label != "":
        return _number(source, names, options.label, "label")
    usual = [i for i, name in enumerate(names) if name.strip().lower() in LABEL_NAMES]
    if len(usual) > 1:
        words = " and ".join(column_word(names[i], i) for i in usual[:2])
        raise source.refusal(f"both {words} may hold the labels", "say which one with the option label")
    return usual[0] if usual else None


def _number(source: Source, names: list[str], column: str | int, option: str) -> int:
    """The number of the column that an option names."""
    places = [i for i, name in enumerate(names) if name == column]
    if len(places) > 1:
        raise source.refusal(
            f"{len(places)} columns are called '{shown(column, 40)}'", f"rename one, or give {option} its number from 0"
        )
    if places:
        return places[0]
    text = str(column)
    if text.removeprefix("-").isdecimal() and len(text) < 10 and -len(names) <= int(text) < len(names):
        return int(text) % len(names)
    known = shown(", ".join(name for name in names if name) or f"0 to {len(names) - 1}", 80)
    raise source.refusal(
        f"there is no column '{shown(column, 40)}' for the option {option}", f"use one of its columns: {known}"
    )


def narrowed(source: Source, values: np.ndarray, place: Callable[[int], str]) -> np.ndarray:
    """The same numbers in float32; ValueError for the first that is not finite there. place: of a row, in words."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    finite = np.isfinite(found)
    if finite.all():
        return found
    row, *_ = np.argwhere(~finite)[0]
    value = values[row][~finite[row]].flat[0]
    what = "NaN, not a number" if np.isnan(value) else "infinite" if np.isinf(value) else "too large for float32"
    raise source.refusal(f"the value is {what}", "correct it, or remove the row or the column", place(int(row)))
