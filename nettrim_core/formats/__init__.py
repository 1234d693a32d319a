"""Everything that a pruned network can be taken away as: one table, a file each."""

from __future__ import annotations

from nettrim_core.formats import (
    compact,
    csr,
    curves,
    onnx_model,
    packed_masks,
    page,
    program,
    pt2,
    recipe_file,
    smaller,
    state_dict,
    summary,
    torch_prune,
    weights,
)
from nettrim_core.formats.format import Format, Source, source

FORMATS: dict[str, Format] = {
    "safetensors": weights.FORMAT,
    "report": summary.FORMAT,
    "state_dict": state_dict.FORMAT,
    "masks": packed_masks.FORMAT,
    "torch_prune": torch_prune.FORMAT,
    "csr": csr.FORMAT,
    "compact": compact.FORMAT,
    "smaller": smaller.FORMAT,
    "onnx": onnx_model.FORMAT,
    "pt2": pt2.FORMAT,
    "html": page.FORMAT,
    "curves": curves.FORMAT,
    "recipe": recipe_file.FORMAT,
    "script": program.SCRIPT,
    "notebook": program.NOTEBOOK,
}

__all__ = ["FORMATS", "Format", "Source", "source"]
