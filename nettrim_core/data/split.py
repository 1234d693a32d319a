"""Rows for calibration, for choosing and for the final report, never one of them twice."""

from __future__ import annotations

import numpy as np
import torch

from nettrim_core.data.found import Found
from nettrim_core.data.options import SPLITS, DataOptions
from nettrim_core.data.source import Source


def kept_rows(rows: int, options: DataOptions) -> np.ndarray:
    """The rows that are kept, in their order: all, or ``options.rows`` drawn with the seed."""
    if options.rows == 0 or options.rows >= rows:
        return np.arange(rows)
    return np.sort(_shuffled(rows, options.seed)[: options.rows])


def split_rows(source: Source, found: Found, kept: np.ndarray, options: DataOptions) -> dict[str, np.ndarray]:
    """For each split its rows, in their order.

    A split that the file gives is kept; the others are drawn from the training rows, stratified: of every class a split
    gets its share to within one row, and of all rows its share rounded.
    """
    part = np.zeros(len(found.inputs), np.int64)
    start = 0
    for name, count in found.given:
        part[start : start + count] = SPLITS.index(name)
        start += count
    names = [name for name, _ in found.given]
    pool = kept[part[kept] == 0]
    order = pool[_shuffled(len(pool), options.seed)]
    if found.labels is not None:
        order = order[np.argsort(found.labels[order], kind="stable")]
    asked = {name: getattr(options, name) for name in ("test", "validation")}
    there = 1 - sum(asked[name] for name in asked if name in names)
    for name in [name for name in asked if name not in names]:
        count = round(len(pool) * asked[name] / there)
        taken = _spread(len(order), count)
        part[order[taken]], order = SPLITS.index(name), order[~taken]
    rows = {name: kept[part[kept] == i] for i, name in enumerate(SPLITS)}
    for name, own in rows.items():
        if len(own) == 0:
            raise source.refusal(
                f"{len(kept):,} rows leave none for {'calibration' if name == 'train' else name}",
                f"add rows or give {name if name != 'train' else 'calibration'} a larger part",
            )
    return rows


def _spread(n: int, count: int) -> np.ndarray:
    """(n,) bool: ``count`` places, spread evenly, so that of any neighbours a fair part is among them."""
    places = np.arange(n)
    return (places + 1) * count // max(n, 1) > places * count // max(n, 1)


def _shuffled(n: int, seed: int) -> np.ndarray:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
