"""A layer's problem is the network's own signals, whatever the network, and weights come back bit for bit."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core import METHODS
from nettrim_core.capture import anatomy, probe, sampling, sizes_of
from nettrim_core.layers import operator_norm, weights_of, write_weights
from nettrim_core.network import Network

CONVOLUTIONS: list[dict[str, Any]] = [
    {},
    {"stride": 2},
    {"padding": 1},
    {"dilation": 2},
    {"bias": False},
    {"padding": "same"},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "circular", "stride": 2},
    {"padding": 1, "padding_mode": "replicate"},
    {"groups": 2},
    {"groups": 4, "out_channels": 8, "stride": 2},
    {"groups": 4, "out_channels": 4, "bias": False, "padding": "same", "dilation": 2},
]
KINDS: dict[str, Callable[..., nn.Module]] = {
    "conv1": lambda **given: nn.Conv1d(4, **{"out_channels": 6, "kernel_size": 3, **given}),
    "conv2": lambda **given: nn.Conv2d(4, **{"out_channels": 6, "kernel_size": 3, **given}),
    "conv2 of an oblong kernel": lambda **given: nn.Conv2d(4, **{"out_channels": 6, "kernel_size": (3, 5), **given}),
}
AFTER: dict[str, Callable[[int, int], list[nn.Module]]] = {
    "nothing": lambda width, d: [],
    "relu": lambda width, d: [nn.ReLU()],
    "relu in place": lambda width, d: [nn.ReLU(inplace=True)],
    "norm and relu": lambda width, d: [norm_of(width, d), nn.ReLU()],
    "norm": lambda width, d: [norm_of(width, d)],
    "dropout, norm, dropout, relu": lambda width, d: [nn.Dropout(), norm_of(width, d), nn.Dropout(), nn.ReLU()],
    "relu and norm": lambda width, d: [nn.ReLU(), norm_of(width, d)],
    "sigmoid": lambda width, d: [nn.Sigmoid()],
}


def norm_of(width: int, dimensions: int) -> nn.Module:
    """A batch norm that has seen something; one scale is negative and one zero."""
    norm = nn.BatchNorm2d(width) if dimensions == 2 else nn.BatchNorm1d(width)
    norm.running_mean = torch.randn(width)
    norm.running_var = torch.rand(width) + 0.5
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.weight[0], norm.weight[1] = -1.5, 0.0
        norm.bias.normal_()
    return norm


def counted(model: nn.Module, inputs: Tensor, layer: nn.Module, after: list[nn.Module]) -> Tensor:
    """What the layer's outputs are where they count, as the model itself computes them: (M, columns)."""
    seen: list[Tensor] = []
    until = [m for m in after if not isinstance(m, nn.Dropout)]
    relu_at = next((i for i, m in enumerate(until) if isinstance(m, nn.ReLU)), None)
    norm_at = next((i for i, m in enumerate(until) if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)), None)
    last = layer
    if norm_at == 0:
        last = until[0]
    if relu_at == (1 if norm_at == 0 else 0):
        last = until[relu_at]
    hook = last.register_forward_hook(lambda _, __, output: seen.append(output.detach().clone()))
    with torch.no_grad():
        model(inputs)
    hook.remove()
    (output,) = seen
    return output.movedim(1, 0).flatten(1) if output.ndim > 2 else output.T


@pytest.mark.parametrize("after", list(AFTER))
@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_convolution_is_its_problem(kind: str, arguments: dict[str, Any], after: str) -> None:
    torch.manual_seed(0)
    layer = KINDS[kind](**arguments)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    dimensions = 1 if isinstance(layer, nn.Conv1d) else 2
    following = AFTER[after](layer.out_channels, dimensions)
    model = nn.Sequential(layer, *following).eval()
    inputs = torch.randn(5, 4, 9) if dimensions == 1 else torch.randn(5, 4, 9, 10)
    check(model, layer, inputs, following)


