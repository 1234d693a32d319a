"""Building blocks of networks that torch does not have, so that a chain with them can be written down."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """body(x) + shortcut(x), for any x that both take and outputs of one shape (K. He et al., Deep residual learning
    for image recognition, 2016). shortcut: the identity where none is given."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


class Pick(nn.Module):
    """x[:, index]: some of the inputs (samples, inputs), in the order of the buffer ``index``, (count,) int64."""

    index: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("index", torch.arange(count))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.index]

    @classmethod
    def of(cls, kept: Tensor) -> Pick:
        """The inputs that are kept, (inputs,) bool."""
        pick = cls(int(kept.sum()))
        pick.index = kept.nonzero()[:, 0]
        return pick
