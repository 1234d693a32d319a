"""Net-Trim: the sparsest weights, in l1, whose responses stay within a tolerance of the trained layer's.

    min ||U||_1  s.t.  ||(U'X - Y)_omega||_F <= radius,  U'X <= V off omega

Aghasi, Abdi, Nguyen, Romberg, NIPS 2017 (arXiv 1611.05162), eq. 4-6; solver: Aghasi, Abdi, Romberg, SIAM J. Math.
Data Sci. 2020 (arXiv 1806.06457). A linear layer is the case omega = everywhere.

The l1 norm shrinks what it keeps. With ``refit`` the weights that stay then come as near to Y as the constraints off
omega let them: the zeros are the same, the discrepancy is smaller, and the gap is that of the solution before.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from nettrim_core import admm, homotopy
from nettrim_core.admm import ADMM, Solution
from nettrim_core.certificate import certify
from nettrim_core.executor import LOCAL, current
from nettrim_core.homotopy import Homotopy, RefitInside
from nettrim_core.inputs import Inputs, alive, at_least, beside, groups_in, response
from nettrim_core.patches import BATCH_BYTES, Patches
from nettrim_core.problem import (
    LayerProblem,
    LayerResult,
    Layerwise,
    Size,
    check_sparsity,
    halving,
    measured,
    setting,
    tolerance,
)
from nettrim_core.problem import sparsity as fraction_zero
from nettrim_core.response import ResponseSet, response_set

SINGLE_PRECISION_TOL = 1e-4  # float32 iterations certify 1e-3; a tighter tolerance needs float64 ones
LEVELS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)  # of gap and violation, on the way to a tolerance by iteration
COARSE_POINTS = 9
FALLBACK_ITERATIONS = 1000
AHEAD = 6.0  # how far down the exact engine follows at a time when somebody waits for its answers
SPARSITY_RANGE = (1e-4, 0.999)  # of epsilon, searched for a fraction of zeros
CURVE = tuple(0.8 * 0.8**k for k in range(24))  # epsilons of a trade-off curve


@dataclass(frozen=True)
class NetTrim(Layerwise):
    epsilon: float = tolerance()
    tol: float = setting(1e-3, 1e-9, 0.1, help="certified when duality gap and violation are at most this")
    refit: bool = setting(False, help="then move the weights that stay as near to the targets as the constraints let")

    def prune(self, problem: LayerProblem) -> LayerResult:
        """The layer at ``self.epsilon``. In stats: gap, violation, iterations, seconds, objective, bound, epsilon,
        radius."""
        return next(self.path(problem, [self.epsilon]))

    def path(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[LayerResult]:
        """One result per epsilon in the order given, all read off one path of solutions."""
        epsilons = self._legal(epsilons)
        solver = _Solver(problem, self, epsilons)
        for epsilon in epsilons:
            yield solver.at(epsilon)

    def refine(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[tuple[int, LayerResult]]:
        """(index, result) as an answer takes shape, each better than the one before at that index.

        First some to a gap and violation of 1e-1: the ends of the range, its middle, the quarters, the eighths. Then
        all to ``tol``, from large epsilon to small; by way of 1e-2, 1e-3, ... where only the iterative engine can be
        used. Which index comes when does not depend on the layer, so that layers can be refined side by side.
        ``stats["tol"]`` says what a result was solved to. Where others solve (:mod:`nettrim_core.executor`), the exact
        engine begins at once.
        """
        epsilons = self._legal(epsilons)
        descending = sorted(range(len(epsilons)), key=lambda i: -epsilons[i])
        solver = _Solver(problem, self, epsilons, AHEAD)
        levels = [level for level in LEVELS[: 1 if solver.has_exact else None] if level > self.tol]
        if solver.has_exact and current() is not LOCAL:  # rough ones would be solved here, while all others wait
            levels = []
        for level in levels:
            for place in halving(len(epsilons))[:COARSE_POINTS]:
                yield descending[place], solver.at(epsilons[descending[place]], level)
        for index in descending:
            yield index, solver.at(epsilons[index])

    def iterates(self, problem: LayerProblem, most: int = admm.MAX_ITERATIONS) -> Iterator[Solution]:
        """Where the first-order engine stands at each of its certificates, on the way to ``epsilon`` and ``tol``: its
        last is certified unless ``most`` iterations came first. The weights are those of the inputs that count, and a
        layer that needs no engine has one of no iterations."""
        solver = _Solver(problem, self)
        target = solver.target(self.epsilon)
        settled = solver.settled(target)
        yield from [settled] if settled else solver.iterative.iterates(target, self.tol, most)

    def memory(self, size: Size, threads: int | None = None) -> int:
        """About how many bytes solving a layer takes at its peak; threads: None for torch's present number."""
        if size.relu and size.images:
            return admm.peak_bytes(size)
        threads = threads or torch.get_num_threads()
        if size.relu:
            return homotopy.peak_bytes(size, threads)
        fewer = dataclasses.replace(size, samples=min(size.samples, size.inputs + 1))
        return condensing_bytes(size) + homotopy.peak_bytes(fewer, threads)

    def _legal(self, epsilons: Iterable[float]) -> list[float]:
        epsilons = list(epsilons)
        for epsilon in epsilons:
            dataclasses.replace(self, epsilon=epsilon)  # refuses an illegal epsilon
        return epsilons

    def curve(self, problem: LayerProblem) -> NetTrimCurve:
        """The trade-off, all of it read off one path. In a cascade epsilon sets the radius here, in place of the error
        already made."""
        return NetTrimCurve(self, problem)


