"""model.pt2: the network with its graph, as torch.export saves it."""

from __future__ import annotations

from pathlib import Path

import torch

from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source
from nettrim_core.formats.quiet import following, quiet


def _write(source: Source, path: Path) -> None:
    example = torch.cat([source.rows[:1]] * 2)  # a batch of one would be taken for the only size there is
    with following("torch.export", path):
        batch = {0: torch.export.Dim("batch")}
        torch.export.save(torch.export.export(source.model, (example,), dynamic_shapes=(batch,)), path)


def _check(source: Source, path: Path) -> str:
    with quiet():
        program = torch.export.load(path)
        near = compare.outputs(source, program.module(), path)
    found = compare.reloaded(source.model, program.state_dict, path).state_dict()
    total = compare.zeros(source, found, path)
    return f"{path.name} was loaded again: every tensor equal bit for bit, {total:,} exact zeros as reported; {near}"


FORMAT = Format(
    "Whole network (torch.export)",
    "model.pt2",
    "Weights and the computation itself, for any batch size; PyTorch runs it without the code that built the network.",
    _write,
    _check,
    needs_inputs=True,
)
