"""ADMM for one Net-Trim layer, all neurons at once: the engine behind ``NetTrim``.

    min ||S||_1   s.t.   Z in C,   Z = U'X,   S = U                      (paper 2, Algorithm 1)

    U  = (XX' + I)^-1 (X (Z - A)' + S - B)                 by an inverse, or by conjugate gradients
    Z  = project_C(U'X + A)          A += U'X - Z
    S  = soft(U + B, 1 / rho)        B += U - S

A (M, P) and B (N, M) are the scaled duals; U'X and U are over-relaxed before they are used. One inverse of XX' + I
serves every neuron, every iteration, every rho and every point of a path. With more inputs than it is worth for, the
system is solved by conjugate gradients from the last U on, which need X as a linear map only (paper 2, section 3).
S has exact zeros and is what is returned; rho A are the multipliers the certificate is made from.

X, Y and the radius are scaled together, which leaves U as it is and makes the two constraints alike in size.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.certificate import Certificate, certify
from nettrim_core.inputs import Inputs, correlate, energies, gram, response
from nettrim_core.patches import BATCH_BYTES
from nettrim_core.problem import Size
from nettrim_core.response import ResponseSet

MAX_ITERATIONS = 4000
CHECK_EVERY = 20  # iterations between certificates: one costs about as much as two or three iterations
COARSE = 1e-2  # a tolerance that takes few iterations: look twice as often
KEPT = 4  # states to start from
OVER_RELAXATION = 1.7
INPUT_SCALE = 0.3  # after scaling, the largest row of X has the norm 1 / INPUT_SCALE
RHO_START, RHO_RANGE = 3.0, (0.5, 1e4)
RHO_STEP, RHO_POWER = 1.7, 0.2
DIRECT_INPUTS = 5000  # an inverse of more inputs takes longer than the iterations that do without
CG_STEPS, CG_TOL = 100, 1e-6  # the residual relative to the right side
INSIDE = 0.1  # aim at a radius smaller by this part of the tolerance, so that the end is reached from within


@dataclass(frozen=True, eq=False)
class Solution:
    """U (N, M), its certificate, the multipliers L (M, P) that prove it, and the iterations it took."""

    U: Tensor
    L: Tensor
    certificate: Certificate
    iterations: int
    converged: bool


@dataclass(frozen=True, eq=False)
class _State:
    """Where an iteration stands: S (N, M), Z (M, P), the scaled multipliers A of U'X = Z and B of U = S, the penalty.

    radius: of the target that a call ended at; 0 before and meanwhile.
    """

    S: Tensor
    Z: Tensor
    A: Tensor
    B: Tensor
    rho: float
    radius: float

    def with_rho(self, rho: float) -> _State:
        """The same multipliers rho A and rho B under another penalty."""
        rho = min(max(rho, RHO_RANGE[0]), RHO_RANGE[1])
        return dataclasses.replace(self, A=self.A * (self.rho / rho), B=self.B * (self.rho / rho), rho=rho)


class ADMM:
    """The iteration on one layer; ``solve`` starts where one of the last few calls ended, that of the nearest radius.

    X: (N, P), (groups, N, P) or Patches. W: (N, M) a starting point, zero where an input is; its dtype is that of the
    solutions. direct: the most inputs for an inverse. All targets of one object differ by their radius only.
    """

    def __init__(self, X: Inputs, W: Tensor, dtype: torch.dtype, direct: int = DIRECT_INPUTS) -> None:
        self.scale = 1 / (INPUT_SCALE * (float(energies(X).max()) or 1.0) ** 0.5)
        if isinstance(X, Tensor):
            X = X.double()
            self.inputs: Inputs = (X * self.scale).to(dtype)
        else:
            self.inputs = X.scaled(self.scale, dtype)
        self.X: Inputs = X
        self.inverse = self._inverse().to(dtype) if len(W) <= direct else None
        self.onto_inputs = None
        if self.inverse is not None and isinstance(self.inputs, Tensor):
            self.onto_inputs = self.inverse @ self.inputs
        self.out_dtype = W.dtype
        S = self.last = W.to(dtype)
        Z = response(self.inputs, S)
        self.state = _State(S, Z, torch.zeros_like(Z), torch.zeros_like(S), RHO_START, 0.0)
        self.kept: deque[_State] = deque(maxlen=KEPT)

    def _inverse(self) -> Tensor:
        system = gram(self.X) * self.scale**2
        system.diagonal(dim1=-2, dim2=-1).add_(1)
        return torch.cholesky_inverse(torch.linalg.cholesky(system))

    def solve(self, target: ResponseSet, tol: float, most: int = MAX_ITERATIONS) -> Solution:
        """The sparsest U (in l1) whose response is in ``target``, stopped by its certificate at ``tol``.

        If the certificate is not reached, the best iterate seen comes back with ``converged=False``.
        """
        best: Solution | None = None
        iterations = 0
        for found in self.iterates(target, tol, most):
            iterations = found.iterations
            if best is None or found.certificate.worst < best.certificate.worst:
                best = found
        assert best is not None
        return dataclasses.replace(best, iterations=iterations)

    def iterates(self, target: ResponseSet, tol: float, most: int = MAX_ITERATIONS) -> Iterator[Solution]:
        """Where the iteration stands at each certificate, up to the first within ``tol`` or to ``most`` iterations."""
        scaled = target.to(self.inputs.dtype, self.scale)
        scaled = dataclasses.replace(scaled, radius=scaled.radius * (1 - INSIDE * tol))
        self._start(target.radius)
        every = CHECK_EVERY if tol < COARSE else CHECK_EVERY // 2
        for iteration in range(every, most + 1, every):
            for _ in range(every):
                self._step(scaled)
            U = self.state.S.to(self.out_dtype, copy=True)
            L = ((self.state.rho * self.scale) * self.state.A).double()
            found = certify(self.X, target, U, L)
            yield Solution(U, L, found, iteration, found.within(tol))
            if found.within(tol):
                break
            self._balance(found, tol)
        self.kept.append(dataclasses.replace(self.state, radius=target.radius))

    def _start(self, radius: float) -> None:
        """From the nearest kept state. A smaller radius wants a larger penalty, about as one over its root."""
        known = [state for state in self.kept if state.radius > 0]
        if known and radius > 0:
            nearest = min(known, key=lambda state: abs(math.log(state.radius / radius)))
            self.state = nearest.with_rho(nearest.rho * max(nearest.radius / radius, 1.0) ** 0.5)

    def _step(self, target: ResponseSet) -> None:
        now = self.state
        U = self._nearest(now.Z - now.A, now.S - now.B)
        Z = torch.lerp(now.Z, response(self.inputs, U), OVER_RELAXATION) + now.A
        S = torch.lerp(now.S, U, OVER_RELAXATION) + now.B
        projected = target.project(Z)
        B = S.clamp(-1 / now.rho, 1 / now.rho)
        self.state = _State(S - B, projected, Z - projected, B, now.rho, 0.0)

    def _nearest(self, Z: Tensor, S: Tensor) -> Tensor:
        """argmin ||U'X - Z||^2 + ||U - S||^2, (N, M)."""
        if self.onto_inputs is not None and self.inverse is not None:
            return correlate(self.onto_inputs, Z) + correlate(self.inverse, S.T)
        right = correlate(self.inputs, Z) + S
        if self.inverse is not None:
            return correlate(self.inverse, right.T)
        self.last = conjugate_gradients(
            lambda U: correlate(self.inputs, response(self.inputs, U)) + U, right, self.last
        )
        return self.last

    def _balance(self, found: Certificate, tol: float) -> None:
        """Steer rho by what the certificate lacks: larger if the violation is the larger part, smaller if the gap.

        A negative gap means a point far outside: the violation is what lacks.
        """
        floor = 1e-2 * tol
        factor = (max(found.violation, floor) / max(found.gap, floor)) ** RHO_POWER
        self.state = self.state.with_rho(self.state.rho * min(max(factor, 1 / RHO_STEP), RHO_STEP))


def peak_bytes(size: Size) -> int:
    """About the most memory (bytes) that one layer takes, of which the inputs stay images."""
    copies = 2 * size.images + 12 * size.samples * size.outputs + 4 * size.groups * size.inputs**2
    return 8 * copies + 3 * BATCH_BYTES


def conjugate_gradients(apply: Callable[[Tensor], Tensor], right: Tensor, start: Tensor) -> Tensor:
    """The solution of A U = right, column by column, for a symmetric positive definite A; U like ``right``."""
    U = start.clone()
    R = right - apply(U)
    D, energy = R.clone(), R.square().sum(0)
    enough = CG_TOL**2 * right.square().sum(0)
    for _ in range(CG_STEPS):
        if bool((energy <= enough).all()):
            break
        AD = apply(D)
        step = energy / (D * AD).sum(0).clamp(min=torch.finfo(D.dtype).tiny)
        U += step * D
        R -= step * AD
        before, energy = energy, R.square().sum(0)
        D = R + energy / before.clamp(min=torch.finfo(D.dtype).tiny) * D
    return U
