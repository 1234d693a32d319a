"""Wanda, SparseGPT, ALPS and L-OBS in sweeps: each is what its paper's definition says, found again the long way."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor

from nettrim_core import LOBS, METHODS, LayerProblem
from nettrim_core.refit import curvature, refit
from tests.conftest import random_layer

F64 = torch.float64


def correlated(n: int, m: int, p: int, seed: int = 0) -> LayerProblem:
    """A linear layer whose inputs depend on each other, as those of networks do."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(n, n // 2, dtype=F64, generator=g)
    X = mix @ torch.randn(n // 2, p, dtype=F64, generator=g) / (n // 2) ** 0.5 + 0.3 * torch.randn(
        n, p, dtype=F64, generator=g
    )
    W = torch.randn(n, m, dtype=F64, generator=g)
    return LayerProblem(X, W.T @ X, W, False, False)


def error(problem: LayerProblem, U: Tensor) -> float:
    return float((problem.response(U - problem.W)).square().sum() / problem.Y.square().sum())


def test_wanda_takes_each_neurons_smallest_scores_and_as_many_from_each() -> None:
    problem = random_layer(14, 6, 50, dead=1)
    scores = problem.W.abs() * problem.X.norm(dim=1)[:, None]
    for count in (6, 25, 60):
        U = METHODS["wanda"].at_sparsity(problem, count / problem.W.numel()).U
        gone = U == 0
        each = gone.sum(0)
        assert int(each.max()) - int(each.min()) <= 1
        for m in range(6):
            assert bool((scores[gone[:, m], m].max() <= scores[~gone[:, m], m].min()).all())
        assert torch.equal(U[~gone], problem.W[~gone])


def test_sparsegpt_corrects_by_the_inputs_that_come_after() -> None:
    """One removal: the cheapest, by brute force; the weights before it stay, those after are the least squares."""
    problem = random_layer(9, 1, 60, relu=False, bias=False)
    method = dataclasses.replace(METHODS["sparsegpt"], damping=1e-9)
    H, w = curvature(problem, 1e-9), problem.W[:, 0]

    def without(i: int) -> Tensor:
        u, after = w.clone(), torch.arange(i + 1, 9)
        u[i] = 0
        if len(after):
            u[after] = w[after] - torch.linalg.solve(H[after][:, after], H[after][:, i] * (u[i] - w[i]))
        return u

    best = min((without(i) for i in range(9)), key=lambda u: float((u - w) @ H @ (u - w)))
    torch.testing.assert_close(method.at_sparsity(problem, 1 / 9).U[:, 0], best, rtol=1e-6, atol=1e-8)


def test_sparsegpt_takes_the_same_part_of_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nettrim_core.methods.sparsegpt.BLOCK", 5)
    problem = random_layer(20, 8, 90, bias=False)
    gone = METHODS["sparsegpt"].at_sparsity(problem, 0.5).U == 0
    assert [int(block.sum()) for block in gone.split(5)] == [20, 20, 20, 20]


@pytest.mark.parametrize("sweeps", [1, 2, 3, 100])
def test_sweeps_go_from_the_classic_method_to_the_least_squares(sweeps: int) -> None:
    problem = correlated(16, 5, 80)
    U = LOBS(sweeps=sweeps, damping=1e-3).at_sparsity(problem, 0.5).U
    H = curvature(problem, 1e-3)
    inverse = torch.linalg.inv(H)
    order = (problem.W.square() / (2 * inverse.diagonal()[:, None])).flatten().argsort(stable=True)[:40]
    removed = torch.zeros(80, dtype=torch.bool)
    removed[order] = True
    assert torch.equal(U == 0, removed.reshape(16, 5))
    for m in range(5):
        Q = torch.tensor([int(q) // 5 for q in order if int(q) % 5 == m])
        G = inverse[Q][:, Q]
        x = torch.zeros(len(Q), dtype=F64)
        for _ in range(sweeps):
            for i in range(len(Q)):  # Gauss-Seidel as the textbook has it
                x[i] = (problem.W[Q[i], m] - G[i] @ x + G[i, i] * x[i]) / G[i, i]
        expected = problem.W[:, m] - inverse[:, Q] @ x
        expected[Q] = 0
        torch.testing.assert_close(U[:, m], expected, rtol=1e-7, atol=1e-9)
    best = refit(H, problem.W, ~removed.reshape(16, 5), 1e-3)
    if sweeps == 100:
        assert float((U - best).norm()) < 1e-3 * float((problem.W - best).norm())


def best_of_all_supports(problem: LayerProblem, left: int) -> float:
    H, n = curvature(problem, 0), len(problem.W)
    losses = []
    for kept in itertools.combinations(range(n), left):
        keep = torch.zeros(n, 1, dtype=torch.bool)
        keep[list(kept)] = True
        u = refit(H, problem.W, keep, 0) - problem.W
        losses.append(float(u.T @ H @ u))
    return min(losses)


def test_alps_on_small_rows_is_between_the_best_support_and_the_refit_of_the_largest() -> None:
    """On rows of ten, three left; the best by trying all. Both greedy and splitting come much nearer than magnitude."""
    totals = dict.fromkeys(("best", "alps", "exactobs", "magnitude_refit"), 0.0)
    for seed in range(40):
        problem = correlated(10, 1, 60, seed)
        H = curvature(problem, 0)
        totals["best"] += best_of_all_supports(problem, 3)
        for name in list(totals)[1:]:
            u = dataclasses.replace(METHODS[name], damping=0.0).at_sparsity(problem, 0.7).U - problem.W
            totals[name] += float(u.T @ H @ u)
    assert totals["best"] * (1 - 1e-9) <= totals["alps"]
    assert totals["alps"] - totals["best"] < 0.5 * (totals["magnitude_refit"] - totals["best"])


def test_alps_keeps_weights_that_are_sparse_already() -> None:
    problem = correlated(20, 4, 100)
    W = problem.W * (torch.rand(20, 4, generator=torch.Generator().manual_seed(1)) < 0.3)
    sparse = dataclasses.replace(problem, W=W, Y=problem.response(W))
    U = METHODS["alps"].at_sparsity(sparse, float((W == 0).double().mean())).U
    torch.testing.assert_close(U, W, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_methods_come_in_the_order_that_is_known(share: float) -> None:
    problem = correlated(64, 24, 400)
    found = {name: error(problem, method.at_sparsity(problem, share).U) for name, method in METHODS.items()}
    assert found["alps"] < 1.1 * found["exactobs"]
    assert found["exactobs"] < found["sparsegpt"] < found["magnitude"]
    assert found["exactobs"] < found["magnitude_refit"] < found["magnitude"]
    assert found["lobs_sweeps"] < found["lobs"] * (1 + 1e-9)
    assert found["wanda"] < 1.2 * found["magnitude"]
