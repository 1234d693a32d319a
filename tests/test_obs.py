"""The OBS family against its definitions, the published recursion, and brute force."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nettrim_core import LOBS, METHODS, ExactOBS, LayerProblem, Magnitude
from nettrim_core.greedy import greedy_trace
from nettrim_core.refit import curvature, refit
from tests.conftest import random_layer

F64 = torch.float64


def hessian(problem: LayerProblem, damping: float) -> Tensor:
    return problem.X @ problem.X.T / problem.X.shape[1] + damping * torch.eye(len(problem.X), dtype=F64)


def loss(H: Tensor, u: Tensor, w: Tensor) -> float:
    return float((u - w) @ H @ (u - w))


def least_squares(H: Tensor, w: Tensor, keep: list[int]) -> Tensor:
    """The best weights on a support, by solving for it alone."""
    u = torch.zeros_like(w)
    if keep:
        u[keep] = torch.linalg.solve(H[keep][:, keep], (H @ w)[keep])
    return u


@pytest.mark.parametrize("seed", range(5))
def test_every_greedy_step_is_the_best_single_removal(seed: int) -> None:
    problem = random_layer(7, 3, 30, bias=False, seed=seed)
    H = hessian(problem, 1e-6)
    order, losses = greedy_trace(torch.linalg.inv(H), problem.W)
    for m in range(3):
        w, keep, total = problem.W[:, m], list(range(7)), 0.0
        for t in range(7):
            tried = {q: loss(H, least_squares(H, w, [k for k in keep if k != q]), w) for q in keep}
            best = min(tried, key=lambda q: tried[q])
            assert int(order[t, m]) == best
            assert float(losses[t, m]) == pytest.approx(tried[best] - total, rel=1e-7, abs=1e-12)
            total = tried[best]
            keep.remove(best)


def test_the_trace_is_the_same_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_layer(50, 9, 120)
    inverse = torch.linalg.inv(hessian(problem, 1e-6))
    order, losses = greedy_trace(inverse, problem.W)
    monkeypatch.setattr("nettrim_core.greedy.CHUNK", 7)
    other_order, other_losses = greedy_trace(inverse, problem.W)
    assert torch.equal(order, other_order)
    torch.testing.assert_close(losses, other_losses, rtol=1e-8, atol=1e-12)


def test_predicted_loss_is_the_measured_one_and_p_times_it_is_the_response_error() -> None:
    problem = random_layer(20, 4, 80, relu=False, bias=False)
    order, losses = greedy_trace(torch.linalg.inv(hessian(problem, 0)), problem.W)
    for count in (1, 7, 15, 20):
        keep = torch.ones_like(problem.W, dtype=torch.bool).scatter_(0, order[:count], False)
        U = refit(hessian(problem, 0), problem.W, keep, 0)
        measured = float(((U - problem.W).T @ problem.X).square().sum())
        assert float(losses[:count].sum()) * problem.X.shape[1] == pytest.approx(measured, rel=1e-8)


@pytest.mark.parametrize("count", [0, 1, 13, 30, 48, 60])
def test_classic_is_the_published_recursion(count: int) -> None:
    problem = random_layer(12, 5, 60, seed=3)
    H = hessian(problem, 1e-6)
    inverse = torch.linalg.inv(H)
    W = problem.W.clone()
    scores = (W.square() / (2 * inverse.diagonal()[:, None])).flatten()
    removed = torch.zeros_like(W, dtype=torch.bool)
    for flat in scores.argsort(stable=True)[:count].tolist():
        q, m = divmod(flat, W.shape[1])
        W[:, m] -= W[q, m] / inverse[q, q] * inverse[:, q]
        removed[q, m] = True
        W[removed] = 0
    result = LOBS(damping=1e-6).at_sparsity(problem, count / problem.W.numel())
    torch.testing.assert_close(result.U, W, rtol=1e-8, atol=1e-10)


def test_exact_obs_weights_are_the_least_squares_on_their_support() -> None:
    problem = random_layer(15, 6, 60)
    H = hessian(problem, 1e-6)
    for share in (0.2, 0.5, 0.9):
        U = ExactOBS().at_sparsity(problem, share).U
        for m in range(6):
            keep = [int(i) for i in U[:, m].nonzero().flatten()]
            torch.testing.assert_close(U[:, m], least_squares(H, problem.W[:, m], keep), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_refit_of_any_mask_is_the_least_squares_on_it(share: float) -> None:
    problem = random_layer(15, 6, 60)
    H = curvature(problem, 1e-6)
    keep = torch.rand(15, 6, generator=torch.Generator().manual_seed(0)) < share
    keep[:, 0], keep[:, 1] = True, False
    U = refit(H, problem.W, keep, 1e-6)
    for m in range(6):
        rows = [int(i) for i in keep[:, m].nonzero().flatten()]
        torch.testing.assert_close(U[:, m], least_squares(H, problem.W[:, m], rows), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["lobs", "exactobs", "magnitude", "magnitude_refit"])
def test_epsilon_stops_at_the_sparsest_point_within_it(name: str) -> None:
    problem = random_layer(14, 6, 80, seed=2)
    for epsilon in (0.5, 0.2, 0.05):
        result = next(METHODS[name].path(problem, [epsilon]))
        count = int(result.stats["count"])
        radius = epsilon * float(problem.Y.norm())

        def error(U: Tensor) -> float:
            return float(((U.T @ problem.X).relu() - problem.Y).norm())

        assert result.converged
        assert error(result.U) <= radius
        after = METHODS[name].at_sparsity(problem, (count + 1) / problem.W.numel())
        assert error(after.U) > radius


def test_weights_of_dead_inputs_go_first_and_cost_nothing() -> None:
    problem = random_layer(12, 4, 60, dead=3)
    for method in (LOBS(), ExactOBS()):
        U = method.at_sparsity(problem, 12 / 48).U
        assert bool((U[:3] == 0).all())
        torch.testing.assert_close(U[3:], problem.W[3:])
    assert not bool((Magnitude().at_sparsity(problem, 12 / 48).U[:3] == 0).all())


def test_a_singular_hessian_names_the_damping_that_would_do() -> None:
    problem = random_layer(12, 4, 5, bias=False)  # fewer samples than inputs
    with pytest.raises(ValueError, match=r"damping = 0 .*use a damping of at least about"):
        ExactOBS(damping=0).at_sparsity(problem, 0.5)
    ExactOBS().at_sparsity(problem, 0.5)
