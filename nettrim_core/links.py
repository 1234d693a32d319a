"""Two layers of a chain with what stands between them, and neurons taken out there without a change of the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nettrim_core.blocks import Residual
from nettrim_core.capture import listening
from nettrim_core.layers import KINDS, Layer, groups_of, is_layer

Norm = nn.BatchNorm1d | nn.BatchNorm2d
# what treats every channel by itself, whatever it stands between
ELEMENTWISE = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU,
    nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Softplus,
)  # fmt: skip
# and what does where channels still are images
POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Link:
    """Two layers and what stands between them. space: the shape of one of the giver's channels in one sample."""

    giver: Layer
    between: tuple[nn.Module, ...]
    taker: Layer
    space: torch.Size

    def shrink(self) -> bool:
        """Take the dead neurons between the two out, but the last one; was there any?"""
        weight = self._blocks()
        heard = weight.flatten(2).ne(0).any(2).any(0)
        said = self._constants()
        silent = self.giver.weight.detach().flatten(1).eq(0).all(1) & said.isfinite().all(1)
        keep = heard & ~silent
        if not keep.any():
            keep[0] = True
        if keep.all():
            return False
        self._fold(weight, said, heard & ~keep)
        _keep_outputs(self.giver, keep)
        for module in self.between:
            if isinstance(module, Norm):
                _keep_channels(module, keep.repeat_interleave(module.num_features // len(keep)))
        keep_inputs(self.taker, keep.repeat_interleave(self.taker.weight.shape[1] // len(keep)))
        return True

    def _blocks(self) -> Tensor:
        """(outputs, channels of the giver, what the taker has for each of them) the taker's weights."""
        weight = self.taker.weight.detach()
        return weight.reshape(len(weight), len(self.giver.weight), -1)

    @torch.no_grad()
    def _constants(self) -> Tensor:
        """(channels, weights of each at the taker) what a neuron without weights says to the taker; NaN where that is
        not the same wherever the taker looks, so that no bias can stand for it."""
        width = len(self.giver.weight)
        bias = self.giver.weight.new_zeros(width) if self.giver.bias is None else self.giver.bias.detach()
        x = bias.reshape(1, width, *[1] * len(self.space)).expand(1, width, *self.space).clone()
        for module in self.between:
            x = module(x)
        x = x.reshape(width, -1)
        if isinstance(self.taker, nn.Linear):
            return x
        value, even = x[:, :1], (x == x[:, :1]).all(1, keepdim=True)
        padded = self.taker.padding_mode == "zeros" and any(self.taker._reversed_padding_repeated_twice)
        if padded:  # at the border the taker sees zeros, whatever a neuron says
            even = even & (value == 0)
        return value.where(even, torch.nan)

    def _fold(self, weight: Tensor, said: Tensor, gone: Tensor) -> None:
        """Put what these neurons say into the taker's bias."""
        constant = (weight[:, gone].double() * said[gone].double()).flatten(1).sum(1)
        if not constant.any():
            return
        before = 0.0 if self.taker.bias is None else self.taker.bias.detach().double()
        self.taker.bias = nn.Parameter((before + constant).to(weight.dtype))


def links_of(model: nn.Sequential, example: Tensor) -> list[Link]:
    """Every two layers of the chain, and of those inside Residual blocks, between which neurons can be told apart.

    There are none around grouped convolutions, layers of sequences and modules that this file does not know.
    """
    return list(_links(_flat(model), _spaces(model, example)))


def layers_of(model: nn.Module) -> dict[str, Layer]:
    """Name -> layer, all of a model."""
    return {name: m for name, m in model.named_modules() if isinstance(m, KINDS) and is_layer(m)}


def _flat(chain: nn.Sequential) -> Iterator[nn.Module]:
    """The modules of a chain in the order they run, those of chains inside it too."""
    for module in chain:
        if type(module) is nn.Sequential:
            yield from _flat(module)
        else:
            yield module


def _spaces(model: nn.Module, example: Tensor) -> dict[nn.Module, torch.Size]:
    """Layer -> the shape of one channel of its output, () of a neuron."""
    layers = layers_of(model)
    found: dict[nn.Module, torch.Size] = {}

    def hear(name: str, _: Tensor, output: Tensor) -> None:
        found[layers[name]] = output.shape[2:]

    with torch.no_grad(), listening(model, list(layers), hear):
        model(example.clone())
    return found


def _links(modules: Iterable[nn.Module], spaces: dict[nn.Module, torch.Size]) -> Iterator[Link]:
    giver: Layer | None = None
    between: list[nn.Module] = []
    for module in modules:
        if isinstance(module, KINDS) and plain(module):
            if giver is not None and isinstance(module, nn.Linear) == _is_flat(giver, between):
                yield Link(giver, tuple(between), module, spaces[giver])
            usable = not isinstance(module, nn.Linear) or not spaces[module]  # of sequences, a neuron is not dim 1
            giver, between = module if usable else None, []
        elif giver is not None and _by_channel(module, _is_flat(giver, between)):
            between.append(module)
        else:
            giver = None
        if type(module) is Residual:
            for part in (module.body, module.shortcut):
                if type(part) is nn.Sequential:
                    yield from _links(_flat(part), spaces)


def plain(module: Layer) -> bool:
    """A layer with weights of its own and one group."""
    return is_layer(module) and isinstance(module._parameters.get("weight"), nn.Parameter) and groups_of(module) == 1


def _is_flat(giver: Layer, between: list[nn.Module]) -> bool:
    return isinstance(giver, nn.Linear) or any(type(module) is nn.Flatten for module in between)


def _by_channel(module: nn.Module, flat: bool) -> bool:
    """Does it treat every channel by itself? flat: after a Flatten, or where there are neurons in place of channels."""
    if isinstance(module, Norm):
        return module.running_mean is not None
    if type(module) is nn.Flatten:
        return module.start_dim == 1 and module.end_dim == -1
    return type(module) in ELEMENTWISE or (type(module) in POOLS and not flat)


def _part(tensor: Tensor, keep: Tensor, dim: int = 0) -> nn.Parameter:
    return nn.Parameter(tensor.detach().index_select(dim, keep.nonzero()[:, 0]), tensor.requires_grad)


def _keep_outputs(layer: Layer, keep: Tensor) -> None:
    layer.weight = _part(layer.weight, keep)
    if layer.bias is not None:
        layer.bias = _part(layer.bias, keep)
    setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", int(keep.sum()))


def keep_inputs(layer: Layer, keep: Tensor) -> None:
    """Leave the others out of the layer, in place."""
    layer.weight = _part(layer.weight, keep, 1)
    setattr(layer, "in_features" if isinstance(layer, nn.Linear) else "in_channels", int(keep.sum()))


def _keep_channels(norm: Norm, keep: Tensor) -> None:
    for key, parameter in list(norm.named_parameters(recurse=False)):
        setattr(norm, key, _part(parameter, keep))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean, norm.running_var = norm.running_mean[keep], norm.running_var[keep]
    norm.num_features = int(keep.sum())
