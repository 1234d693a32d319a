"""Magnitude: the smallest weights go first, with or without a least-squares refit of the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.problem import LayerProblem, setting
from nettrim_core.ranking import RankedMethod, Ranking, flat_order
from nettrim_core.refit import curvature, refit


@dataclass(frozen=True)
class Magnitude(RankedMethod):
    epsilon: float = setting(
        0.1, 0, 1, open=True, help="allowed discrepancy of the layer's response, relative to its norm"
    )
    refit: bool = setting(False, help="adjust the weights that stay by least squares")
    damping: float = setting(1e-6, 0, 1e3, help="added to the diagonal of XX'/P in the refit")

    def rank(self, problem: LayerProblem) -> Ranking:
        return _MagnitudeRanking(self, problem)


class _MagnitudeRanking:
    def __init__(self, method: Magnitude, problem: LayerProblem) -> None:
        self.method, self.alive = method, problem.alive
        self.W = problem.W.double()
        self.position = flat_order(self.W.abs())
        self.H = curvature(problem.X[problem.alive], method.damping) if method.refit else None

    def weights(self, count: int) -> Tensor:
        keep = self.position >= count
        U = self.W * keep
        if self.H is not None:
            U[self.alive] = refit(self.H, self.W[self.alive], keep[self.alive], self.method.damping)
        return torch.where(keep, U, torch.zeros_like(U))
