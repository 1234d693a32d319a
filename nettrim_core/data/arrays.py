"""NumPy's files: NPY, one array, and NPZ, several by name. Objects, which are pickles, are never read."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import numpy as np

from nettrim_core.data.archive import Archive, member
from nettrim_core.data.found import Found
from nettrim_core.data.labels import labels_of, row_from_zero
from nettrim_core.data.options import SPLITS, DataOptions
from nettrim_core.data.source import Source, opened, shown, unpacked
from nettrim_core.data.table import narrowed

MAGIC = b"\x93NUMPY"
END = ".npy"  # of the names in an NPZ
INPUTS = ("inputs", "input", "x", "images", "image", "data", "features", "samples", "arr_0")
LABELS = ("labels", "label", "y", "targets", "target", "classes", "class", "arr_1")
WORDS = {"train": ("train", "training"), "validation": ("validation", "valid", "val"), "test": ("test",)}
MOST_DIMENSIONS = 8
ROWS_AT_A_TIME = 1000


def array_in(source: Source, data: bytes, place: str = "") -> np.ndarray:
    """The array of an NPY file, on its bytes: nothing is allocated for what a header says of its shape."""
    if not data.startswith(MAGIC):
        raise source.damaged("an NPY array", place)
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, columns_first, dtype = read(stream)
    except Exception:  # the header is parsed as Python text, and damaged text fails in many ways
        raise source.refusal("the header of the array is damaged", "save it again with numpy.save", place) from None
    if dtype.hasobject:
        raise source.refusal(
            "the array holds Python objects, which may run code",
            "save plain numbers, such as x.astype('float32')",
            place,
        )
    check_dtype(source, dtype, place)
    if len(shape) > MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise source.refusal(f"the shape {shown(shape)} is impossible", "save the array again", place)
    count, start = math.prod(shape), stream.tell()
    if count == 0:
        raise source.refusal(f"the array of shape {shown(shape)} is empty", "save rows of numbers", place)
    if count * dtype.itemsize != len(data) - start:
        raise source.refusal(
            f"the shape {shown(shape)} needs {shown(f'{count * dtype.itemsize:,}', 30)} bytes and there are "
            f"{len(data) - start:,}, so the array is truncated or damaged",
            "save it again", place,
        )  # fmt: skip
    flat = np.frombuffer(data, dtype, count, start)
    return flat.reshape(shape, order="F" if columns_first else "C")


def check_dtype(source: Source, dtype: np.dtype, place: str = "") -> None:
    """Raise ValueError for what are neither real numbers nor text."""
    if dtype.kind not in "biufU" or dtype.itemsize == 0:
        raise source.refusal(f"the type {shown(dtype, 40)} is not one of real numbers", "convert the array", place)


def inputs_in(source: Source, array: np.ndarray, place: str = "") -> np.ndarray:
    """The same array; ValueError unless it holds finite numbers in rows."""
    if array.dtype.kind not in "biuf":
        raise source.refusal(f"the inputs are of type {shown(array.dtype)}, not numbers", "convert the array", place)
    if array.ndim < 2 or 0 in array.shape:
        raise source.refusal(
            f"the inputs have the shape {shown(array.shape)}", "give rows of at least one number: (rows, ...)", place
        )
    if array.dtype.kind == "f":
        before = f"{place}, " if place else ""
        for start in range(0, len(array), ROWS_AT_A_TIME):
            narrowed(
                source,
                array[start : start + ROWS_AT_A_TIME],
                lambda row, start=start: f"{before}{row_from_zero(start + row)}",
            )
    return array


def read_npy(source: Source, options: DataOptions) -> Found:
    """The inputs; the labels from ``options.labels_path``, an NPY file too, where one is named."""
    inputs = inputs_in(source, array_in(source, source.data))
    if not options.labelled or not options.labels_path:
        return Found(inputs)
    other = unpacked(opened(Path(options.labels_path), source.limit, source.digest))
    return Found(inputs, *labels_of(other, array_in(other, other.data), len(inputs), "the labels", options))


def read_npz(source: Source, options: DataOptions) -> Found:
    """Arrays by their usual names: inputs and labels, or those of each split, or the keys that the options name."""
    archive = Archive(source)
    keys = {name[: -len(END)]: name for name in archive.names if name.lower().endswith(END)}
    if len(keys) < len(archive.names):
        other = next(name for name in archive.names if not name.lower().endswith(END))
        raise source.refusal("there is a member that is no array", "save arrays alone with numpy.savez", member(other))

    def array(key: str) -> np.ndarray:
        return array_in(source, archive.read(keys[key]), f"key '{shown(key, 40)}'")

    parts = [] if options.inputs else _splits(source, list(keys))
    if not parts:
        parts = [("", *_pair(source, list(keys), options))]
    found = [_part(source, array, x, y, options) for _, x, y in parts]
    what = "the labels" if len(parts) > 1 else f"key '{shown(parts[0][2], 40)}'"
    return _joined(source, [split for split, *_ in parts], found, what, options)


def _splits(source: Source, keys: list[str]) -> list[tuple[str, str, str | None]]:
    """(split, key of the inputs, key of the labels) of files that name splits, such as x_train or train_inputs."""
    found = []
    for split in SPLITS:
        x, y = (
            _named(source, keys, tuple(f"{a}_{b}" for w in WORDS[split] for n in names for a, b in ((w, n), (n, w))))
            for names in (INPUTS, LABELS)
        )
        if x is not None:
            found.append((split, x, y))
    if found and found[0][0] != "train":
        raise source.refusal(f"there is a key '{shown(found[0][1], 40)}' and none for training rows", "add x_train")
    return found


def _pair(source: Source, keys: list[str], options: DataOptions) -> tuple[str, str | None]:
    for name, key in (("inputs", options.inputs), ("label", options.label)):
        if key != "" and key not in keys:
            raise source.refusal(
                f"there is no key '{shown(key, 40)}' for the option {name}", f"use one of: {shown(', '.join(keys), 80)}"
            )
    x = options.inputs or (keys[0] if len(keys) == 1 else _named(source, keys, INPUTS))
    y = str(options.label) or _named(source, keys, LABELS)
    if x is None:
        raise source.refusal(
            f"none of the keys {shown(', '.join(keys), 80)} is a usual name of inputs", "say which one with inputs"
        )
    return x, (None if y == x else y)


def _named(source: Source, keys: list[str], names: tuple[str, ...]) -> str | None:
    found = [key for key in keys if key.lower() in names]
    if len(found) > 1:
        both = " and ".join(f"'{shown(key, 40)}'" for key in found[:2])
        raise source.refusal(
            f"the keys {both} could both be meant", "say which ones with the options inputs and label, or keep one"
        )
    return found[0] if found else None


Part = tuple[np.ndarray, np.ndarray | None]


def _part(source: Source, array, x: str, y: str | None, options: DataOptions) -> Part:
    inputs = inputs_in(source, array(x), f"key '{shown(x, 40)}'")
    if y is None or not options.labelled:
        return inputs, None
    labels = array(y)
    if labels.ndim == 0 or len(labels) != len(inputs):
        raise source.refusal(
            f"its shape {shown(labels.shape)} does not go with {len(inputs):,} rows of inputs", "give one label a row",
            f"key '{shown(y, 40)}'",
        )  # fmt: skip
    return inputs, labels


def _joined(source: Source, splits: list[str], parts: list[Part], what: str, options: DataOptions) -> Found:
    """The parts one after the other, with classes numbered over all of them."""
    given = tuple((split, len(inputs)) for split, (inputs, _) in zip(splits, parts, strict=True) if split)
    shapes = {inputs.shape[1:] for inputs, _ in parts}
    if len(shapes) > 1:
        raise source.refusal(f"splits have samples of shapes {shown(sorted(shapes))}", "give all the same shape")
    inputs = np.concatenate([inputs for inputs, _ in parts]) if len(parts) > 1 else parts[0][0]
    labels = [labels for _, labels in parts if labels is not None]
    if not labels:
        return Found(inputs, given=given)
    if len(labels) < len(parts) or len({y.ndim for y in labels}) > 1 or len({y.dtype.kind == "U" for y in labels}) > 1:
        raise source.refusal("splits have labels of different kinds, or some have none", "label all splits alike")
    try:
        whole = np.concatenate(labels)
    except ValueError:
        raise source.refusal("splits have labels of different shapes", "label all splits alike") from None
    return Found(inputs, *labels_of(source, whole, len(inputs), what, options), given)
