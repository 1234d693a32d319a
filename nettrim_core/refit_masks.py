"""The refit alone: any mask, a user's own, at the least-squares weights that it can have."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nettrim_core.cascade import Cascade
from nettrim_core.dense import MAX_PATCHES, MEMORY_LIMIT
from nettrim_core.layers import Layer, joined
from nettrim_core.masks import check_masks
from nettrim_core.network import Network
from nettrim_core.refit import Refit
from nettrim_core.report import Report
from nettrim_core.rows import Rows


def refit_masks(
    model: nn.Module,
    inputs: Tensor,
    masks: Mapping[str, Tensor],
    cascade: bool | Cascade = False,
    test: Rows | None = None,
    *,
    damping: float = Refit.damping,
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
    batchnorm: str = "reestimate",
) -> tuple[nn.Module, Report]:
    """A copy of ``model`` with masked weights at zero and the others of those layers adjusted, so that each layer's
    responses on ``inputs`` move as little as they can: argmin ||U'X - W'X||_F over U on the mask.

    masks: parameter name -> bool of its shape, False where it is to be zero, as :func:`masks_of` gives them and
    :func:`finetune` takes them: ``{"fc1.weight": mask}``. A bias without a mask stays free; a layer without one is left
    as it is. Other arguments as in :func:`nettrim_core.prune`; in a cascade the layers are refitted in order, on the
    signals of those before.

    Raises ValueError for a mask of no prunable layer's weight or bias, or of another shape or type.
    """
    check_masks(model, masks)
    layers = dict.fromkeys(name.rpartition(".")[0] for name in masks)
    network = Network(
        model, inputs, list(layers), test,
        max_patches=max_patches, seed=seed, memory_limit=memory_limit, batchnorm=batchnorm,
    )  # fmt: skip
    wanted = {target.name: _mask(target.layer(network.model), target.name, masks) for target in network.selected}
    return network.refitted(Refit(damping), wanted, cascade)


def _mask(layer: Layer, name: str, masks: Mapping[str, Tensor]) -> Tensor:
    """(N, M), everything left where nothing is said."""
    weight, bias = (
        None
        if parameter is None
        else masks.get(f"{name}.{key}", torch.ones_like(parameter)).bool().to(parameter.device)
        for key, parameter in (("weight", layer.weight), ("bias", layer.bias))
    )
    assert weight is not None
    return joined(weight, bias)
