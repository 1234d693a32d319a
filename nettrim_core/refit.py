"""Least squares on any mask: the best weights a support can have."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from nettrim_core.executor import current
from nettrim_core.inputs import gram
from nettrim_core.problem import LayerProblem, LayerResult, Settings, Size, measured, setting


def damping_setting() -> Any:
    """The setting of the methods that need the Hessian."""
    return setting(1e-6, 0, 1e3, help="added to the diagonal of the Hessian XX'/P")


def curvature(problem: LayerProblem, damping: float) -> Tensor:
    """H = XX'/P + damping I, (N, N) float64: the Hessian of a layer's squared response error, per sample."""
    H = (gram(problem.X) if problem.gram is None else problem.gram) / problem.X.shape[1]
    H.diagonal().add_(damping)
    return H


def cholesky(H: Tensor, damping: float) -> Tensor:
    """The factor of H, or a ValueError that says which damping would do."""
    factor, info = torch.linalg.cholesky_ex(H)
    if int(info):
        raise _indefinite(H, damping)
    return factor


def _indefinite(H: Tensor, damping: float) -> ValueError:
    least = float(H.diagonal().max()) * len(H) * torch.finfo(H.dtype).eps
    return ValueError(
        f"damping = {damping:g} leaves XX'/P + damping I not positive definite in float64 (fewer samples than "
        f"inputs, or inputs that depend on each other); use a damping of at least about {10 * least:.1g}"
    )


def refit(H: Tensor, W: Tensor, keep: Tensor, damping: float) -> Tensor:
    """argmin (u - w)' H (u - w) over u with support in ``keep``, for every column: (N, M) float64.

    H: (N, N) positive definite, with ``damping`` already in it (named in errors). W: (N, M). keep: (N, M) bool.
    A column that keeps a set S solves H_SS u_S = (H w)_S; one that keeps more than it removes solves for the removed
    set Q instead, u = w - H^-1_:Q l with [H^-1]_QQ l = w_Q.
    """
    W = W.double()
    few = keep.sum(0) <= len(H) // 2
    U = torch.empty_like(W)
    U[:, few] = solve_on_support(H, keep[:, few], H @ W[:, few], damping)
    if not bool(few.all()):
        inverse = torch.cholesky_inverse(cholesky(H, damping))
        U[:, ~few] = W[:, ~few] - inverse @ solve_on_support(inverse, ~keep[:, ~few], W[:, ~few], damping)
    return U * keep


class LeastSquares:
    """The quadratic that stands for a layer without groups, (u - w)' H (u - w) per neuron, and its least on any mask:
    from (N, M) bool, which weights stay, to their values.

    H = XX'/P + damping I on the live inputs. w is the trained weights; where the dense network's responses Z are other
    than W'X (a cascade), the minimum of ||u'X - z||^2 / P + damping ||u - w||^2, which is w + H^-1 X (z - w'X)' / P.
    """

    def __init__(self, problem: LayerProblem, damping: float) -> None:
        self.alive, self.W, self.damping = problem.alive, problem.W.double(), damping
        self.H = curvature(problem, damping)[self.alive][:, self.alive]
        if problem.responses is not None and len(self.H):
            error = problem.responses.double() - problem.response(self.W)
            moved = problem.correlate(error)[self.alive] / error.shape[1]
            self.W = self.W.index_add(
                0, self.alive.nonzero().flatten(), torch.cholesky_solve(moved, cholesky(self.H, damping))
            )

    def inverse(self) -> Tensor:
        """H^-1, of the live inputs."""
        return torch.cholesky_inverse(cholesky(self.H, self.damping)) if len(self.H) else self.H

    def __call__(self, keep: Tensor) -> Tensor:
        U = self.W * keep
        U[self.alive] = refit(self.H, self.W[self.alive], keep[self.alive], self.damping)
        return torch.where(keep, U, torch.zeros_like(U))


@dataclass(frozen=True)
class Refit(Settings):
    """Least squares on a mask that is given."""

    damping: float = damping_setting()

    def memory(self, size: Size) -> int:
        """About how many bytes a layer takes at its peak."""
        return least_squares_bytes(size)

    def of(self, problem: LayerProblem, keep: Tensor) -> LayerResult:
        """The layer with the weights that ``keep`` leaves, (N, M) bool, at their least-squares values."""
        started = time.perf_counter()
        parts = zip(problem.blocks, keep.chunk(problem.groups, 1), strict=True)
        U = torch.cat([LeastSquares(block, self.damping)(part) for block, part in parts], 1)
        return measured(problem, U.to(problem.W.dtype), time.perf_counter() - started)


def least_squares_bytes(size: Size) -> int:
    """About how many bytes H, what is solved with it and what it is judged by take: copies of the inputs and responses
    in float64, some matrices of inputs by inputs, and two for each thread's neuron."""
    matrices = 6 + 2 * torch.get_num_threads()
    return 8 * (size.held + 3 * size.samples * size.outputs + matrices * size.inputs**2)


def solve_on_support(G: Tensor, support: Tensor, b: Tensor, damping: float) -> Tensor:
    """x with G_SS x_S = b_S and x = 0 off S, where S is each column of ``support``: (N, M).

    On the CPU, wherever G is: batches would have to be padded to a common size of S.
    """
    matrix, inside, right = (np.ascontiguousarray(t.cpu().numpy()) for t in (G, support.T, b.T))
    try:
        columns = current().each(_solved, list(zip(inside, right, strict=True)), current().share(matrix))
    except np.linalg.LinAlgError:
        raise _indefinite(G, damping) from None
    return torch.from_numpy(np.array(columns).reshape(right.shape)).T.to(b.device)


def _solved(column: tuple[np.ndarray, np.ndarray], matrix: np.ndarray) -> np.ndarray:
    inside, right = column
    return _solve_column(matrix, np.flatnonzero(inside), right)


@njit(cache=True, nogil=True)
def _solve_column(G, S, b):
    """x with G_SS x_S = b_S, zero off S, by Cholesky's factor L L' of G_SS."""
    n, x = len(S), np.zeros(len(b))
    block = np.empty((n, n))
    for i in range(n):
        row = G[S[i]]
        for j in range(n):
            block[i, j] = row[S[j]]
    if n == 0:
        return x
    L = np.linalg.cholesky(block)
    y = b[S]
    for i in range(n):
        for j in range(i):
            y[i] -= L[i, j] * y[j]
        y[i] /= L[i, i]
    for i in range(n - 1, -1, -1):
        y[i] /= L[i, i]
        for j in range(i):
            y[j] -= L[i, j] * y[i]
    x[S] = y
    return x
