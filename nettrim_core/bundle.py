"""A bundle: a folder with a network, the data it is judged on, and a card that says where both come from.

    bundle.json         title, architecture (a list of layers and blocks), how stored inputs become network inputs
    model.safetensors   the state dict
    data.npz            {train,validation,test}_{inputs,labels}; bundle.json may name another file for it
    card.md             provenance, licence, figures

Nothing in a bundle is executed or unpickled: the architecture is a list of known layer types with plain
arguments, weights are safetensors, and arrays are read with ``allow_pickle=False``.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nettrim_core.blocks import Pick, Residual

SAMPLE_MODELS = Path(__file__).resolve().parents[1] / "sample_models"
SPLITS = ("train", "validation", "test")

_CONVOLUTION = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias", "padding_mode",
)  # fmt: skip
_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_MAX_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

# Layer types a bundle may name, each with the constructor arguments that are written down.
LAYER_TYPES: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "Linear": (nn.Linear, ("in_features", "out_features", "bias")),
    "Conv1d": (nn.Conv1d, _CONVOLUTION),
    "Conv2d": (nn.Conv2d, _CONVOLUTION),
    "BatchNorm1d": (nn.BatchNorm1d, _NORM),
    "BatchNorm2d": (nn.BatchNorm2d, _NORM),
    "ReLU": (nn.ReLU, ()),
    "MaxPool1d": (nn.MaxPool1d, _MAX_POOL),
    "MaxPool2d": (nn.MaxPool2d, _MAX_POOL),
    "AvgPool1d": (nn.AvgPool1d, _AVG_POOL),
    "AvgPool2d": (nn.AvgPool2d, (*_AVG_POOL, "divisor_override")),
    "Flatten": (nn.Flatten, ("start_dim", "end_dim")),
    "Dropout": (nn.Dropout, ("p",)),
    "Identity": (nn.Identity, ()),
    "Pick": (Pick, ("count",)),
}
# Blocks a bundle may name, each with the modules that it is built from.
BLOCK_TYPES: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {"Residual": (Residual, ("body", "shortcut"))}
CHAIN = "Sequential"
_KNOWN = ", ".join([*LAYER_TYPES, *BLOCK_TYPES, CHAIN])

Split = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained network with its data. Inputs are float tensors (samples, ...), labels int64 (samples,).

    ``train`` holds rows of the split the network was trained on (calibration and fine-tuning), ``validation``
    rows it never saw (choosing), ``test`` rows for the final report. The three never overlap.
    """

    name: str
    title: str
    model: nn.Sequential
    train: Split
    validation: Split
    test: Split
    card: str = ""

    @property
    def calibration(self) -> Tensor:
        """All calibration inputs: the inputs of ``train``."""
        return self.train[0]

    def calibration_sample(self, n: int, seed: int = 0) -> Tensor:
        """``n`` calibration inputs drawn without replacement with ``seed``, in their stored order."""
        total = len(self.calibration)
        if not 1 <= n <= total:
            raise ValueError(f"n must be between 1 and {total}, the calibration rows of {self.name}; got {n}")
        rows = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:n]
        return self.calibration[rows.sort().values]

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of weights and data: what a stored result of this bundle is valid for."""
        digest = hashlib.blake2b(digest_size=8)
        for key, value in self.model.state_dict().items():
            digest.update(key.encode())
            digest.update(value.contiguous().numpy().tobytes())
        for inputs, labels in (self.train, self.validation, self.test):
            digest.update(inputs.contiguous().numpy().tobytes())
            digest.update(labels.contiguous().numpy().tobytes())
        return digest.hexdigest()


def describe(model: nn.Sequential) -> list[dict[str, Any]]:
    """The architecture of a chain as plain data: ``[{"name": "fc1", "type": "Linear", ...}, ...]``; a chain inside it
    has ``layers`` in its turn, and a block a description for each module it is built from."""
    seen: set[nn.Module] = set()
    for name, module in model._modules.items():  # a module that stands twice is there twice
        assert module is not None
        if module in seen and any(True for _ in module.parameters()):
            raise ValueError(f"layer {name!r} is a {type(module).__name__} that the chain holds twice: give it a copy")
        seen.add(module)
    return [{"name": name, **_described(name, module)} for name, module in model._modules.items() if module is not None]


def _described(name: str, module: nn.Module) -> dict[str, Any]:
    kind = type(module).__name__
    if type(module) is nn.Sequential:
        return {"type": CHAIN, "layers": describe(module)}
    if BLOCK_TYPES.get(kind, (None,))[0] is type(module):
        return {"type": kind, **{part: _described(part, getattr(module, part)) for part in BLOCK_TYPES[kind][1]}}
    if LAYER_TYPES.get(kind, (None,))[0] is not type(module):
        raise ValueError(f"layer {name!r} is a {kind}, which a bundle cannot describe; known: {_KNOWN}")
    arguments = {}
    for argument in LAYER_TYPES[kind][1]:
        value = getattr(module, argument)
        arguments[argument] = value is not None if argument == "bias" else value
    return {"type": kind, **arguments}


def build(layers: list[dict[str, Any]], where: str) -> nn.Sequential:
    """The chain that :func:`describe` wrote down, with fresh weights. ``where`` names the source in errors."""
    if not isinstance(layers, list):
        raise ValueError(f"{where}: expected a list of layers, got {layers!r}")
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for i, layer in enumerate(layers):
        name = str(layer.get("name", i)) if isinstance(layer, dict) else str(i)
        if not name or "." in name or name in modules:
            raise ValueError(f"{where}: layer {i} is named {name!r}; names are unique and without dots")
        modules[name] = _built(layer, f"{where}: layer {name!r}")
    return nn.Sequential(modules)


def _built(layer: object, where: str) -> nn.Module:
    if not isinstance(layer, dict):
        raise ValueError(f"{where}: expected a type with its arguments, got {layer!r}")
    kind = layer.get("type")
    arguments = {key: value for key, value in layer.items() if key not in ("name", "type")}
    if not isinstance(kind, str) or kind not in (CHAIN, *LAYER_TYPES, *BLOCK_TYPES):
        raise ValueError(f"{where} has type {kind!r}; known types: {_KNOWN}")
    make, known = (LAYER_TYPES | BLOCK_TYPES).get(kind, (None, ("layers",)))
    if unknown := set(arguments) - set(known):
        raise ValueError(f"{where} ({kind}) has unknown arguments {sorted(unknown)}")
    if make is None:
        return build(arguments.get("layers", []), where)
    if kind in BLOCK_TYPES:
        values = {part: _built(inner, f"{where}, {part}") for part, inner in arguments.items()}
    else:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        return make(**values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where} ({kind}) cannot be built: {error}") from error


def save_bundle(
    path: str | Path,
    model: nn.Sequential,
    *,
    train: Split,
    validation: Split,
    test: Split,
    title: str = "",
    card: str = "",
) -> Path:
    """Write a bundle folder. Inputs keep their precision; the folder's name is the bundle's name."""
    folder = Path(path)
    arrays = {}
    for split, (inputs, labels) in zip(SPLITS, (train, validation, test), strict=True):
        arrays[f"{split}_inputs"] = inputs.detach().cpu().numpy()
        arrays[f"{split}_labels"] = labels.detach().cpu().numpy()
    write_folder(folder, model, {"title": title or folder.name, "data": "data.npz"}, card)
    np.savez_compressed(folder / "data.npz", allow_pickle=False, **arrays)
    return folder


def write_folder(folder: Path, model: nn.Sequential, header: Mapping[str, Any], card: str) -> None:
    """Everything of a bundle but its data: bundle.json, model.safetensors, card.md."""
    architecture = describe(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text(json.dumps({**header, "architecture": architecture}, indent=1) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "card.md").write_text(card)


def sample_names() -> list[str]:
    """Names of the bundles that come with the project."""
    return sorted(p.parent.name for p in SAMPLE_MODELS.glob("*/bundle.json"))


def sample_titles() -> dict[str, str]:
    """The title of every sample model by its name, without loading any."""
    headers = {name: json.loads((SAMPLE_MODELS / name / "bundle.json").read_text()) for name in sample_names()}
    return {name: str(header.get("title", name)) for name, header in headers.items()}


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Load a bundle by the name of a sample model or by the path of its folder.

    Raises ValueError naming the file and the reason when something is missing, malformed or inconsistent.
    """
    folder = SAMPLE_MODELS / name_or_path if str(name_or_path) in sample_names() else Path(name_or_path)
    header_file = folder / "bundle.json"
    if not header_file.is_file():
        raise ValueError(
            f"no bundle at {str(name_or_path)!r}: expected one of {', '.join(sample_names())}, "
            "or a folder that contains bundle.json"
        )
    try:
        header = json.loads(header_file.read_text())
        architecture = header["architecture"]
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{header_file}: not a bundle header: {error!r}") from error
    model = build(architecture, str(header_file))
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ValueError(f"{folder / 'model.safetensors'}: weights do not fit the architecture: {error}") from error
    splits = _load_data(folder / header.get("data", "data.npz"), header)
    card_file = folder / "card.md"
    return Bundle(
        name=folder.resolve().name,
        title=str(header.get("title", folder.name)),
        model=model.eval(),
        card=card_file.read_text() if card_file.is_file() else "",
        **splits,
    )


def _load_data(path: Path, header: Mapping[str, Any]) -> dict[str, Split]:
    scale, shape = float(header.get("input_scale", 1.0)), header.get("input_shape")
    splits = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for split in SPLITS:
                inputs = torch.from_numpy(arrays[f"{split}_inputs"]).float() * scale
                labels = torch.from_numpy(arrays[f"{split}_labels"]).long()
                if shape is not None:
                    inputs = inputs.reshape(len(inputs), *shape)
                if len(inputs) != len(labels):
                    raise ValueError(f"{split} has {len(inputs)} inputs but {len(labels)} labels")
                if not torch.isfinite(inputs).all():
                    raise ValueError(f"{split}_inputs contains NaN or infinite values")
                splits[split] = (inputs, labels)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be used as bundle data: {error}") from error
    return splits
