"""Which of several candidates no other one beats in both of two figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Better = Literal["high", "low"]


def front(points: Sequence[tuple[float, float]], best: tuple[Better, Better]) -> list[int]:
    """The places of the points that no other dominates, by their first figure. A point dominates another where it is at
    least as good in both figures and better in one; equal points do not dominate each other.

    best: whether more or less of each figure is better. Raises ValueError for a figure that is not finite.
    """
    if not all(math.isfinite(value) for point in points for value in point):
        raise ValueError(f"points = {list(points)} must be finite; leave out what has no value")
    signs = [1 if better == "high" else -1 for better in best]
    worth = [tuple(sign * value for sign, value in zip(signs, point, strict=True)) for point in points]
    kept = [
        i
        for i, (a, b) in enumerate(worth)
        if not any(c >= a and d >= b and (c, d) != (a, b) for c, d in worth)
    ]  # fmt: skip
    return sorted(kept, key=lambda i: points[i])
