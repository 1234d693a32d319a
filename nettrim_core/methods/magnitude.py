"""Magnitude: the smallest weights go first, with or without a least-squares refit of the others."""

from __future__ import annotations

from dataclasses import dataclass

from nettrim_core.problem import LayerProblem, setting, tolerance
from nettrim_core.ranking import RankedMethod, Ranking, by_group, flat_order
from nettrim_core.refit import LeastSquares


@dataclass(frozen=True)
class Magnitude(RankedMethod):
    epsilon: float = tolerance()
    refit: bool = setting(False, help="adjust the weights that stay by least squares")
    damping: float = setting(1e-6, 0, 1e3, help="added to the diagonal of XX'/P in the refit")

    def rank(self, problem: LayerProblem) -> Ranking:
        W = problem.W.double()
        if not self.refit:
            return Ranking(flat_order(W.abs()), lambda keep: W * keep)
        return Ranking(flat_order(W.abs()), by_group([LeastSquares(block, self.damping) for block in problem.blocks]))
