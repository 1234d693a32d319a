"""What a layer problem refuses, and the yardsticks."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from nettrim_core import LayerProblem, discrepancy, sparsity
from tests.conftest import random_layer
from tests.test_groups import grouped


def parts(**changes: Any) -> dict[str, Any]:
    problem = random_layer(4, 3, 10)
    values = {"X": problem.X, "Y": problem.Y, "W": problem.W, "relu": True, "bias": True}
    return values | {key: change(values[key]) if callable(change) else change for key, change in changes.items()}


def poisoned(value: float):
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor[0, 0] = value
        return tensor

    return change


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"X": poisoned(float("nan"))}, "X has 1 NaN or infinite"),
        ({"Y": poisoned(float("inf"))}, "Y has 1 NaN or infinite"),
        ({"W": poisoned(float("-inf"))}, "W has 1 NaN or infinite"),
        ({"Y": poisoned(-1.0)}, "negative entries .* relu=True"),
        ({"Y": lambda Y: Y[:, :5]}, "X has 10 samples .* Y has 5"),
        ({"W": lambda W: W.T}, r"W is 3 x 4 .* must be \(inputs, outputs\)"),
        ({"X": lambda X: X[:, :0], "Y": lambda Y: Y[:, :0]}, "empty.*P=0"),
        ({"X": lambda X: X * 2}, "last row of X is not all ones"),
        ({"X": lambda X: X[0]}, "X must be a two-dimensional float tensor"),
        ({"W": lambda W: W.long()}, "W must be a two-dimensional float tensor"),
        ({"gamma": 0.0}, "gamma = 0.0 must be positive"),
    ],
)
def test_a_wrong_problem_is_refused_with_its_name_and_reason(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        LayerProblem(**parts(**changes))


def test_omega_alive_and_norm() -> None:
    problem = random_layer(6, 3, 20, dead=2)
    assert torch.equal(problem.omega, problem.Y > 0)
    assert problem.alive.tolist() == [False, False, True, True, True, True]
    assert problem.norm == pytest.approx(float(problem.Y.norm()))
    assert bool(random_layer(relu=False).omega.all())


def test_discrepancy_is_after_the_activation_and_relative() -> None:
    problem = random_layer(6, 3, 20)
    U = 0.5 * problem.W
    expected = ((U.T @ problem.X).relu() - problem.Y).norm() / problem.Y.norm()
    assert discrepancy(problem, U) == pytest.approx(float(expected))
    assert discrepancy(problem, problem.W) == pytest.approx(0, abs=1e-12)
    silent = LayerProblem(problem.X, torch.zeros_like(problem.Y), problem.W, True)
    assert discrepancy(silent, torch.zeros_like(problem.W)) == 0
    assert discrepancy(silent, problem.W) == float("inf")


def test_sparsity_counts_exact_zeros_only() -> None:
    assert sparsity(torch.tensor([[0.0, 1e-30], [-0.0, 2.0]])) == 0.5


@pytest.mark.parametrize("groups", [1, 2])
def test_the_problem_of_one_neuron_is_its_row_of_the_layers(groups: int) -> None:
    layer = grouped(groups)
    layer = dataclasses.replace(layer, responses=layer.response(2 * layer.W), pruned_inputs=True)
    assert layer.responses is not None
    for j in range(6):
        alone = layer.neuron(j)
        assert alone.groups == 1
        assert torch.equal(alone.Y, layer.Y[j : j + 1])
        assert torch.equal(alone.W, layer.W[:, j : j + 1])
        torch.testing.assert_close(alone.response(alone.W), layer.response(layer.W)[j : j + 1])
        assert torch.equal(alone.constant, layer.constant[j : j + 1])
        assert alone.responses is not None
        assert torch.equal(alone.responses, layer.responses[j : j + 1])
        assert (alone.relu, alone.bias, alone.pruned_inputs) == (layer.relu, layer.bias, True)
    for j in (-1, 6):
        with pytest.raises(ValueError, match=f"neuron = {j} is out of range: 0 <= neuron < 6"):
            layer.neuron(j)
