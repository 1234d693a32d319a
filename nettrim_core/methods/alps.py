"""ALPS: ADMM on the number of weights that are left (Meng, Behdin, Wang, Mazumder, NeurIPS 2024, arXiv 2406.07831).

    min 1/2 ||X'(B - W)||_F^2  s.t.  B = D,  D has at most k weights

With G = XX' (inputs scaled such that its diagonal is one), multipliers V and a penalty rho:

    B = (G + rho I)^-1 (G W - V + rho D),   D = the k largest of B + V / rho,   V += rho (B - D)

rho grows until the places of D rest, faster while many change; one decomposition of G serves all rho. The weights on
those places are then the least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.problem import LayerProblem, tolerance
from nettrim_core.ranking import LevelByLevel, Levels, RankedMethod, Shared
from nettrim_core.refit import LeastSquares, damping_setting

RHO = 0.03  # the first penalty, relative to the diagonal of G
PATIENCE = 5  # iterations between two looks at the places
GROWTH = ((0.1, 1.3), (0.005, 1.2), (0.0, 1.1))  # from this part of the k places changed: rho grows by this factor
MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class ALPS(RankedMethod):
    epsilon: float = tolerance()
    damping: float = damping_setting()

    def rank(self, problem: LayerProblem) -> Levels:
        return Shared([_Splitting(block, self.damping) for block in problem.blocks])


class _Splitting(LevelByLevel):
    def __init__(self, problem: LayerProblem, damping: float) -> None:
        super().__init__(problem)
        self.fit = LeastSquares(problem, damping)
        self.W = self.fit.W
        self.unit = self.fit.H.diagonal().rsqrt()[:, None]
        self.values, self.vectors = torch.linalg.eigh(self.unit * self.fit.H * self.unit.T)

    def live(self, count: int) -> Tensor:
        keep = torch.zeros_like(self.W, dtype=torch.bool)
        keep[self.alive] = self._places(self.W[self.alive] / self.unit, count)
        return self.fit(keep)[self.alive]

    def _places(self, W: Tensor, count: int) -> Tensor:
        """(live, M) bool: where the weights are that stay."""
        k = W.numel() - count
        GW = self.vectors @ (self.values[:, None] * (self.vectors.T @ W))
        rho, V = RHO, torch.zeros_like(W)
        places = _largest(W, k)
        D, seen = W * places, places
        for iteration in range(1, MAX_ITERATIONS + 1):
            right = self.vectors.T @ (GW - V + rho * D)
            B = self.vectors @ (right / (self.values + rho)[:, None])
            Z = B + V / rho
            places = _largest(Z, k)
            D = Z * places
            V = V + rho * (B - D)
            if iteration % PATIENCE == 0:
                changed = int((places & ~seen).sum())
                if changed == 0:
                    break
                rho *= next(factor for part, factor in GROWTH if changed >= part * k)
                seen = places
        return places


def _largest(Z: Tensor, k: int) -> Tensor:
    """(n, M) bool: the k largest entries in size, ties by index."""
    places = torch.zeros(Z.numel(), dtype=torch.bool, device=Z.device)
    places[Z.abs().flatten().argsort(stable=True, descending=True)[:k]] = True
    return places.reshape(Z.shape)
