"""Net-Trim's refit: the least squares on its support, inside its own constraints, by a second solver."""

from __future__ import annotations

import dataclasses

import cvxpy as cp
import numpy as np
import pytest
import torch

from nettrim_core import METHODS, NetTrim, discrepancy, prune
from nettrim_core.response import response_set
from tests.test_groups import grouped
from tests.test_solver import cascade, layer


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("epsilon", [0.4, 0.1])
def test_the_refit_is_clarabels(epsilon: float, relu: bool, moved: bool) -> None:
    problem = layer("rectified", 12, 5, 70, 3, relu)
    if moved:
        problem = cascade(problem, 3, 1.1)
    plain, fitted = (NetTrim(epsilon=epsilon, tol=1e-6, refit=refit).prune(problem) for refit in (False, True))
    assert fitted.converged
    target = response_set(problem, epsilon)
    X, center, omega = problem.X.numpy(), target.center.numpy(), target.omega.numpy()
    for m in range(5):
        S = np.flatnonzero(plain.U[:, m].numpy())
        u = cp.Variable(len(S))
        response = u @ X[S]
        limits = [] if omega[m].all() else [response[~omega[m]] <= center[m][~omega[m]]]
        program = cp.Problem(cp.Minimize(cp.sum_squares((response - center[m])[omega[m]])), limits)
        program.solve(solver=cp.CLARABEL)
        ours = float((((fitted.U[:, m] @ problem.X) - target.center[m])[target.omega[m]]).square().sum())
        assert ours == pytest.approx(float(program.value), rel=1e-5, abs=1e-7)  # type: ignore[arg-type]
        assert not bool(fitted.U[plain.U[:, m] == 0, m].any())


@pytest.mark.parametrize("groups", [1, 3])
def test_the_zeros_stay_and_the_discrepancy_falls(groups: int) -> None:
    problem = grouped(groups)
    for epsilon in (0.4, 0.1):
        plain, fitted = (NetTrim(epsilon=epsilon, refit=refit).prune(problem) for refit in (False, True))
        assert bool((fitted.U[plain.U == 0] == 0).all())
        assert discrepancy(problem, fitted.U) < 0.9 * discrepancy(problem, plain.U)
        assert fitted.stats["violation"] <= 1e-3


def test_it_is_in_the_report_of_a_network(inputs: torch.Tensor) -> None:
    from tests.conftest import small_mlp

    plain, fitted = (
        prune(small_mlp(), inputs, dataclasses.replace(METHODS[name], epsilon=0.3))[1]
        for name in ("nettrim", "nettrim_refit")
    )
    assert (plain.method, fitted.method) == ("nettrim", "nettrim_refit")
    assert fitted.sparsity == pytest.approx(plain.sparsity)
    assert fitted.output_error < plain.output_error
