"""What there is to say of a network before it is used: its layers, their shapes, and which of them can be pruned."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from nettrim_core.capture import anatomy
from nettrim_core.data.source import shown

MOST_LAYERS = 500
SIDES = (28, 32, 8, 64, 224, 96, 128, 16, 299)  # of images, and lengths of signals, that networks are often made for
LENGTHS = (40, 64, 128, 100, 256, 32, 1000, 512)
NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def described(model: nn.Module, example: Tensor | None, shape: Sequence[int] | None = None) -> dict[str, Any]:
    """``{"parameters": how many, "input": shape of a sample or None, "layers": [...]}`` with, for everything that has
    parameters, its name, kind, parameters, the shape of its outputs (None where the network cannot be run), and
    "prunes", with the reason in "why" where it does not. example: a few inputs; without any, one of this shape is made,
    or of a usual one where that is not known.

    Raises ValueError for a layer's name that a link or a page could not carry, and for too many layers.
    """
    example = guessed(model, shape) if example is None else example[:1]
    owners = {name: module for name, module in model.named_modules() if list(module.parameters(recurse=False))}
    if len(owners) > MOST_LAYERS:
        raise ValueError(
            f"there are {len(owners):,} layers and at most {MOST_LAYERS} are shown; give a smaller network"
        )
    for name in owners:
        if name and not NAME.fullmatch(name):
            raise ValueError(f"layer '{shown(name, 40)}' has other characters in its name than letters, digits, '_', "
                             "'-' and '.'; rename it")  # fmt: skip
    shapes, targets, reasons = {}, set(), {}
    if example is not None:
        shapes = _shapes(model, owners, example)
        found = anatomy(model, example)
        targets, reasons = {target.name for target in found.targets}, dict(found.skipped)
    else:
        targets = {name for name, module in owners.items() if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)}
    layers = [
        {
            "name": name or "the network itself",
            "kind": type(module).__name__,
            "parameters": sum(p.numel() for p in module.parameters(recurse=False)),
            "weight": list(next(module.parameters(recurse=False)).shape),
            "gives": shapes.get(name),
            "prunes": name in targets,
            "why": "" if name in targets else reasons.get(name, "only linear and convolution layers are pruned"),
        }
        for name, module in owners.items()
    ]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "input": None if example is None else list(example.shape[1:]),
        "layers": layers,
    }


def guessed(model: nn.Module, known: Sequence[int] | None = None) -> Tensor | None:
    """An input that the network takes, of the known shape or of a usual one for its first layer; None where none of
    them fits. Nothing is computed: only shapes are followed."""
    bare = copy.deepcopy(model).to("meta")
    shapes = chain([] if known is None else [tuple(known)], _usual(model))
    return next((torch.zeros(1, *shape) for shape in shapes if _takes(bare, shape)), None)


def _takes(bare: nn.Module, shape: tuple[int, ...]) -> bool:
    try:
        bare(torch.zeros(1, *shape, device="meta"))
    except Exception:  # whatever a layer says of a shape that it does not take
        return False
    return True


def _usual(model: nn.Module) -> Iterator[tuple[int, ...]]:
    kinds = nn.Linear | nn.Conv1d | nn.Conv2d
    first: Any = next((module for module in model.modules() if isinstance(module, kinds)), None)
    if isinstance(first, nn.Linear):
        yield (first.in_features,)
        for channels in (1, 3):
            side = math.isqrt(first.in_features // channels)
            yield (channels, side, side)
    elif isinstance(first, nn.Conv1d):
        yield from ((first.in_channels, length) for length in LENGTHS)
    elif first is not None:
        yield from ((first.in_channels, side, side) for side in SIDES)


def _shapes(model: nn.Module, owners: dict[str, nn.Module], example: Tensor) -> dict[str, list[int]]:
    """The shape of each layer's outputs for one sample."""
    found: dict[str, list[int]] = {}

    def note(name: str, gives: Any) -> None:
        found[name] = list(gives.shape[1:])

    handles = [
        module.register_forward_hook(lambda _, given, gives, name=name: note(name, gives))
        for name, module in owners.items()
    ]
    try:
        with torch.no_grad():
            model(example)
    finally:
        for handle in handles:
            handle.remove()
    return found
