"""Net-Trim: the sparsest weights, in l1, whose responses stay within a tolerance of the trained layer's.

    min ||U||_1  s.t.  ||(U'X - Y)_omega||_F <= radius,  U'X <= V off omega

Aghasi, Abdi, Nguyen, Romberg, NIPS 2017 (arXiv 1611.05162), eq. 4-6; solver: Aghasi, Abdi, Romberg, SIAM J. Math.
Data Sci. 2020 (arXiv 1806.06457). A linear layer is the case omega = everywhere.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from nettrim_core.admm import ADMM, Solution
from nettrim_core.certificate import certify
from nettrim_core.problem import LayerProblem, LayerResult, Settings, check_sparsity, setting
from nettrim_core.problem import sparsity as fraction_zero
from nettrim_core.response import ResponseSet, response_set

# float32 iterations certify 1e-3; a tighter tolerance needs float64 ones. Small layers gain nothing from float32.
SINGLE_PRECISION_TOL = 1e-4
SINGLE_PRECISION_SIZE = 2_000_000  # N * M * P
SPARSITY_RANGE = (1e-4, 0.999)  # of epsilon, searched by at_sparsity
SPARSITY_STEPS = 12


@dataclass(frozen=True)
class NetTrim(Settings):
    epsilon: float = setting(
        0.1, 0, 1, open=True, help="allowed discrepancy of the layer's response, relative to its norm"
    )
    tol: float = setting(1e-3, 1e-9, 0.1, help="certified when duality gap and violation are at most this")

    def prune(self, problem: LayerProblem) -> LayerResult:
        """The layer at ``self.epsilon``. In stats: gap, violation, iterations, seconds, objective, bound, epsilon,
        radius."""
        return next(self.path(problem, [self.epsilon]))

    def path(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[LayerResult]:
        """One result per epsilon in the order given, each warm-started from the one before."""
        solver = _Solver(problem, self.tol)
        for epsilon in epsilons:
            dataclasses.replace(self, epsilon=epsilon)  # refuses an illegal epsilon
            yield solver.at(epsilon)

    def at_sparsity(self, problem: LayerProblem, sparsity: float) -> LayerResult:
        """The result of the smallest epsilon (within 1 %) that reaches ``sparsity``, by bisection in log epsilon.

        In a cascade epsilon sets the radius here, in place of the error already made.
        """
        check_sparsity(sparsity)
        solver = _Solver(dataclasses.replace(problem, gamma=None), self.tol)
        low, high = SPARSITY_RANGE
        found = solver.at(high)
        if fraction_zero(found.U) < sparsity:
            return solver.zero()
        for _ in range(SPARSITY_STEPS):
            if high / low < 1.01:
                break
            middle = math.sqrt(low * high)
            tried = solver.at(middle)
            if fraction_zero(tried.U) >= sparsity:
                high, found = middle, tried
            else:
                low = middle
        return found


class _Solver:
    """One layer at many radii: drops dead inputs, picks the precision, settles the cases that need no iteration."""

    def __init__(self, problem: LayerProblem, tol: float) -> None:
        self.problem, self.tol = problem, tol
        self.rows = problem.alive if bool(problem.alive.any()) else torch.ones_like(problem.alive)
        self.X, self.W = problem.X[self.rows].double(), problem.W[self.rows]
        self.engine: ADMM | None = None

    def at(self, epsilon: float) -> LayerResult:
        started = time.perf_counter()
        target = response_set(self.problem, epsilon)
        solution = self._settled(target) or self._engine().solve(target, self.tol)
        return self._result(solution, epsilon, target.radius, time.perf_counter() - started)

    def _settled(self, target: ResponseSet) -> Solution | None:
        """U = 0 where it is allowed; the trained weights where the set has no interior (radius 0)."""
        L = torch.zeros_like(target.center)
        if target.violation(L) == 0:
            U = torch.zeros_like(self.W)
        elif target.radius == 0:
            U = self.W
        else:
            return None
        found = certify(self.X, target, U, L)
        return Solution(U, found, 0, found.within(self.tol))

    def _engine(self) -> ADMM:
        if self.engine is None:
            small = self.W.numel() * self.X.shape[1] <= SINGLE_PRECISION_SIZE
            single = self.tol >= SINGLE_PRECISION_TOL and not small
            self.engine = ADMM(self.X, self.W, torch.float32 if single else torch.float64)
        return self.engine

    def zero(self) -> LayerResult:
        """Everything pruned: what epsilon = 1 allows, unless V is negative somewhere."""
        target = response_set(self.problem, 1.0)
        U, L = torch.zeros_like(self.W), torch.zeros_like(target.center)
        found = certify(self.X, target, U, L)
        return self._result(Solution(U, found, 0, found.within(self.tol)), 1.0, target.radius, 0.0)

    def _result(self, solution: Solution, epsilon: float, radius: float, seconds: float) -> LayerResult:
        U = torch.zeros_like(self.problem.W)
        U[self.rows] = solution.U
        found = solution.certificate
        stats = {
            "gap": found.gap,
            "violation": found.violation,
            "iterations": float(solution.iterations),
            "seconds": seconds,
            "objective": found.objective,
            "bound": found.bound,
            "epsilon": epsilon,
            "radius": radius,
        }
        return LayerResult(U, solution.converged, stats, {"gap": found.neuron_gap})
