"""Net-Trim against planted optima, theorems and a second solver."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nettrim_core import LayerProblem, NetTrim, discrepancy, sparsity
from nettrim_core.admm import ADMM
from nettrim_core.certificate import certify
from nettrim_core.reference import reference
from nettrim_core.response import ResponseSet, response_set
from tests.conftest import random_layer

F64 = torch.float64
GAINS = (0.5, 0.2, 0.1, 0.05)


def planted_relu(n: int, p: int, seed: int) -> tuple[LayerProblem, float, Tensor]:
    """One ReLU neuron built backwards from its optimality conditions: (problem, epsilon, optimal u).

    Choose u, multipliers l (negative on omega, non-negative off it), responses z that are 0 wherever l > 0 off omega;
    then X such that X l = -sign(u) on the support, within +-0.9 elsewhere, and u'X = z. Both equations can hold
    together when u'(X l) = z'l, which fixes the size of u. Y = z - radius l / |l| on omega.
    """
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, dtype=F64, generator=g)

    omega = torch.arange(p) < max(1, p // 2)
    z = torch.where(omega, 1 + uniform(p), -uniform(p))
    active = ~omega & (uniform(p) < 0.5)
    z[active] = 0
    dual = torch.where(omega, -(0.5 + uniform(p)), torch.where(active, uniform(p), torch.zeros(p, dtype=F64)))
    support = torch.arange(n) < max(1, n // 3)
    u = torch.where(support, torch.randn(n, dtype=F64, generator=g), torch.zeros(n, dtype=F64))
    u *= -(z @ dual) / u.abs().sum()
    t = torch.where(support, -u.sign(), 1.8 * (uniform(n) - 0.5))
    X = torch.randn(n, p, dtype=F64, generator=g)
    X += torch.outer(t - X @ dual, dual) / (dual @ dual)
    X += torch.outer(u, z - u @ X) / (u @ u)
    radius = 0.1 * float(z[omega].norm())
    y = torch.where(omega, z - radius * dual / dual[omega].norm(), torch.zeros(p, dtype=F64))
    problem = LayerProblem(X, y[None], torch.randn(n, 1, dtype=F64, generator=g), True, bias=False)
    return problem, radius / problem.norm, u[:, None]


def planted_set(n: int, m: int, p: int, seed: int, relu: bool) -> tuple[Tensor, ResponseSet, Tensor, Tensor]:
    """Many neurons and any V: (X, set, optimal U, optimal multipliers). X is chosen so that X L' is a subgradient."""
    g = torch.Generator().manual_seed(seed)
    omega = torch.rand(m, p, generator=g) < 0.6 if relu else torch.ones(m, p, dtype=torch.bool)
    L = torch.randn(m, p, dtype=F64, generator=g)
    L = torch.where(omega, L, L.clamp(min=0))
    U = torch.randn(n, m, dtype=F64, generator=g) * (torch.rand(n, m, generator=g) < 0.3)
    T = torch.where(U != 0, -U.sign(), 1.8 * (torch.rand(n, m, dtype=F64, generator=g) - 0.5))
    X = torch.randn(n, p, dtype=F64, generator=g)
    X += (T - X @ L.T) @ torch.linalg.solve(L @ L.T, L)
    Z = U.T @ X
    radius = 0.3 * float(Z.norm())
    slack = torch.where(L > 0, 0.0, torch.rand(m, p, dtype=F64, generator=g))
    center = torch.where(omega, Z - radius * L / (L * omega).norm(), Z + slack)
    return X, ResponseSet(center, omega, radius, relu), U, L


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_relu_neuron_is_solved_to_its_known_optimum(seed: int) -> None:
    problem, epsilon, u = planted_relu(20, 40, seed)
    result = NetTrim(epsilon=epsilon, tol=1e-6).prune(problem)
    best = float(u.abs().sum())
    assert result.converged
    assert float(result.U.abs().sum()) == pytest.approx(best, rel=1e-5)
    assert result.stats["bound"] <= best * (1 + 1e-12)


@pytest.mark.parametrize("relu", [True, False])
def test_a_planted_layer_with_any_v_is_solved_to_its_known_optimum(relu: bool) -> None:
    X, target, U, L = planted_set(30, 6, 80, 3, relu)
    best = float(U.abs().sum())
    solution = ADMM(X, torch.zeros_like(U), F64).solve(target, 1e-6)
    assert solution.converged
    assert solution.certificate.objective == pytest.approx(best, rel=1e-5)
    exact = certify(X, target, U, L)
    assert exact.gap == pytest.approx(0, abs=1e-10)
    assert exact.violation == pytest.approx(0, abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), noise=st.floats(0, 10), scale=st.floats(1e-3, 1e3), relu=st.booleans())
def test_weak_duality_any_multipliers_bound_the_optimum(seed: int, noise: float, scale: float, relu: bool) -> None:
    X, target, U, L = planted_set(12, 3, 30, seed, relu)
    other = scale * (L + noise * torch.randn(L.shape, dtype=F64, generator=torch.Generator().manual_seed(seed)))
    best = float(U.abs().sum())
    found = certify(X, target, U, other)
    assert found.bound <= best * (1 + 1e-9)
    assert found.gap == pytest.approx(float(found.neuron_gap.sum()), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), relu=st.booleans(), radius=st.floats(1e-3, 10), spread=st.floats(0.1, 10))
