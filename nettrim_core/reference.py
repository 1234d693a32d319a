"""A second opinion on Net-Trim: the same program solved by CVXPY and Clarabel, an interior-point method.

For layers small enough to wait for; nothing here is shared with the ADMM but the response set.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from nettrim_core.inputs import matrix
from nettrim_core.problem import LayerProblem
from nettrim_core.response import response_set

LIMIT = 2_000_000  # N * M * P: seconds


@dataclass(frozen=True)
class Reference:
    """U (N, M) and objective ||U||_1 of the second solver; status is Clarabel's word for how it ended."""

    U: np.ndarray
    objective: float
    status: str
    seconds: float


def small_enough(inputs: int, outputs: int, samples: int) -> bool:
    """Is a layer of N x M weights with P samples worth the wait?"""
    return inputs * outputs * samples <= LIMIT


def reference(problem: LayerProblem, epsilon: float) -> Reference:
    """Solve the Net-Trim program of ``problem`` at ``epsilon``; ValueError for a layer that is too large."""
    import cvxpy as cp  # seconds to import, and needed by nobody else

    (N, M), P = problem.W.shape, problem.X.shape[1]
    if not small_enough(N, M, P):
        raise ValueError(
            f"a layer of {N} x {M} weights and {P} samples is too large for the second solver: N M P <= {LIMIT:,}"
        )
    target = response_set(problem, epsilon)
    center, omega = target.center.cpu().numpy(), target.omega.cpu().numpy()
    U = cp.Variable((N, M))
    starts = range(0, M, M // problem.groups)
    response = cp.vstack(
        [
            U[:, i : i + M // problem.groups].T @ matrix(b.X).cpu().numpy()
            for i, b in zip(starts, problem.blocks, strict=True)
        ]
    )
    constraints: list[Any] = [cp.norm((response - center)[omega], 2) <= target.radius]
    if not omega.all():
        constraints.append(response[~omega] <= center[~omega])
    started = time.perf_counter()
    program = cp.Problem(cp.Minimize(cp.sum(cp.abs(U))), constraints)
    program.solve(solver=cp.CLARABEL)
    if U.value is None:
        raise ValueError(f"the second solver found no solution at epsilon = {epsilon:g}: {program.status}")
    return Reference(U.value, float(np.abs(U.value).sum()), str(program.status), time.perf_counter() - started)
