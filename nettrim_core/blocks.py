"""The building block of residual networks, so that a chain can have branches and still be written down."""

from __future__ import annotations

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