def test_project_lands_in_the_set_is_idempotent_and_nearest(
    seed: int, relu: bool, radius: float, spread: float
) -> None:
    g = torch.Generator().manual_seed(seed)
    omega = torch.rand(4, 9, generator=g) < 0.5 if relu else torch.ones(4, 9, dtype=torch.bool)
    target = ResponseSet(torch.randn(4, 9, dtype=F64, generator=g), omega, radius, relu)
    Z = spread * torch.randn(4, 9, dtype=F64, generator=g)
    nearest = target.project(Z)
    assert target.violation(nearest) <= 1e-12
    torch.testing.assert_close(target.project(nearest), nearest, rtol=1e-12, atol=1e-12)
    other = target.project(spread * torch.randn(4, 9, dtype=F64, generator=g))
    # the variational inequality of a projection onto a convex set
    assert float(((Z - nearest) * (other - nearest)).sum()) <= 1e-9 * (1 + spread**2)
    # the support function is attained where the normal cone says
    assert float(target.support(Z - nearest)) == pytest.approx(float(((Z - nearest) * nearest).sum()), abs=1e-8)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_cvxpy_and_clarabel(relu: bool, seed: int) -> None:
    problem = random_layer(10, 4, 40, relu=relu, seed=seed)
    for epsilon in (0.5, 0.1):
        ours = NetTrim(epsilon=epsilon, tol=1e-6).prune(problem)
        second = reference(problem, epsilon)
        assert ours.converged
        assert ours.stats["objective"] == pytest.approx(second.objective, rel=1e-4)
        assert ours.stats["bound"] <= second.objective * (1 + 1e-6)


def test_agrees_with_clarabel_in_a_cascade_where_v_is_negative() -> None:
    problem = random_layer(10, 4, 40, seed=5)
    shifted = problem.X.clone()
    shifted[:-1] += 0.1 * torch.randn(9, 40, dtype=F64, generator=torch.Generator().manual_seed(2))
    cascade = dataclasses.replace(problem, X=shifted, pruned_inputs=True)
    target = response_set(cascade, 0.1)
    assert bool((target.center[~target.omega] < 0).any())
    ours = NetTrim(tol=1e-6).prune(cascade)
    assert ours.converged
    assert ours.stats["objective"] == pytest.approx(reference(cascade, 0.1).objective, rel=1e-4)


def test_gamma_sets_the_radius_of_a_cascade_and_w_stays_feasible() -> None:
    problem = random_layer(10, 4, 40, seed=5)
    moved = dataclasses.replace(problem, X=torch.cat([1.2 * problem.X[:-1], problem.X[-1:]]), pruned_inputs=True)
    response = moved.W.T @ moved.X
    made = float(((response - moved.Y) * moved.omega).norm())
    for gamma in (1.0, 1.1, 2.0):
        target = response_set(dataclasses.replace(moved, gamma=gamma), 0.3)
        assert target.radius == pytest.approx(math.sqrt(gamma) * made)
        assert target.violation(response) == pytest.approx(0, abs=1e-12)
    assert response_set(dataclasses.replace(moved, gamma=None), 0.3).radius == pytest.approx(0.3 * moved.norm)
    # V is the response of the trained weights off omega
    assert torch.equal(target.center[~target.omega], response[~target.omega])


@pytest.mark.parametrize("tol", [1e-3, 1e-5])
@pytest.mark.parametrize("relu", [True, False])
def test_path_is_certified_and_keeps_the_order_given(tol: float, relu: bool) -> None:
    problem = random_layer(15, 6, 90, relu=relu)
    results = list(NetTrim(tol=tol).path(problem, GAINS))
    assert [r.stats["epsilon"] for r in results] == list(GAINS)
    X = problem.X
    for epsilon, result in zip(GAINS, results, strict=True):
        assert result.converged
        # measured again from U itself, not from what the solver says
        radius = epsilon * float(problem.Y.norm())
        response = result.U.T @ X
        on = float(((response - problem.Y) * problem.omega).norm())
        off = float((response * ~problem.omega).clamp(min=0).norm())
        assert on <= radius * (1 + tol)
        assert off <= radius * tol
        assert result.stats["objective"] == pytest.approx(float(result.U.abs().sum()))
        assert result.stats["gap"] <= tol
        assert discrepancy(problem, result.U) <= epsilon * (1 + 2 * tol)
    zeros = [sparsity(r.U) for r in results]
    assert zeros == sorted(zeros, reverse=True)
    assert zeros[0] > zeros[-1]


def test_the_limits_of_epsilon() -> None:
    problem = random_layer(8, 3, 200, relu=False)
    nearly_all = NetTrim(epsilon=1 - 1e-12).prune(problem)
    assert float(nearly_all.U.abs().sum()) < 1e-6 * float(problem.W.abs().sum())
    # more samples than inputs and a linear layer: only W itself responds like W
    nearly_none = NetTrim(epsilon=1e-4, tol=1e-6).prune(problem)
    torch.testing.assert_close(nearly_none.U, problem.W, rtol=0, atol=1e-3)


