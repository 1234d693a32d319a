"""Rows of data: inputs (rows, ...), and a label for each where there are labels."""

from torch import Tensor

Labelled = tuple[Tensor, Tensor]
Rows = tuple[Tensor, Tensor | None]
