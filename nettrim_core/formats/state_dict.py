"""state_dict.pt: the state dict as torch itself saves it."""

from __future__ import annotations

from pathlib import Path

import torch

from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source


def _write(source: Source, path: Path) -> None:
    torch.save(source.state, path)


def _check(source: Source, path: Path) -> str:
    return compare.state(source, torch.load(path, weights_only=True), path)


FORMAT = Format(
    "Weights (PyTorch)",
    "state_dict.pt",
    "The same weights as PyTorch's own file, for load_state_dict; it is read without running any code.",
    _write,
    _check,
)
