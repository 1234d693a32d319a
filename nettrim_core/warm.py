"""Compile what is compiled, once, so that nobody waits for it later: ``python -m nettrim_core.warm`` (minutes)."""

from __future__ import annotations

from typing import Any

import torch

from nettrim_core.homotopy import Homotopy
from nettrim_core.methods import METHODS
from nettrim_core.problem import LayerProblem
from nettrim_core.response import response_set


def warm_up() -> None:
    g = torch.Generator().manual_seed(0)
    X = torch.randn(8, 40, dtype=torch.float64, generator=g)
    W = torch.randn(8, 3, dtype=torch.float64, generator=g)
    problem = LayerProblem(X, (W.T @ X).relu(), W, relu=True, bias=False)
    for method in METHODS.values():
        method.prune(problem)
    engine = Homotopy(X, W)
    engine.solve(response_set(problem, 0.1), 1e-3)
    low = engine.known[0].low
    U, MU = engine._at(low)
    engine._rework([0], low, U, MU)


def dask_setup(_: Any) -> None:
    """What ``dask worker --preload nettrim_core.warm`` calls."""
    warm_up()


if __name__ == "__main__":
    warm_up()
