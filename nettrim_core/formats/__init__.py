"""Everything that a pruned network can be taken away as: one table, a file each."""

from __future__ import annotations

from nettrim_core.formats import (
    compact,
    csr,
    onnx_model,
    packed_masks,
    pt2,
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
}

__all__ = ["FORMATS", "Format", "Source", "source"]
