"""The pruned network as files that plain torch loads, each checked by loading it again."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor, nn

from nettrim_core.report import Report

WEIGHTS, REPORT = "model.safetensors", "report.json"


def export(model: nn.Module, report: Report, path: str | Path) -> list[str]:
    """Write model.safetensors (same keys, exact zeros) and report.json into the folder ``path``.

    Both are read again and compared with what they were made from; returns what was checked, a sentence each.
    Raises ValueError naming the file and the difference if a check fails.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / WEIGHTS)
    (folder / REPORT).write_text(report.to_json() + "\n")
    return [_check_weights(model, report, folder / WEIGHTS), _check_report(report, folder / REPORT)]


def packed(model: nn.Module, masks: Mapping[str, Tensor]) -> bytes:
    """The state dict as the bytes of model.safetensors, loaded again with strict=True and compared.

    masks: parameter name -> bool, False where it must be exactly zero. Raises ValueError where a check fails.
    """
    data = save({key: value.contiguous() for key, value in model.state_dict().items()})
    loaded = _reloaded(model, load(data), WEIGHTS).state_dict()
    for name, mask in masks.items():
        if bool(loaded[name][~mask].any()):
            raise ValueError(f"{WEIGHTS}: {name} has weights that are not zero where its mask says they are")
    return data


def unpacked(model: nn.Module, data: bytes) -> nn.Module:
    """A copy of ``model`` with the weights that :func:`packed` gave."""
    fresh = copy.deepcopy(model)
    fresh.load_state_dict(load(data), strict=True)
    return fresh


def _reloaded(model: nn.Module, weights: dict[str, Tensor], source: str | Path) -> nn.Module:
    """A copy with these weights, which must be the model's own bit for bit."""
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.fill_(torch.nan)  # nothing may come from the copy
    fresh.load_state_dict(weights, strict=True)
    wanted = model.state_dict()
    for key, value in fresh.state_dict().items():
        if not torch.equal(value, wanted[key]):
            raise ValueError(f"{source}: {key} differs from the pruned network after loading")
    return fresh


def _check_weights(model: nn.Module, report: Report, path: Path) -> str:
    loaded = _reloaded(model, load_file(path), path).state_dict()
    for layer in report.layers:
        zeros = int((loaded[f"{layer.name}.weight"] == 0).sum())
        if zeros != layer.weight_zeros:
            raise ValueError(
                f"{path}: {layer.name} has {zeros} zeros after loading; the report says {layer.weight_zeros}"
            )
    total = sum(layer.weight_zeros for layer in report.layers)
    equal = "every tensor equal bit for bit"
    return f"{path.name} was loaded again with strict=True: {equal}, {total:,} exact zeros as reported"


def _check_report(report: Report, path: Path) -> str:
    if Report.from_dict(json.loads(path.read_text())).to_dict() != report.to_dict():
        raise ValueError(f"{path}: the report differs after loading")
    return f"{path.name} was loaded again: every figure equal"