class NetTrimCurve:
    """A layer at any number of zeros, by way of the epsilon that gives it."""

    def __init__(self, method: NetTrim, problem: LayerProblem) -> None:
        least, most = SPARSITY_RANGE
        self.halves = [most / 2**k for k in range(int(math.log2(most / least)) + 1)]
        self.solver = _Solver(dataclasses.replace(problem, gamma=None), method, self.halves, AHEAD)

    def points(self) -> Iterator[LayerResult]:
        """A geometric range of epsilons, the smallest first, and everything pruned."""
        largest_first = [self.solver.at(epsilon) for epsilon in CURVE]
        yield from reversed(largest_first)
        yield self.solver.zero()

    def at(self, sparsity: float) -> LayerResult:
        """The result of the smallest epsilon (within 1 %) that reaches a fraction of zeros: halved until it does not,
        then by bisection in log epsilon; the trained weights where they have so many."""
        check_sparsity(sparsity)
        problem = self.solver.problem
        if fraction_zero(problem.W) >= sparsity:
            return measured(problem, problem.W, 0.0)
        high, low = self.halves[0], SPARSITY_RANGE[0]
        found = self.solver.at(high)
        if fraction_zero(found.U) < sparsity:
            return self.solver.zero()
        for epsilon in self.halves[1:]:
            tried = self.solver.at(epsilon)
            if fraction_zero(tried.U) < sparsity:
                low = epsilon
                break
            high, found = epsilon, tried
        while high / low > 1.01:
            middle = math.sqrt(low * high)
            tried = self.solver.at(middle)
            if fraction_zero(tried.U) >= sparsity:
                high, found = middle, tried
            else:
                low = middle
        return found


