"""A user's data, ready for a network, with the record of how it was read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrim_core.data.arrays import check_dtype, inputs_in
from nettrim_core.data.found import Found
from nettrim_core.data.kinds import KINDS, kind_of
from nettrim_core.data.labels import labels_of
from nettrim_core.data.options import DataOptions
from nettrim_core.data.shape import normalised, shaped
from nettrim_core.data.source import Source, opened, unpacked
from nettrim_core.data.split import kept_rows, split_rows
from nettrim_core.rows import Rows


@dataclass(frozen=True)
class Reading:
    """What reproduces a :class:`Data`: ``load_data(path, options, digest=digest)``. digest: of all bytes read.
    kind: a key of ``KINDS``, or "arrays" for what came from Python, which cannot be read again."""

    path: str
    kind: str
    digest: str
    options: DataOptions

    def to_dict(self) -> dict[str, Any]:
        return {"path": self.path, "kind": self.kind, "digest": self.digest, "options": self.options.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reading:
        path, kind, digest = (str(data[name]) for name in ("path", "kind", "digest"))
        return cls(path, kind, digest, DataOptions.from_dict(data["options"]))


@dataclass(frozen=True, eq=False)
class Data:
    """Rows in the three splits of a :class:`nettrim_core.Bundle`, which never overlap: float32 inputs (rows, ...) and
    int64 labels (rows,), or None in place of them.

    classes: the name of every label; () without labels. notes: what is worth knowing of the reading, in sentences.
    """

    name: str
    train: Rows
    validation: Rows
    test: Rows
    classes: tuple[str, ...]
    reading: Reading
    notes: tuple[str, ...] = field(default=())

    @property
    def calibration(self) -> Tensor:
        """All calibration inputs: the inputs of ``train``."""
        return self.train[0]

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the splits: what a stored result on this data is valid for."""
        digest = hashlib.blake2b(digest_size=8)
        for inputs, labels in (self.train, self.validation, self.test):
            digest.update(f"{tuple(inputs.shape)} {labels is None}".encode())
            digest.update(inputs.numpy().tobytes())
            digest.update(b"" if labels is None else labels.numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def of(
        cls,
        inputs: Tensor | np.ndarray,
        labels: Tensor | np.ndarray | Sequence[int | str] | None = None,
        options: DataOptions = DataOptions(),  # noqa: B008 (a frozen value)
        *,
        classes: Sequence[str] = (),
        name: str = "arrays",
    ) -> Data:
        """Data from tensors or arrays: inputs (rows, ...), labels (rows,) numbers from 0 or texts; normalised, reshaped
        and split as files are. classes: names of the numbers. Raises ValueError as :func:`load_data` does."""
        source = Source(Path(name), options.limit)
        rows = inputs_in(source, _array(source, inputs))
        found = Found(rows)
        source.digest.update(np.ascontiguousarray(rows).tobytes())
        if labels is not None and options.labelled:
            array = _array(source, labels)
            source.digest.update(array.tobytes())
            numbers, names = labels_of(source, array, len(rows), "the labels", options)
            if classes and len(classes) < len(names):
                raise source.refusal(f"there are {len(classes)} classes and labels up to {len(names) - 1}", "name all")
            found = Found(rows, numbers, tuple(map(str, classes)) or names)
        return _made(source, found, Reading("", "arrays", source.digest.hexdigest(), options))


def load_data(
    path: str | Path,
    options: DataOptions = DataOptions(),  # noqa: B008 (a frozen value)
    *,
    digest: str = "",
) -> Data:
    """Read a file or a folder of any of the ``KINDS``. digest: of a former reading, which this one must equal.

    Nothing is unpickled, executed or unpacked to disk, and no file or unpacked member is held beyond
    ``options.limit_mb``. Raises ValueError, one sentence with the file, the place, the reason and what to do, for
    whatever cannot be read as finite numbers with one label for each row or none.
    """
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: a path cannot have a zero byte; give the path of a file or a folder.")
    source = unpacked(opened(Path(path), options.limit))
    kind = kind_of(source)
    found = KINDS[kind].read(source, options)
    seen = source.digest.hexdigest()
    if digest and digest != seen:
        raise source.refusal("its content has changed since it was first read", "take it as new data")
    return _made(source, found, Reading(str(path), kind, seen, options))


def _made(source: Source, found: Found, reading: Reading) -> Data:
    options = reading.options
    if found.labels is not None and len(found.inputs) < len(found.classes):
        raise source.refusal(
            f"there are {len(found.inputs):,} rows for {len(found.classes):,} classes",
            "add rows, or check which column holds the labels",
        )
    kept = kept_rows(len(found.inputs), options)
    source.check_size(4 * len(kept) * int(np.prod(found.inputs.shape[1:])), "the inputs")
    rows = split_rows(source, found, kept, options)
    splits = {name: torch.from_numpy(found.inputs[own].astype(np.float32)) for name, own in rows.items()}
    splits = {name: shaped(source, inputs, options) for name, inputs in splits.items()}
    ready = {name: normalised(source, inputs, splits["train"], options) for name, inputs in splits.items()}
    labels = {name: None if found.labels is None else torch.from_numpy(found.labels[own]) for name, own in rows.items()}
    train, validation, test = ((ready[name], labels[name]) for name in ("train", "validation", "test"))
    return Data(source.path.name, train, validation, test, found.classes, reading, _notes(found))


def _notes(found: Found) -> tuple[str, ...]:
    given = [name for name, _ in found.given if name != "train"]
    if not given:
        return found.notes
    both = " and ".join(given)
    return (*found.notes, f"The file itself says which rows are for {both}: the parts asked for do not change that.")


def _array(source: Source, values: Any) -> np.ndarray:
    """Values from Python as an array of numbers or text; those of a tensor are never objects."""
    try:
        if isinstance(values, Tensor):
            values = values.detach().cpu()
            values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        raise source.refusal(
            "the values do not make an array", "give a tensor, an array or a list of numbers"
        ) from None
    check_dtype(source, array.dtype)
    return array
