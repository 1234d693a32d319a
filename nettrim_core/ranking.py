"""Methods that remove weights one by one: one order serves every epsilon and every sparsity.

Such a method says in which order weights go and what the others become, or solves for any number of removals; the rest
is here. ``epsilon`` stops at the
sparsest point of the order whose measured response error is within the radius (L-OBS paper, algorithm 1, step 5), so
that every method answers the same question.
"""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from scipy.optimize import brentq
from torch import Tensor

from nettrim_core.problem import LayerProblem, LayerResult, Settings, check_sparsity, discrepancy
from nettrim_core.response import ResponseSet, response_set

BRENT_STEPS = 40

Adjust = Callable[[Tensor], Tensor]


class Levels(Protocol):
    """The weights at any number of removals."""

    def weights(self, count: int) -> Tensor:
        """(N, M) float64 with ``count`` weights removed."""
        ...


@dataclass(frozen=True, eq=False)
class Ranking:
    """Levels that follow one order of removal.

    position: (N, M) int64, when each weight goes, 0 first.
    adjust: from (N, M) bool, which weights stay, to their values: float64, zero elsewhere.
    """

    position: Tensor
    adjust: Adjust

    def weights(self, count: int) -> Tensor:
        """(N, M) float64: the first ``count`` weights of the order removed, the others adjusted."""
        return self.adjust(self.position >= count)


class LevelByLevel(ABC):
    """Levels of a layer without groups that are solved one by one: weights of dead inputs cost nothing and go first."""

    def __init__(self, problem: LayerProblem) -> None:
        self.alive, self.W = problem.alive, problem.W.double()

    @abstractmethod
    def live(self, count: int) -> Tensor:
        """The weights of live inputs, (live, M), with ``count`` of them removed."""

    def weights(self, count: int) -> Tensor:
        U, dead = self.W.clone(), self.W[~self.alive]
        free = min(count, dead.numel())
        U[~self.alive] = torch.where(
            torch.arange(dead.numel(), device=dead.device).reshape(dead.shape) < free, 0.0, dead
        )
        U[self.alive] = self.live(count - free)
        return U


class Shared:
    """Levels of a layer whose groups lose the same number of weights, to within one."""

    def __init__(self, groups: Sequence[Levels]) -> None:
        self.groups = groups

    def weights(self, count: int) -> Tensor:
        G = len(self.groups)
        return torch.cat([g.weights(count * (i + 1) // G - count * i // G) for i, g in enumerate(self.groups)], 1)


def by_group(adjusts: Sequence[Adjust]) -> Adjust:
    """The adjustment of a layer whose outputs come in groups, from those of its groups."""
    return lambda keep: torch.cat([f(k) for f, k in zip(adjusts, keep.chunk(len(adjusts), 1), strict=True)], 1)


@dataclass(frozen=True)
class RankedMethod(Settings, ABC):
    """prune, path and at_sparsity for any method that can rank."""

    @abstractmethod
    def rank(self, problem: LayerProblem) -> Levels:
        """The method itself: what it makes of this layer, at any number of removals."""

    @property
    @abstractmethod
    def epsilon(self) -> float: ...

    def prune(self, problem: LayerProblem) -> LayerResult:
        """The sparsest point within ``self.epsilon``; stats epsilon, radius, violation, count, seconds."""
        return next(self.path(problem, [self.epsilon]))

    def path(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[LayerResult]:
        """One result per epsilon in the order given, all from one ranking."""
        started = time.perf_counter()
        search: _Search | None = None
        for epsilon in epsilons:
            dataclasses.replace(self, epsilon=epsilon)  # refuses an illegal epsilon
            target = response_set(problem, epsilon)
            search = search or _Search(problem, self.rank(problem), target)
            count, error, U = search.sparsest_within(target.radius)
            seconds, started = time.perf_counter() - started, time.perf_counter()
            violation = max(error / target.radius - 1, 0.0) if target.radius else (0.0 if error == 0 else float("inf"))
            stats = {
                "epsilon": epsilon,
                "radius": target.radius,
                "violation": violation,
                "count": float(count),
                "seconds": seconds,
            }
            yield LayerResult(U.to(problem.W.dtype), violation == 0, stats)
            started = time.perf_counter()

    def refine(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[tuple[int, LayerResult]]:
        """(index, result) of the path: there is nothing coarser."""
        yield from enumerate(self.path(problem, epsilons))

    def at_sparsity(self, problem: LayerProblem, sparsity: float) -> LayerResult:
        """Exactly round(sparsity * N * M) weights removed; stats epsilon and radius are the error measured there."""
        return next(self.levels(problem, [sparsity]))

    def levels(self, problem: LayerProblem, sparsities: Iterable[float]) -> Iterator[LayerResult]:
        """``at_sparsity`` for each, all from one ranking."""
        started, ranking = time.perf_counter(), None
        for sparsity in sparsities:
            check_sparsity(sparsity)
            ranking = ranking or self.rank(problem)
            count = round(sparsity * problem.W.numel())
            U = ranking.weights(count).to(problem.W.dtype)
            error = discrepancy(problem, U)
            stats = {
                "epsilon": error,
                "radius": error * problem.norm,
                "violation": 0.0,
                "count": float(count),
                "seconds": time.perf_counter() - started,
            }
            yield LayerResult(U, True, stats)
            started = time.perf_counter()


class _Search:
    """Bisection over the order. The error grows with the count in practice; where it does not, the point found is
    within the radius all the same, and the next one after it is not."""

    def __init__(self, problem: LayerProblem, ranking: Levels, target: ResponseSet) -> None:
        self.ranking, self.target, self.dtype = ranking, target, problem.W.dtype
        self.problem = problem
        self.total = problem.W.numel()
        self.errors: dict[int, float] = {}

    def error(self, count: int) -> float:
        if count not in self.errors:
            U = self.ranking.weights(count).to(self.dtype).double()
            self.errors[count] = float(torch.linalg.vector_norm(self.target.excess(self.problem.response(U))))
        return self.errors[count]

    def sparsest_within(self, radius: float) -> tuple[int, float, Tensor]:
        """(count, its error, its weights in float64); count 0 even if that is already outside."""
        if self.error(0) > radius or self.error(self.total) <= radius:
            count = 0 if self.error(0) > radius else self.total
            return count, self.error(count), self.ranking.weights(count)
        inside = max(c for c, e in self.errors.items() if e <= radius)
        outside = min(c for c, e in self.errors.items() if e > radius and c > inside)
        tiny = 1e-12 * radius
        brentq(
            lambda c: math.log(max(self.error(round(c)), tiny) / radius),
            inside,
            outside,
            xtol=0.5,
            maxiter=BRENT_STEPS,
            disp=False,
        )
        while True:  # what was evaluated on the way has narrowed the bracket to a few counts
            inside = max(c for c, e in self.errors.items() if e <= radius)
            outside = min(c for c, e in self.errors.items() if e > radius and c > inside)
            if outside - inside == 1:
                return inside, self.errors[inside], self.ranking.weights(inside)
            self.error((inside + outside) // 2)


def flat_order(scores: Tensor, then: Tensor | None = None) -> Tensor:
    """Positions of removal, (N, M) int64: 0 goes first. Smallest score first, ties by ``then``, then by index."""
    order = torch.arange(scores.numel(), device=scores.device)
    for key in (scores,) if then is None else (then, scores):
        order = order[key.flatten()[order].argsort(stable=True)]
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order), device=order.device)
    return position.reshape(scores.shape)
