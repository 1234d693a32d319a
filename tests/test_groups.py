"""Layers whose outputs see a group of the inputs, and layers with a constant that is no weight."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from nettrim_core import METHODS, LayerProblem, NetTrim, discrepancy
from nettrim_core.admm import ADMM
from nettrim_core.homotopy import Homotopy
from nettrim_core.inputs import correlate, response
from nettrim_core.reference import reference
from nettrim_core.response import response_set

F64 = torch.float64


def grouped(groups: int, relu: bool = True, bias: bool = True, seed: int = 0, *, shifted: bool = True) -> LayerProblem:
    """Six outputs in groups of five inputs each, one of them dead, with a shift."""
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(5 * groups + bias, 50, dtype=F64, generator=g).relu()
    X[1] = 0
    if bias:
        X[-1] = 1
    W = torch.randn(5 + bias, 6, dtype=F64, generator=g)
    shift = 0.5 * torch.randn(6, dtype=F64, generator=g) if shifted else None
    blank = LayerProblem(X, torch.ones(6, 50, dtype=F64), W, relu, bias, shift=shift, groups=groups)
    return dataclasses.replace(blank, Y=blank.activate(blank.response(W)))


def whole(problem: LayerProblem, U: Tensor) -> Tensor:
    """The (inputs, outputs) matrix with zeros where an output does not see an input."""
    per, N = problem.W.shape[1] // problem.groups, problem.W.shape[0] - problem.bias
    matrix = U.new_zeros(len(problem.X), U.shape[1])
    for m in range(U.shape[1]):
        start = m // per * N
        matrix[start : start + N, m] = U[:N, m]
        if problem.bias:
            matrix[-1, m] = U[-1, m]
    return matrix


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_a_response_is_that_of_the_matrix_with_zeros_and_has_its_adjoint(groups: int, bias: bool) -> None:
    problem = grouped(groups, bias=bias)
    torch.testing.assert_close(problem.response(problem.W), whole(problem, problem.W).T @ problem.X)
    L = torch.randn(problem.Y.shape, dtype=F64)
    U = torch.randn(problem.W.shape, dtype=F64)
    X = problem.inputs
    torch.testing.assert_close((response(X, U) * L).sum(), (U * correlate(X, L)).sum())


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_net_trim_agrees_with_clarabel(groups: int, relu: bool) -> None:
    problem = grouped(groups, relu)
    for epsilon in (0.3, 0.05):
        ours = NetTrim(epsilon=epsilon, tol=1e-6).prune(problem)
        assert ours.converged
        assert ours.stats["objective"] == pytest.approx(reference(problem, epsilon).objective, rel=1e-4)


@pytest.mark.parametrize("moved", [False, True])
def test_the_engines_prove_each_other_right_on_groups(moved: bool) -> None:
    problem = grouped(2, bias=False)
    if moved:
        X = problem.X + 0.1 * torch.randn(problem.X.shape, dtype=F64, generator=torch.Generator().manual_seed(1))
        problem = dataclasses.replace(problem, X=X, pruned_inputs=True)
    target = response_set(problem, 0.2)
    exact = Homotopy(problem.inputs, problem.W).solve(target, 1e-6).certificate
    other = ADMM(problem.inputs, problem.W, F64).solve(target, 1e-5).certificate
    assert exact.within(1e-6)
    assert other.within(1e-5)
    assert other.bound <= exact.objective * (1 + 1e-5)
    assert exact.bound <= other.objective * (1 + 1e-4)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_every_method_keeps_its_tolerance_and_its_counts(groups: int, name: str) -> None:
    problem = grouped(groups)
    for epsilon, result in zip((0.3, 0.05), METHODS[name].path(problem, (0.3, 0.05)), strict=True):
        assert result.converged
        assert discrepancy(problem, result.U) <= epsilon * (1 + 2e-3)
    U = METHODS[name].at_sparsity(problem, 0.5).U
    assert int((U == 0).sum()) >= U.numel() // 2
    if name != "nettrim":
        assert int((U == 0).sum()) == U.numel() // 2


def test_exact_obs_is_the_least_squares_on_its_support_in_each_group() -> None:
    problem = grouped(3, relu=False, shifted=False)
    U = dataclasses.replace(METHODS["exactobs"], damping=0.0).at_sparsity(problem, 0.5).U
    for block, u in zip(problem.blocks, U.chunk(3, 1), strict=True):
        for m in range(u.shape[1]):
            S = u[:, m].nonzero().flatten()
            best = torch.linalg.lstsq(block.X[S].T, block.Y[m][:, None]).solution[:, 0]
            torch.testing.assert_close(u[S, m], best)


def test_a_layer_whose_groups_are_alone_is_as_good_as_many_layers() -> None:
    """At the price lambda that the groups share, each group's solution is its own optimum at its own radius."""
    problem = grouped(3, shifted=False)
    together = NetTrim(epsilon=0.2, tol=1e-6).prune(problem)
    for block, U in zip(problem.blocks, together.U.chunk(3, 1), strict=True):
        used = float(((U.T @ block.X - block.Y) * block.omega).norm()) / block.norm
        alone = NetTrim(epsilon=used, tol=1e-6).prune(block)
        assert float(U.abs().sum()) == pytest.approx(alone.stats["objective"], rel=1e-5)


def test_the_shift_is_no_weight() -> None:
    problem = grouped(1, bias=False)
    assert problem.shift is not None
    everything = METHODS["magnitude"].at_sparsity(problem, 1.0).U
    assert not bool(everything.any())
    expected = (problem.shift[:, None].relu() - problem.Y).norm() / problem.Y.norm()
    assert discrepancy(problem, everything) == pytest.approx(float(expected))
    target = response_set(problem, 0.1)
    assert target.violation(problem.response(problem.W)) == pytest.approx(0, abs=1e-12)


def test_groups_and_shifts_that_do_not_fit_are_named() -> None:
    problem = grouped(2, bias=False)
    with pytest.raises(ValueError, match="not whole multiples of 4 groups"):
        dataclasses.replace(problem, groups=4)
    with pytest.raises(ValueError, match="one number for each of 6 outputs"):
        dataclasses.replace(problem, shift=torch.zeros(5))
