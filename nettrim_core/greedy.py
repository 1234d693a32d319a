"""The exact greedy order of removal, neuron by neuron: what exact OBS is made from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from nettrim_core.executor import current

CHUNK = 64  # removals between two down-dates of a neuron's own inverse


def greedy_trace(inverse: Tensor, W: Tensor, limits: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """The exact greedy order of each column and the loss of each removal: two (T, M) tensors, in removal order.

    inverse: (n, n) H^-1. W: (n, M). Column m of the order holds the indices removed first to last; its losses sum to
    (u - w)' H (u - w) of the least squares on what is left. limits: (the run each of the n lies in, how many of each
    run can go), T is their sum; None for no limits, T = n. Raises ValueError if rounding has used up H^-1.

    This is a pivoted Cholesky factorisation of H^-1 per column. Within a chunk it is left-looking (the inverse is
    read, never written); after a chunk the survivors' inverse is formed, smaller each time. On the CPU, wherever W is.
    """
    given = greedy(inverse, limits)
    found = current().each(traced, rows_of(W), current().share(given))
    order, losses = (torch.from_numpy(np.stack(rows)).T.to(W.device) for rows in zip(*found, strict=True))
    return order, losses


class Greedy(NamedTuple):
    """What the traces of neurons share: H^-1 (n, n), the run each of the n lies in, how many of each run can go."""

    inverse: np.ndarray
    run: np.ndarray
    leaving: np.ndarray


def greedy(inverse: Tensor, limits: tuple[Tensor, Tensor] | None = None) -> Greedy:
    """As for :func:`greedy_trace`."""
    n = len(inverse)
    run, leaving = limits or (torch.zeros(n, dtype=torch.int64), torch.tensor([n]))
    return Greedy(*(np.ascontiguousarray(part.cpu().numpy()) for part in (inverse, run, leaving)))


def rows_of(columns: Tensor) -> np.ndarray:
    """The columns of a tensor as rows, one after the other."""
    return np.ascontiguousarray(columns.T.cpu().numpy())


def traced(w: np.ndarray, given: Greedy) -> tuple[np.ndarray, np.ndarray]:
    """One column of :func:`greedy_trace`."""
    T = int(given.leaving.sum())
    order, losses = np.empty(T, np.int64), np.empty(T)
    if not _trace(given.inverse, w, given.run, given.leaving, CHUNK, order, losses):
        raise ValueError("rounding has used up the inverse of XX'/P + damping I in the trace; use a larger damping")
    return order, losses


@njit(cache=True, nogil=True)
def _trace(inverse, w, run, leaving, chunk, order, losses):
    """One neuron's trace, into order and losses; False if a pivot is not positive."""
    A, w, room, index, done = inverse, w.copy(), leaving.copy(), np.arange(len(w)), 0
    while done < len(order):
        n, size = len(w), min(chunk, len(order) - done)
        L, gone, diagonal = np.empty((size, n)), np.zeros(n, np.bool_), np.diag(A).copy()
        for t in range(size):
            j, least = -1, np.inf
            for i in range(n):
                if not gone[i] and room[run[index[i]]] > 0:
                    loss = w[i] * w[i] / diagonal[i]
                    if loss < least or j < 0:
                        j, least = i, loss
            row = L[t]
            row[:] = A[j]
            for s in range(t):
                factor, before = L[s, j], L[s]
                for i in range(n):
                    row[i] -= factor * before[i]
            pivot = row[j]
            if not pivot > 0:
                return False
            scale = 1 / np.sqrt(pivot)
            step = w[j] * scale
            for i in range(n):
                row[i] *= scale
                w[i] -= step * row[i]
                diagonal[i] -= row[i] * row[i]
            gone[j] = True
            room[run[index[j]]] -= 1
            order[done + t], losses[done + t] = index[j], step * step
        done += size
        kept = np.flatnonzero(~gone)
        own = np.ascontiguousarray(L[:, kept])
        B = own.T @ own
        for a in range(len(kept)):
            row = A[kept[a]]
            for b in range(len(kept)):
                B[a, b] = row[kept[b]] - B[a, b]
        A, w, index = B, w[kept], index[kept]
    return True
