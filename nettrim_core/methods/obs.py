"""Layer-wise Optimal Brain Surgeon, classic and exact (Dong, Chen, Pan, NIPS 2017, arXiv 1705.07565).

H = XX'/P + damping I is shared by all neurons of a layer. Removing weight q of a neuron w and adjusting the others
costs w_q^2 / [H^-1]_qq (twice the paper's sensitivity, eq. 5) in the error (u - w)' H (u - w), and the adjustment is
w -= (w_q / [H^-1]_qq) H^-1 e_q (eq. 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from scipy.optimize import isotonic_regression
from torch import Tensor

from nettrim_core.problem import LayerProblem, setting, tolerance
from nettrim_core.ranking import Adjust, RankedMethod, Ranking, by_group, flat_order
from nettrim_core.refit import LeastSquares, cholesky, curvature, damping_setting
from nettrim_core.threads import each

BLOCK_BYTES = 128_000_000  # of private matrices at a time
CHUNK = 32  # removals between two down-dates of the private inverses


@dataclass(frozen=True)
class LOBS(RankedMethod):
    """As the authors' code runs: all weights of the layer ranked once, biases among them, removed in that order,
    each time adjusting by the original H^-1; entries already removed are held at zero.

    That is one Gauss-Seidel sweep over the equations of the least squares on what is left, [H^-1]_QQ l = w_Q for the
    removed weights Q of a neuron; more ``sweeps`` come as near to it as wanted.
    """

    epsilon: float = tolerance()
    damping: float = damping_setting()
    sweeps: int = setting(1, 1, 100, help="Gauss-Seidel sweeps: 1 is the classic method, many are the least squares")

    def rank(self, problem: LayerProblem) -> Ranking:
        blocks = [_Classic(block, self.damping, self.sweeps) for block in problem.blocks]
        position = flat_order(torch.cat([block.scores for block in blocks], 1))
        orders = position.chunk(problem.groups, 1)
        return Ranking(position, by_group([block.along(order) for block, order in zip(blocks, orders, strict=True)]))


@dataclass(frozen=True)
class ExactOBS(RankedMethod):
    """Re-ranked after every removal, with H^-1 down-dated: each greedy step is exact. Across neurons the removals are
    ordered by the slopes of the lower convex hull of each neuron's cumulative loss."""

    epsilon: float = tolerance()
    damping: float = damping_setting()

    def rank(self, problem: LayerProblem) -> Ranking:
        fits = [LeastSquares(block, self.damping) for block in problem.blocks]
        slopes, steps = (torch.cat(parts, 1) for parts in zip(*map(_traced, fits), strict=True))
        return Ranking(flat_order(slopes, steps), by_group(fits))


class _Classic:
    """Gauss-Seidel sweeps on G l = w_Q, G = [H^-1]_QQ in removal order; the weights then are w - H^-1 l.

    The first, l = solve(tril(G), w_Q), is the same for any part of the removals, so it is done once for all.
    """

    def __init__(self, problem: LayerProblem, damping: float, sweeps: int) -> None:
        self.alive, self.W, self.sweeps = problem.alive, problem.W.double(), sweeps
        H = curvature(problem.X[self.alive], damping)
        self.inverse = torch.cholesky_inverse(cholesky(H, damping)) if len(H) else H
        self.scores = torch.full_like(self.W, -1.0)  # weights of dead inputs cost nothing and go first
        self.scores[self.alive] = self.W[self.alive].square() / (2 * self.inverse.diagonal()[:, None])

    def along(self, position: Tensor) -> Adjust:
        """The weights left of any first part of an order, (N, M)."""
        inverse = self.inverse.cpu().numpy()
        W = np.ascontiguousarray(self.W[self.alive].T.cpu().numpy())
        order = np.ascontiguousarray(position[self.alive].argsort(dim=0).T.cpu().numpy())
        first = _substitute(inverse, W, order)

        def adjust(keep: Tensor) -> Tensor:
            removed = np.ascontiguousarray(~keep[self.alive].T.cpu().numpy())
            multipliers = first * removed
            if self.sweeps > 1:
                each(
                    lambda m: _sweep(inverse, W[m], order[m], removed[m], multipliers[m], self.sweeps - 1),
                    range(len(W)),
                )
            U = self.W.clone()
            U[self.alive] -= self.inverse @ torch.from_numpy(multipliers).T.to(U.device)
            return torch.where(keep, U, torch.zeros_like(U))

        return adjust


