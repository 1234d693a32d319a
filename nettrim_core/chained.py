"""Wired steps that follow one another, as the chain that they are."""

from __future__ import annotations

from torch import nn

from nettrim_core.models.chain import put
from nettrim_core.wired import INPUT, Step, Wired


def chained(model: nn.Module) -> nn.Module:
    """An ``nn.Sequential`` with the layers of ``model`` and its keys, chains in it where names have dots, if ``model``
    is wired steps of which each takes what the one before gives; else ``model`` itself."""
    if type(model) is not Wired:
        return model
    _, tensors, steps, output = model.wiring()
    takes = [(INPUT,), *((step.name,) for step in steps)]
    layers = [step.layer for step in steps if step.layer]
    in_a_row = all(step.takes == before for step, before in zip(steps, takes, strict=False)) and (output,) == takes[-1]
    if tensors or not in_a_row or len(set(layers)) < len(layers):
        return model
    made = nn.Sequential()
    for step in steps:
        module = model.get_submodule(step.layer) if step.layer else _flatten(step)
        if module is None:
            return model
        try:
            put(made, step.layer or step.name, module)
        except ValueError:  # layers of one name's part have others between them
            return model
    return made.train(model.training)


def _flatten(step: Step) -> nn.Module | None:
    """The layer for an operation that makes a row of each sample; None for any other."""
    shape = step.arguments.get("shape", ())
    rows = step.operation == "reshape" and len(shape) == 2 and shape[0] == -1
    return nn.Flatten() if rows or (step.operation == "flatten" and step.arguments["start"] == 1) else None
