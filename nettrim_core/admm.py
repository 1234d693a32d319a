"""ADMM for one Net-Trim layer, all neurons at once: the engine behind ``NetTrim``.

    min ||S||_1   s.t.   Z in C,   Z = U'X,   S = U                      (paper 2, Algorithm 1)

    U  = (XX' + I)^-1 (X (Z - A)' + S - B)
    Z  = project_C(U'X + A)          A += U'X - Z
    S  = soft(U + B, 1 / rho)        B += U - S

A (M, P) and B (N, M) are the scaled duals; U'X and U are over-relaxed before they are used. One inverse of XX' + I
serves every neuron, every iteration, every rho and every point of a path. S has exact zeros and is what is returned;
rho A are the multipliers the certificate is made from.

X, Y and the radius are scaled together, which leaves U as it is and makes the two constraints alike in size.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.certificate import Certificate, certify
from nettrim_core.response import ResponseSet

MAX_ITERATIONS = 4000
CHECK_EVERY = 20  # iterations between certificates: one costs about as much as two or three iterations
OVER_RELAXATION = 1.7
INPUT_SCALE = 0.3  # after scaling, the largest row of X has the norm 1 / INPUT_SCALE
RHO_START, RHO_RANGE = 3.0, (0.5, 1e4)
RHO_STEP, RHO_POWER = 1.7, 0.2
INSIDE = 0.1  # aim at a radius smaller by this part of the tolerance, so that the end is reached from within


@dataclass(frozen=True, eq=False)
class Solution:
    """U (N, M), its certificate, the multipliers L (M, P) that prove it, and the iterations it took."""

    U: Tensor
    L: Tensor
    certificate: Certificate
    iterations: int
    converged: bool


class ADMM:
    """The iteration's state for one layer; ``solve`` warm-starts from wherever the last call ended.

    X: (N, P) without all-zero rows. W: (N, M) a starting point; its dtype is that of the solutions.
    """

    def __init__(self, X: Tensor, W: Tensor, dtype: torch.dtype) -> None:
        self.X = X.double()
        gram = self.X @ self.X.T
        self.scale = 1 / (INPUT_SCALE * (float(gram.diagonal().max()) or 1.0) ** 0.5)
        system = gram * self.scale**2
        system.diagonal().add_(1)
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(system)).to(dtype)
        self.inputs = (self.X * self.scale).to(dtype)
        self.onto_inputs = self.inverse @ self.inputs
        self.out_dtype = W.dtype
        self.S = W.to(dtype)
        self.Z = self.S.T @ self.inputs
        self.A, self.B = torch.zeros_like(self.Z), torch.zeros_like(self.S)
        self.rho = RHO_START

    def solve(self, target: ResponseSet, tol: float, most: int = MAX_ITERATIONS) -> Solution:
        """The sparsest U (in l1) whose response is in ``target``, stopped by its certificate at ``tol``.

        If the certificate is not reached, the best iterate seen comes back with ``converged=False``.
        """
        scaled = target.to(self.inputs.dtype, self.scale)
        scaled = dataclasses.replace(scaled, radius=scaled.radius * (1 - INSIDE * tol))
        best: Solution | None = None
        for iteration in range(CHECK_EVERY, most + 1, CHECK_EVERY):
            for _ in range(CHECK_EVERY):
                self._step(scaled)
            U = self.S.to(self.out_dtype)
            L = ((self.rho * self.scale) * self.A).double()
            found = certify(self.X, target, U, L)
            if best is None or found.worst < best.certificate.worst:
                best = Solution(U.clone(), L, found, iteration, found.within(tol))
            if best.converged:
                break
            self._balance(found, tol)
        assert best is not None
        return dataclasses.replace(best, iterations=iteration)

    def _step(self, target: ResponseSet) -> None:
        U = self.onto_inputs @ (self.Z - self.A).T + self.inverse @ (self.S - self.B)
        Z = torch.lerp(self.Z, U.T @ self.inputs, OVER_RELAXATION) + self.A
        S = torch.lerp(self.S, U, OVER_RELAXATION) + self.B
        self.Z = target.project(Z)
        self.A = Z - self.Z
        self.B = S.clamp(-1 / self.rho, 1 / self.rho)
        self.S = S - self.B

    def _balance(self, found: Certificate, tol: float) -> None:
        """Steer rho by what the certificate lacks: larger if the violation is the larger part, smaller if the gap.

        A negative gap means a point far outside: the violation is what lacks.
        """
        floor = 1e-2 * tol
        factor = (max(found.violation, floor) / max(found.gap, floor)) ** RHO_POWER
        factor = min(max(factor, 1 / RHO_STEP), RHO_STEP)
        factor = min(max(self.rho * factor, RHO_RANGE[0]), RHO_RANGE[1]) / self.rho
        self.rho *= factor
        self.A /= factor
        self.B /= factor
