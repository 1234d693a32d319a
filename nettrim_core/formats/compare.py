"""What a file that was read again is held against."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from nettrim_core.capture import ROWS_AT_A_TIME, run
from nettrim_core.formats.format import Source

ROUNDINGS = 1000  # another engine adds the same terms in another order: at most one rounding a term, layer after layer


def reloaded(model: nn.Module, state: Mapping[str, Tensor], where: str | Path) -> nn.Module:
    """A copy of ``model`` with these weights, loaded with strict=True, which must be the model's own bit for bit."""
    fresh = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.fill_(torch.nan)  # nothing may come from the copy
    try:
        fresh.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{where}: the weights do not fit the pruned network: {error}") from error
    wanted = model.state_dict()
    for key, value in fresh.state_dict().items():
        if not torch.equal(value, wanted[key]):
            raise ValueError(f"{where}: {key} differs from the pruned network after loading")
    return fresh


def zeros(source: Source, state: Mapping[str, Tensor], path: Path) -> int:
    """The exact zeros of all pruned weights, which must be as many, layer by layer, as the report says."""
    for layer in source.report.layers:
        found = int((state[f"{layer.name}.weight"] == 0).sum())
        if found != layer.weight_zeros:
            raise ValueError(
                f"{path}: {layer.name} has {found} zeros after loading; the report says {layer.weight_zeros}"
            )
    return sum(layer.weight_zeros for layer in source.report.layers)


def state(source: Source, loaded: Mapping[str, Tensor], path: Path) -> str:
    """A sentence on a state dict that was read from ``path``."""
    found = reloaded(source.model, loaded, path).state_dict()
    total = zeros(source, found, path)
    equal = "every tensor equal bit for bit"
    return f"{path.name} was loaded again with strict=True: {equal}, {total:,} exact zeros as reported"


def tolerance(outputs: Tensor) -> float:
    """How far another engine's outputs may be from these: ROUNDINGS times the rounding unit of their type, relative to
    the largest output; for float32 about 1e-4 of it. The usual difference is a few units."""
    return ROUNDINGS * torch.finfo(outputs.dtype).eps * float(outputs.abs().max())


def outputs(source: Source, other: Callable[[Tensor], Tensor], path: Path) -> str:
    """Part of a sentence: how far what ``other`` gives is from the network's outputs, on the calibration inputs batch
    by batch and on a batch of another size. Raises ValueError where that is more than the tolerance."""
    batches = list(source.rows.split(ROWS_AT_A_TIME))
    batches.append(torch.cat([source.rows[:1]] * (2 if len(batches[0]) == 1 else 1)))
    wanted = [run(source.model, rows) for rows in batches]
    allowed = max(tolerance(Z) for Z in wanted)
    largest = 0.0
    for rows, Z in zip(batches, wanted, strict=True):
        found = other(rows.clone()).detach()
        if found.shape != Z.shape:
            raise ValueError(f"{path}: outputs of shape {tuple(found.shape)}; the network's are {tuple(Z.shape)}")
        difference = float((found - Z).abs().max())
        if not difference <= allowed:
            raise ValueError(
                f"{path}: outputs on a batch of {len(rows):,} differ from the pruned network's by up to "
                f"{difference:.2g}; at most {allowed:.2g} is allowed, {ROUNDINGS:,} roundings of the largest output"
            )
        largest = max(largest, difference)
    return (
        f"its outputs on {len(source.rows):,} calibration samples and on a batch of {len(batches[-1])} differ from the "
        f"pruned network's by at most {largest:.2g}, where {allowed:.2g} is allowed, {ROUNDINGS:,} roundings of the "
        "largest output"
    )
