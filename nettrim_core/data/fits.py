"""Does a network take this data, and is it any good on it?"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nettrim_core.capture import device_at, run
from nettrim_core.data.rows import Data
from nettrim_core.data.source import shown
from nettrim_core.report import Plain, wilson

MOST = 2000  # validation rows that are looked at, evenly spread


@dataclass(frozen=True)
class Fit(Plain):
    """sentence: the answer. takes: does the network give finite outputs for the samples, as many as labels need?
    outputs: how many; samples: validation rows looked at, of which accuracy is the part that is right, and commonest
    the part with the commonest label; better: is Wilson's 95 % interval of the accuracy above that? None for what
    cannot be said."""

    takes: bool
    sentence: str
    outputs: int | None = None
    samples: int = 0
    accuracy: float | None = None
    commonest: float | None = None
    better: bool | None = None


def fits(model: nn.Module, data: Data) -> Fit:
    """Run a copy of the network, in eval mode, on validation rows, and say in a sentence how the two go together;
    nothing is raised for a network that does not take them."""
    network = copy.deepcopy(model).eval()
    inputs, labels = data.validation
    step = math.ceil(len(inputs) / MOST)
    rows = inputs[::step].to(device_at(network))
    entered, shapes = _heard(network)
    try:
        outputs = run(network, rows)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        return Fit(False, _refused(network, entered, shapes, data, error))
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] < 1:
        got = tuple(outputs.shape[1:]) if isinstance(outputs, Tensor) else type(outputs).__name__
        return Fit(False, f"The network takes the samples but gives {shown(got)} for each, not one list of numbers.")
    outputs, count = outputs.cpu(), outputs.shape[1]
    if bad := int((~torch.isfinite(outputs)).any(1).sum()):
        sentence = (
            f"The outputs for {bad:,} of {len(rows):,} validation samples are NaN or infinite: are the values far "
            "larger than those the network was trained on?"
        )
        return Fit(False, sentence, count)
    if labels is None:
        sentence = f"The network takes the samples and gives {count} outputs; without labels its accuracy is not known."
        return Fit(True, sentence, count, len(rows))
    return _judged(outputs.argmax(1).cpu(), labels[::step], count, data)


def _heard(network: nn.Module) -> tuple[list[str], list[tuple[int, ...]]]:
    """Lists that fill, as the network runs, with the modules without children that begin and the shapes they get."""
    entered: list[str] = []
    shapes: list[tuple[int, ...]] = []

    def hear(name: str, given: tuple[object, ...]) -> None:
        entered.append(name)
        shapes.append(tuple(given[0].shape[1:]) if given and isinstance(given[0], Tensor) else ())

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_pre_hook(lambda _, given, name=name: hear(name, given))
    return entered, shapes


def _refused(
    network: nn.Module, entered: list[str], shapes: list[tuple[int, ...]], data: Data, error: Exception
) -> str:
    sample = tuple(data.calibration.shape[1:])
    start = f"The network does not take samples of shape {shown(sample)}"
    if not entered:
        return f"{start}: {_first_line(error)}."
    layer, shape = network.get_submodule(entered[-1]), shapes[-1]
    who = f"layer {shown(entered[-1])}" if entered[-1] else "the layer"  # a network may be one layer
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return f"{start}: {_of_convolution(layer, who, shape, sample)}"
    if isinstance(layer, nn.Linear) and shape and shape[-1] != layer.in_features:
        where = f"{who} expects {layer.in_features:,} numbers and gets {shape[-1]:,}"
        if math.prod(sample) == layer.in_features:
            return f"{start}: {where}; set shape to {layer.in_features}?"
        what = "the images are of another size than those" if len(sample) > 1 else "these are not the features"
        return f"{start}: {where}; {what} it was trained on?"
    return f"{start}: {who} says: {_first_line(error)}."


def _of_convolution(
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, who: str, shape: tuple[int, ...], sample: tuple[int, ...]
) -> str:
    axes, channels = len(layer.kernel_size), layer.in_channels
    if len(shape) != axes + 1:
        words = "channels, height and width" if axes == 2 else f"channels and {axes} more axes"
        side = math.isqrt(math.prod(sample) // channels)
        whole = axes == 2 and side * side * channels == math.prod(sample)
        hint = f"set shape to {channels}, {side}, {side}?" if whole else "set shape?"
        return f"{who} expects {words}; {hint}"
    if shape[0] != channels:
        hint = "are the channels stored last?" if shape[-1] == channels else "grey in place of colour, or the reverse?"
        return f"{who} expects {channels} channels and gets {shape[0]}; {hint}"
    return f"{who} is given {shown(shape)}, smaller than its filters or of another type; another size?"


def _first_line(error: Exception) -> str:
    return shown((str(error).splitlines() or [type(error).__name__])[0], 120).rstrip(".")


def _judged(found: Tensor, labels: Tensor, count: int, data: Data) -> Fit:
    highest = len(data.classes) - 1
    if highest >= count:
        from_one = highest == count and not (labels == 0).any()
        hint = (
            "set first_class to 1, if classes are counted from 1?" if from_one else "is it the network for this data?"
        )
        outputs = f"{count} outputs, for labels 0 to {count - 1}" if count > 1 else "1 output"
        return Fit(False, f"The network has {outputs}, and labels run up to {highest}: {hint}", count, len(labels))
    counts = torch.bincount(labels, minlength=count)
    accuracy, common = float((found == labels).double().mean()), int(counts.argmax())
    commonest = float(counts[common]) / len(labels)
    better = wilson(accuracy, len(labels))[0] > commonest
    sentence = f"The dense network is right on {100 * accuracy:.3g} % of {len(labels):,} validation samples, "
    if better:
        sentence += (
            f"and always saying class {shown(data.classes[common], 40)} would be right on {100 * commonest:.3g} %"
        )
        sentence += "." if count == highest + 1 else f"; of its {count} outputs the labels use {highest + 1}."
    else:
        sentence += (
            f"no better than always saying class {shown(data.classes[common], 40)}: is the normalisation the one it "
            "was trained with?"
        )
    return Fit(True, sentence, count, len(labels), accuracy, commonest, better)
