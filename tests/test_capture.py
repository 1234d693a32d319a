"""Layer problems are the network's own signals, and weights come back bit for bit."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from nettrim_core.capture import layer_problem, lipschitz, operator_norm, sample_columns, sizes_of, steps_of, weights_of
from nettrim_core.capture import write_weights as write
from nettrim_core.prune import Network

CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2},
    {"padding": 1},
    {"dilation": 2},
    {"bias": False},
    {"padding": "same"},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "circular", "stride": 2},
    {"kernel_size": (1, 5), "padding": (0, 2)},
]


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
def test_a_convolution_is_its_problem(arguments: dict[str, Any], relu: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, **{"kernel_size": 3, **arguments}).double()
    images = torch.randn(5, 3, 9, 8, dtype=torch.float64)
    output = layer(images).detach()
    targets = output.relu() if relu else output
    problem = layer_problem(layer, images, targets, relu)
    torch.testing.assert_close(problem.activate(problem.W.T @ problem.X), problem.Y)
    assert problem.X.shape[1] == targets.numel() // targets.shape[1]
    assert problem.bias == (layer.bias is not None)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 6), (7, 3, 6)])
def test_a_linear_layer_is_its_problem(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer, inputs = nn.Linear(6, 4, bias=bias).double(), torch.randn(shape, dtype=torch.float64)
    problem = layer_problem(layer, inputs, layer(inputs).detach(), False)
    torch.testing.assert_close(problem.W.T @ problem.X, problem.Y)


@pytest.mark.parametrize("layer", [nn.Linear(5, 3), nn.Linear(5, 3, bias=False), nn.Conv2d(2, 3, (3, 2))])
def test_weights_come_back_bit_for_bit(layer: nn.Linear | nn.Conv2d) -> None:
    other = copy.deepcopy(layer)
    for parameter in other.parameters():
        nn.init.constant_(parameter, torch.nan)
    write(other, weights_of(layer))
    for a, b in zip(layer.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_sampled_patches_are_columns_of_the_whole() -> None:
    torch.manual_seed(0)
    layer, images = nn.Conv2d(2, 3, 3), torch.randn(300, 2, 6, 6)
    targets = layer(images).relu().detach()
    columns = sample_columns(layer, targets, 50, seed=4)
    assert columns is not None
    assert len(set(columns.tolist())) == 50
    part = layer_problem(layer, images, targets, True, columns=columns)
    whole = layer_problem(layer, images, targets, True)
    assert torch.equal(part.X, whole.X[:, columns])
    assert torch.equal(part.Y, whole.Y[:, columns])
    assert sample_columns(layer, targets, 10**6, seed=4) is None


def test_what_can_be_pruned_and_why_not() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.Dropout(), nn.ReLU()),
        nn.Flatten(),
        shared,
        nn.Sigmoid(),
        shared,
        nn.Linear(4, 2),
    )
    steps = {step.name: step for step in steps_of(model)}
    assert "grouped" in (steps["0"].reason or "")
    assert "BatchNorm2d is not supported" in (steps["1"].reason or "")
    assert steps["2.0"].reason is None
    assert steps["2.0"].relu
    assert "more than once" in (steps["4"].reason or "")
    assert steps["7"].reason is None
    assert not steps["7"].relu


def test_another_activation_makes_a_linear_layer_and_is_said() -> None:
    step = steps_of(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()))[0]
    assert not step.relu
    assert "Sigmoid follows it" in step.note


def test_the_operator_norm_of_a_convolution_is_that_of_its_matrix() -> None:
    torch.manual_seed(0)
    layer, image = nn.Conv2d(2, 3, 3, padding=1, stride=2).double(), torch.zeros(1, 2, 6, 5, dtype=torch.float64)
    columns = []
    for i in range(image.numel()):
        unit = torch.zeros(image.numel(), dtype=torch.float64)
        unit[i] = 1
        columns.append((layer(unit.reshape(image.shape)) - layer(image)).detach().flatten())
    exact = float(torch.linalg.matrix_norm(torch.stack(columns, 1), 2))
    assert exact <= operator_norm(layer, image) <= 1.011 * exact


@pytest.mark.parametrize(
    "module",
    [nn.ReLU(), nn.MaxPool2d(2), nn.MaxPool2d(3, 1), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AvgPool2d(3, 2)],
)
def test_no_module_stretches_a_distance_by_more_than_its_constant(module: nn.Module) -> None:
    g = torch.Generator().manual_seed(0)
    constant = lipschitz(module)
    assert constant is not None
    worst = 0.0
    for _ in range(200):
        a = torch.randn(1, 1, 8, 8, generator=g)
        b = a + torch.randn(1, 1, 8, 8, generator=g) * (torch.rand(1, 1, 8, 8, generator=g) < 0.1)
        if not torch.equal(a, b):
            worst = max(worst, float((module(a) - module(b)).norm() / (a - b).norm()))
    assert 0 < worst <= constant * (1 + 1e-6)
    assert lipschitz(nn.Tanh()) is None


def test_sizes_are_those_of_the_problems() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2), nn.ReLU(), nn.Conv2d(3, 4, 2, bias=False), nn.Flatten(), nn.Linear(36, 5)
    )
    inputs = torch.randn(7, 2, 9, 9)
    network = Network(model, inputs, max_patches=80)
    sizes = sizes_of(network.model, inputs[:1], 7, 80)
    assert sizes == {s.step.name: s.problem(s.inputs).size for s in network.selected}
    assert sizes["2"].samples == 7 * 9
    assert sizes["0"].samples == 80
