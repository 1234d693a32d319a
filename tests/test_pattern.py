"""Patterns of zeros: what they allow, and that each method keeps to its own order within them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from nettrim_core import LOBS, ExactOBS, LayerProblem, Magnitude, Method, Wanda
from nettrim_core.refit import curvature
from tests.conftest import random_layer

METHODS = {
    "magnitude": lambda pattern: Magnitude(pattern=pattern),
    "magnitude_refit": lambda pattern: Magnitude(pattern=pattern, refit=True),
    "wanda": lambda pattern: Wanda(pattern=pattern),
    "lobs": lambda pattern: LOBS(pattern=pattern),
    "exactobs": lambda pattern: ExactOBS(pattern=pattern),
}
every_method = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


def kept(U: Tensor, m: int, bias: bool) -> Tensor:
    """(runs, M): non-zeros in every run of m inputs."""
    body = U[: len(U) - bias] != 0
    return torch.stack([part.sum(0) for part in body.split(m)])


@every_method
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("pattern", "n", "m"), [("2:4", 2, 4), ("1:4", 1, 4), ("4:8", 4, 8), ("1:2", 1, 2)])
def test_n_of_m_stay_in_every_run_and_biases_stay(make, bias: bool, pattern: str, n: int, m: int) -> None:
    problem = random_layer(16 + bias, 5, 80, bias=bias)
    total = problem.W.numel()
    share = 16 * 5 * (m - n) / m / total
    U = make(pattern).at_sparsity(problem, share).U
    assert bool((kept(U, m, bias) == n).all())
    if bias:
        assert bool((U[-1] != 0).all())
    with pytest.raises(ValueError, match=rf"does not allow; the nearest it does is {round(share * total)}"):
        make(pattern).at_sparsity(problem, share + 0.1)


@every_method
def test_a_last_shorter_run_keeps_at_most_n_and_dead_inputs_go_first(make) -> None:
    problem = random_layer(12, 4, 60, dead=2)  # 11 inputs and a bias: runs of 4, 4, 3
    share = (2 + 2 + 1) * 4 / 48
    U = make("2:4").at_sparsity(problem, share).U
    assert bool((kept(U, 4, True) == 2).all())
    if not isinstance(make("2:4"), Magnitude):
        assert bool((U[:2] == 0).all())
        assert bool((U[2:4] != 0).all())


@every_method
def test_as_many_zeros_in_every_neuron(make) -> None:
    problem = random_layer(10, 6, 60)
    method: Method = make("neuron")
    for share in (0.0, 0.3, 0.7, 1.0):
        U = method.at_sparsity(problem, share).U
        assert bool(((U == 0).sum(0) == round(share * 10)).all())
    with pytest.raises(ValueError, match=r"asks for 20 zeros of 60.* nearest it does is 18, sparsity = 0.3"):
        method.at_sparsity(problem, 1 / 3)
    result = next(method.path(problem, [0.3]))
    assert result.converged
    assert len(set((result.U == 0).sum(0).tolist())) == 1
    count = int(result.stats["count"])
    following = method.at_sparsity(problem, (count + 6) / 60)
    assert following.stats["radius"] > result.stats["radius"]  # one more for each neuron would be too much


def test_a_fixed_pattern_that_a_tolerance_does_not_allow_leaves_the_weights_as_they_are() -> None:
    problem = random_layer(17, 5, 80)
    tight, loose = ExactOBS(pattern="2:4").path(problem, [1e-3, 0.9])
    assert torch.equal(tight.U, problem.W)
    assert bool((kept(loose.U, 4, True) == 2).all())


def test_every_greedy_step_within_a_pattern_is_the_best_one_it_allows() -> None:
    problem = random_layer(8, 3, 40, bias=False, seed=2)
    H = curvature(problem, 1e-6)
    U = ExactOBS(pattern="1:4").at_sparsity(problem, 6 / 8).U
    for m in range(3):
        w, keep = problem.W[:, m], list(range(8))

        def loss(rows: list[int], w: Tensor = w) -> float:
            u = torch.zeros_like(w)
            u[rows] = torch.linalg.solve(H[rows][:, rows], (H @ w)[rows])
            return float((u - w) @ H @ (u - w))

        while len(keep) > 2:
            allowed = [q for q in keep if sum(k // 4 == q // 4 for k in keep) > 1]
            keep.remove(min(allowed, key=lambda q: loss([k for k in keep if k != q])))
        assert [int(i) for i in U[:, m].nonzero().flatten()] == keep


def test_magnitude_keeps_the_largest_of_every_run() -> None:
    problem = random_layer(8, 4, 40, bias=False)
    U = Magnitude(pattern="2:4").at_sparsity(problem, 0.5).U
    for m, start in itertools.product(range(4), (0, 4)):
        column = problem.W[start : start + 4, m]
        expected = column.where(column.abs() >= column.abs().sort().values[2], torch.zeros_like(column))
        assert torch.equal(U[start : start + 4, m], expected)


def test_groups_of_a_convolution_keep_the_pattern_each() -> None:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(16, 60, dtype=torch.float64, generator=generator)
    W = torch.randn(8, 6, dtype=torch.float64, generator=generator)
    Y = torch.cat([W[:, :3].T @ X[:8], W[:, 3:].T @ X[8:]]).relu()
    problem = LayerProblem(X, Y, W, True, bias=False, groups=2)
    for make in METHODS.values():
        assert bool((kept(make("2:4").at_sparsity(problem, 0.5).U, 4, False) == 2).all())
