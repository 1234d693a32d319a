"""Methods that remove weights one by one: one order serves every epsilon and every sparsity.

Such a method says in which order weights go and what the others become, or solves for any number of removals; the rest
is here. ``epsilon`` stops at the sparsest point of the order whose measured response error is within the radius (L-OBS
paper, algorithm 1, step 5), so that every method answers the same question.
"""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import torch
from scipy.optimize import brentq
from torch import Tensor

from nettrim_core.executor import LOCAL, Executor, Held, current
from nettrim_core.inputs import blocks, gram_of_block, summed
from nettrim_core.patches import Patches
from nettrim_core.problem import LayerProblem, LayerResult, Layerwise, Size, check_sparsity, measured
from nettrim_core.refit import least_squares_bytes
from nettrim_core.response import ResponseSet, response_set

BRENT_STEPS = 40
COARSE = 32  # parts of all places that a search begins with
TINY = 1e-12
DENSITY_STEP, DENSITIES = 0.8, 22

Adjust = Callable[[Tensor], Tensor]


class Levels(Protocol):
    """The weights at any number of removals. counts: the numbers there are, ascending from 0."""

    @property
    def counts(self) -> Sequence[int]: ...

    def weights(self, count: int) -> Tensor:
        """(N, M) float64 with ``count`` weights removed."""
        ...


@dataclass(frozen=True, eq=False)
class Ranking:
    """Levels that follow one order of removal.

    position: (N, M) int64, when each weight goes, 0 first.
    adjust: from (N, M) bool, which weights stay, to their values: float64, zero elsewhere.
    counts: the numbers of removals there are, ascending from 0; () for all.
    """

    position: Tensor
    adjust: Adjust
    counts: Sequence[int] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", self.counts or range(self.position.numel() + 1))

    def weights(self, count: int) -> Tensor:
        """(N, M) float64: the first ``count`` weights of the order removed, the others adjusted."""
        return self.adjust(self.position >= count)