def test_zero_is_returned_exactly_where_it_is_allowed() -> None:
    problem = random_layer(6, 3, 30)
    silent = dataclasses.replace(problem, Y=torch.zeros_like(problem.Y))
    result = NetTrim().prune(silent)
    assert result.converged
    assert result.stats["gap"] == 0
    assert bool((result.U == 0).all())


def test_scaling_the_data_leaves_the_weights_alone() -> None:
    problem = random_layer(12, 4, 60, bias=False)
    plain = NetTrim(tol=1e-6).prune(problem)
    scaled = NetTrim(tol=1e-6).prune(dataclasses.replace(problem, X=7 * problem.X, Y=7 * problem.Y))
    assert scaled.stats["objective"] == pytest.approx(plain.stats["objective"], rel=1e-5)
    torch.testing.assert_close(scaled.U, plain.U, rtol=0, atol=1e-3)


def test_permuting_neurons_and_samples_permutes_the_answer() -> None:
    problem = random_layer(12, 5, 60)
    neurons, samples = torch.randperm(5), torch.randperm(60)
    moved = LayerProblem(
        problem.X[:, samples], problem.Y[neurons][:, samples], problem.W[:, neurons], True, problem.bias
    )
    plain, other = NetTrim(tol=1e-6).prune(problem), NetTrim(tol=1e-6).prune(moved)
    torch.testing.assert_close(other.U, plain.U[:, neurons], rtol=0, atol=1e-3)


def test_dead_inputs_are_pruned_and_change_nothing_else() -> None:
    dead = random_layer(12, 4, 60, dead=3)
    alive = LayerProblem(dead.X[3:], dead.Y, dead.W[3:], True, True)
    result, without = NetTrim(tol=1e-6).prune(dead), NetTrim(tol=1e-6).prune(alive)
    assert bool((result.U[:3] == 0).all())
    torch.testing.assert_close(result.U[3:], without.U, rtol=0, atol=1e-6)


def test_a_single_precision_layer_is_certified_in_double_on_what_is_returned() -> None:
    problem = random_layer(60, 40, 1200, seed=1)
    single = dataclasses.replace(problem, X=problem.X.float(), Y=problem.Y.float(), W=problem.W.float())
    result = NetTrim(epsilon=0.2).prune(single)
    assert result.U.dtype == torch.float32
    assert result.converged
    target = response_set(single, 0.2)
    assert target.violation(result.U.double().T @ single.X.double()) == pytest.approx(
        result.stats["violation"], abs=1e-12
    )


def test_an_infeasible_problem_is_reported_not_raised() -> None:
    g = torch.Generator().manual_seed(0)
    X, Y = torch.randn(3, 50, dtype=F64, generator=g), torch.randn(2, 50, dtype=F64, generator=g)
    result = NetTrim(epsilon=0.01).prune(LayerProblem(X, Y, torch.zeros(3, 2, dtype=F64), False, bias=False))
    assert not result.converged
    assert result.stats["violation"] > 1


def test_runs_are_equal_bit_for_bit() -> None:
    problem = random_layer(40, 20, 300)
    first, second = (list(NetTrim().path(problem, GAINS)) for _ in range(2))
    assert all(torch.equal(a.U, b.U) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("wanted", [0.3, 0.6, 0.9])
def test_at_sparsity_finds_the_smallest_epsilon_that_reaches_it(wanted: float) -> None:
    problem = random_layer(20, 10, 100)
    result = NetTrim().at_sparsity(problem, wanted)
    assert sparsity(result.U) >= wanted
    below = NetTrim(epsilon=0.9 * result.stats["epsilon"]).prune(problem)
    assert sparsity(below.U) < wanted


def test_at_sparsity_one_prunes_everything() -> None:
    assert bool((NetTrim().at_sparsity(random_layer(), 1.0).U == 0).all())


def test_each_neurons_gap_is_reported() -> None:
    result = NetTrim(epsilon=0.1).prune(random_layer(12, 5, 60))
    assert result.neurons["gap"].shape == (5,)
    assert float(result.neurons["gap"].sum()) == pytest.approx(result.stats["gap"], abs=1e-9)


def test_multipliers_of_the_wrong_sign_off_omega_prove_nothing() -> None:
    """A sample without inputs costs no multiplier anything: only its sign keeps it from bounding what it likes."""
    X = torch.tensor([[1.0, 0.0]], dtype=F64)
    center = torch.tensor([[1.0, 1.0]], dtype=F64)
    target = ResponseSet(center, torch.tensor([[True, False]]), 0.5, True)
    L = torch.tensor([[-1.0, -100.0]], dtype=F64)
    found = certify(X, target, torch.tensor([[0.5]], dtype=F64), L)
    assert found.bound == pytest.approx(0.5)  # the optimum, u = 0.5; without the sign it would be 100.5
