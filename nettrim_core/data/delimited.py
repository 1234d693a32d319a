"""CSV: rows of cells between commas, tabs or the like, with names above them or not."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import numpy as np

from nettrim_core.data.found import Found
from nettrim_core.data.labels import NUMBER, numbered
from nettrim_core.data.options import DataOptions
from nettrim_core.data.source import Source, shown
from nettrim_core.data.table import MOST_COLUMNS, chosen, column_word, narrowed, notes_on

DELIMITERS = (",", ";", "\t", "|", " ")
LOOKED_AT = 20  # lines
BLOCK = 2**26  # bytes that are parsed at a time; a line may not be longer

_LINE = re.compile(rb"[^\r\n]+")
_BREAK = re.compile(rb"\r\n|\r|\n")


def read_csv(source: Source, options: DataOptions) -> Found:
    """Numbers in all columns but the one with the labels; errors name the line, from 1, as an editor counts."""
    data = _text(source)
    first, second, lines = _first_lines(source, data)
    delimiter = options.delimiter or _delimiter(lines)
    width = first.count(delimiter) + 1
    if width > MOST_COLUMNS:
        raise source.refusal(f"line 1 has {width:,} cells and at most {MOST_COLUMNS:,} are read", "check the delimiter")
    head, below = (_cells(line, delimiter) for line in (first, second))
    header = options.header == "yes" or (options.header == "found out" and _names(head, below))
    names = [cell.strip() for cell in head] if header else [""] * len(head)
    body = _BREAK.split(data.lstrip(b"\r\n"), maxsplit=1)[1:] if header else [data]
    if not body or not body[0].strip():
        raise source.refusal("there is no row below the names of the columns", "add rows, or set header to no")
    source.check_size(4 * width * (body[0].count(b"\n") + body[0].count(b"\r") + 1), "the numbers")
    columns = chosen(source, names, options)
    table = _parsed(source, body[0], delimiter, len(names), header)
    return _found(source, table, names, columns, header, options)


def _found(
    source: Source,
    table: Any,
    names: list[str],
    columns: tuple[list[int], int | None],
    header: bool,
    options: DataOptions,
) -> Found:
    inputs, label = columns
    found = np.empty((table.num_rows, len(inputs)), np.float32)
    for place, column in enumerate(inputs):
        found[:, place] = _numbers(source, table.column(column), column_word(names[column], column), header)
    if label is None:
        return Found(found, notes=notes_on(names, label, options))
    words = table.column(label).combine_chunks().dictionary_encode()
    codes, values = words.indices.to_numpy(), words.dictionary.to_pylist()
    what = column_word(names[label], label)
    labels, classes = numbered(
        source, values, codes, lambda row: f"line {line_of(source.data, row + header)}, {what}", options
    )
    return Found(found, labels, classes, notes=notes_on(names, label, options))


def _text(source: Source) -> bytes:
    """The file without a byte order mark, as what is known to be UTF-8."""
    data = source.data.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in data[:10_000] or b"\0" in data:
        raise source.refusal("this is not text in UTF-8, because it has zero bytes", "save it as CSV in UTF-8")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = len(_BREAK.findall(data, 0, error.start)) + 1
        raise source.refusal("the text is not in UTF-8", "save it as CSV in UTF-8", f"line {line}") from None
    if not data.strip():
        raise source.refusal("the file is empty", "save the data again and give the new file")
    return data


def _first_lines(source: Source, data: bytes) -> tuple[str, str, list[str]]:
    """The first two lines that are not empty, and a few more."""
    lines = []
    for piece in _BREAK.finditer(data + b"\n"):
        start = lines[-1][1] if lines else 0
        lines.append((start, piece.end()))
        if len(lines) > LOOKED_AT:
            break
    texts = [data[start:end].strip(b"\r\n").decode() for start, end in lines]
    texts = [text for text in texts if text]
    if not texts:
        raise source.refusal(f"the first {LOOKED_AT} lines are empty", "remove the empty lines")
    return texts[0], (texts[1] if len(texts) > 1 else ""), texts


def _delimiter(lines: list[str]) -> str:
    """The mark that all lines have most often, a space only where there is no other; or else the first line's."""
    least = {mark: min(line.count(mark) for line in lines) for mark in DELIMITERS}
    best = max(DELIMITERS[:-1], key=least.__getitem__)
    if least[best]:
        return best
    return " " if least[" "] else max(DELIMITERS[:-1], key=lines[0].count)


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell of more than 128 KiB, which is no number
        return line.split(delimiter)


def _names(head: list[str], below: list[str]) -> bool:
    """Do these cells name columns: is there text above a number, or nothing below?"""
    numbers = [bool(NUMBER.fullmatch(cell.strip())) for cell in head]
    if not below:
        return not any(numbers)
    pairs = zip(numbers, below, strict=False)
    return any(not number and NUMBER.fullmatch(cell.strip()) for number, cell in pairs)


def _parsed(source: Source, body: bytes, delimiter: str, width: int, header: bool) -> Any:
    """The table as text, with as many columns in every row."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    ragged: list[Any] = []
    names = [f"f{i}" for i in range(width)]
    try:
        table = arrow.read_csv(
            io.BytesIO(body),
            arrow.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names),
            arrow.ParseOptions(delimiter=delimiter, invalid_row_handler=lambda row: ragged.append(row) or "error"),
            arrow.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), check_utf8=True),
        )
    except (pa.ArrowException, ValueError, OSError):
        if not ragged:
            raise source.refusal(
                "a line cannot be read as cells", "close all quotes and keep each cell on one line"
            ) from None
        row = ragged[0]
        raise source.refusal(
            f"there are {row.actual_columns} cells and in the first line {width}",
            "give every line as many, or check the delimiter",
            f"line {line_of(source.data, row.number - 1 + header)}",
        ) from None
    if table.num_rows != sum(1 for _ in _LINE.finditer(body)):
        raise source.refusal("a cell goes over several lines", "close all quotes and keep each cell on one line")
    return table


def _numbers(source: Source, column: Any, what: str, header: bool) -> np.ndarray:
    """(rows,) float32 of a column of text."""
    import pyarrow as pa
    from pyarrow import compute

    trimmed = compute.call_function("utf8_trim_whitespace", [column])
    try:
        values = compute.cast(trimmed, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        values = np.empty(len(trimmed))
        for row, cell in enumerate(trimmed.to_pylist()):
            if not NUMBER.fullmatch(cell):
                reason = f"'{shown(cell, 40)}' is not a number" if cell else "the cell is empty"
                remedy = "correct it, or leave the column out with leave_out, or name it with label if it is the label"
                raise source.refusal(reason, remedy, f"line {line_of(source.data, row + header)}, {what}") from None
            values[row] = float(cell)
    return narrowed(source, values, lambda row: f"line {line_of(source.data, row + header)}, {what}")


def line_of(data: bytes, row: int) -> int:
    """The line, from 1, of a row: empty lines are no rows."""
    lines = (i for i, line in enumerate(_BREAK.split(data), 1) if line)
    return next(line for i, line in enumerate(lines) if i == row)
