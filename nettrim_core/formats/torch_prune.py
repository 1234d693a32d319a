"""torch_prune.pt: the network in the form of torch.nn.utils.prune, weight_orig and weight_mask."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source
from nettrim_core.masks import check_masks


def prune_form(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy of ``model`` as torch.nn.utils.prune would have it: each masked parameter is ``weight_orig`` times the
    buffer ``weight_mask``. ``torch.nn.utils.prune.remove(module, "weight")`` makes it plain again, zeros exact.

    masks: parameter name -> bool of its shape, False where it is zero. Raises ValueError for masks that do not fit.
    """
    check_masks(model, masks)
    copied = copy.deepcopy(model)
    for name, mask in masks.items():
        owner, _, key = name.rpartition(".")
        torch_prune.custom_from_mask(copied.get_submodule(owner), key, mask)
    return copied


def _write(source: Source, path: Path) -> None:
    form = prune_form(source.model, source.masks)
    torch.save({key: value.detach().clone() for key, value in form.state_dict().items()}, path)


def _check(source: Source, path: Path) -> str:
    form = prune_form(source.model, {name: torch.ones_like(mask) for name, mask in source.masks.items()})
    try:
        form.load_state_dict(torch.load(path, weights_only=True), strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: the weights do not fit the pruned network: {error}") from error
    kept = dict(form.named_buffers())
    for name, mask in source.masks.items():
        if not torch.equal(kept[f"{name}_mask"].bool(), mask):
            raise ValueError(f"{path}: the mask of {name} differs after loading")
        owner, _, key = name.rpartition(".")
        torch_prune.remove(form.get_submodule(owner), key)
    plain = form.state_dict()
    compare.reloaded(source.model, plain, path)
    total = compare.zeros(source, plain, path)
    return (
        f"{path.name} was loaded again with strict=True into torch.nn.utils.prune's form and made plain: every tensor "
        f"equal bit for bit, {total:,} exact zeros as reported"
    )


FORMAT = Format(
    "Weights and masks (torch.nn.utils.prune)",
    "torch_prune.pt",
    "The form of PyTorch's own pruning tools, weight_orig and weight_mask, to go on pruning or training with them.",
    _write,
    _check,
)