@pytest.mark.parametrize("after", list(AFTER))
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 6), (7, 3, 6), (7, 4, 6)])
def test_a_linear_layer_is_its_problem(shape: tuple[int, ...], bias: bool, after: str) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4, bias=bias)
    following = AFTER[after](shape[1] if len(shape) == 3 else 4, 1)
    model, inputs = nn.Sequential(layer, *following).eval(), torch.randn(shape)
    if len(shape) == 2:
        check(model, layer, inputs, following)
        return
    # a batch norm after it goes over the places of the sequence, so that it is no part of the layer
    network = Network(model, inputs)
    (target,) = network.selected
    problem = network.problem(target)
    output = layer(inputs).detach()
    plain = [m for m in following if not isinstance(m, nn.Dropout)]
    assert target.norm is None
    assert target.relu == (bool(plain) and isinstance(plain[0], nn.ReLU))
    torch.testing.assert_close(problem.Y, (output.relu() if target.relu else output).flatten(0, 1).T)
    torch.testing.assert_close(problem.activate(problem.response(problem.W)).float(), problem.Y)


def check(model: nn.Module, layer: nn.Module, inputs: Tensor, following: list[nn.Module]) -> None:
    """The problem's outputs are the model's, its trained weights give them, and writing them back changes no bit."""
    before = copy.deepcopy(model.state_dict())
    network = Network(model, inputs)
    (target,) = network.selected
    problem = network.problem(target)
    wanted = counted(model, inputs, layer, following)
    torch.testing.assert_close(problem.Y, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(problem.activate(problem.response(problem.W)).float(), wanted, rtol=1e-5, atol=1e-5)
    plain = [m for m in following if not isinstance(m, nn.Dropout)]
    assert target.relu == any(isinstance(m, nn.ReLU) for m in plain[:2])
    assert (target.norm is not None) == (bool(plain) and isinstance(plain[0], nn.BatchNorm1d | nn.BatchNorm2d))
    pruned = copy.deepcopy(network.model)
    scale = target.affine(network.model)
    for parameter in target.layer(pruned).parameters():
        nn.init.constant_(parameter, torch.nan)
    target.write(pruned, problem.W)
    alive = torch.ones(len(problem.Y), dtype=torch.bool) if scale is None else scale[0] != 0
    for key, value in pruned.state_dict().items():
        if key.startswith(target.name):
            assert torch.equal(value[alive], before[key][alive])  # an output that is multiplied by zero has no weights
            assert not bool(value[~alive].any())
        else:
            assert torch.equal(value, before[key])
    with torch.no_grad():
        torch.testing.assert_close(pruned(inputs), model(inputs), rtol=1e-5, atol=1e-5)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.model.modules())


@pytest.mark.parametrize(
    "layer", [nn.Linear(5, 3), nn.Linear(5, 3, bias=False), nn.Conv2d(2, 3, (3, 2)), nn.Conv1d(4, 6, 3, groups=2)]
)
def test_weights_come_back_bit_for_bit(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    other = copy.deepcopy(layer)
    for parameter in other.parameters():
        nn.init.constant_(parameter, torch.nan)
    write_weights(other, weights_of(layer))
    for a, b in zip(layer.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_sampled_patches_are_columns_of_the_whole() -> None:
    torch.manual_seed(0)
    model, images = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), torch.randn(300, 2, 6, 6)
    part, whole = Network(model, images, max_patches=50, seed=4), Network(model, images)
    (columns,) = part.samplings["0"].chosen
    assert columns is not None
    assert len(set(columns.tolist())) == 50
    for a, b in zip(part.columns["0"], whole.columns["0"], strict=True):
        assert torch.equal(a, b[:, columns])
    assert whole.samplings["0"].chosen == [None]


class Residual(nn.Module):
    """Two convolutions with batch norm; the second one's output is added before its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 4, 3, padding=1, bias=False), norm_of(4, 2)
        self.conv2, self.norm2 = nn.Conv2d(4, 3, 3, padding=1, bias=False), norm_of(3, 2)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        out = self.norm2(self.conv2(out))
        out += x
        return self.head(functional.relu(out).mean((2, 3)))


class Twice(nn.Module):
    """One layer called twice, both times before a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.last = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.shared(self.shared(x).relu()).relu())