class LevelByLevel(ABC):
    """Levels of a layer without groups that are solved one by one: weights of dead inputs cost nothing and go first."""

    def __init__(self, problem: LayerProblem) -> None:
        self.alive, self.W = problem.alive, problem.W.double()
        self.counts = range(self.W.numel() + 1)

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
        self.counts = range(sum(len(group.counts) - 1 for group in groups) + 1)

    def weights(self, count: int) -> Tensor:
        G = len(self.groups)
        return torch.cat([g.weights(count * (i + 1) // G - count * i // G) for i, g in enumerate(self.groups)], 1)


def by_group(adjusts: Sequence[Adjust]) -> Adjust:
    """The adjustment of a layer whose outputs come in groups, from those of its groups."""
    return lambda keep: torch.cat([f(k) for f, k in zip(adjusts, keep.chunk(len(adjusts), 1), strict=True)], 1)


@dataclass(frozen=True)
class RankedMethod(Layerwise, ABC):
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
        pointed = [dataclasses.replace(self, epsilon=epsilon) for epsilon in epsilons]  # refuses an illegal one
        if pointed:
            started, given, executor = time.perf_counter(), self._given(current(), problem), current()
            ranked = self.ranked(executor, problem, given)
            begun = _Beginnings(executor, problem, given, ranked)
            for some in [[method] for method in pointed] if executor is LOCAL else [pointed]:  # the first one soon
                for result in executor.steps(_within, some, given, ranked, begun.errors(some)):
                    result.stats["seconds"] = time.perf_counter() - started
                    yield result
                    started = time.perf_counter()

    def _given(self, executor: Executor, problem: LayerProblem) -> Held:
        """A problem as tasks take it; with XX', block by block, where one takes long."""
        given = executor.share(problem)
        if executor is LOCAL or not self.squares or problem.groups > 1 or isinstance(problem.X, Patches):
            return given
        if (count := blocks(problem.X)) == 1:
            return given
        parts = (executor.made(_gram, given, place) for place in range(count))
        return executor.made(_with_gram, given, summed(parts, partial(executor.made, torch.add)))

    @property
    def squares(self) -> bool:
        """Does it take XX'?"""
        return True

    def ranked(self, executor: Executor, problem: LayerProblem, given: Held) -> Held:
        """What :meth:`rank` gives, made by an executor with which the problem is shared as ``given``. A method that
        takes long for it, neuron by neuron, cuts it into tasks here."""
        return executor.made(_ranked, self, given)

    def memory(self, size: Size) -> int:
        """About how many bytes ranking and refitting a layer takes at its peak."""
        return least_squares_bytes(size)

    def refine(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[tuple[int, LayerResult]]:
        """(index, result) of the path: there is nothing coarser."""
        yield from enumerate(self.path(problem, epsilons))

    def curve(self, problem: LayerProblem) -> RankedCurve:
        """The trade-off, all of it from one ranking."""
        return RankedCurve(self, problem)


def _gram(problem: LayerProblem, place: int) -> Tensor:
    assert isinstance(problem.X, Tensor)
    return gram_of_block(problem.X, place)


def _with_gram(problem: LayerProblem, gram: Tensor) -> LayerProblem:
    return dataclasses.replace(problem, gram=gram)


def _ranked(method: RankedMethod, problem: LayerProblem) -> Levels:
    return method.rank(problem)


class _Beginnings:
    """Errors at the parts that all searches begin with: measured once, wherever each search then goes on."""

    def __init__(self, executor: Executor, problem: LayerProblem, given: Held, ranked: Held) -> None:
        self.executor, self.problem, self.given, self.ranked = executor, problem, given, ranked
        self.parts: dict[int, float] = {}
        self.counts: dict[int, float] = {}

    def errors(self, methods: Sequence[RankedMethod]) -> dict[int, float]:
        """Those that the searches for these methods' epsilons need, by number of removals."""
        radii = [response_set(self.problem, method.epsilon).radius for method in methods]
        while wanted := sorted({part for radius in radii if (part := next_part(self.parts, radius)) is not None}):
            found = self.executor.steps(_error_at, wanted, methods[0], self.given, self.ranked)
            for part, (count, error) in zip(wanted, found, strict=True):
                self.parts[part] = self.counts[count] = error
        return self.counts


def _error_at(part: int, method: RankedMethod, problem: LayerProblem, levels: Levels) -> tuple[int, float]:
    """(removals, error). It is the same for every epsilon."""
    search = Search(problem, levels, response_set(problem, method.epsilon))
    count = levels.counts[place_of(part, len(levels.counts) - 1)]
    return count, search.error(count)


def _within(method: RankedMethod, problem: LayerProblem, levels: Levels, errors: Mapping[int, float]) -> LayerResult:
    """The sparsest point within the method's epsilon. errors: some that are known, by number of removals."""
    started = time.perf_counter()
    search = Search(problem, levels, response_set(problem, method.epsilon), errors)
    count = search.sparsest()
    return search.result(count, method.epsilon, time.perf_counter() - started)


class RankedCurve:
    """A layer at any number of removals."""

    def __init__(self, method: RankedMethod, problem: LayerProblem) -> None:
        self.method, self.problem = method, problem

    @cached_property
    def ranking(self) -> Levels:
        return self.method.rank(self.problem)

    def points(self) -> Iterator[LayerResult]:
        """The levels nearest to some densities, each four fifths of the one before, down to 1 % and to nothing."""
        counts, total = self.ranking.counts, self.problem.W.numel()
        wanted = [total * (1 - DENSITY_STEP**k) for k in range(DENSITIES)]
        places = {min(bisect_left(counts, count), len(counts) - 1) for count in [*wanted, total]}
        for place in sorted(places):
            yield self._result(counts[place], time.perf_counter())

    def at(self, sparsity: float) -> LayerResult:
        """Exactly round(sparsity * N * M) weights removed; stats epsilon and radius are the error measured there.

        Raises ValueError, with the nearest there is, where a pattern of zeros does not allow that number.
        """
        check_sparsity(sparsity)
        started, total = time.perf_counter(), self.problem.W.numel()
        _check_count(self.ranking.counts, round(sparsity * total), sparsity, total)
        return self._result(round(sparsity * total), started)

    def _result(self, count: int, started: float) -> LayerResult:
        U = self.ranking.weights(count).to(self.problem.W.dtype)
        return measured(self.problem, U, time.perf_counter() - started)


def _check_count(counts: Sequence[int], count: int, sparsity: float, total: int) -> None:
    if counts[(place := bisect_left(counts, count)) - (place == len(counts))] != count:
        near = min(counts[max(place - 1, 0) : place + 1], key=lambda c: abs(c - count))
        raise ValueError(
            f"sparsity = {sparsity!r} asks for {count} zeros of {total}, which the pattern of zeros does not allow; "
            f"the nearest it does is {near}, sparsity = {near / total!r}"
        )


class Search:
    """Looks for what a radius allows among the levels of a layer. errors: some that are known, by number of removals;
    they are the same for every radius."""

    def __init__(
        self, problem: LayerProblem, ranking: Levels, target: ResponseSet, errors: Mapping[int, float] | None = None
    ) -> None:
        self.problem, self.ranking, self.target = problem, ranking, target
        self.errors = dict(errors or {})

    def error(self, count: int) -> float:
        """The norm of what the response set does not allow, with so many weights removed."""
        if count not in self.errors:
            U = self.ranking.weights(count).to(self.problem.W.dtype).double()
            self.errors[count] = float(torch.linalg.vector_norm(self.target.excess(self.problem.response(U))))
        return self.errors[count]

    def relative(self, count: int) -> float:
        """The same, relative to the radius."""
        return relative(self.error(count), self.target.radius)

    def sparsest(self) -> int:
        """The largest number of removals within the radius whose next is not; 0 even if that is outside."""
        counts = self.ranking.counts
        return counts[sparsest(lambda place: self.relative(counts[place]), len(counts) - 1, 1.0)]

    def result(self, count: int, epsilon: float, seconds: float) -> LayerResult:
        """The layer with so many weights removed."""
        return judged(self.problem, self.ranking.weights(count).to(self.problem.W.dtype), self.target, epsilon, seconds)


def judged(problem: LayerProblem, U: Tensor, target: ResponseSet, epsilon: float, seconds: float) -> LayerResult:
    """Given weights as the result of a method without constraints of its own; stats epsilon, radius, violation, count
    (of zeros), seconds."""
    error = float(torch.linalg.vector_norm(target.excess(problem.response(U))))
    violation = max(relative(error, target.radius) - 1, 0.0)
    stats = {
        "epsilon": epsilon,
        "radius": target.radius,
        "violation": violation,
        "count": float((U == 0).sum()),
        "seconds": seconds,
    }
    return LayerResult(U, violation == 0, stats)


def relative(error: float, radius: float) -> float:
    """error / radius; of a radius of 0, 0 for no error and infinity for any."""
    return error / radius if radius else (0.0 if error == 0 else math.inf)


def place_of(part: int, last: int) -> int:
    """The place of 0 .. last at so many of COARSE parts."""
    return last * part // COARSE


def next_part(known: Mapping[int, float], allowed: float) -> int | None:
    """Of COARSE parts, the one whose error a search needs next; None where what is left lies between two neighbours.
    All searches begin alike, whatever is allowed, so that one error serves many of them. known: error by part."""
    low, high = 0, COARSE
    for end in (low, high):
        if end not in known:
            return end
    if known[low] > allowed or known[high] <= allowed:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if middle not in known:
            return middle
        low, high = (middle, high) if known[middle] <= allowed else (low, middle)
    return None


def sparsest(error: Callable[[int], float], last: int, allowed: float) -> int:
    """The largest place of 0 .. last whose error is at most ``allowed`` while the next one's is not; 0 even if that is
    too much. The error grows with the place in practice; where it does not, the place found is allowed all the same.
    """
    known: dict[int, float] = {}

    def at(place: int) -> float:
        if place not in known:
            known[place] = error(place)
        return known[place]

    def bracket() -> tuple[int, int]:
        inside = max(c for c, e in known.items() if e <= allowed)
        return inside, min(c for c, e in known.items() if e > allowed and c > inside)

    parts: dict[int, float] = {}
    while (part := next_part(parts, allowed)) is not None:
        parts[part] = at(place_of(part, last))
    if parts[0] > allowed or parts[COARSE] <= allowed:
        return 0 if parts[0] > allowed else last
    inside, outside = bracket()
    if outside - inside > 1:
        brentq(
            lambda place: math.log(max(at(round(place)), TINY * allowed) / allowed), inside, outside,
            xtol=0.5, maxiter=BRENT_STEPS, disp=False,
        )  # fmt: skip
    while True:  # what was evaluated on the way has narrowed the bracket to a few places
        inside, outside = bracket()
        if outside - inside == 1:
            return inside
        at((inside + outside) // 2)


def flat_order(scores: Tensor, then: Tensor | None = None) -> Tensor:
    """Positions of removal, (N, M) int64: 0 goes first. Smallest score first, ties by ``then``, then by index."""
    order = torch.arange(scores.numel(), device=scores.device)
    for key in (scores,) if then is None else (then, scores):
        order = order[key.flatten()[order].argsort(stable=True)]
    position = torch.empty_like(order)
    position[order] = torch.arange(len(order), device=order.device)
    return position.reshape(scores.shape)
