"""What every method in METHODS keeps to, whatever it does inside."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from nettrim_core import METHODS, LayerProblem, NetTrim, discrepancy, sparsity
from nettrim_core.methods import method_name
from nettrim_core.problem import settings_of
from tests.conftest import random_layer

pytestmark = pytest.mark.parametrize("name", list(METHODS))
EPSILONS = [0.4, 0.1, 0.02]


def cascaded(problem: LayerProblem) -> LayerProblem:
    X = problem.X.clone()
    X[:-1] *= 1 + 0.2 * torch.rand(X[:-1].shape, dtype=X.dtype, generator=torch.Generator().manual_seed(3))
    return dataclasses.replace(problem, X=X, pruned_inputs=True)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_path_yields_one_result_per_epsilon_within_it(name: str, relu: bool, bias: bool) -> None:
    problem = random_layer(relu=relu, bias=bias, dead=2)
    results = list(METHODS[name].path(problem, EPSILONS))
    assert len(results) == len(EPSILONS)
    for epsilon, result in zip(EPSILONS, results, strict=True):
        assert result.converged
        assert result.U.shape == problem.W.shape
        assert result.U.dtype == problem.W.dtype
        assert result.stats["epsilon"] == epsilon
        assert result.stats["seconds"] >= 0
        assert discrepancy(problem, result.U) <= epsilon * (1 + 2e-3)
    assert sparsity(results[0].U) > sparsity(results[-1].U)


def test_prune_is_path_with_one_value(name: str) -> None:
    problem = random_layer()
    method = dataclasses.replace(METHODS[name], epsilon=0.2)
    assert torch.equal(method.prune(problem).U, next(METHODS[name].path(problem, [0.2])).U)


@pytest.mark.parametrize("wanted", [0.0, 0.25, 0.5, 0.8, 1.0])
def test_at_sparsity_is_exact_or_for_net_trim_reached(name: str, wanted: float) -> None:
    problem = random_layer(13, 7, 60)
    U = METHODS[name].at_sparsity(problem, wanted).U
    zeros = int((U == 0).sum())
    if isinstance(METHODS[name], NetTrim):
        assert zeros >= wanted * U.numel()
    else:
        assert zeros == round(wanted * U.numel())


def test_in_a_cascade_every_method_keeps_the_same_radius(name: str) -> None:
    problem = cascaded(random_layer())
    radius = 1.1**0.5 * float(((problem.W.T @ problem.X - problem.Y) * problem.omega).norm())
    for result in METHODS[name].path(problem, [0.5, 0.01]):  # epsilon has no say in a later layer
        assert result.converged
        assert result.stats["radius"] == pytest.approx(radius)
        on = ((result.U.T @ problem.X).relu() - problem.Y) * problem.omega
        assert float(on.norm()) <= radius * (1 + 1e-3)
    free = METHODS[name].prune(dataclasses.replace(problem, gamma=None))
    assert free.stats["radius"] == pytest.approx(0.1 * float(problem.Y.norm()))


def test_the_problem_is_left_alone_and_the_answer_repeats(name: str) -> None:
    problem = random_layer()
    before = [tensor.clone() for tensor in (problem.X, problem.Y, problem.W)]
    first = METHODS[name].prune(problem).U
    second = METHODS[name].prune(problem).U
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, (problem.X, problem.Y, problem.W), strict=True))


@pytest.mark.parametrize(("n", "m", "p"), [(1, 1, 1), (2, 1, 3), (30, 4, 10), (3, 40, 20)])
def test_odd_shapes_are_served(name: str, n: int, m: int, p: int) -> None:
    result = METHODS[name].prune(random_layer(n, m, p, bias=False, seed=1))
    assert result.U.shape == (n, m)
    assert bool(torch.isfinite(result.U).all())


@pytest.mark.parametrize("epsilon", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_an_epsilon_out_of_range_is_named(name: str, epsilon: float) -> None:
    with pytest.raises(ValueError, match=r"epsilon = .* out of range: 0 < epsilon < 1"):
        dataclasses.replace(METHODS[name], epsilon=epsilon)
    with pytest.raises(ValueError, match="epsilon"):
        list(METHODS[name].path(random_layer(), [epsilon]))


@pytest.mark.parametrize("wanted", [-0.1, 1.1, float("nan")])
def test_a_sparsity_out_of_range_is_named(name: str, wanted: float) -> None:
    with pytest.raises(ValueError, match=r"sparsity = .* 0 <= sparsity <= 1"):
        METHODS[name].at_sparsity(random_layer(), wanted)


def test_every_setting_has_a_range_that_holds_its_default_and_a_help_text(name: str) -> None:
    method = METHODS[name]
    settings = settings_of(method)
    assert {f.name for f in dataclasses.fields(method)} == {f.name for f in settings}
    for f in settings:
        assert len(f.metadata["help"]) > 10
        if isinstance(f.default, bool):
            continue
        for outside in ["elsewhere"] if "options" in f.metadata else [f.metadata["low"] - 1, f.metadata["high"] + 1]:
            with pytest.raises(ValueError, match=f.name):
                dataclasses.replace(method, **{f.name: outside})


def test_a_value_finds_its_name_whatever_its_settings(name: str) -> None:
    assert method_name(dataclasses.replace(METHODS[name], epsilon=0.37)) == name
