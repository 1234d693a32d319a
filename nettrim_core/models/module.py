"""A torch module of any class, as a network that can be written down: by way of a program of torch.export."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from nettrim_core.architecture import describe
from nettrim_core.capture import run
from nettrim_core.dense import checked_inputs
from nettrim_core.faults import first_line
from nettrim_core.formats.compare import tolerance
from nettrim_core.formats.quiet import quiet
from nettrim_core.models import pt2
from nettrim_core.wired import Wired

COMPARED = 64  # samples


def from_module(model: nn.Module, example_inputs: Tensor) -> nn.Module:
    """The network of a module, as something that can be pruned and kept as a bundle: ``model`` itself where it can be
    written down as it is, else wired steps in eval mode, float32, on the CPU, that give the same outputs and whose
    state dict has the keys of the module's.

    example_inputs: (samples, ...); the module is run on some of them, and is not touched. Raises ValueError where
    torch.export cannot follow it, its operations are not known, or outputs or keys would differ.
    """
    try:
        describe(model)
        return model
    except ValueError as error:
        undescribed = error
    rows = checked_inputs(example_inputs, "example_inputs").cpu().float()[:COMPARED]
    own = copy.deepcopy(model).eval().cpu().float()
    problem = None
    for dynamic in (True, False):  # a module that needs to know the size of the batch may still treat each row alike
        try:
            read = _read(own, rows, dynamic)
            _compare(read, own, rows)
            return read
        except ValueError as error:
            problem = error
    raise ValueError(f"{undescribed}; nor can its program be read: {problem}")


def _read(model: nn.Module, rows: Tensor, dynamic: bool) -> Wired:
    """dynamic: exported for a batch of any size, else for one of 2, which is then read as any."""
    example = torch.cat([rows[:1]] * 2)  # a batch of one would be taken for the only size there is
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        try:
            with quiet():
                torch.export.save(torch.export.export(model, (example,), dynamic_shapes=shapes), path)
        except Exception as error:  # the exporter runs the model's own code, which may raise anything
            raise ValueError(
                f"torch.export cannot follow it ({first_line(error)}): write its forward without decisions on values"
            ) from error
        try:
            return pt2.read(path)
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from error


@torch.no_grad()
def _compare(read: Wired, model: nn.Module, rows: Tensor) -> None:
    """Raises ValueError unless the two give the same, on batches of other sizes too, and have the same keys."""
    for some in (rows, rows[:1], rows[: len(rows) // 2 + 1]):
        wanted, found = run(model, some), run(read, some)
        if found.shape != wanted.shape or not bool(((found - wanted).abs() <= tolerance(wanted)).all()):
            raise ValueError(
                f"for {len(some)} samples it gives other outputs than the module; does a sample's output depend on the "
                "other samples?"
            )
    missing = sorted(set(model.state_dict()) - set(read.state_dict()))
    if missing:
        raise ValueError(f"{missing[0]!r} cannot be a name in its state dict: rename it in the module")