@njit(cache=True, nogil=True)
def _substitute(inverse, W, order):
    """Forward substitution in a different order for each row of W, which torch could only do by gathering a matrix
    of its own for every neuron."""
    M, n = W.shape
    multipliers = np.empty((M, n))
    for m in range(M):
        left = W[m].copy()
        for q in order[m]:
            factor = left[q] / inverse[q, q]
            multipliers[m, q] = factor
            row = inverse[q]
            for i in range(n):
                left[i] -= factor * row[i]
    return multipliers


@njit(cache=True, nogil=True)
def _sweep(inverse, w, order, removed, multipliers, times):
    """More sweeps for one neuron, in place: each multiplier in turn such that its own weight becomes zero."""
    Q = order[removed[order]]
    w = w.copy()
    for q in Q:
        for i in range(len(w)):
            w[i] -= multipliers[q] * inverse[q, i]
    for _ in range(times):
        for q in Q:
            factor = w[q] / inverse[q, q]
            multipliers[q] += factor
            row = inverse[q]
            for i in range(len(w)):
                w[i] -= factor * row[i]


def _traced(fit: LeastSquares) -> tuple[Tensor, Tensor]:
    """For every weight, (N, M) each: the hull's slope where the exact greedy order removes it, and at which step."""
    slopes = torch.full_like(fit.W, -1.0)  # weights of dead inputs cost nothing and go first
    steps = torch.zeros_like(fit.W, dtype=torch.int64)
    W = fit.W[fit.alive]
    if len(W):
        order, losses = greedy_trace(torch.cholesky_inverse(cholesky(fit.H, fit.damping)), W)
        slopes[fit.alive] = torch.empty_like(W).scatter_(0, order, hull_slopes(losses))
        steps[fit.alive] = order.argsort(0)
    return slopes, steps


def greedy_trace(inverse: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """The exact greedy order of each column and the loss of each removal: two (n, M) tensors, in removal order.

    inverse: (n, n) H^-1. W: (n, M). Column m of the order holds the indices removed first to last; its losses sum to
    (u - w)' H (u - w) of the least squares on what is left. Raises ValueError if rounding has used up H^-1.

    This is a pivoted Cholesky factorisation of H^-1 per column. Within a chunk it is left-looking (the inverse is
    read, never written); after a chunk the private inverse of the survivors is formed once, smaller each time.
    """
    n, M = W.shape
    blocks = torch.arange(M, device=W.device).split(max(1, BLOCK_BYTES // (8 * n * n)))
    traces = [_trace_block(inverse, W[:, block].T) for block in blocks]
    order, losses = (torch.cat(parts).T for parts in zip(*traces, strict=True))
    return order, losses


def _trace_block(inverse: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """greedy_trace for a few neurons; w, order and losses are (b, n)."""
    b, n = w.shape
    each = torch.arange(b, device=w.device)
    A = inverse.expand(b, n, n)
    index = torch.arange(n, device=w.device).expand(b, n)
    order, pivots, steps = [], [], []
    while (left := w.shape[1]) > 0:
        size = min(CHUNK, left)
        L = w.new_empty(b, size, left)
        diagonal = A.diagonal(dim1=1, dim2=2).clone()
        removed = torch.zeros_like(w, dtype=torch.bool)
        for t in range(size):
            j = (w.square() / diagonal).masked_fill(removed, torch.inf).argmin(1)
            row = A[each, j] - (L[each, :t, j].unsqueeze(1) @ L[:, :t]).squeeze(1)
            pivot = row[each, j]
            row = row / pivot.sqrt()[:, None]
            step = w[each, j] / pivot.sqrt()
            w = w - step[:, None] * row
            diagonal = diagonal - row.square()
            removed[each, j] = True
            L[:, t] = row
            order.append(index[each, j])
            pivots.append(pivot)
            steps.append(step)
        kept = removed.to(torch.int8).argsort(dim=1, stable=True)[:, : left - size]  # survivors, in order
        L = L.gather(2, kept[:, None, :].expand(b, size, left - size))
        A = A[each[:, None, None], kept[:, :, None], kept[:, None, :]] - L.transpose(1, 2) @ L
        w, index = w.gather(1, kept), index.gather(1, kept)
    if not bool((torch.stack(pivots) > 0).all()):
        raise ValueError("rounding has used up the inverse of XX'/P + damping I in the trace; use a larger damping")
    return torch.stack(order, 1), torch.stack(steps, 1).square()


def hull_slopes(losses: Tensor) -> Tensor:
    """Slopes of the lower convex hull of each column's cumulative loss, in removal order: (n, M), non-decreasing.

    Pool adjacent violators on the increments; removing in the order of the slopes is optimal at hull vertices.
    """
    slopes = [isotonic_regression(column).x for column in losses.T.cpu().numpy()]
    return torch.stack([torch.from_numpy(s) for s in slopes], 1).to(losses)
