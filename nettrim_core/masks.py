"""Masks: which of a network's weights are left, by the names of the state dict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def masks_of(model: nn.Module, layers: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Parameter name -> bool, where it is not zero: the weights and biases of these layers (None: of all modules)."""
    names = [name for name, _ in model.named_modules()] if layers is None else list(layers)
    return {
        f"{name}.{key}" if name else key: parameter.detach() != 0
        for name in names
        for key, parameter in model.get_submodule(name).named_parameters(recurse=False)
    }


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
