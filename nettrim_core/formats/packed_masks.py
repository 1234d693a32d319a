"""masks.npz: which weights are left, a bit for each.

For a parameter ``fc1.weight`` the file has ``fc1.weight``, uint8 packed bits in C order, and ``fc1.weight.shape``,
int64; numpy alone reads it::

    with np.load("masks.npz", allow_pickle=False) as file:
        shape = file["fc1.weight.shape"]
        mask = np.unpackbits(file["fc1.weight"], count=shape.prod()).reshape(shape).astype(bool)
"""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nettrim_core.formats.format import Format, Source

SHAPE = ".shape"
LARGEST = 2**30  # bytes of packed bits that are read


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """Parameter name -> bool of its shape, True where the weight is left, as :func:`nettrim_core.masks_of` gave it.

    Raises ValueError naming the file and the reason for what is no file of masks.
    """
    masks = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            if sum(part.file_size for part in file.zip.infolist()) > LARGEST:
                raise ValueError(f"it unpacks to more than {LARGEST:,} bytes, eight weights in each")
            for name in file.files:
                if not name.endswith(SHAPE):
                    masks[name] = _unpacked(file[name], file[name + SHAPE], name)
    except (OSError, ValueError, KeyError, EOFError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not a file of masks: {error}") from error
    return masks


def _unpacked(bits: np.ndarray, shape: np.ndarray, name: str) -> Tensor:
    if bits.dtype != np.uint8 or bits.ndim != 1 or shape.dtype.kind != "i" or shape.ndim != 1:
        raise ValueError(f"{name!r} is not made of packed bits and a shape")
    sides = [int(side) for side in shape]
    count = math.prod(sides)
    if min(sides, default=0) < 0 or len(bits) != -(-count // 8):
        raise ValueError(f"{name!r} has {len(bits)} bytes of bits, which do not fit the shape {tuple(sides)}")
    return torch.from_numpy(np.unpackbits(bits, count=count).astype(bool)).reshape(sides)


def _write(source: Source, path: Path) -> None:
    arrays = {}
    for name, mask in source.masks.items():
        arrays[name] = np.packbits(mask.numpy())
        arrays[name + SHAPE] = np.array(mask.shape, np.int64)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def _check(source: Source, path: Path) -> str:
    loaded, wanted = load_masks(path), source.masks
    if loaded.keys() != wanted.keys():
        raise ValueError(f"{path}: has masks of {sorted(loaded)}; the pruned network has {sorted(wanted)}")
    for name, mask in wanted.items():
        if not torch.equal(loaded[name], mask):
            raise ValueError(f"{path}: the mask of {name} differs after loading")
    for layer in source.report.layers:
        gone = int((~loaded[f"{layer.name}.weight"]).sum())
        if gone != layer.weight_zeros:
            raise ValueError(f"{path}: {layer.name} has {gone} masked weights; the report says {layer.weight_zeros}")
    total = sum(layer.weight_zeros for layer in source.report.layers)
    return f"{path.name} was loaded again: {len(loaded)} masks equal, {total:,} weights masked as reported"


FORMAT = Format(
    "Masks (NumPy)",
    "masks.npz",
    "Only which weights are left, one bit for each: enough to prune the same places again or to keep them at zero.",
    _write,
    _check,
)
