"""The weights of a network as they are written down."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


@torch.no_grad()
def own_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode on the CPU. A weight that was multiplied by zero may have become -0.0, which equals 0.0 and
    counts as a zero, but has a bit set: files would pack it worse, so it loses its sign here."""
    copied = copy.deepcopy(model).eval().cpu()
    for parameter in copied.parameters():
        parameter.masked_fill_(parameter == 0, 0.0)
    return copied


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """The state dict, no two tensors of it in the same memory."""
    return {key: value.detach().clone().contiguous() for key, value in model.state_dict().items()}
