"""Magnitude: the smallest weights go first, with or without a least-squares refit of the others."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from nettrim_core.pattern import FREE, ordered, pattern_setting
from nettrim_core.problem import LayerProblem, LayerResult, setting, tolerance
from nettrim_core.ranking import RankedMethod, Ranking, Search, by_group, sparsest
from nettrim_core.refit import LeastSquares
from nettrim_core.response import response_set


@dataclass(frozen=True)
class Magnitude(RankedMethod):
    epsilon: float = tolerance()
    refit: bool = setting(False, help="adjust the weights that stay by least squares")
    damping: float = setting(1e-6, 0, 1e3, help="added to the diagonal of XX'/P in the refit")
    pattern: str = pattern_setting()
    overall: bool = setting(False, help="one threshold on the weights of all layers, in place of one a layer")

    @property
    def squares(self) -> bool:
        return self.refit

    @property
    def joint(self) -> bool:  # type: ignore[override]
        return self.overall

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.overall and self.pattern != FREE:
            raise ValueError(
                f"Magnitude.overall leaves no choice to a pattern of zeros; got pattern = {self.pattern!r}"
            )

    def rank(self, problem: LayerProblem) -> Ranking:
        W = problem.W.double()
        position, counts = ordered(problem, self.pattern, W.abs())
        if not self.refit:
            return Ranking(position, lambda keep: W * keep, counts)
        return Ranking(position, by_group([LeastSquares(block, self.damping) for block in problem.blocks]), counts)

    def paths(
        self, problems: Sequence[LayerProblem], epsilons: Sequence[Sequence[float]]
    ) -> Iterator[list[LayerResult]]:
        """Step by step the result of every layer; ``overall``, those below the largest common threshold at which every
        layer keeps within its own radius."""
        if not self.overall:
            yield from super().paths(problems, epsilons)
            return
        sizes = [problem.W.abs().double().flatten().sort().values for problem in problems]
        thresholds = torch.cat(sizes).unique()  # sorted
        rankings = [self.rank(problem) for problem in problems]
        for own in zip(*epsilons, strict=True):
            started = time.perf_counter()
            for epsilon in own:
                dataclasses.replace(self, epsilon=epsilon)  # refuses an illegal epsilon
            searches = [
                Search(problem, ranking, response_set(problem, epsilon))
                for problem, ranking, epsilon in zip(problems, rankings, own, strict=True)
            ]

            def counts(place: int) -> list[int]:
                """How many weights of each layer lie below a threshold; below none, all of them."""
                if place == len(thresholds):
                    return [size.numel() for size in sizes]
                return [int(torch.searchsorted(size, thresholds[place])) for size in sizes]

            def worst(place: int, searches: list[Search] = searches) -> float:
                return max(search.relative(count) for search, count in zip(searches, counts(place), strict=True))

            found = counts(sparsest(worst, len(thresholds), 1.0))
            seconds = (time.perf_counter() - started) / len(problems)
            yield [
                search.result(count, epsilon, seconds)
                for search, count, epsilon in zip(searches, found, own, strict=True)
            ]

    def refines(
        self, problems: Sequence[LayerProblem], epsilons: Sequence[Sequence[float]]
    ) -> Iterator[tuple[int, list[LayerResult]]]:
        """(index, the result of every layer): there is nothing coarser."""
        yield from enumerate(self.paths(problems, epsilons))
