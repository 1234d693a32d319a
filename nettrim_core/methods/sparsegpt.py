"""SparseGPT: one pass over the inputs, each corrected by those after it (Frantar, Alistarh, ICML 2023, arXiv
2301.00774, algorithm 1).

With H = XX'/P + damping I and U the upper Cholesky factor of H^-1 (H^-1 = U'U), removing weight i of a neuron costs
(w_i / U_ii)^2 once the inputs before it are fixed, and the weights after it become w_j - U_ij w_i / U_ii. Which weights
go is chosen anew for every block of inputs, from all neurons together, the same part of each block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.problem import LayerProblem, tolerance
from nettrim_core.ranking import LevelByLevel, Levels, RankedMethod, Shared
from nettrim_core.refit import LeastSquares, damping_setting

BLOCK = 128  # inputs between two choices, as published


@dataclass(frozen=True)
class SparseGPT(RankedMethod):
    epsilon: float = tolerance()
    damping: float = damping_setting()

    def rank(self, problem: LayerProblem) -> Levels:
        return Shared([_Pass(block, self.damping) for block in problem.blocks])


class _Pass(LevelByLevel):
    def __init__(self, problem: LayerProblem, damping: float) -> None:
        super().__init__(problem)
        fit = LeastSquares(problem, damping)
        self.W, self.factor = fit.W, torch.linalg.cholesky(fit.inverse(), upper=True)

    def live(self, count: int) -> Tensor:
        W, U = self.W[self.alive], self.factor
        n = len(W)
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            here = count * stop // n - count * start // n
            costs = (W[start:stop] / U.diagonal()[start:stop, None]).square()
            gone = torch.zeros(costs.numel(), dtype=torch.bool, device=W.device)
            gone[costs.flatten().argsort(stable=True)[:here]] = True
            gone = gone.reshape(costs.shape)
            errors = torch.zeros_like(costs)
            for i in range(start, stop):
                errors[i - start] = torch.where(gone[i - start], W[i] / U[i, i], 0.0)
                W[i + 1 : stop] -= U[i, i + 1 : stop, None] * errors[i - start]
            W[start:stop][gone] = 0
            W[stop:] -= U[start:stop, stop:].T @ errors
        return W
