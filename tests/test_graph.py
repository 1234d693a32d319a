"""How far an error can spread through a graph: the bound is never below what happens."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core import METHODS, prune
from nettrim_core.graph import Graph, pool_factor, read_graph
from tests.test_capture import Branching, Residual, Sized, Twice


@pytest.mark.parametrize(
    ("module", "average"),
    [
        (nn.MaxPool2d(2), False), (nn.MaxPool2d(3, 1), False), (nn.MaxPool2d(3, 2, 1), False),
        (nn.AvgPool2d(2), True), (nn.AvgPool2d(3, 2), True), (nn.MaxPool2d((3, 2), (1, 2)), False),
    ],
)  # fmt: skip
def test_pooling_stretches_no_distance_by_more_than_its_factor(module: nn.MaxPool2d, average: bool) -> None:
    g = torch.Generator().manual_seed(0)
    factor = pool_factor(module.kernel_size, module.stride, 2, average)
    worst = 0.0
    for _ in range(200):
        a = torch.randn(1, 1, 8, 8, generator=g)
        b = a + torch.randn(1, 1, 8, 8, generator=g) * (torch.rand(1, 1, 8, 8, generator=g) < 0.1)
        if not torch.equal(a, b):
            worst = max(worst, float((module(a) - module(b)).norm() / (a - b).norm()))
    assert 0 < worst <= factor * (1 + 1e-6)


STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "max_pool1d": lambda x: functional.max_pool1d(x, 3, 1),
    "avg_pool1d": lambda x: functional.avg_pool1d(x, 2),
    "adaptive": lambda x: functional.adaptive_avg_pool1d(x, 1),
    "mean": lambda x: x.mean(2),
    "sum of two": lambda x: x + x.flip(2).relu(),
    "difference": lambda x: x - x.tanh(),
    "join": lambda x: torch.cat([x, x.sigmoid()], 1),
    "scaled": lambda x: 3 * x / 0.5,
    "leaky": lambda x: functional.leaky_relu(x, 2.0),
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softmax": lambda x: x.softmax(1),
    "slice": lambda x: x[:, :, 1:],
    "its own double": lambda x: x + x,
    "joined to itself": lambda x: torch.cat([x, x], 1),
    "a mean added": lambda x: x + x.mean(2, keepdim=True),
    "a slice added": lambda x: x + x[:, :, :1],
    "elu": lambda x: functional.elu(x, alpha=3.0),
    "holes": lambda x: functional.max_pool1d(x, 2, 3, dilation=3),
}
UNKNOWN: dict[str, Callable[[Tensor], Tensor]] = {
    "floor": lambda x: torch.div(x, 0.5, rounding_mode="floor"),
    "product": lambda x: x * x,
    "uneven average": lambda x: functional.avg_pool1d(x, 2, ceil_mode=True),
    "cumulative": lambda x: x.cumsum(2),
}


def between(step: Callable[[Tensor], Tensor]) -> nn.Module:
    """A convolution, the step, a linear layer."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv1d(2, 3, 3), nn.LazyLinear(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(step(self.first(x)).flatten(1))

    torch.manual_seed(0)
    model = Model().eval()
    model(torch.randn(1, 2, 9))
    return model


@pytest.mark.parametrize("step", list(STEPS))
def test_a_step_stretches_no_distance_by_more_than_the_graph_says(step: str) -> None:
    """Random pairs, and pairs that differ by the same number everywhere or at one place only."""
    model = between(STEPS[step])
    graph = read_graph(model, torch.randn(2, 2, 9))
    assert isinstance(graph, Graph)
    factor = graph.bounds(lambda name, before: (1.0 if name == "first" else before, ""), {"last": None})["last"][0]
    assert factor is not None
    g, worst = torch.Generator().manual_seed(0), 0.0
    for _ in range(100):
        a = torch.randn(4, 3, 7, generator=g)
        place = torch.zeros(4, 3, 7)
        place[:, :, int(torch.randint(7, (), generator=g))] = 1e-2
        for change in (torch.randn(4, 3, 7, generator=g), torch.full((4, 3, 7), 1e-2), -place, 1e3 * place):
            worst = max(worst, float((STEPS[step](a + change) - STEPS[step](a)).norm() / change.norm()))
    assert 0 < worst <= factor * (1 + 1e-3)


@pytest.mark.parametrize("step", list(UNKNOWN))
def test_what_is_not_known_is_said(step: str) -> None:
    _, report = prune(between(UNKNOWN[step]), torch.randn(60, 2, 9), "magnitude")
    assert report.layers[0].bound is not None
    assert report.layers[1].bound is None
    assert any("can stretch an error is not known" in note for note in report.layers[1].notes)


@pytest.mark.parametrize("cascade", [False, True])
@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("model", [Residual, Twice, Sized, Branching])
def test_networks_that_are_no_chains(model: type[nn.Module], name: str, cascade: bool) -> None:
    torch.manual_seed(0)
    dense = model().eval()
    inputs = {Residual: torch.randn(60, 3, 5, 5), Sized: torch.randn(60, 3, 7)}.get(model, torch.randn(60, 6))
    pruned, report = prune(dense, inputs, dataclasses.replace(METHODS[name], epsilon=0.3), cascade=cascade)
    assert type(pruned) is model
    with torch.no_grad():
        apart = float((pruned(inputs) - dense(inputs)).norm() / dense(inputs).norm())
    assert report.output_error == pytest.approx(apart, rel=1e-4, abs=1e-6)
    assert report.sparsity > 0.1
    for layer in report.layers:
        # one threshold for all layers is found on dense signals, and only judged by the radii of a cascade
        assert layer.converged or (METHODS[name].joint and cascade)
        if layer.bound is None:
            assert (model is Branching) or (model is Twice and cascade)
            assert any("no bound:" in note for note in layer.notes)
        else:
            assert 0 <= layer.error <= layer.bound * (1 + 1e-4)
    assert report.layers[-1].bound is None or model is not Branching


def test_a_graph_lists_layers_in_the_order_they_run() -> None:
    graph = read_graph(Residual().eval(), torch.randn(2, 3, 5, 5))
    assert isinstance(graph, Graph)
    assert list(graph.uses()) == ["conv1", "conv2", "head"]
    assert "torch.export says" in str(read_graph(Branching().eval(), torch.randn(2, 6)))
