"""Layer-wise Optimal Brain Surgeon, classic and exact (Dong, Chen, Pan, NIPS 2017, arXiv 1705.07565).

H = XX'/P + damping I is shared by all neurons of a layer. Removing weight q of a neuron w and adjusting the others
costs w_q^2 / [H^-1]_qq (twice the paper's sensitivity, eq. 5) in the error (u - w)' H (u - w), and the adjustment is
w -= (w_q / [H^-1]_qq) H^-1 e_q (eq. 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numba import njit
from torch import Tensor

from nettrim_core.executor import LOCAL, Executor, Held, current
from nettrim_core.greedy import Greedy, greedy, rows_of, traced
from nettrim_core.merge import Merge
from nettrim_core.pattern import FREE, ordered, pattern_setting, runs
from nettrim_core.problem import LayerProblem, setting, tolerance
from nettrim_core.ranking import Adjust, Levels, RankedMethod, Ranking, by_group
from nettrim_core.refit import LeastSquares, damping_setting


@dataclass(frozen=True)
class LOBS(RankedMethod):
    """As the authors' code runs: all weights of the layer ranked once by w_q^2 / [H^-1]_qq, H = XX'/P + damping I,
    biases among them, removed in that order, each time adjusting by the original H^-1; entries already removed are held
    at zero (Dong, Chen, Pan, NIPS 2017, arXiv 1705.07565).

    That is one Gauss-Seidel sweep over the equations of the least squares on what is left, [H^-1]_QQ l = w_Q for the
    removed weights Q of a neuron; more ``sweeps`` come as near to it as wanted.
    """

    epsilon: float = tolerance()
    damping: float = damping_setting()
    sweeps: int = setting(1, 1, 100, help="Gauss-Seidel sweeps: 1 is the classic method, many are the least squares")
    pattern: str = pattern_setting()

    def rank(self, problem: LayerProblem) -> Ranking:
        blocks = [_Classic(LeastSquares(block, self.damping), self.sweeps) for block in problem.blocks]
        position, counts = ordered(problem, self.pattern, torch.cat([block.scores for block in blocks], 1))
        orders = position.chunk(problem.groups, 1)
        adjusts = [block.along(order) for block, order in zip(blocks, orders, strict=True)]
        return Ranking(position, by_group(adjusts), counts)


@dataclass(frozen=True)
class ExactOBS(RankedMethod):
    """Re-ranked after every removal, with H^-1 down-dated: each greedy step is exact, and costs w_q^2 / [H^-1]_qq in
    the mean squared response (Hassibi, Stork, NIPS 1992). How many of a number of removals each neuron takes is settled
    by merging their traces (:mod:`nettrim_core.merge`)."""

    epsilon: float = tolerance()
    damping: float = damping_setting()
    pattern: str = pattern_setting()

    def rank(self, problem: LayerProblem) -> Levels:
        return self.ranked(LOCAL, problem, problem)

    def ranked(self, executor: Executor, problem: LayerProblem, given: Held) -> Held:
        """The traces of the neurons, side by side, and what is made of them."""
        fits = executor.made(_fits, self, given)
        traces = executor.each(_traced, range(problem.W.shape[1]), fits)
        return executor.made(_merged, self, given, fits, traces)


class _Merged:
    """The first weights of every neuron's trace, as many of each as their merge says."""

    def __init__(self, turns: Tensor, losses: Tensor, adjust: Adjust) -> None:
        self.turns, self.adjust = turns, adjust
        self.merge = Merge(losses.cpu().numpy())
        self.counts = range(turns.numel() + 1)

    def weights(self, count: int) -> Tensor:
        return self.adjust(self.turns >= torch.from_numpy(self.merge.shares(count)).to(self.turns.device))


class _Classic:
    """Gauss-Seidel sweeps on G l = w_Q, G = [H^-1]_QQ in removal order; the weights then are w - H^-1 l.

    The first, l = solve(tril(G), w_Q), is the same for any part of the removals, so it is done once for all.
    """

    def __init__(self, fit: LeastSquares, sweeps: int) -> None:
        self.alive, self.W, self.inverse, self.sweeps = fit.alive, fit.W, fit.inverse(), sweeps
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
                rows = list(zip(W, order, removed, multipliers, strict=True))
                shared = current().share(inverse)
                multipliers = np.stack(current().each(partial(_swept, times=self.sweeps - 1), rows, shared))
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


def _swept(row: tuple[np.ndarray, ...], inverse: np.ndarray, times: int) -> np.ndarray:
    w, order, removed, multipliers = row
    multipliers = multipliers.copy()
    _sweep(inverse, w, order, removed, multipliers, times)
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


@dataclass(frozen=True, eq=False)
class _Fit:
    """One group's least squares, and what its traces need of it: rows (M, live), the weights of live inputs."""

    least: LeastSquares
    rows: np.ndarray
    greedy: Greedy


def _fits(method: ExactOBS, problem: LayerProblem) -> list[_Fit]:
    return [_fit(LeastSquares(block, method.damping), runs(problem, method.pattern)) for block in problem.blocks]


def _fit(least: LeastSquares, limits: tuple[Tensor, Tensor] | None) -> _Fit:
    """limits: see :func:`nettrim_core.pattern.runs`. Weights of dead inputs go first and count in them."""
    if limits is not None:
        run, leaving = limits
        free = run[~least.alive].bincount(minlength=len(leaving))
        limits = run[least.alive], (leaving - free).clamp(min=0)
    return _Fit(least, rows_of(least.W[least.alive]), greedy(least.inverse(), limits))


def _traced(m: int, fits: Sequence[_Fit]) -> tuple[np.ndarray, np.ndarray]:
    """A neuron's greedy order of removal, and what each removal costs."""
    group, place = divmod(m, len(fits[0].rows))
    return traced(fits[group].rows[place], fits[group].greedy)


def _merged(
    method: ExactOBS, problem: LayerProblem, fits: Sequence[_Fit], traces: Sequence[tuple[np.ndarray, np.ndarray]]
) -> Levels:
    M = len(fits[0].rows)
    parts = [_turns(fit.least, traces[i * M : (i + 1) * M]) for i, fit in enumerate(fits)]
    turns, losses = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    adjust = by_group([fit.least for fit in fits])
    if method.pattern == FREE:
        return _Merged(turns, losses, adjust)
    position, counts = ordered(problem, method.pattern, turns)
    return Ranking(position, adjust, counts)


def _turns(fit: LeastSquares, traces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    """(N, M) each: at which turn of its neuron the exact greedy order removes a weight, and what each turn costs. What
    a pattern keeps has its turn after all others, at no cost."""
    turns, losses = torch.zeros_like(fit.W, dtype=torch.int64), torch.zeros_like(fit.W)
    dead, W = int((~fit.alive).sum()), fit.W[fit.alive]
    turns[~fit.alive] = torch.arange(dead, device=W.device)[:, None]
    order, costs = (torch.from_numpy(np.stack(rows)).T.to(W.device) for rows in zip(*traces, strict=True))
    turn = torch.arange(dead, dead + len(order), device=W.device)[:, None].expand_as(order)
    turns[fit.alive] = torch.full_like(W, len(turns), dtype=torch.int64).scatter_(0, order, turn)
    losses[dead : dead + len(costs)] = costs
    return turns, losses
