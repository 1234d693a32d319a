"""Dead neurons: taken out only where the outputs stay what they are, and then really gone."""

from __future__ import annotations

import copy
import itertools
from collections import OrderedDict
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nettrim_core import Magnitude, Shrinking, load_bundle, prune, without_dead
from nettrim_core.architecture import BLOCK_TYPES, CHAIN, LAYER_TYPES, build, describe
from nettrim_core.blocks import Pick, Residual
from tests.conftest import small_cnn, small_mlp


def batch(*shape: int) -> Tensor:
    return torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def seeded(model: nn.Module) -> nn.Module:
    """Weights, biases and batch norms of random numbers, in float64 and eval mode."""
    generator = torch.Generator().manual_seed(3)
    for key, value in model.double().eval().state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, dtype=torch.float64, generator=generator))
            if key.endswith("running_var"):
                value.abs_()
    return model


def shrunk(model: nn.Module, inputs: Tensor) -> tuple[nn.Module, Shrinking]:
    """Without dead neurons, the outputs compared, the model untouched, the result a chain that can be written down."""
    before = copy.deepcopy(model.state_dict())
    small, shrinking = without_dead(model, inputs[:2])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    torch.testing.assert_close(small(inputs), model(inputs), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(small(inputs[:1]), model(inputs[:1]), rtol=1e-9, atol=1e-9)
    assert shrinking.numbers == sum(value.numel() for value in small.state_dict().values())
    if {type(module).__name__ for module in small.modules()} <= {*LAYER_TYPES, *BLOCK_TYPES, CHAIN}:
        rebuilt = build(describe(small), "test").double().eval()  # type: ignore[arg-type]
        rebuilt.load_state_dict(small.state_dict(), strict=True)
        assert torch.equal(rebuilt(inputs), small(inputs))
    return small, shrinking


class Odd(nn.Module):
    """Something that nobody knows: it turns the channels round."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flip(1)


def widths(shrinking: Shrinking) -> dict[str, tuple[int, int]]:
    """Layer -> (neurons, inputs) that are gone."""
    return {layer.name: (layer.neurons_gone, layer.inputs_gone) for layer in shrinking.layers}


@torch.no_grad()
def test_neurons_that_hear_nothing_or_are_not_heard_go_and_so_do_those_that_spoke_to_them() -> None:
    model = seeded(small_mlp())
    model.fc1.weight[[0, 3]] = 0  # they say their biases
    model.fc1.bias[0], model.fc1.bias[3] = 2.0, -2.0
    model.fc2.weight[:, 5] = 0  # nobody listens
    model.fc3.weight[:, 7] = 0
    model.fc2.weight[:, 9] = 0
    model.fc2.weight[7, 9] = 1  # heard only by one that nobody hears
    small, shrinking = shrunk(model, batch(10))
    assert widths(shrinking) == {"fc1": (4, 0), "fc2": (1, 4), "fc3": (0, 1)}
    assert small.fc1.weight.shape == (16, 10)
    assert small.fc2.weight.shape == (14, 16)
    assert (small.fc2.in_features, small.fc2.out_features) == (16, 14)
    lines = shrinking.sentences
    assert lines[1:] == [
        "fc1: 4 of 20 neurons are gone.", "fc2: 1 of 15 neurons and 4 of 20 inputs are gone.",
        "fc3: 1 of 15 inputs are gone.",
    ]  # fmt: skip
    dense = 10 * 20 + 20 + 20 * 15 + 15 + 15 * 4 + 4
    left = 10 * 16 + 16 + 16 * 14 + 14 + 14 * 4 + 4
    assert lines[0].startswith(f"The network holds {left:,} numbers, {left / dense:.0%} of the {dense:,} before")


@torch.no_grad()
def test_what_a_deaf_neuron_says_goes_down_a_whole_chain() -> None:
    """All of fc1 deaf: fc2 then says the same of every input, and so on to the outputs, which become the last bias."""
    model = seeded(small_mlp())
    model.fc1.weight.zero_()
    small, shrinking = shrunk(model, batch(10))
    assert [layer.neurons - layer.neurons_gone for layer in shrinking.layers] == [1, 15, 4]  # one stays, and is heard
    assert float((small(batch(10)) - small(2 * batch(10))).abs().max()) < 1e-12


@torch.no_grad()
def test_channels_become_groups_of_inputs() -> None:
    model = seeded(small_cnn())
    model.conv2.weight[2] = 0
    model.conv2.bias[2] = 1.0
    model.fc.weight[:, 4:8] = 0  # the 2 x 2 pixels of channel 1
    model.fc.weight[:, 20] = 0  # one pixel alone is no channel
    model.conv2.weight[:, 4] = 0
    _, shrinking = shrunk(model, batch(2, 10, 10))
    assert widths(shrinking) == {"conv1": (1, 0), "conv2": (2, 1), "fc": (0, 8)}


def convolutions(between: list[nn.Module], taker: nn.Module, *, bias: bool = True) -> nn.Sequential:
    model = nn.Sequential(
        OrderedDict(
            giver=nn.Conv2d(2, 4, 3, padding=1, bias=bias),
            **{f"b{i}": module for i, module in enumerate(between)},
            taker=taker,
            relu=nn.ReLU(),
            flatten=nn.Flatten(),
        )
    )
    model = seeded(model)
    with torch.no_grad():
        model.giver.weight[1] = 0
    return model


def valid() -> nn.Module:
    return nn.Conv2d(4, 3, 3)


def padded() -> nn.Module:
    return nn.Conv2d(4, 3, 3, padding=1)


PAD = {"padding": 1, "stride": 2}
DEAF: dict[str, tuple[Callable[[], nn.Sequential], float, bool]] = {
    # bias of the deaf channel, may it go?
    "no padding": (lambda: convolutions([], valid()), 1.0, True),
    "padding, something to say": (lambda: convolutions([], padded()), 1.0, False),
    "padding, nothing to say": (lambda: convolutions([nn.ReLU()], padded()), -1.0, True),
    "in place": (lambda: convolutions([nn.ReLU(inplace=True)], valid()), 1.0, True),
    "padding by reflection": (
        lambda: convolutions([], nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect")), 1.0, True
    ),
    "padding the same": (lambda: convolutions([], nn.Conv2d(4, 3, 3, padding="same")), 1.0, False),
    "padding valid": (lambda: convolutions([], nn.Conv2d(4, 3, 3, padding="valid")), 1.0, True),
    "batch norm": (lambda: convolutions([nn.BatchNorm2d(4), nn.ReLU()], valid()), 1.0, True),
    "no biases": (lambda: convolutions([nn.BatchNorm2d(4)], nn.Conv2d(4, 3, 3, bias=False), bias=False), 0.0, True),
    "max pooling": (lambda: convolutions([nn.MaxPool2d(3, **PAD)], valid()), 1.0, True),
    "average pooling": (lambda: convolutions([nn.AvgPool2d(2)], valid()), 1.0, True),
    "average of padding": (lambda: convolutions([nn.AvgPool2d(3, **PAD)], valid()), 1.0, False),
    "average without padding": (
        lambda: convolutions([nn.AvgPool2d(3, **PAD, count_include_pad=False)], valid()), 1.0, True
    ),
    "average of padding, flat": (
        lambda: convolutions([nn.AvgPool2d(3, **PAD), nn.Flatten()], nn.Linear(4 * 16, 3)), 1.0, True
    ),
    "stride and dilation": (lambda: convolutions([], nn.Conv2d(4, 3, 3, stride=2, dilation=2)), 1.0, True),
    "batch norm after flatten": (
        lambda: convolutions([nn.Flatten(), nn.BatchNorm1d(256)], nn.Linear(256, 3)), 1.0, True
    ),
    "groups": (lambda: convolutions([], nn.Conv2d(4, 4, 3, groups=2)), 1.0, False),
    "something unknown": (lambda: convolutions([Odd()], valid()), 1.0, False),
    "softmax over channels": (lambda: convolutions([nn.Softmax(1)], valid()), 1.0, False),
}  # fmt: skip


@pytest.mark.parametrize("name", DEAF)
@torch.no_grad()
def test_a_deaf_channel_goes_only_where_a_bias_can_stand_for_it(name: str) -> None:
    make, bias, goes = DEAF[name]
    model = make()
    if model.giver.bias is not None:
        model.giver.bias[1] = bias
    _, shrinking = shrunk(model, batch(2, 8, 8))
    assert widths(shrinking)["giver"][0] == goes
    assert bool(shrinking.reason) != goes


@torch.no_grad()
def test_the_inside_of_a_block_shrinks_and_its_width_stays() -> None:
    body = nn.Sequential(
        OrderedDict(a=nn.Conv2d(3, 6, 3, padding=1), norm=nn.BatchNorm2d(6), relu=nn.ReLU(), b=nn.Conv2d(6, 3, 1))
    )
    chain = OrderedDict(first=nn.Conv2d(2, 3, 3), block=Residual(body), relu=nn.ReLU(), last=nn.Conv2d(3, 2, 3))
    model = seeded(nn.Sequential(chain))
    body.a.weight[[1, 4]] = 0
    body.b.weight[2] = 0  # what a block says goes on into the sum
    model.last.weight[:, 1] = 0
    _, shrinking = shrunk(model, batch(2, 8, 8))
    assert widths(shrinking) == {"first": (0, 0), "block.body.a": (2, 0), "block.body.b": (0, 2), "last": (0, 0)}


@torch.no_grad()
def test_chains_within_chains_and_one_dimension() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5, affine=False), nn.ReLU(), nn.MaxPool1d(2)),
        nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(25, 4)),
    )
    model = seeded(model)
    model[0][0].weight[1:3] = 0
    _, shrinking = shrunk(model, batch(2, 12))
    assert widths(shrinking) == {"0.0": (2, 0), "1.2": (0, 10)}


@torch.no_grad()
def test_inputs_that_a_linear_layer_does_not_use_are_passed_over() -> None:
    model = nn.Sequential(
        OrderedDict(flatten=nn.Flatten(), pick=nn.Identity(), fc1=nn.Linear(32, 6), relu=nn.ReLU(), fc2=nn.Linear(6, 3))
    )
    model = seeded(model)
    model.fc1.weight[:, ::4] = 0
    small, shrinking = shrunk(model, batch(2, 4, 4))
    assert list(small._modules) == ["flatten", "pick", "pick_", "fc1", "relu", "fc2"]
    assert isinstance(small.pick_, Pick)
    assert small.pick_.index.tolist() == [i for i in range(32) if i % 4]
    assert "fc1: 8 of 32 inputs are gone." in shrinking.sentences
    _, report = prune(small.float(), batch(2, 4, 4).float(), "magnitude")
    assert len(report.layers) == 2
    _, shrinking = without_dead(model.fc1, batch(32))
    assert "only chains" in shrinking.reason


@torch.no_grad()
def test_inputs_of_a_convolution_or_of_sequences_stay_and_are_counted() -> None:
    model = seeded(small_cnn())
    model.conv1.weight[:, 1] = 0
    model.conv1.weight[0] = 0
    _, shrinking = shrunk(model, batch(2, 10, 10))
    assert "conv1: 1 of 2 inputs have no weight but zeros; they stay" in shrinking.sentences[-1]
    sequences = seeded(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)))
    sequences[0].weight[:, 2] = 0
    sequences[0].weight[3] = 0
    _, shrinking = shrunk(sequences, batch(7, 6))
    assert widths(shrinking) == {"0": (0, 0), "2": (0, 0)}


def test_a_layer_without_any_weight_keeps_one_input() -> None:
    model = seeded(nn.Sequential(nn.Linear(4, 3)))
    with torch.no_grad():
        model[0].weight.zero_()
    _, shrinking = shrunk(model, batch(4))
    assert [layer.inputs_gone for layer in shrinking.layers] == [3]


def test_a_network_that_cannot_shrink_says_why() -> None:
    inputs = batch(10)
    full = seeded(small_mlp())
    shared = seeded(nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 10)))
    shared[2].weight = shared[0].weight
    apart = seeded(nn.Sequential(nn.Linear(10, 10), Odd(), nn.Linear(10, 10)))
    reasons = {
        full: "every neuron between two layers has weights that come in and weights that go out",
        shared: "two of its layers share their weights",
        apart: "no two layers follow each other",
        nn.ModuleList([full]).double()[0].fc1: "the network is a Linear, and only chains",
    }
    for model, reason in reasons.items():
        small, shrinking = without_dead(model, inputs)
        assert torch.equal(small(inputs), model(inputs))
        assert shrinking.numbers == shrinking.numbers_before
        (sentence,) = shrinking.sentences
        assert sentence.startswith("Nothing was taken out: ")
        assert reason in sentence


def test_an_example_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="example must be a float tensor"):
        without_dead(small_mlp(), torch.ones(3, 10, dtype=torch.int64))


@pytest.mark.parametrize("seed", range(12))
@torch.no_grad()
def test_random_chains_keep_their_outputs_and_no_neuron_without_use(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    pick = lambda options: options[int(torch.randint(len(options), (1,), generator=generator))]  # noqa: E731
    modules: list[nn.Module] = [nn.Conv2d(2, 6, 3, padding=1)]
    for _ in range(2):
        modules += pick([[], [nn.BatchNorm2d(6)], [nn.AvgPool2d(3, 1, 1)], [nn.MaxPool2d(3, 1, 1)]])
        modules += pick([[nn.ReLU()], [nn.Tanh()], [nn.ReLU(inplace=True), nn.Dropout2d()]])
        modules.append(nn.Conv2d(6, 6, 3, padding=pick([0, 1])))
    modules += [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3)]
    model = seeded(nn.Sequential(*modules))
    layers = [module for module in model if isinstance(module, nn.Conv2d | nn.Linear)]
    for layer in layers:
        layer.weight[torch.rand(len(layer.weight), generator=generator) < 0.3] = 0
        layer.weight[:, torch.rand(layer.weight.shape[1], generator=generator) < 0.2] = 0
    inputs = batch(2, 9, 9)
    small, shrinking = without_dead(model, inputs[:1])
    torch.testing.assert_close(small(inputs), model(inputs), rtol=1e-9, atol=1e-9)
    kept = [module for module in small if isinstance(module, nn.Conv2d | nn.Linear)]
    for giver, taker in itertools.pairwise(kept):
        heard = taker.weight.reshape(len(taker.weight), len(giver.weight), -1).ne(0).any(2).any(0)
        assert heard.all() or len(giver.weight) == 1
        deaf = giver.weight.flatten(1).eq(0).all(1)
        padding = isinstance(taker, nn.Conv2d) and taker.padding != (0, 0)
        averaged = any(isinstance(module, nn.AvgPool2d) for module in small)
        assert not deaf.any() or padding or averaged or len(giver.weight) == 1
    assert shrinking.reason or shrinking.numbers < shrinking.numbers_before


def test_a_sample_network_shrinks_by_what_is_dead_in_it() -> None:
    bundle = load_bundle("digits_mlp")
    inputs = bundle.calibration_sample(50)
    pruned, _ = prune(bundle.model, inputs, Magnitude(epsilon=0.5))
    small, shrinking = without_dead(pruned, inputs)
    deaf = pruned.fc1.weight.eq(0).all(1)
    unheard = pruned.fc2.weight.eq(0).all(0)
    assert shrinking.layers[0].neurons_gone >= int((deaf | unheard).sum()) > 0
    assert float((small(inputs) - pruned(inputs)).detach().abs().max()) < 1e-4
