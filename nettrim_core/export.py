"""The pruned network as files that plain torch loads, each checked by loading it again."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

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


def _check_weights(model: nn.Module, report: Report, path: Path) -> str:
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.fill_(torch.nan)  # nothing may come from the copy
    fresh.load_state_dict(load_file(path), strict=True)
    wanted = model.state_dict()
    for key, value in fresh.state_dict().items():
        if not torch.equal(value, wanted[key]):
            raise ValueError(f"{path}: {key} differs from the pruned network after loading")
    loaded = fresh.state_dict()
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
