"""A layer's linear map and its adjoint, with inputs X (N, P) or, where inputs and outputs come in groups and an output
sees its own group only (a grouped convolution), X (groups, N, P)."""

from __future__ import annotations

from torch import Tensor


def response(X: Tensor, U: Tensor) -> Tensor:
    """(M, P) U'X of weights U (N, M); the columns of U lie group by group."""
    if X.ndim == 2:
        return U.T @ X
    G, N, P = X.shape
    return (U.reshape(N, G, -1).permute(1, 2, 0) @ X).reshape(-1, P)


def correlate(X: Tensor, L: Tensor) -> Tensor:
    """(N, M) X L' of multipliers L (M, P): the adjoint of :func:`response`."""
    if X.ndim == 2:
        return X @ L.T
    G, N, P = X.shape
    return (X @ L.reshape(G, -1, P).mT).transpose(0, 1).reshape(N, -1)
