"""State dicts (.safetensors, .pt, .pth): the weights of a network, and the architecture that they fit."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nettrim_core.architecture import describe, restored
from nettrim_core.bundle import network_of, sample_names
from nettrim_core.models.chain import natural, renamed
from nettrim_core.models.layer_list import architecture_of
from nettrim_core.models.wiring import Wiring
from nettrim_core.wired import INPUT, Wired


def read(path: Path, architecture: object = None) -> nn.Module:
    """The network with these weights. architecture: as :func:`nettrim_core.architecture.describe` writes it, or a text
    for :func:`nettrim_core.layer_list`, or what that gives; layers in it may be called otherwise than in the file where
    their shapes follow each other alike. Without one that of a sample model, or of a plain multilayer perceptron with
    ReLUs between its layers, is recognised.

    Raises ValueError naming the file and the reason.
    """
    weights = tensors(path)
    if architecture is not None:
        named = renamed(architecture_of(architecture), weights, ordered=path.suffix.lower() != ".safetensors")
        return restored(named, weights, "architecture", str(path))
    shapes = {name: value.shape for name, value in weights.items()}
    for name in sample_names():
        model = network_of(name)
        if {key: value.shape for key, value in model.state_dict().items()} == shapes:
            return restored(describe(model), weights, name, str(path))
    try:
        return perceptron(weights)
    except ValueError as error:
        raise ValueError(
            f"{path}: weights alone do not say how they are joined, and these are neither those of a sample model nor "
            f"of a plain chain of linear layers ({error}): say the architecture too, or export the network as .pt2"
        ) from error


def tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file. A pickle is read by the loader of torch that admits tensors and nothing else."""
    try:
        if path.suffix.lower() == ".safetensors":
            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever it stumbles over
        if type(error).__name__ == "UnpicklingError":
            raise ValueError(
                f"{path}: a pickle that needs code to be loaded, or none at all; code of a file is never run: save "
                "model.state_dict() instead of the model, best with safetensors"
            ) from error
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path}: not a whole file of weights ({said}): save it again") from error
    for key in ("state_dict", "model_state_dict", "model"):  # a checkpoint with more in it
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: holds no state dict but a {type(found).__name__}: save model.state_dict()")
    odd = next((key for key, value in found.items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise ValueError(f"{path}: {odd!r} is a {type(found[odd]).__name__}, not a tensor: save model.state_dict()")
    for key, value in found.items():
        _check(path, str(key), value)
    return {str(key): value for key, value in found.items()}


def _check(path: Path, name: str, value: Tensor) -> None:
    """Raise ValueError unless these are finite real numbers, as many as the file has for them."""
    if value.layout != torch.strided:
        raise ValueError(f"{path}: holds sparse tensors: save them dense")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise ValueError(f"{path}: {name} has more numbers than the file holds for it: save a copy, made with clone()")
    if value.is_complex() or value.is_quantized:
        raise ValueError(f"{path}: {name} holds numbers of type {value.dtype}: save it as float32")
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{path}: {name} contains NaN or infinite values: train the network again")


def perceptron(weights: dict[str, Tensor]) -> Wired:
    """Linear layers in the order of their names, ReLUs between them. Raises ValueError if that is not what they are."""
    owners = sorted({name.rpartition(".")[0] for name in weights}, key=natural)
    layers = []
    for owner in owners:
        own = {name.rpartition(".")[2]: value for name, value in weights.items() if name.rpartition(".")[0] == owner}
        if not owner or "weight" not in own or set(own) - {"weight", "bias"} or own["weight"].dim() != 2:
            raise ValueError(f"{owner or next(iter(weights))!r} is no linear layer")
        layers.append((owner, own))
    wiring, value = Wiring([layers[0][1]["weight"].shape[1]]), INPUT
    for place, (owner, own) in enumerate(layers):
        outputs, inputs = own["weight"].shape
        value = wiring.layer(owner, "Linear", value, own, in_features=inputs, out_features=outputs, bias="bias" in own)
        if place < len(layers) - 1:
            value = wiring.layer(f"relu{place + 1}", "ReLU", value, {})
    return wiring.done(value)
