"""A bundle: a folder with a network, the data it is judged on, and a card that says where both come from.

    bundle.json         title, architecture (a chain of layers and blocks, or wired steps), how stored inputs become
                        network inputs
    model.safetensors   the state dict
    data.npz            {train,validation,test}_{inputs,labels}, all labels or none; bundle.json may name another file
    card.md             provenance, licence, figures

Nothing in a bundle is executed or unpickled: the architecture names known layer types with plain arguments, weights are
safetensors, and arrays are read with ``allow_pickle=False``.
"""

from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nettrim_core.architecture import describe, restored
from nettrim_core.capture import device_at
from nettrim_core.data.rows import Data
from nettrim_core.devices import device_of
from nettrim_core.places import SAMPLE_MODELS
from nettrim_core.rows import Rows

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained network with its data. Inputs are float tensors (samples, ...), labels int64 (samples,) or None.

    ``train`` holds rows of the split the network was trained on (calibration and fine-tuning), ``validation``
    rows it never saw (choosing), ``test`` rows for the final report. The three never overlap. classes: the name of
    every label, () where they have none. sample: was it loaded from among those that come with the project?
    """

    name: str
    title: str
    model: nn.Module
    train: Rows
    validation: Rows
    test: Rows
    card: str = ""
    classes: tuple[str, ...] = ()
    sample: bool = False

    @classmethod
    def of(cls, model: nn.Module, data: Data, name: str = "", title: str = "") -> Bundle:
        """A network and a user's data, which :func:`nettrim_core.fits` finds to go together."""
        named = name or data.name
        return cls(named, title or named, model, data.train, data.validation, data.test, classes=data.classes)

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

    @property
    def device(self) -> torch.device:
        """Where the network is. The rows are on the CPU."""
        return device_at(self.model)

    def on(self, device: str) -> Bundle:
        """The same with the network elsewhere, such as on "cuda", where it is pruned then. Raises ValueError, one
        sentence, where torch finds no such device."""
        there = device_of(device)
        return self if there == self.device else replace(self, model=copy.deepcopy(self.model).to(there))

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of weights and data: what a stored result of this bundle is valid for. That of a sample, whose
        architecture comes with the project, does without the architecture."""
        digest = hashlib.blake2b(digest_size=8)
        if not self.sample:
            shapes = [list(inputs.shape) for inputs, _ in (self.train, self.validation, self.test)]
            digest.update(json.dumps([describe(self.model), shapes]).encode())
        for key, value in self.model.state_dict().items():
            digest.update(key.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        for inputs, labels in (self.train, self.validation, self.test):
            digest.update(inputs.contiguous().numpy().tobytes())
            if labels is not None:
                digest.update(labels.contiguous().numpy().tobytes())
        return digest.hexdigest()


def save_bundle(
    path: str | Path,
    model: nn.Module,
    *,
    train: Rows,
    validation: Rows,
    test: Rows,
    title: str = "",
    card: str = "",
    classes: Sequence[str] = (),
) -> Path:
    """Write a bundle folder, and return its path; the folder's name is the bundle's name.

    train, validation, test: (inputs, labels), inputs (samples, ...), which keep their precision, labels (samples,), or
    None in all three. card: Markdown. classes: names of the labels. A module that cannot be written down as it is
    becomes the steps that it takes, as :func:`nettrim_core.from_module` reads them.

    Raises ValueError for a module whose steps cannot be followed.
    """
    from nettrim_core.models.module import from_module  # which reads bundles in its turn

    folder, model = Path(path), from_module(model, train[0][:64].float())
    arrays = {}
    for split, (inputs, labels) in zip(SPLITS, (train, validation, test), strict=True):
        arrays[f"{split}_inputs"] = inputs.detach().cpu().numpy()
        if labels is not None:
            arrays[f"{split}_labels"] = labels.detach().cpu().numpy()
    header = {"title": title or folder.name, "data": "data.npz", **({"classes": list(classes)} if classes else {})}
    write_folder(folder, model, header, card)
    np.savez_compressed(folder / "data.npz", allow_pickle=False, **arrays)
    return folder


def write_folder(folder: Path, model: nn.Module, header: Mapping[str, Any], card: str) -> None:
    """Everything of a bundle but its data: bundle.json, model.safetensors, card.md."""
    architecture = describe(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text(json.dumps({**header, "architecture": architecture}, indent=1) + "\n")
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "card.md").write_text(card)


def sample_names() -> list[str]:
    """Names of the bundles that come with the project."""
    return list(_titles())


def sample_titles() -> dict[str, str]:
    """The title of every sample model by its name, without loading any."""
    return dict(_titles())


@cache  # a page asks for them again and again
def _titles() -> dict[str, str]:
    headers = {path.parent.name: json.loads(path.read_text()) for path in sorted(SAMPLE_MODELS.glob("*/bundle.json"))}
    return {name: str(header.get("title", name)) for name, header in headers.items()}


def load_bundle(name_or_path: str | Path) -> Bundle:
    """Load a bundle by the name of a sample model or by the path of its folder.

    Raises ValueError naming the file and the reason when something is missing, malformed or inconsistent.
    """
    folder, header, model = _network(name_or_path)
    splits = _load_data(_data_file(folder, header), header)
    for inputs, labels in splits.values():
        _check_takes(model, inputs, labels, folder)
    card_file = folder / "card.md"
    return Bundle(
        name=folder.resolve().name,
        title=str(header.get("title", folder.name)),
        model=model,
        card=card_file.read_text() if card_file.is_file() else "",
        classes=tuple(map(str, header.get("classes", ()))),
        sample=folder.resolve().parent == SAMPLE_MODELS.resolve(),
        **splits,
    )


def _data_file(folder: Path, header: Mapping[str, Any]) -> Path:
    """Where the header says that the data is: beside it, or for samples, which share some, above it."""
    name = header.get("data", "data.npz")
    mine = folder.resolve().parent == SAMPLE_MODELS.resolve()
    if not isinstance(name, str) or not name.endswith(".npz") or (Path(name).name != name and not mine):
        raise ValueError(f"{folder / 'bundle.json'}: data = {name!r} is no .npz file beside it: name one in the folder")
    return folder / name


def network_of(name_or_path: str | Path) -> nn.Module:
    """The network of a bundle without its data; errors as of :func:`load_bundle`."""
    return _network(name_or_path)[2]


def _network(name_or_path: str | Path) -> tuple[Path, dict[str, Any], nn.Module]:
    """The folder, the header and the network of a bundle."""
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
    try:
        weights = load_file(folder / "model.safetensors")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{folder / 'model.safetensors'}: weights cannot be read: {error}") from error
    return folder, header, restored(architecture, weights, str(header_file), str(folder / "model.safetensors"))


def _check_takes(model: nn.Module, inputs: Tensor, labels: Tensor | None, folder: Path) -> None:
    """Raise ValueError unless the network gives a row of numbers for a sample, one for every label."""
    try:
        with torch.no_grad():
            outputs = model(inputs[:1])
    except (RuntimeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{folder}: the network does not take samples of shape {tuple(inputs.shape[1:])}: {reason}"
        ) from error
    if labels is not None and not (
        outputs.ndim == 2 and 0 <= int(labels.min()) <= int(labels.max()) < outputs.shape[1]
    ):
        raise ValueError(
            f"{folder}: the network's outputs are {tuple(outputs.shape[1:])} for a sample, and its labels go from "
            f"{int(labels.min())} to {int(labels.max())}: they need an output for each, counted from 0"
        )


def _load_data(path: Path, header: Mapping[str, Any]) -> dict[str, Rows]:
    scale, shape = float(header.get("input_scale", 1.0)), header.get("input_shape")
    splits = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            labelled = any(f"{split}_labels" in arrays.files for split in SPLITS)
            for split in SPLITS:
                inputs = torch.from_numpy(arrays[f"{split}_inputs"]).float() * scale
                labels = torch.from_numpy(arrays[f"{split}_labels"]).long() if labelled else None
                if shape is not None:
                    inputs = inputs.reshape(len(inputs), *shape)
                if len(inputs) == 0:
                    raise ValueError(f"{split} has no samples")
                if labels is not None and len(inputs) != len(labels):
                    raise ValueError(f"{split} has {len(inputs)} inputs but {len(labels)} labels")
                if not torch.isfinite(inputs).all():
                    raise ValueError(f"{split}_inputs contains NaN or infinite values")
                splits[split] = (inputs, labels)
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be used as bundle data: {error}") from error
    return splits
