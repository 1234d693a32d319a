"""Least squares on any mask: the best weights a support can have."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK_BYTES = 8_000_000  # of gathered matrices at a time


def curvature(X: Tensor, damping: float) -> Tensor:
    """H = XX'/P + damping I, (N, N) float64: the Hessian of a layer's squared response error, per sample."""
    X = X.double()
    H = X @ X.T / X.shape[1]
    H.diagonal().add_(damping)
    return H


def cholesky(H: Tensor, damping: float) -> Tensor:
    """The factor of H, or a ValueError that says which damping would do."""
    factor, info = torch.linalg.cholesky_ex(H)
    if int(info.count_nonzero()):
        least = float(H.diagonal(dim1=-2, dim2=-1).max()) * H.shape[-1] * torch.finfo(H.dtype).eps
        raise ValueError(
            f"damping = {damping:g} leaves XX'/P + damping I not positive definite in float64 (fewer samples than "
            f"inputs, or inputs that depend on each other); use a damping of at least about {10 * least:.1g}"
        )
    return factor


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


def solve_on_support(G: Tensor, support: Tensor, b: Tensor, damping: float) -> Tensor:
    """x with G_SS x_S = b_S and x = 0 off S, where S is each column of ``support``: (N, M).

    Columns are taken in blocks of similar support size. One that has less than its block's largest is padded by rows of
    the identity: by the index N, a row of zeros added to G, and a one on the diagonal there.
    """
    N = len(G)
    b = torch.cat([b, b.new_zeros(1, b.shape[1])])
    G = torch.block_diag(G, G.new_zeros(1, 1))
    x = torch.zeros_like(b)
    sizes, columns = support.sum(0).sort(descending=True)
    start, end = 0, int((sizes > 0).sum())
    while start < end:
        size = int(sizes[start])
        block = columns[start : min(end, start + max(1, BLOCK_BYTES // (8 * size * size)))]
        inside = support[:, block]
        rows = (~inside).to(torch.int8).argsort(dim=0, stable=True)[:size].T  # (width, size), S first
        rows = torch.where(inside.T.gather(1, rows), rows, N)
        system = G[rows[:, :, None], rows[:, None, :]]
        system.diagonal(dim1=1, dim2=2).add_((rows == N).double())
        right = b[rows, block[:, None]][:, :, None]
        x[rows, block[:, None]] = torch.cholesky_solve(right, cholesky(system, damping)).squeeze(2)
        start += len(block)
    return x[:N]
