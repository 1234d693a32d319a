"""What a user sees of data before it is used: plain data, and remarks in plain words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nettrim_core.data.options import SPLITS
from nettrim_core.data.rows import Data
from nettrim_core.report import Plain

SAMPLES = 9
FEW = 10  # rows of a class, of which a remark is worth
MOST_REMARKS = 3  # of one sort


@dataclass(frozen=True)
class Preview(Plain):
    """shape: of one sample. rows: in each split. low, high, mean, std: over all values of all splits, as the network
    gets them. classes: "name" and rows in each split of every class. samples: some calibration rows, evenly spread:
    "row", "values" nested as the shape is, "label" and "name" (None without labels). features, constant: how many
    numbers a sample has, and how many of them are the same in all calibration rows."""

    name: str
    shape: list[int]
    rows: dict[str, int]
    low: float
    high: float
    mean: float
    std: float
    classes: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    features: int
    constant: int
    remarks: list[str]


def preview(data: Data) -> Preview:
    """What the data looks like, and what in it may surprise."""
    parts = {name: getattr(data, name) for name in SPLITS}
    tensors = [inputs for inputs, _ in parts.values()]
    flat = data.calibration.flatten(1)
    constant = int((flat.amin(0) == flat.amax(0)).sum())
    count = sum(inputs.numel() for inputs in tensors)
    mean = sum(float(inputs.sum(dtype=torch.float64)) for inputs in tensors) / count
    square = sum(float((inputs.double() - mean).square().sum()) for inputs in tensors)
    low, high = min(float(inputs.min()) for inputs in tensors), max(float(inputs.max()) for inputs in tensors)
    classes = _classes(data)
    remarks = [*data.notes, *_of_values(data, low, high), *_of_classes(data, classes), *_of_features(flat, constant)]
    return Preview(
        name=data.name,
        shape=list(data.calibration.shape[1:]),
        rows={name: len(inputs) for name, (inputs, _) in parts.items()},
        low=low,
        high=high,
        mean=mean,
        std=(square / count) ** 0.5,
        classes=classes,
        samples=_samples(data),
        features=flat.shape[1],
        constant=constant,
        remarks=[*remarks, *_of_copies(data)],
    )


def _classes(data: Data) -> list[dict[str, Any]]:
    counts = {}
    for name in SPLITS:
        labels = getattr(data, name)[1]
        counts[name] = [] if labels is None else torch.bincount(labels, minlength=len(data.classes)).tolist()
    return [
        {"name": word, **{name: counts[name][i] for name in SPLITS}}
        for i, word in enumerate(data.classes)
        if counts["train"]
    ]


def _samples(data: Data) -> list[dict[str, Any]]:
    inputs, labels = data.train
    count = min(SAMPLES, len(inputs))
    found = []
    for row in (i * len(inputs) // count for i in range(count)):
        label = None if labels is None else int(labels[row])
        name = None if label is None else data.classes[label]
        found.append({"row": row, "values": inputs[row].tolist(), "label": label, "name": name})
    return found


def _of_values(data: Data, low: float, high: float) -> Iterator[str]:
    options, shape = data.reading.options, tuple(data.calibration.shape[1:])
    if options.normalise == "none" and low >= 0 and high > 1 and not options.mean and not options.std:
        whole = bool((data.calibration == data.calibration.round()).all())
        if 128 <= high <= 255 and whole:
            yield f"Values run from {low:g} to {high:g}: divide by 255?"
        elif whole:
            yield f"Values run from {low:g} to {high:g}: did the network learn on values from 0 to 1?"
    if len(shape) == 2 and options.channels == "last":
        what = f"{shape[1]:,} places of {shape[0]:,} channels"
        yield f"Samples are read as {what}: if they are grey images, set channels to first."
    if len(shape) == 3 and shape[0] not in (1, 3, 4) and shape[-1] in (1, 3, 4):
        yield f"A sample has the shape {shape}: are the channels stored last?"


def _of_classes(data: Data, classes: list[dict[str, Any]]) -> Iterator[str]:
    if not data.classes:
        yield "There are no labels, so nothing says which answers are right: everything but accuracy works."
        return
    totals = {entry["name"]: sum(entry[split] for split in SPLITS) for entry in classes}
    few = [(name, total) for name, total in totals.items() if total < FEW]
    for name, total in few[:MOST_REMARKS]:
        how = "no sample" if total == 0 else f"only {total} sample{'s' if total > 1 else ''}"
        yield f"Class {name} has {how} in all splits together."
    if len(few) > MOST_REMARKS:
        yield f"{len(few) - MOST_REMARKS} more classes have fewer than {FEW} samples."
    name = max(totals, key=totals.__getitem__)
    share, rows = totals[name] / sum(totals.values()), sum(totals.values())
    if len(totals) == 1:
        yield f"All {rows:,} rows are of the one class {name}, so accuracy says nothing."
    elif share > max(0.5, 1.2 / len(totals)):
        yield f"Class {name} has {100 * share:.3g} % of the {rows:,} rows: always saying {name} is right that often."


def _of_features(flat: Tensor, constant: int) -> Iterator[str]:
    if constant:
        yield f"{constant:,} of {flat.shape[1]:,} numbers of a sample are the same in all calibration rows."
    deviations = flat.double().std(0, correction=0)
    varying = deviations[deviations > 0]
    if len(varying) > 1 and flat.shape[1] < 200 and float(varying.max() / varying.min()) > 1000:
        yield "Some features vary over 1,000 times as much as others: did the network learn on standardised ones?"


def _of_copies(data: Data) -> Iterator[str]:
    """Rows that lie in two splits are an examination with known questions."""

    def hashes(inputs: Tensor) -> list[bytes]:
        return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in inputs.numpy()]

    seen = set(hashes(data.calibration))
    for split in SPLITS[1:]:
        inputs = getattr(data, split)[0]
        if copies := sum(row in seen for row in hashes(inputs)):
            yield f"{copies:,} of the {len(inputs):,} {split} rows are copies of calibration rows."
