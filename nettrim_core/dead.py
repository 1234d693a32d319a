"""Dead neurons taken out: the same network with smaller tensors.

A neuron, or a convolution's channel, between two layers of a chain is dead if all weights that come in are zero, it
then says the same of every input, or if all that go out are, nobody then listens. What a dead neuron says, its bias
after the batch norm, ReLU and pooling that follow, goes into the biases of the next layer, where that is exact.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from nettrim_core.blocks import Pick
from nettrim_core.capture import probe
from nettrim_core.chained import chained
from nettrim_core.dense import checked_inputs
from nettrim_core.layers import Layer, groups_of
from nettrim_core.links import keep_inputs, layers_of, links_of, plain

NONE = (
    "every neuron between two layers has weights that come in and weights that go out, or says something constant that "
    "no bias of the next layer can stand for"
)
NO_LINKS = "no two layers follow each other with only batch norms, activations, pooling and Flatten between them"


@dataclass(frozen=True)
class Shrunk:
    """One layer. neurons, inputs: how many it had, of a convolution channels; neurons_gone, inputs_gone: how many of
    them were taken out; idle: of the inputs that stayed, those with no weight but zeros."""

    name: str
    neurons: int
    neurons_gone: int
    inputs: int
    inputs_gone: int
    idle: int


@dataclass(frozen=True)
class Shrinking:
    """What :func:`without_dead` did. numbers, numbers_before: of all tensors of the network; reason: why nothing went,
    "" where something did."""

    layers: tuple[Shrunk, ...]
    numbers: int
    numbers_before: int
    reason: str

    @property
    def sentences(self) -> list[str]:
        """What went, in words: the whole, then layer by layer."""
        if self.reason:
            return [f"Nothing was taken out: {self.reason}."]
        part = self.numbers / self.numbers_before
        lines = [f"The network holds {self.numbers:,} numbers, {part:.0%} of the {self.numbers_before:,} before."]
        for layer in self.layers:
            gone = [
                f"{count:,} of {total:,} {what}"
                for count, total, what in (
                    (layer.neurons_gone, layer.neurons, "neurons"), (layer.inputs_gone, layer.inputs, "inputs")
                )
                if count
            ]  # fmt: skip
            if gone:
                lines.append(f"{layer.name}: {' and '.join(gone)} are gone.")
        first = self.layers[0]
        if first.idle:
            lines.append(
                f"{first.name}: {first.idle:,} of {first.inputs:,} inputs have no weight but zeros; they stay, for "
                "what goes into the network must keep its shape."
            )
        return lines


def without_dead(model: nn.Module, example: Tensor) -> tuple[nn.Module, Shrinking]:
    """A copy of ``model`` in eval mode without its dead neurons and the inputs that they were, and what went.

    Its outputs are those of ``model`` but for rounding; what goes into it and comes out keeps its shape. example:
    (samples, ...) a few inputs. Chains (nn.Sequential, or wired steps in a row) of Linear, Conv1d and Conv2d with batch
    norms, activations, pooling, Flatten and Dropout between them are looked through, and so are the insides of Residual
    blocks, whose outer width stays. Layers next to anything else, and grouped convolutions, keep their neurons. One
    neuron of a layer stays even if all are dead. Where a Linear layer comes first, the inputs that it has no weight for
    are passed over by a Pick before it; a convolution's stay.

    Raises ValueError for an example that is no batch of inputs.
    """
    example = checked_inputs(example, "example")
    small = chained(copy.deepcopy(model).eval())
    before = {name: layer.weight.shape[:2] for name, layer in layers_of(small).items()}
    numbers = _numbers(small)
    small, reason = _shrunken(small, example[:1])
    layers = tuple(_shrunk(name, layer, *before[name]) for name, layer in layers_of(small).items())
    return small, Shrinking(layers, _numbers(small), numbers, reason)


def _shrunken(model: nn.Module, example: Tensor) -> tuple[nn.Module, str]:
    """(the model, changed in place, with a Pick where one helps; why nothing could go, or "")."""
    if type(model) is not nn.Sequential:
        return model, f"the network is a {type(model).__name__}, and only chains, nn.Sequential, are looked through"
    held = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    if len(held) > len({id(tensor) for _, tensor in held}):
        return model, "two of its layers share their weights"
    links = links_of(model, example)
    gone = False
    while any(link.shrink() for link in links):  # a neuron that went may have been the last that another spoke to
        gone = True
    picked = _picked(model, example)
    return picked, "" if gone or picked is not model else NONE if links else NO_LINKS


def _picked(model: nn.Sequential, example: Tensor) -> nn.Sequential:
    """With a Pick before the first layer, if that is a Linear one of rows with inputs that it has no weight for."""
    calls = probe(model, example).calls
    for name, module in model.named_children():
        if isinstance(module, nn.Linear) and plain(module):
            used = module.weight.detach().ne(0).any(0)
            used[0] |= not used.any()
            if used.all() or len(calls[name][0].shape) > 1:
                return model
            keep_inputs(module, used)
            modules = list(model.named_children())
            place = [key for key, _ in modules].index(name)
            return nn.Sequential(
                OrderedDict([*modules[:place], (_free("pick", model), Pick.of(used)), *modules[place:]])
            )
        if list(module.parameters()):
            return model
    return model


def _free(name: str, model: nn.Module) -> str:
    """A name that no module of the chain has."""
    while name in model._modules:
        name += "_"
    return name


def _shrunk(name: str, layer: Layer, outputs: int, inputs: int) -> Shrunk:
    weight = layer.weight.detach()
    idle = int(weight.transpose(0, 1).flatten(1).eq(0).all(1).sum()) if groups_of(layer) == 1 else 0
    return Shrunk(name, outputs, outputs - len(weight), inputs, inputs - weight.shape[1], idle)


def _numbers(model: nn.Module) -> int:
    return sum(value.numel() for value in model.state_dict().values())
