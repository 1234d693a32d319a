"""Masks: which of a network's weights are left, by the names of the state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
