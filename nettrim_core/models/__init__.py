"""Networks from elsewhere, as torch modules that can be pruned and written down."""

from __future__ import annotations

import zipfile
from pathlib import Path

from torch import nn

from nettrim_core.bundle import network_of
from nettrim_core.models import pt2, weights
from nettrim_core.models.layer_list import Listing, layer_list
from nettrim_core.wired import Wired


def load_model(path: str | Path, *, architecture: object = None) -> nn.Module:
    """The network in a file or folder, in eval mode, float32, on the CPU. No code of the file is run.

    A bundle's folder or a sample model's name; a program of torch.export (.pt2); an ONNX file (.onnx); a state dict
    (.safetensors, .pt, .pth) with its ``architecture``, as bundles write it down or as the text of a
    :func:`nettrim_core.layer_list`, where that cannot be recognised.

    Raises ValueError naming the file, the reason and what to do.
    """
    path = Path(path)
    if path.is_dir() or not path.suffix:
        return network_of(str(path))
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    suffix = path.suffix.lower()
    if suffix == ".pt2" or _is_program(path):
        return pt2.read(path)
    if suffix == ".onnx":
        from nettrim_core.models import onnx_file  # with onnx, which takes its time

        return onnx_file.read(path)
    if suffix in (".safetensors", ".pt", ".pth", ".bin"):
        return weights.read(path, architecture)
    raise ValueError(
        f"{path}: networks are read from .pt2, .onnx, .safetensors, .pt and .pth files and bundle folders: save it as "
        "one of these"
    )


def sample_shape(model: nn.Module, architecture: object = None) -> tuple[int, ...] | None:
    """Of one input of a network that :func:`load_model` has read with this ``architecture``, where the file or the
    listing of its layers says it; None where neither does."""
    if isinstance(model, Wired):
        return model.sample_shape
    listing = layer_list(architecture) if isinstance(architecture, str) else architecture
    return listing.sample_shape if isinstance(listing, Listing) else None


def _is_program(path: Path) -> bool:
    """Is this an archive of torch.export, whatever its name?"""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("models/model.json") for name in archive.namelist())
    except Exception:  # a damaged directory raises whatever its reader stumbles over
        return False
