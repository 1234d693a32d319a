"""What every format is, and what it is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor, nn

from nettrim_core.masks import masks_of
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.report import Report
from nettrim_core.state import own_copy, state_of


@dataclass(frozen=True, eq=False)
class Source:
    """What is written down. model: a network of our own, in eval mode on the CPU, whose zeros have no sign; inputs:
    calibration inputs, recipe: what made it, curves: reports of the points around it, where there are any."""

    model: nn.Module
    report: Report
    inputs: Tensor | None = None
    recipe: Recipe | None = None
    curves: Sequence[Report] = ()

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

    @property
    def made_by(self) -> Recipe:
        assert self.recipe is not None
        return self.recipe


def source(
    model: nn.Module,
    report: Report,
    inputs: Tensor | None,
    recipe: Recipe | None = None,
    curves: Sequence[Report] = (),
) -> Source:
    return Source(own_copy(model), report, None if inputs is None else inputs.cpu(), recipe, curves)


@dataclass(frozen=True)
class Format:
    """A kind of file. title, about: for a reader; file: its name in the folder; write: into that path; check: read it
    again, compare, and say in a sentence what was compared, or raise ValueError naming the file and the difference.
    needs_inputs, needs_recipe, needs_curves: it cannot be made or checked without them."""

    title: str
    file: str
    about: str
    write: Callable[[Source, Path], None]
    check: Callable[[Source, Path], str]
    needs_inputs: bool = False
    needs_recipe: bool = False
    needs_curves: bool = False
