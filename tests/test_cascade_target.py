"""In a cascade least-squares methods aim at the dense network's responses; one threshold can serve a whole network."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from nettrim_core import LOBS, METHODS, Cascade, ExactOBS, LayerProblem, Magnitude, discrepancy, prune
from nettrim_core.network import Network
from nettrim_core.refit import LeastSquares
from tests.conftest import random_layer, small_cnn, small_mlp

F64 = torch.float64
DAMPING = 1e-6


def cascaded(seed: int = 0) -> LayerProblem:
    """A linear layer whose inputs have moved, and which is asked for the responses of those before."""
    problem = random_layer(9, 4, 60, relu=False, seed=seed)
    X = problem.X.clone()
    X[:-1] += 0.5 * torch.randn(X[:-1].shape, dtype=F64, generator=torch.Generator().manual_seed(seed + 1))
    return dataclasses.replace(problem, X=X, pruned_inputs=True, responses=problem.Y)


def best_on(problem: LayerProblem, rows: list[int], m: int) -> Tensor:
    """The minimum of ||u'X - z||^2 / P + damping ||u - w||^2 on a support, stacked as one least squares."""
    P = problem.X.shape[1]
    assert problem.responses is not None
    scale = (DAMPING * P) ** 0.5
    A = torch.cat([problem.X.T, scale * torch.eye(len(problem.X), dtype=F64)])
    b = torch.cat([problem.responses[m], scale * problem.W[:, m]])
    u = torch.zeros(len(problem.X), dtype=F64)
    if rows:
        u[rows] = torch.linalg.lstsq(A[:, rows], b[:, None], driver="gelsd").solution[:, 0]
    return u


@pytest.mark.parametrize("name", ["exactobs", "magnitude_refit"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.8])
def test_the_weights_left_are_the_best_fit_to_the_dense_responses(name: str, share: float) -> None:
    problem = cascaded()
    method = dataclasses.replace(METHODS[name], damping=DAMPING)
    U = method.at_sparsity(problem, share).U
    for m in range(4):
        rows = [int(i) for i in U[:, m].nonzero().flatten()]
        torch.testing.assert_close(U[:, m], best_on(problem, rows, m), rtol=1e-6, atol=1e-8)


def test_every_greedy_step_towards_the_dense_responses_is_the_best_one() -> None:
    problem = cascaded(3)
    fit = LeastSquares(problem, DAMPING)
    U = ExactOBS(pattern="neuron").at_sparsity(problem, 6 / 9).U
    for m in range(4):
        keep = list(range(9))

        def loss(rows: list[int], m: int = m) -> float:
            u = best_on(problem, rows, m) - fit.W[:, m]
            return float(u @ fit.H @ u)

        for _ in range(6):
            keep.remove(min(keep, key=lambda q: loss([k for k in keep if k != q])))
        assert [int(i) for i in U[:, m].nonzero().flatten()] == keep


def test_without_other_responses_nothing_changes() -> None:
    problem = random_layer(9, 4, 60)
    same = dataclasses.replace(problem, responses=problem.response(problem.W))
    for method in (LOBS(), ExactOBS(), METHODS["sparsegpt"], METHODS["alps"], METHODS["magnitude_refit"]):
        ours, other = (method.at_sparsity(p, 0.5).U for p in (problem, same))
        torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-9)


def test_groups_aim_each_at_its_own_responses() -> None:
    whole = cascaded()
    body = whole.X[:-1]
    problem = LayerProblem(
        torch.cat([body, body, whole.X[-1:]]), torch.cat([whole.Y, whole.Y]), torch.cat([whole.W, whole.W], 1), False,
        pruned_inputs=True, responses=torch.cat([whole.Y, whole.Y]), groups=2,
    )  # fmt: skip
    alone = ExactOBS().at_sparsity(whole, 0.5).U
    torch.testing.assert_close(ExactOBS().at_sparsity(problem, 0.5).U, torch.cat([alone, alone], 1))


@pytest.mark.parametrize("name", ["lobs", "exactobs", "magnitude_refit", "sparsegpt", "alps", "lobs_sweeps"])
def test_aiming_at_the_dense_network_comes_nearer_to_it(name: str) -> None:
    model = small_mlp()
    inputs = torch.randn(300, 10, generator=torch.Generator().manual_seed(1))
    network = Network(model, inputs, ["fc1", "fc2"])
    shares = {"fc1": 0.6, "fc2": 0.3}
    own, dense = (network.at(METHODS[name], shares, Cascade(dense=d))[1].layers[1].discrepancy for d in (False, True))
    assert dense < 0.97 * own


def test_a_convolution_in_a_cascade_is_given_the_dense_responses(images: Tensor) -> None:
    network = Network(small_cnn(), images)
    solved = next(network.solve(ExactOBS(epsilon=0.2), [0.2], Cascade()))
    (first, _), (second, _), (third, _) = solved
    assert first.responses is None
    for problem in (second, third):
        assert problem.responses is not None
        activated = problem.responses.relu() if problem.relu else problem.responses
        torch.testing.assert_close(activated.float(), problem.Y, rtol=1e-4, atol=1e-5)
    plain = next(network.solve(ExactOBS(epsilon=0.2), [0.2], Cascade(dense=False)))
    assert all(problem.responses is None for problem, _ in plain)


def test_one_threshold_serves_all_layers_and_is_the_largest_within_every_radius(inputs: Tensor) -> None:
    network = Network(small_mlp(), inputs)
    method = Magnitude(overall=True)
    problems = [network.problem(target) for target in network.selected]
    everything = torch.cat([problem.W.abs().flatten() for problem in problems]).sort().values
    for epsilon, results in zip((0.3, 0.05), method.paths(problems, [(0.3, 0.05)] * len(problems)), strict=True):
        kept = torch.cat([r.U[r.U != 0].abs() for r in results])
        gone = torch.cat([p.W[r.U == 0].abs() for p, r in zip(problems, results, strict=True)])
        assert float(gone.max()) < float(kept.min())
        assert all(discrepancy(p, r.U) <= epsilon for p, r in zip(problems, results, strict=True))
        following = everything[everything > gone.max()][0]  # with this one gone too, some layer is outside
        more = [torch.where(p.W.abs() <= following, torch.zeros_like(p.W), p.W) for p in problems]
        assert any(discrepancy(p, U) > epsilon for p, U in zip(problems, more, strict=True))
    alone = Magnitude().path(problems[0], [0.3])
    assert torch.equal(next(method.path(problems[0], [0.3])).U, next(alone).U)


def test_one_threshold_in_a_cascade_is_that_of_the_dense_network_and_held_to_the_cascades_radii(
    inputs: Tensor,
) -> None:
    method = Magnitude(overall=True, epsilon=0.2)
    parallel, _ = prune(small_mlp(), inputs, method)
    cascade, report = prune(small_mlp(), inputs, method, cascade=True)
    for a, b in zip(parallel.parameters(), cascade.parameters(), strict=True):
        assert torch.equal(a, b)
    assert report.layers[0].converged
    for layer in report.layers[1:]:
        assert layer.violation is not None
        assert layer.converged == (layer.violation == 0)
    assert report.layers[1].radius != pytest.approx(0.2 * report.layers[1].output_norm)


def test_one_threshold_and_a_pattern_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="leaves no choice to a pattern"):
        Magnitude(overall=True, pattern="2:4")
