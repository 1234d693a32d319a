"""What every format is, and what it is made from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from nettrim_core.masks import masks_of
from nettrim_core.report import Report


@dataclass(frozen=True, eq=False)
class Source:
    """What is written down. model: a network of our own, in eval mode on the CPU, whose zeros have no sign; inputs:
    calibration inputs, where there are any."""

    model: nn.Module
    report: Report
    inputs: Tensor | None = None

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The state dict, no two tensors of it in the same memory."""
        return state_of(self.model)

    @cached_property
    def masks(self) -> dict[str, Tensor]:
        """Parameter name -> bool, False where it is zero: weights and biases of the pruned layers."""
        return masks_of(self.model, [layer.name for layer in self.report.layers])

    @property
    def rows(self) -> Tensor:
        assert self.inputs is not None
        return self.inputs


def source(model: nn.Module, report: Report, inputs: Tensor | None) -> Source:
    return Source(own_copy(model), report, None if inputs is None else inputs.cpu())


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


@dataclass(frozen=True)
class Format:
    """A kind of file. title, about: for a reader; file: its name in the folder; write: into that path; check: read it
    again, compare, and say in a sentence what was compared, or raise ValueError naming the file and the difference.
    needs_inputs: it cannot be made or checked without calibration inputs."""

    title: str
    file: str
    about: str
    write: Callable[[Source, Path], None]
    check: Callable[[Source, Path], str]
    needs_inputs: bool = False
