"""model.safetensors: the state dict, same keys, exact zeros."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file

from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source


def _write(source: Source, path: Path) -> None:
    save_file(source.state, path)


def _check(source: Source, path: Path) -> str:
    return compare.state(source, load_file(path), path)


FORMAT = Format(
    "Weights (safetensors)",
    "model.safetensors",
    "All weights under the names they had, zeros included; opens in seconds, holds no code, and most tools read it.",
    _write,
    _check,
)
