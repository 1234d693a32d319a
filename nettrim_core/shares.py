"""Rules that share a budget between layers: each gives a family of shares, from nothing to everything."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(eq=False)
class Sharer:
    """What a rule knows of a layer. W: its weights and biases; shape: of its weight as torch has it; unit: what one
    weight counts in the budget; locked: its zeros, where they are given; points: (zeros, cost), for the hull rule."""

    W: Tensor
    shape: Sequence[int]
    unit: int = 1
    locked: int | None = None
    points: Sequence[tuple[int, float]] = field(default=())

    @property
    def size(self) -> int:
        return self.W.numel()

    @property
    def hull(self) -> list[tuple[int, float]]:
        """The vertices of the lower convex hull of its points, from no zeros on."""
        return lower_hull([(0, 0.0), *self.points])


Counts = list[int]
Family = Callable[[float], Counts]  # zeros of every layer, growing from 0 to 1


def _shared(layers: Sequence[Sharer], count: Callable[[Sharer], int]) -> Counts:
    return [count(layer) if layer.locked is None else layer.locked for layer in layers]


def _uniform(layers: Sequence[Sharer]) -> Family:
    return lambda part: _shared(layers, lambda layer: round(part * layer.size))


def _erk(layers: Sequence[Sharer]) -> Family:
    raw = {id(layer): sum(layer.shape) / math.prod(layer.shape) for layer in layers}
    most = max(1 / value for value in raw.values())  # the scale at which every layer is dense

    def family(part: float) -> Counts:
        scale = most * (1 - part)
        return _shared(layers, lambda layer: round(layer.size * (1 - min(scale * raw[id(layer)], 1.0))))

    return family


def _by_scores(scores: Callable[[Tensor], Tensor]) -> Callable[[Sequence[Sharer]], Family]:
    """One threshold for the scores of all layers. scores: of the sizes of a layer's weights, ascending."""

    def rule(layers: Sequence[Sharer]) -> Family:
        asked = [layer for layer in layers if layer.locked is None]
        ranked = [scores(layer.W.double().abs().flatten().sort().values) for layer in asked]
        owner = torch.cat([torch.full_like(s, i, dtype=torch.int64) for i, s in enumerate(ranked)])
        owner = owner[torch.cat(ranked).argsort(stable=True)]

        def family(part: float) -> Counts:
            given = iter(owner[: round(part * len(owner))].bincount(minlength=len(asked)).tolist())
            return _shared(layers, lambda _: next(given))

        return family

    return rule


def _lamp(sizes: Tensor) -> Tensor:
    squares = sizes.square()
    return squares / squares.flip(0).cumsum(0).flip(0).clamp(min=torch.finfo(torch.float64).tiny)


@dataclass(frozen=True)
class _Piece:
    """Between two neighbouring points of a layer's hull. price: of one unit."""

    price: float
    layer: int
    length: int


def lower_hull(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The vertices of the lower convex hull from the fewest zeros on, of points (zeros, cost)."""
    hull: list[tuple[int, float]] = []
    for x, y in sorted(points):
        if hull and hull[-1][0] == x:
            continue
        while len(hull) > 1 and (y - hull[-1][1]) * (hull[-1][0] - hull[-2][0]) <= (hull[-1][1] - hull[-2][1]) * (
            x - hull[-1][0]
        ):
            hull.pop()
        hull.append((x, y))
    return hull


def _pieces(layers: Sequence[Sharer]) -> list[_Piece]:
    """All layers' pieces, the cheapest first."""
    pieces = []
    for i, layer in enumerate(layers):
        vertices = layer.hull if layer.locked is None else []
        pieces += [
            _Piece((d - b) / ((c - a) * layer.unit), i, c - a) for (a, b), (c, d) in itertools.pairwise(vertices)
        ]
    return sorted(pieces, key=lambda piece: piece.price)


def _hull(layers: Sequence[Sharer]) -> Family:
    pieces = _pieces(layers)
    total = sum(piece.length * layers[piece.layer].unit for piece in pieces)

    def family(part: float) -> Counts:
        counts = [layer.locked or 0 for layer in layers]
        rest = part * total
        for piece in pieces:
            taken = min(piece.length, max(round(rest / layers[piece.layer].unit), 0))
            counts[piece.layer] += taken
            rest -= taken * layers[piece.layer].unit
            if taken < piece.length:
                break
        return counts

    return family


def along(hull: Sequence[tuple[int, float]], zeros: int) -> tuple[float, float | None, float | None]:
    """(cost, slope of the last piece that was begun, slope of what is to come); None before the first, at the end."""
    cost, paid = 0.0, None
    for (a, b), (c, d) in itertools.pairwise(hull):
        slope = (d - b) / (c - a)
        if zeros <= a:
            return cost, paid, slope
        cost, paid = b + slope * (min(zeros, c) - a), slope
        if zeros < c:
            return cost, paid, slope
    return cost, paid, None


RULES: dict[str, Callable[[Sequence[Sharer]], Family]] = {
    "hull": _hull,
    "uniform": _uniform,
    "erk": _erk,
    "lamp": _by_scores(_lamp),
    "magnitude": _by_scores(lambda sizes: sizes),
}
