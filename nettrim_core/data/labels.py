"""Labels of any kind as class numbers from 0, with the classes' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from nettrim_core.data.options import DataOptions
from nettrim_core.data.source import Source, shown

MOST_CLASSES = 10_000
NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|inf(?:inity)?)", re.IGNORECASE | re.ASCII)

Place = Callable[[int], str]  # of a row, in words


def numbered(
    source: Source, values: Sequence[str | float], codes: np.ndarray, place: Place, options: DataOptions
) -> tuple[np.ndarray, tuple[str, ...]]:
    """(rows,) int64 class numbers and the classes' names.

    values: the different labels; codes: (rows,) which of them a row has. Numbers are class numbers, counted from
    ``options.first_class``; anything else is text, whose classes are numbered in sorted order.
    """
    if len(values) > MOST_CLASSES:
        raise source.refusal(
            f"there are {len(values):,} different labels and at most {MOST_CLASSES:,} classes are read",
            "name the labels with the option label, or set labelled to False",
        )
    words = [value.strip() if isinstance(value, str) else value for value in values]
    for code, word in enumerate(words):
        if word in ("", None) or str(word).lower() == "nan":
            raise _refusal(source, place, codes, code, "the label is missing", "fill it in or remove the row")
    if all(not isinstance(word, str) or NUMBER.fullmatch(word) for word in words):
        return _counted(source, [float(word) for word in words], codes, place, options)
    names = sorted({str(word) for word in words})
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[str(word)] for word in words], np.int64)[codes], tuple(names)


def _counted(
    source: Source, numbers: list[float], codes: np.ndarray, place: Place, options: DataOptions
) -> tuple[np.ndarray, tuple[str, ...]]:
    for code, number in enumerate(numbers):
        if number != np.floor(number) or not np.isfinite(number):
            reason, remedy = "is not a whole number", "give class numbers, or set labelled to False for measured values"
        elif number < options.first_class:
            reason, remedy = f"is less than {options.first_class}", "number the classes from 0, or from first_class"
        elif number - options.first_class >= MOST_CLASSES:
            reason, remedy = f"is more than {MOST_CLASSES:,} classes allow", "number the classes from 0 without gaps"
        else:
            continue
        raise _refusal(source, place, codes, code, f"the label {shown(f'{number:g}')} {reason}", remedy)
    found = np.array(numbers, np.int64)[codes] - options.first_class
    return found, tuple(str(i + options.first_class) for i in range(int(found.max()) + 1))


def _refusal(source: Source, place: Place, codes: np.ndarray, code: int, reason: str, remedy: str) -> ValueError:
    return source.refusal(reason, remedy, place(int((codes == code).argmax())))


def row_from_zero(row: int) -> str:
    return f"row {row} (from 0)"


def labels_of(
    source: Source, array: np.ndarray, rows: int, what: str, options: DataOptions
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The same from an array of labels, which must be one for each of so many rows. what: where they are, in words."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.shape[0] == rows:
        raise source.refusal(
            f"labels have {array.shape[1]} columns",
            "give one class number a row, with argmax(1) if they are one-hot",
            what,
        )
    if array.ndim != 1 or array.dtype.kind not in "biufU":
        raise source.refusal(
            f"labels are of type {shown(array.dtype)} and shape {shown(array.shape)}",
            "give one number or text a row",
            what,
        )
    if len(array) != rows:
        raise source.refusal(f"there are {len(array):,} labels for {rows:,} rows of inputs", "give one a row", what)
    values, codes = np.unique(array, return_inverse=True)
    return numbered(source, values.tolist(), codes, lambda row: f"{what}, {row_from_zero(row)}", options)
