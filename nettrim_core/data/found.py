"""What every reader gives, whatever the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Found:
    """Rows as they are stored.

    inputs: (rows, ...) finite real numbers. labels: (rows,) int64 from 0, or None. classes: a name for every label.
    given: how many rows the file itself puts into each split, in the order in which they lie ("train" is one of them);
    empty where it leaves that to us. notes: what a reader ought to know of the reading, in whole sentences.
    """

    inputs: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    given: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
