"""Parquet: a table with typed columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from nettrim_core.data.found import Found
from nettrim_core.data.labels import numbered, row_from_zero
from nettrim_core.data.options import DataOptions
from nettrim_core.data.source import Source, shown
from nettrim_core.data.table import MOST_COLUMNS, chosen, column_word, narrowed, notes_on

HEADER = 10_000_000  # bytes and entries that the description of a file may take


def read_parquet(source: Source, options: DataOptions) -> Found:
    """Numbers in all columns but the one with the labels; errors count rows from 0."""
    import pyarrow as pa

    try:
        file = _opened(source)
        _check_sizes(source, file)
        schema = file.schema_arrow
        inputs, label = chosen(source, schema.names, options)
        for column in [*inputs, *([] if label is None else [label])]:
            _check_type(source, schema.field(column), column, column == label)
        return _found(source, _read(source, schema, inputs, label), inputs, label, schema.names, options)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError):
        raise source.damaged("a Parquet file") from None


def _opened(source: Source, text: list[str] | None = None) -> Any:
    """text: columns that stay a dictionary, in which a text is held once however many rows have it."""
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.ParquetFile(
        pa.BufferReader(source.data),
        read_dictionary=text,
        pre_buffer=False,
        thrift_string_size_limit=HEADER,
        thrift_container_size_limit=HEADER,
        page_checksum_verification=True,
        arrow_extensions_enabled=False,
    )


def _check_sizes(source: Source, file: Any) -> None:
    """What the file says of itself, before anything is unpacked."""
    about = file.metadata
    if about.num_columns > MOST_COLUMNS:
        raise source.refusal(
            f"there are {about.num_columns:,} columns and at most {MOST_COLUMNS:,} are read", "use fewer"
        )
    if about.num_rows < 1 or about.num_columns < 1:
        raise source.refusal("there are no rows", "add rows")
    source.check_size(4 * about.num_rows * about.num_columns, "the numbers")
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    unpacked = sum(group.total_byte_size for group in groups)
    if sum(group.num_rows for group in groups) != about.num_rows or any(group.total_byte_size < 0 for group in groups):
        raise source.damaged("a Parquet file")
    source.check_size(unpacked, "the unpacked file")


def _read(source: Source, schema: Any, inputs: list[int], label: int | None) -> Any:
    """The columns that are wanted, and no others."""
    names = [schema.names[i] for i in inputs]
    text = [] if label is None else [schema.names[label]]
    if twice := next((name for name in names + text if schema.names.count(name) > 1), None):
        raise source.refusal(f"several columns are called '{shown(twice, 40)}'", "rename all but one")
    return _opened(source, text).read(columns=names + text, use_threads=False)


def _check_type(source: Source, field: Any, number: int, is_label: bool) -> None:
    from pyarrow import types

    kind, place = field.type, column_word(field.name, number)
    if types.is_nested(kind):
        raise source.refusal(f"the cells are nested ({shown(kind)})", "give each number a column of its own", place)
    text = types.is_string(kind) or types.is_large_string(kind)
    if types.is_dictionary(kind):
        text = types.is_string(kind.value_type) or types.is_large_string(kind.value_type)
    number_like = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
    if text and not is_label:
        raise source.refusal(
            "this column is text, not numbers",
            "leave the column out with leave_out, or name it with label if it is the label", place,
        )  # fmt: skip
    if not text and not number_like:
        raise source.refusal(f"the type {shown(kind)} is not one of numbers", "convert it, or leave it out", place)


def _found(
    source: Source, table: Any, inputs: list[int], label: int | None, names: list[str], options: DataOptions
) -> Found:
    found = np.empty((table.num_rows, len(inputs)), np.float32)
    for place, column in enumerate(inputs):
        found[:, place] = _numbers(source, table.column(names[column]), column_word(names[column], column))
    if label is None:
        return Found(found, notes=notes_on(names, label, options))
    what = column_word(names[label], label)
    words = _whole(source, table.column(names[label]), what).combine_chunks()
    if not hasattr(words, "dictionary"):
        words = words.dictionary_encode()
    values = [float(v) if not isinstance(v, str) else v for v in words.dictionary.to_pylist()]
    codes = words.indices.to_numpy()
    labels, classes = numbered(source, values, codes, lambda row: f"{row_from_zero(row)}, {what}", options)
    return Found(found, labels, classes, notes=notes_on(names, label, options))


def _numbers(source: Source, column: Any, what: str) -> np.ndarray:
    """(rows,) float32."""
    import pyarrow as pa
    from pyarrow import types

    column = _whole(source, column, what)
    if types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values = column.cast(pa.float64(), safe=False).to_numpy()
    return narrowed(source, values, lambda row: f"{row_from_zero(row)}, {what}")


def _whole(source: Source, column: Any, what: str) -> Any:
    """The same column; ValueError for the first empty cell."""
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise source.refusal("the cell is empty", "fill it in or remove the row", f"{row_from_zero(row)}, {what}")
    return column
