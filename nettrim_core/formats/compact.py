"""model.compact: the state dict as bits and values; the file itself is described in ``bitmask``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nettrim_core.formats import compare
from nettrim_core.formats.bitmask import compact, load_compact
from nettrim_core.formats.format import Format, Source


def compact_state(state: Mapping[str, Tensor]) -> bytes:
    """The content of model.compact. Raises ValueError for weights of a type that numpy does not have."""
    try:
        return compact({key: value.numpy() for key, value in state.items()})
    except TypeError as error:  # bfloat16 and the like
        raise ValueError(f"a compact file cannot hold these weights ({error}); choose safetensors") from error


def _write(source: Source, path: Path) -> None:
    path.write_bytes(compact_state(source.state))


def _check(source: Source, path: Path) -> str:
    limit = sum(value.nbytes for value in source.state.values())
    loaded = load_compact(path, 2 * limit + 2**20)
    said = compare.state(source, {key: torch.from_numpy(value) for key, value in loaded.items()}, path)
    size = path.stat().st_size
    return f"{said}; it takes {size:,} bytes, {size / limit:.0%} of the {limit:,} of the dense tensors"


FORMAT = Format(
    "Small weights (bits and values)",
    "model.compact",
    "A bit a weight for where it is, then the weights that are left, zipped: the smallest file; numpy alone reads it.",
    _write,
    _check,
)
