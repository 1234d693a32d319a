"""The architecture of a network as plain data, and the network again: a list of known layer types with plain arguments.

Nothing is executed or imported by name: what the tables below do not list is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from nettrim_core.blocks import Residual

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
}
# Blocks a bundle may name, each with the modules that it is built from.
BLOCK_TYPES: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {"Residual": (Residual, ("body", "shortcut"))}
CHAIN = "Sequential"
_KNOWN = ", ".join([*LAYER_TYPES, *BLOCK_TYPES, CHAIN])


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
