"""Where each method stands when the knob is at a stop: at the same epsilon, the same zeros or the same accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nettrim_core.record import Point
from pages.axes import Axis, known

MATCHED = {"sparsity": lambda point: point.report.sparsity, "accuracy": lambda point: point.report.accuracy}


@dataclass(frozen=True)
class Place:
    """x, y: on the chart. sparsity, accuracy: there. near: the stop whose point is the nearest, where masks and layers
    are taken from. between: x and y lie on the line between two solved points."""

    x: float
    y: float
    sparsity: float
    accuracy: float | None
    near: int
    between: bool = False


def places(curves: dict[str, list[Point | None]], match: str, x: Axis, y: Axis) -> dict[str, list[Place | None]]:
    """Method -> its place at every stop. At the same zeros or accuracy the first method leads and the others stand on
    their lines where they have what it has; None where they never do."""
    (leader, lead), *others = curves.items()
    found = {leader: [at_stop(point, i, x, y) for i, point in enumerate(lead)]}
    for name, points in others:
        if match == "epsilon":
            found[name] = [at_stop(point, i, x, y) for i, point in enumerate(points)]
        else:
            found[name] = [None if point is None else _matched(points, point, match, x, y) for point in lead]
    return found


def at_stop(point: Point | None, place: int, x: Axis, y: Axis) -> Place | None:
    if point is None:
        return None
    right, up = known(x, point.report), known(y, point.report)
    if right is None or up is None:
        return None
    return Place(right, up, point.report.sparsity, point.report.accuracy, place)


def _matched(points: Sequence[Point | None], leader: Point, match: str, x: Axis, y: Axis) -> Place | None:
    """The last place along the line that has what the leader has."""
    value = MATCHED[match]
    target = value(leader)
    solved = [(i, place, got) for i, point in enumerate(points) if point is not None
              and (place := at_stop(point, i, x, y)) is not None and (got := value(point)) is not None]  # fmt: skip
    if target is None:
        return None
    for (i, a, low), (j, b, high) in reversed(list(pairwise(solved))):
        if min(low, high) <= target <= max(low, high):
            part = (target - low) / (high - low) if high != low else 1.0
            if part in (0.0, 1.0):
                return b if part else a
            return _between(a, b, part, i if part < 0.5 else j, x, y)
    return None


def _between(a: Place, b: Place, part: float, near: int, x: Axis, y: Axis) -> Place:
    accuracy = None if a.accuracy is None or b.accuracy is None else a.accuracy + part * (b.accuracy - a.accuracy)
    sparsity = a.sparsity + part * (b.sparsity - a.sparsity)
    return Place(_along(a.x, b.x, part, x.log), _along(a.y, b.y, part, y.log), sparsity, accuracy, near, True)


def _along(a: float, b: float, part: float, log: bool) -> float:
    """On the straight line that the chart draws."""
    return math.exp(math.log(a) + part * (math.log(b) - math.log(a))) if log else a + part * (b - a)
