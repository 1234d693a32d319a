"""The architecture of a network as plain data, and the network again.

A chain is a list of layers and blocks, wired steps (:mod:`nettrim_core.wired`) are a mapping of layers and steps. Every
layer is a known type with plain arguments. Nothing is executed or imported by name: what the tables below do not list
is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nettrim_core.blocks import Pick, Residual
from nettrim_core.wired import Step, Wired

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
    "AdaptiveAvgPool1d": (nn.AdaptiveAvgPool1d, ("output_size",)),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d, ("output_size",)),
    "AdaptiveMaxPool1d": (nn.AdaptiveMaxPool1d, ("output_size",)),
    "AdaptiveMaxPool2d": (nn.AdaptiveMaxPool2d, ("output_size",)),
    "ConvTranspose1d": (nn.ConvTranspose1d, (*_CONVOLUTION, "output_padding")),
    "ConvTranspose2d": (nn.ConvTranspose2d, (*_CONVOLUTION, "output_padding")),
    "InstanceNorm1d": (nn.InstanceNorm1d, _NORM),
    "InstanceNorm2d": (nn.InstanceNorm2d, _NORM),
    "GroupNorm": (nn.GroupNorm, ("num_groups", "num_channels", "eps", "affine")),
    "LayerNorm": (nn.LayerNorm, ("normalized_shape", "eps", "elementwise_affine", "bias")),
    "LocalResponseNorm": (nn.LocalResponseNorm, ("size", "alpha", "beta", "k")),
    "Flatten": (nn.Flatten, ("start_dim", "end_dim")),
    "Dropout": (nn.Dropout, ("p",)),
    "Dropout1d": (nn.Dropout1d, ("p",)),
    "Dropout2d": (nn.Dropout2d, ("p",)),
    "Identity": (nn.Identity, ()),
    "Pick": (Pick, ("count",)),
    "Upsample": (nn.Upsample, ("size", "scale_factor", "mode", "align_corners")),
    "PReLU": (nn.PReLU, ("num_parameters",)),
    "LeakyReLU": (nn.LeakyReLU, ("negative_slope",)),
    "ELU": (nn.ELU, ("alpha",)),
    "CELU": (nn.CELU, ("alpha",)),
    "SELU": (nn.SELU, ()),
    "GELU": (nn.GELU, ("approximate",)),
    "SiLU": (nn.SiLU, ()),
    "Mish": (nn.Mish, ()),
    "ReLU6": (nn.ReLU6, ()),
    "Hardtanh": (nn.Hardtanh, ("min_val", "max_val")),
    "Hardsigmoid": (nn.Hardsigmoid, ()),
    "Hardswish": (nn.Hardswish, ()),
    "Sigmoid": (nn.Sigmoid, ()),
    "Tanh": (nn.Tanh, ()),
    "Softplus": (nn.Softplus, ("beta", "threshold")),
    "Softsign": (nn.Softsign, ()),
    "Softmax": (nn.Softmax, ("dim",)),
    "LogSoftmax": (nn.LogSoftmax, ("dim",)),
}
# Blocks a bundle may name, each with the modules that it is built from.
BLOCK_TYPES: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {"Residual": (Residual, ("body", "shortcut"))}
CHAIN = "Sequential"
_KNOWN = ", ".join([*LAYER_TYPES, *BLOCK_TYPES, CHAIN])


Architecture = list[dict[str, Any]] | dict[str, Any]
Model = TypeVar("Model", bound=nn.Module)


def describe(model: nn.Module) -> Architecture:
    """The architecture as plain data, for :func:`build`.

    Of a chain ``[{"name": "fc1", "type": "Linear", ...}, ...]``; a chain inside it has ``layers`` in its turn, and a
    block a description for each module it is built from. Of wired steps ``{"layers": {"fc1": {"type": ...}, ...},
    "tensors": {path: shape}, "steps": [{"name": ..., "takes": [...], "layer": "fc1"}, ...], "output": ...}``.

    Raises ValueError for any other module, or a layer of no known type.
    """
    if type(model) is Wired:
        paths, tensors, steps, output = model.wiring()
        return {
            "layers": {path: _described(path, model.get_submodule(path)) for path in paths},
            "tensors": {path: list(model.get_buffer(path).shape) for path in tensors},
            "steps": [_step(step) for step in steps],
            "output": output,
        }
    if type(model) is not nn.Sequential:
        raise ValueError(f"a {type(model).__name__} cannot be written down; a chain (nn.Sequential) and a Wired can")
    return _chain(model)


def _step(step: Step) -> dict[str, Any]:
    said: dict[str, Any] = {"name": step.name}
    if step.takes:
        said["takes"] = list(step.takes)
    if step.operation:
        return said | {"operation": step.operation, **({"arguments": dict(step.arguments)} if step.arguments else {})}
    return said | ({"layer": step.layer} if step.layer else {"tensor": step.tensor})


def _chain(model: nn.Sequential) -> list[dict[str, Any]]:
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
        return {"type": CHAIN, "layers": _chain(module)}
    if BLOCK_TYPES.get(kind, (None,))[0] is type(module):
        return {"type": kind, **{part: _described(part, getattr(module, part)) for part in BLOCK_TYPES[kind][1]}}
    if LAYER_TYPES.get(kind, (None,))[0] is not type(module):
        raise ValueError(f"layer {name!r} is a {kind}, which a bundle cannot describe; known: {_KNOWN}")
    arguments = {}
    for argument in LAYER_TYPES[kind][1]:
        value = getattr(module, argument)
        arguments[argument] = value is not None if argument == "bias" else value
    return {"type": kind, **arguments}


def build(architecture: object, where: str) -> nn.Module:
    """The network that :func:`describe` wrote down, with fresh weights. ``where`` names the source in errors."""
    if isinstance(architecture, dict):
        return _wired(architecture, where)
    return _built_chain(architecture, where)


def _built_chain(layers: object, where: str) -> nn.Sequential:
    if not isinstance(layers, list):
        raise ValueError(f"{where}: expected a list of layers, got {layers!r}")
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for i, layer in enumerate(layers):
        name = str(layer.get("name", i)) if isinstance(layer, dict) else str(i)
        if not name or "." in name or name in modules or hasattr(nn.Sequential, name):
            raise ValueError(f"{where}: layer {i} is named {name!r}; names are unique, free and without dots")
        modules[name] = _built(layer, f"{where}: layer {name!r}")
    return nn.Sequential(modules)


def _wired(said: dict[str, Any], where: str) -> Wired:
    try:
        layers = {str(path): _built(layer, f"{where}: layer {path!r}") for path, layer in said["layers"].items()}
        tensors = {str(path): torch.zeros([int(n) for n in shape]) for path, shape in said["tensors"].items()}
        steps = [
            Step(
                str(step["name"]), tuple(map(str, step.get("takes", ()))), str(step.get("layer", "")),
                str(step.get("operation", "")), dict(step.get("arguments", {})), str(step.get("tensor", "")),
            )
            for step in said["steps"]
        ]  # fmt: skip
        return Wired(layers, tensors, steps, str(said["output"]))
    except (AttributeError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{where}: expected layers, tensors, steps and an output: {error!r}") from error
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error


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
        return _built_chain(arguments.get("layers", []), where)
    if kind in BLOCK_TYPES:
        values = {part: _built(inner, f"{where}, {part}") for part, inner in arguments.items()}
    else:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
    try:
        return make(**values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where} ({kind}) cannot be built: {error}") from error


def restored(architecture: object, weights: Mapping[str, Tensor], where: str, source: str) -> nn.Module:
    """The network of this architecture with these weights, in eval mode. Nothing is allocated for what ``architecture``
    says, only for what ``weights`` holds.

    where, source: what the architecture and the weights are called in errors. Raises ValueError where they do not fit.
    """
    with torch.device("meta"):
        model = build(architecture, where)
    try:
        return filled(model, weights)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def filled(model: Model, weights: Mapping[str, Tensor]) -> Model:
    """``model``, which may be on the meta device, with these tensors, in eval mode; floating point becomes float32.

    Raises ValueError where they do not fit, or are not finite.
    """
    tensors = {}
    for name, value in weights.items():
        tensors[name] = value.float().contiguous() if value.is_floating_point() else value
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} contains NaN or infinite values: train the network again")
    try:
        model.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(f"weights do not fit the architecture: {error}") from error
    return model.eval()
