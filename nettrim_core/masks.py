"""Masks: which of a network's weights are left, by the names of the state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nettrim_core.layers import is_layer


def masks_of(model: nn.Module, layers: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Parameter name -> bool, where it is not zero: the weights and biases of these layers (None: of all that can be
    pruned, Linear, Conv1d and Conv2d). A parameter that two layers share has the name of the first."""
    names = [name for name, module in model.named_modules() if is_layer(module)] if layers is None else list(layers)
    known = dict(model.named_parameters())
    owned = (f"{name}.{key}" if name else key for name in names for key in ("weight", "bias"))
    return {name: known[name].detach() != 0 for name in owned if name in known}


def check_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Raise ValueError for a mask of no parameter, of another shape or not of bools."""
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"masks: there is no parameter {name!r}; a mask is named as in the state dict")
        if mask.shape != parameters[name].shape or mask.dtype != torch.bool:
            raise ValueError(
                f"masks: {name!r} must be bool of shape {tuple(parameters[name].shape)}; got {mask.dtype} of shape "
                f"{tuple(mask.shape)}"
            )


@dataclass(frozen=True, eq=False)
class Held:
    """Masks that are held at zero, until :meth:`remove`."""

    hooks: tuple[Any, ...]

    def remove(self) -> None:
        """Let the weights go: they stay as they are, and whatever trains them next may move them."""
        for hook in self.hooks:
            hook.remove()


def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> Held:
    """Set masked weights of ``model`` to zero, in place, and keep them there while any optimizer trains it.

    masks: parameter name -> bool of its shape, False where it is to be zero.

    The gradients of masked weights are zero from now on, so that weight decay and momentum have nothing to move; what
    momentum of before moves is put back before each call of the model and before its state dict is read. The keys of
    the state dict stay as they are.

    Raises ValueError for masks that do not fit.
    """
    check_masks(model, masks)
    gone = {name: ~mask for name, mask in masks.items()}
    _zero(gone, model)
    hold = partial(_zero, gone)
    hooks = [model.register_forward_pre_hook(hold), model.register_state_dict_pre_hook(hold)]
    trained = {name: model.get_parameter(name) for name in gone if model.get_parameter(name).requires_grad}
    hooks += [parameter.register_hook(partial(_masked, gone[name])) for name, parameter in trained.items()]
    return Held(tuple(hooks))


@torch.no_grad()
def _zero(gone: Mapping[str, Tensor], model: nn.Module, *_: object) -> None:
    for name, where in gone.items():
        parameter = model.get_parameter(name)
        where = where.to(parameter.device)
        if bool(parameter[where].any()):  # a weight that is written on, even with what it is, cannot be derived by
            parameter.masked_fill_(where, 0.0)


def _masked(where: Tensor, gradient: Tensor) -> Tensor:
    return gradient.masked_fill(where.to(gradient.device), 0.0)