class Branching(nn.Module):
    """Data decides the way: symbolic tracing fails, and so does torch.export."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.b(x if x.sum().item() > 0 else -x)


class Sized(nn.Module):
    """Symbolic tracing fails at the loop over a shape; torch.export does not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv1d(3, 4, 3), norm_of(4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu()
        return self.fc(sum(x[:, :, i] for i in range(x.shape[2])))


def targets(model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    return {target.name: target for target in anatomy(model.eval(), inputs).targets}


def test_what_is_added_before_its_relu_is_a_linear_layer() -> None:
    torch.manual_seed(0)
    model, images = Residual().eval(), torch.randn(4, 3, 5, 5)
    found = targets(model, images)
    assert (found["conv1"].norm, found["conv1"].relu, found["conv1"].note) == ("norm1", True, "")
    assert (found["conv2"].norm, found["conv2"].relu) == ("norm2", False)
    assert "add follows it, not ReLU" in found["conv2"].note
    network = Network(model, images)
    with torch.no_grad():
        middle = model.norm1(model.conv1(images)).relu()
        wanted = {"conv1": middle, "conv2": model.norm2(model.conv2(middle))}
    for name, output in wanted.items():
        torch.testing.assert_close(network.columns[name][1], output.transpose(0, 1).flatten(1))


def test_the_samples_of_all_calls_are_in_the_problem() -> None:
    torch.manual_seed(0)
    model, inputs = Twice(), torch.randn(600, 6)
    network = Network(model, inputs, ["shared"])
    (target,) = network.selected
    assert (target.calls, target.relu) == (2, True)
    problem = network.problem(target)
    first = model.shared(inputs).relu().detach()
    torch.testing.assert_close(problem.X[:-1], torch.cat([inputs, first]).T)
    torch.testing.assert_close(problem.Y, torch.cat([first, model.shared(first).relu().detach()]).T)


def test_a_graph_that_only_export_can_read() -> None:
    model, inputs = Sized().eval(), torch.randn(3, 3, 7)
    seen = anatomy(model, inputs)
    assert seen.graph is not None
    (conv, fc) = seen.targets
    assert (conv.name, conv.norm, conv.relu) == ("conv", "norm", True)
    assert (fc.name, fc.norm, fc.relu) == ("fc", None, False)


def test_a_graph_that_cannot_be_read_is_said_and_pruned_all_the_same() -> None:
    model, inputs = Branching().eval(), torch.randn(50, 6)
    seen = anatomy(model, inputs)
    assert seen.graph is None
    assert [target.name for target in seen.targets] == ["a", "b"]
    assert all("graph cannot be read" in target.note for target in seen.targets)
    network = Network(model, inputs)
    torch.testing.assert_close(network.columns["a"][1], model.a(inputs).detach().T)


@pytest.mark.parametrize(
    "activation",
    [nn.GELU(), nn.SiLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(), nn.Tanh(), nn.Softmax(1), nn.Hardswish()],
    ids=lambda module: type(module).__name__,
)
def test_another_activation_makes_a_linear_layer_and_is_said(activation: nn.Module) -> None:
    target = targets(nn.Sequential(nn.Linear(2, 2), activation), torch.randn(3, 2))["0"]
    assert not target.relu
    assert f"{type(activation).__name__} follows it, not ReLU" in target.note


@pytest.mark.parametrize(
    "relu",
    [lambda x: x.relu(), lambda x: x.relu_(), torch.relu, functional.relu, lambda x: functional.relu(x, inplace=True)],
)
def test_every_form_of_relu_is_one(relu: Callable[[Tensor], Tensor]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.dropout(functional.max_pool2d(self.conv(x), 2), training=self.training)
            return relu(self.fc(relu(x).flatten(1)))

    found = targets(Model(), torch.randn(2, 1, 6, 6))
    assert found["conv"].relu
    assert found["fc"].relu


def test_an_output_used_besides_its_relu_is_a_linear_layers() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            out = self.fc(x)
            return out.relu() + out.tanh()

    target = targets(Model(), torch.randn(2, 4))["fc"]
    assert not target.relu
    assert "besides a ReLU, tanh follows it" in target.note


class Odd(nn.Module):
    """One of everything that cannot be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.up = nn.ConvTranspose1d(4, 4, 1)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.recurrent = nn.LSTM(4, 4, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.spare = nn.Linear(4, 4)
        self.tied, self.tie = nn.Linear(4, 4), nn.Linear(4, 4)
        self.tie.weight = self.tied.weight
        self.hooked = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.fine = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x.transpose(1, 2)).transpose(1, 2) * self.scale
        x = self.recurrent(self.attention(x, x, x)[0])[0]
        return self.fine(self.hooked(self.tie(self.tied(self.norm(x)))))


def test_nothing_is_skipped_in_silence() -> None:
    seen = anatomy(Odd().eval(), torch.randn(2, 3, 4))
    skipped = dict(seen.skipped)
    assert [target.name for target in seen.targets] == ["fine"]
    for name, says in {
        "the model itself": "Odd is not supported",
        "up": "ConvTranspose1d is not supported: an output of it is a sum over overlapping patches",
        "attention": "MultiheadAttention",
        "attention.out_proj": "inside MultiheadAttention, which runs as one",
        "recurrent": "recurrent layers",
        "norm": "LayerNorm is not supported",
        "spare": "never calls it",
        "tied": "shares its weight with 'tie'",
        "tie": "shares its weight with 'tied'",
        "hooked": "parametrization",
    }.items():
        assert says in skipped[name], name


def test_a_model_that_writes_on_its_input_leaves_the_callers_alone() -> None:
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.add_(1))

    inputs = torch.randn(9, 4)
    before = inputs.clone()
    network = Network(Writing(), inputs)
    network.at(METHODS["magnitude"], {"fc": 0.5})
    assert torch.equal(inputs, before)
    torch.testing.assert_close(network.columns["fc"][0][:-1], before.T + 1)


def test_a_hook_is_gone_even_after_an_exception() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(ValueError, match="layer '2' says"):
        probe(model, torch.randn(1, 4))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(2, 3, 3, padding=1, stride=2), (2, 6, 5)),
        (nn.Conv2d(2, 4, 3, groups=2, padding=1, padding_mode="circular"), (2, 5, 5)),
        (nn.Conv1d(3, 4, 3, dilation=2), (3, 9)),
        (nn.Linear(4, 3), (4,)),
    ],
    ids=str,
)
@pytest.mark.parametrize("scaled", [False, True])
def test_the_operator_norm_is_that_of_the_matrix(layer: Any, shape: tuple[int, ...], scaled: bool) -> None:
    torch.manual_seed(0)
    layer = layer.double()
    scale = torch.rand(len(layer.weight), dtype=torch.float64) + 0.5 if scaled else None
    zero = torch.zeros(1, *shape, dtype=torch.float64)
    columns = []
    for i in range(zero.numel()):
        unit = torch.zeros(zero.numel(), dtype=torch.float64)
        unit[i] = 1
        change = (layer(unit.reshape(zero.shape)) - layer(zero)).detach()
        if scale is not None:
            change = change * scale.reshape(-1, *[1] * (change.ndim - 2))
        columns.append(change.flatten())
    exact = float(torch.linalg.matrix_norm(torch.stack(columns, 1), 2))
    assert exact * (1 - 1e-9) <= operator_norm(layer, torch.Size(shape), scale) <= 1.011 * exact


def test_sizes_are_those_of_the_problems() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, groups=2),
        nn.ReLU(),
        nn.Conv2d(4, 4, 2, bias=False),
        nn.Flatten(),
        nn.Linear(36, 5),
    )
    inputs = torch.randn(7, 2, 9, 9)
    network = Network(model, inputs, max_patches=80)
    sizes = sizes_of(network.model, inputs[:1], 7, 80)
    assert sizes == {target.name: network.problem(target).size for target in network.selected}
    assert sizes["2"].samples == 7 * 9
    assert sizes["0"].samples == 80


def test_sampling_over_calls_takes_each_column_at_most_once() -> None:
    model = nn.Sequential(OrderedDict(conv=nn.Conv1d(2, 3, 3)))
    calls = probe(model, torch.randn(1, 2, 12)).calls["conv"] * 2
    drawn = sampling(model.conv, calls, 20, 150, seed=0)  # type: ignore[arg-type]
    assert (drawn.used, drawn.total) == (150, 2 * 20 * 10)
    for chosen in drawn.chosen:
        assert chosen is not None
        assert len(set(chosen.tolist())) == len(chosen)
        assert 0 <= int(chosen.min()) <= int(chosen.max()) < 200
    assert sum(len(chosen) for chosen in drawn.chosen if chosen is not None) == 150
