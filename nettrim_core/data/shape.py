"""The stored numbers as a network's inputs: channels first, in the shape it takes, on the scale it takes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nettrim_core.data.options import DataOptions
from nettrim_core.data.source import Source, shown


def shaped(source: Source, inputs: Tensor, options: DataOptions) -> Tensor:
    """(rows, ...) in the sample shape that was asked for, then with its channels first."""
    stored, last = tuple(inputs.shape[1:]), options.channels == "last"
    if options.shape:
        held = math.prod(stored)
        if math.prod(options.shape) != held:
            raise source.refusal(
                f"a sample holds {held:,} numbers, which do not make the shape {shown(options.shape)}",
                "choose a shape whose product is that number",
            )
        if last and len(stored) > 2 and options.shape[-1] != stored[-1]:  # else values of channels would be mixed
            raise source.refusal(
                f"the shape {shown(options.shape)} does not end in the {stored[-1]:,} channels of samples that are "
                f"stored as {shown(stored)}",
                "give shape as it is before channels are put first, or leave it empty",
            )
        inputs = inputs.reshape(len(inputs), *options.shape)
    if last:
        if inputs.ndim < 3:
            raise source.refusal(
                f"samples of shape {shown(tuple(inputs.shape[1:]))} have no axis of channels",
                "set channels to first, or give a shape that ends in the number of channels",
            )
        inputs = inputs.movedim(-1, 1)
    return inputs.contiguous()


def normalised(source: Source, inputs: Tensor, calibration: Tensor, options: DataOptions) -> Tensor:
    """((x - shift) / scale - mean) / std in float32; shift and scale from the calibration rows alone, where they
    depend on data at all. Features that do not vary there are only shifted."""
    shift, scale = _affine(calibration, options.normalise)
    found = (inputs - shift) / scale
    for name, values in (("mean", options.mean), ("std", options.std)):
        if not values:
            continue
        if len(values) not in (1, inputs.shape[1]):
            raise source.refusal(
                f"{name} has {len(values)} numbers and a sample has {inputs.shape[1]} channels or features",
                "give one number, or one for each",
            )
        own = torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * (inputs.ndim - 2))
        found = found - own if name == "mean" else found / own
    if not torch.isfinite(found).all():
        raise source.refusal(
            "normalised values are too large for float32", "remove outliers or choose another normalise"
        )
    return found


def _affine(rows: Tensor, how: str) -> tuple[Tensor, Tensor]:
    if how == "none":
        return torch.tensor(0.0), torch.tensor(1.0)
    if how == "255":
        return torch.tensor(0.0), torch.tensor(255.0)
    if how == "range":
        low, high = rows.min().double(), rows.max().double()
        return low.float(), _or_one(high - low).float()
    axes = [0] if how == "feature" else [0, *range(2, rows.ndim)]
    exact = rows.double()
    mean, deviation = exact.mean(axes, keepdim=True)[0], exact.std(axes, correction=0, keepdim=True)[0]
    return mean.float(), _or_one(deviation).float()


def _or_one(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, 1.0)
