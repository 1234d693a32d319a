"""A layer's inputs as a linear map: U'X, its adjoint, its Gram matrix.

Inputs X are (N, P) or, where inputs and outputs come in groups and an output sees its own group only (a grouped
convolution), (groups, N, P); or :class:`~nettrim_core.patches.Patches`, of which this is all that can be asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from nettrim_core.patches import Patches

BLOCK = 4096  # samples that are multiplied at once

Inputs = Tensor | Patches
S = TypeVar("S")


def batches(X: Inputs, dtype: torch.dtype) -> Iterator[Tensor]:
    """X in another dtype, as many columns at a time as are at hand."""
    return iter([X.to(dtype)]) if isinstance(X, Tensor) else X.batches(dtype)


def response(X: Inputs, U: Tensor) -> Tensor:
    """(M, P) U'X of weights U (N, M), in their dtype; the columns of U lie group by group."""
    if isinstance(X, Patches):
        return torch.cat([response(part, U) for part in X.batches(U.dtype)], 1)
    if X.ndim == 2:
        return U.T @ X
    G, N, P = X.shape
    return (U.reshape(N, G, -1).permute(1, 2, 0) @ X).reshape(-1, P)


def correlate(X: Inputs, L: Tensor) -> Tensor:
    """(N, M) X L' of multipliers L (M, P), in their dtype: the adjoint of :func:`response`."""
    if isinstance(X, Patches):
        return reduce(torch.add, (correlate(part, mine) for part, mine in beside(X, L)))
    if X.ndim == 2:
        return X @ L.T
    G, N, P = X.shape
    return (X @ L.reshape(G, -1, P).mT).transpose(0, 1).reshape(N, -1)


def beside(X: Inputs, L: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Columns of X in the dtype of L, as many at a time as are at hand, with those of L (M, P)."""
    start = 0
    for part in batches(X, L.dtype):
        yield part, L[:, start : start + part.shape[-1]]
        start += part.shape[-1]


def at_least(columns: int, parts: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """The same parts, joined until each (but the last) has so many columns."""
    held: list[tuple[Tensor, Tensor]] = []
    for part in parts:
        held.append(part)
        if sum(X.shape[-1] for X, _ in held) >= columns:
            yield torch.cat([X for X, _ in held], -1), torch.cat([L for _, L in held], -1)
            held = []
    if held:
        yield torch.cat([X for X, _ in held], -1), torch.cat([L for _, L in held], -1)


def gram(X: Inputs) -> Tensor:
    """XX', (N, N) or (groups, N, N), in float64: the sum, in a fixed tree, over blocks of samples."""
    if isinstance(X, Patches):
        return summed((part @ part.mT for part in X.batches(torch.float64)), torch.add)
    return summed((gram_of_block(X, place) for place in range(blocks(X))), torch.add)


def blocks(X: Inputs) -> int:
    """Into how many blocks of samples :func:`gram` cuts columns."""
    return -(-X.shape[-1] // BLOCK)


def gram_of_block(X: Tensor, place: int) -> Tensor:
    """XX' of one block of samples."""
    part = X[..., place * BLOCK : (place + 1) * BLOCK].double()
    return part @ part.mT


def summed(parts: Iterable[S], add: Callable[[S, S], S]) -> S:
    """The sum of parts two by two, these sums two by two, and so on: the same tree wherever it is summed. Parts are
    taken one by one, and of n there are never more than log n + 2 sums at hand."""
    at_hand: list[tuple[int, S]] = []  # (height of its tree, sum)
    for part in parts:
        height = 0
        while at_hand and at_hand[-1][0] == height:
            part, height = add(at_hand.pop()[1], part), height + 1
        at_hand.append((height, part))
    return reduce(lambda right, left: add(left, right), (total for _, total in reversed(at_hand)))


def energies(X: Inputs) -> Tensor:
    """The diagonal of :func:`gram`: every input's sum of squares over the samples."""
    return reduce(torch.add, (part.square().sum(-1) for part in batches(X, torch.float64)))


def alive(X: Inputs) -> Tensor:
    """(N,) or (groups, N) bool: inputs that are not zero on every sample."""
    return reduce(torch.logical_or, ((part != 0).any(-1) for part in batches(X, X.dtype)))


def matrix(X: Inputs, dtype: torch.dtype = torch.float64) -> Tensor:
    """X whole, in another dtype: (N, P) or (groups, N, P)."""
    return torch.cat(list(batches(X, dtype)), -1)


def groups_in(X: Inputs) -> int:
    return X.groups if isinstance(X, Patches) else math.prod(X.shape[:-2])


def rows_of(X: Inputs, group: int, places: np.ndarray) -> np.ndarray:
    """(places, P) float64: some inputs of one group on every sample."""
    if isinstance(X, Patches):
        return X.rows(group, places.tolist(), torch.float64).cpu().numpy()
    return (X if X.ndim == 2 else X[group]).cpu().numpy()[places]


def equal(X: Inputs, other: Inputs) -> bool:
    """Are they the same numbers, held in the same form?"""
    if isinstance(X, Patches) and isinstance(other, Patches):
        return all(torch.equal(a, b) for a, b in zip(X.images, other.images, strict=True))
    return isinstance(X, Tensor) and isinstance(other, Tensor) and torch.equal(X, other)