def condensed(X: Inputs, Y: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """X and Y of a linear layer on N + 1 samples; X (N, P), (groups, N, P) or Patches, Y (M, P), W (N, M), all float64.

    A linear layer's responses matter by their norm only. With X' = Q R and the error E = Y - W'X, ||U'X - Y|| =
    ||U'R' - W'R' - EQ|| but for the part of E outside the range of X', which no U changes: one more sample, zero in X,
    holds its norm. Trained weights without an error have none here. Done batch by batch: [R; X'] for the next X.
    """
    if isinstance(X, Tensor) and X.shape[-1] <= X.shape[-2] + 1:
        return X, Y
    (N, M), G = W.shape, groups_in(X)
    R, F, outside = W.new_zeros(G, 0, N), W.new_zeros(G, 0, M // G), W.new_zeros(G, M // G)
    for inputs, targets in at_least(N, beside(X, Y)):
        error = (targets - response(inputs, W)).reshape(G, M // G, -1).mT
        Q, R = torch.linalg.qr(torch.cat([R, inputs.reshape(G, N, -1).mT], 1))
        F = torch.cat([F, error], 1)
        inside = Q.mT @ F
        outside += (F - Q @ inside).square().sum(1)
        F = inside
    inputs = R.mT if G > 1 else R[0].T
    center = torch.cat([response(inputs, W) + F.mT.reshape(M, -1), outside.sqrt().reshape(M, 1)], 1)
    return torch.cat([inputs, inputs.new_zeros(*inputs.shape[:-1], 1)], -1), center


def condensing_bytes(size: Size) -> int:
    """About the most memory (bytes) that :func:`condensed` takes: the error, and copies of the inputs at hand."""
    columns = size.groups * size.inputs * size.samples
    at_hand = max(columns * (not size.images), BATCH_BYTES // 8, size.groups * size.inputs**2)
    return 8 * (3 * size.samples * size.outputs + 3 * at_hand)


class _Solver:
    """One layer at many radii: drops dead inputs, picks the engine, settles the cases that need none.

    epsilons: what will be asked for, as far as known; ahead: see :class:`Homotopy`.
    """

    def __init__(
        self, problem: LayerProblem, method: NetTrim, epsilons: Sequence[float] = (), ahead: float = math.inf
    ) -> None:
        self.problem, self.method, self.tol = problem, method, method.tol
        seen = alive(problem.inputs).reshape(problem.groups, -1)
        W = problem.W * seen.T.repeat_interleave(problem.W.shape[1] // problem.groups, 1)
        self.rows, self.blind = seen.any(0), not bool(seen.any())
        self.X: Inputs = problem.inputs
        if isinstance(self.X, Patches) or self.blind:
            self.rows = torch.ones_like(self.rows)
        if isinstance(self.X, Tensor):
            self.X = self.X[..., self.rows, :].double()
        self.W = W[self.rows]
        self.center: Tensor | None = None  # of a linear layer, on fewer samples
        if not problem.relu:
            self.X, self.center = condensed(self.X, problem.Y.double() - problem.constant, self.W.double())
        self.epsilons, self.ahead = epsilons, ahead
        self.has_exact = isinstance(self.X, Tensor) and self.X.device.type == "cpu"

    @cached_property
    def exact(self) -> Homotopy:
        assert isinstance(self.X, Tensor)
        radii = [self.target(epsilon).radius for epsilon in self.epsilons]
        return Homotopy(self.X, self.W, radii, self.ahead)

    @cached_property
    def refitted(self) -> RefitInside:
        return RefitInside(self.X, self.target(self.method.epsilon))

    @cached_property
    def iterative(self) -> ADMM:
        single = self.tol >= SINGLE_PRECISION_TOL
        return ADMM(self.X, self.W, torch.float32 if single else torch.float64)

    def target(self, epsilon: float) -> ResponseSet:
        """The response set of the problem, for ``X``."""
        whole = response_set(self.problem, epsilon)
        if self.center is None:
            return whole
        everywhere = torch.ones_like(self.center, dtype=torch.bool)
        return dataclasses.replace(whole, center=self.center, omega=everywhere)

    def at(self, epsilon: float, tol: float = 0.0) -> LayerResult:
        """The result at epsilon; a ``tol`` coarser than the solver's own is met by the first-order engine."""
        started = time.perf_counter()
        target = self.target(epsilon)
        tol = max(tol, self.tol)
        solution = self.settled(target) or self._solved(target, tol)
        return self._result(solution, epsilon, target.radius, tol, time.perf_counter() - started)

    def settled(self, target: ResponseSet) -> Solution | None:
        """U = 0 where it is allowed, or where no input is alive; the trained weights where the set has no interior
        (radius 0)."""
        L = torch.zeros_like(target.center)
        if target.violation(L) == 0 or self.blind:
            U = torch.zeros_like(self.W)
        elif target.radius == 0:
            U = self.W
        else:
            return None
        found = certify(self.X, target, U, L)
        return Solution(U, L, found, 0, found.within(self.tol))

    def _solved(self, target: ResponseSet, tol: float) -> Solution:
        if tol > self.tol or not self.has_exact:
            return self.iterative.solve(target, tol)
        found = self.exact.solve(target, tol)
        if found.converged:
            return found
        other = self.iterative.solve(target, tol, FALLBACK_ITERATIONS)
        return min(found, other, key=lambda solution: solution.certificate.worst)

    def zero(self) -> LayerResult:
        """Everything pruned: what epsilon = 1 allows, unless V is negative somewhere."""
        target = self.target(1.0)
        U, L = torch.zeros_like(self.W), torch.zeros_like(target.center)
        found = certify(self.X, target, U, L)
        return self._result(Solution(U, L, found, 0, found.within(self.tol)), 1.0, target.radius, self.tol, 0.0)

    def _result(self, solution: Solution, epsilon: float, radius: float, tol: float, seconds: float) -> LayerResult:
        U = torch.zeros_like(self.problem.W)
        U[self.rows] = solution.U
        found = solution.certificate
        violation = found.violation
        if self.method.refit:
            target = self.target(epsilon)
            U[self.rows] = self.refitted(solution.U)
            violation = target.violation(response(self.X, U[self.rows].double()))
        stats = {
            "gap": found.gap,
            "violation": violation,
            "iterations": float(solution.iterations),
            "seconds": seconds,
            "objective": found.objective,
            "bound": found.bound,
            "epsilon": epsilon,
            "radius": radius,
            "tol": tol,
            "memory": float(self.method.memory(self.problem.size)),
        }
        return LayerResult(
            U,
            max(found.gap, violation) <= self.tol,
            stats,
            {"gap": found.neuron_gap, "excess": found.neuron_excess, "violation": found.neuron_violation},
        )
