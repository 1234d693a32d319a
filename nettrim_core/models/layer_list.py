"""A network as a short text, a layer a line, and the shape of a sample after each line or what is wrong in it.

input 1 28 28
conv1: conv 20 kernel=5
relu
maxpool 2
flatten
linear 10        # a number of outputs
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nettrim_core.architecture import LAYER_TYPES, Architecture, describe
from nettrim_core.models.chain import put
from nettrim_core.models.wiring import MOST_NUMBERS

MOST_LINES, MOST_WEIGHTS = 200, 1_000_000_000
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """A line of the text; the shape of one sample after it, None where there is no layer in it or it cannot be known;
    what is wrong, a sentence."""

    text: str
    shape: Shape | None = None
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """The lines, and the architecture as :func:`nettrim_core.architecture.describe` writes it, None where a line has a
    problem."""

    lines: list[Line]
    architecture: Architecture | None

    @property
    def problem(self) -> str:
        """The first one with its line; empty where there is none."""
        return next((f"line {i}: {line.problem}" for i, line in enumerate(self.lines, 1) if line.problem), "")

    @property
    def sample_shape(self) -> Shape | None:
        """Of one input, as the first line says it; None where that has a problem."""
        return next((line.shape for line in self.lines if line.shape is not None), None)


@dataclass(frozen=True)
class Kind:
    """What a word of the text makes. type: in LAYER_TYPES, with {} for the dimensions of its space. number: the
    argument that a bare number is. options: further arguments by their words. needs: those that must be said. takes:
    the one that is the channels of what it takes. fixed: those that are always alike."""

    type: str
    number: str = ""
    options: Mapping[str, str] | None = None
    needs: tuple[str, ...] = ()
    takes: str = ""
    fixed: Mapping[str, Any] | None = None


_WINDOW = {"stride": "stride", "padding": "padding"}
KINDS: dict[str, Kind] = {
    "linear": Kind("Linear", "out_features", {"bias": "bias"}, ("out_features",), "in_features"),
    "conv": Kind(
        "Conv{}d", "out_channels",
        {**_WINDOW, "kernel": "kernel_size", "dilation": "dilation", "groups": "groups", "bias": "bias"},
        ("out_channels", "kernel_size"), "in_channels",
    ),
    "batchnorm": Kind("BatchNorm{}d", "", {"eps": "eps", "momentum": "momentum"}, (), "num_features"),
    "maxpool": Kind(
        "MaxPool{}d", "kernel_size", {**_WINDOW, "dilation": "dilation", "ceil": "ceil_mode"}, ("kernel_size",)
    ),
    "avgpool": Kind("AvgPool{}d", "kernel_size", {**_WINDOW, "ceil": "ceil_mode"}, ("kernel_size",)),
    "adaptiveavgpool": Kind("AdaptiveAvgPool{}d", "output_size", {}, ("output_size",)),
    "adaptivemaxpool": Kind("AdaptiveMaxPool{}d", "output_size", {}, ("output_size",)),
    "globalpool": Kind("AdaptiveAvgPool{}d", fixed={"output_size": 1}),
    "flatten": Kind("Flatten"),
    "dropout": Kind("Dropout", "p"),
    "softmax": Kind("Softmax", fixed={"dim": 1}),
    "logsoftmax": Kind("LogSoftmax", fixed={"dim": 1}),
}  # fmt: skip
ACTIVATIONS = ("ReLU", "PReLU", "LeakyReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "ReLU6", "Hardtanh",
               "Hardsigmoid", "Hardswish", "Sigmoid", "Tanh", "Softplus", "Softsign")  # fmt: skip
for _type in ACTIVATIONS:
    _arguments = LAYER_TYPES[_type][1]
    _number = _arguments[0] if len(_arguments) == 1 else ""
    KINDS[_type.lower()] = Kind(_type, _number, {name: name for name in _arguments})

EXAMPLES = {"linear": "linear 10", "conv": "conv 20 kernel=5"}

# what an argument may be: one whole number, one for each dimension or for all, yes or no, any number
WHOLE = {"out_features": 1, "out_channels": 1, "groups": 1, "num_parameters": 1}  # the least one
SIZES = {"kernel_size": 1, "stride": 1, "dilation": 1, "output_size": 1, "padding": 0}
FLAGS = {"yes": True, "no": False}
WORDS = {"bias": FLAGS, "ceil_mode": FLAGS, "padding": {"same": "same", "valid": "valid"},
         "approximate": {"none": "none", "tanh": "tanh"}}  # fmt: skip


def layer_list(text: str) -> Listing:
    """Read a text like that above: first the shape of one sample, then a layer a line, ``name: type number key=value``.

    Types are linear, conv, batchnorm, maxpool, avgpool, adaptiveavgpool, adaptivemaxpool, globalpool, flatten, dropout,
    softmax, logsoftmax and the activations; sizes of windows are 3 or 3x5. Whether layers have one or two dimensions
    follows from the shape. Names may have dots. What is wrong is said in its line, and never raised; nothing of the
    sizes that the text asks for is allocated. Of a text that is too long only the first lines are looked at.
    """
    lines: list[Line] = []
    chain = nn.Sequential()
    shape: Shape | None = None
    given = str(text).splitlines()
    for line in given[:MOST_LINES]:
        said = line.partition("#")[0].strip()
        if not said or any(line.problem for line in lines):
            lines.append(Line(line))
            continue
        try:
            shape = _input(said) if shape is None else _add(said, shape, chain)
            lines.append(Line(line, shape))
        except ValueError as error:
            lines.append(Line(line, None, str(error)))
    good = not any(line.problem for line in lines)
    if len(given) > MOST_LINES and good:
        lines.append(Line(given[MOST_LINES], None, f"the text has more than {MOST_LINES:,} lines"))
    elif good and not len(chain):
        lines = lines or [Line("")]
        lines[-1] = Line(
            lines[-1].text, lines[-1].shape, "there are no layers yet: write one a line, as in 'linear 10'"
        )
    listing = Listing(lines, None)
    return listing if listing.problem else Listing(lines, describe(chain))


def _input(said: str) -> Shape:
    word, *sizes = said.split()
    if word.rstrip(":") != "input" or not 1 <= len(sizes) <= 3:
        raise ValueError(
            "first comes the shape of one sample: 'input 784', 'input 1 40' (channels, length) or 'input 1 28 28' "
            "(channels, height, width)"
        )
    return _checked(tuple(_whole(size, "a size of the input", 1) for size in sizes))


def _add(said: str, shape: Shape, chain: nn.Sequential) -> Shape:
    """The shape after one more layer, which is added to the chain."""
    name, colon, rest = said.rpartition(":")
    word, *values = rest.split() or [""]
    word = word.lower()
    if word not in KINDS:
        near = difflib.get_close_matches(word, KINDS, 1)
        raise ValueError(f"{word!r} is no layer{f'; is {near[0]} meant' if near else ''}: known are {', '.join(KINDS)}")
    module = _module(word, values, shape)
    after = _run(module, word, shape)
    number = 1 + sum(type(layer) is type(module) for layer in chain.modules())
    put(chain, name.strip() if colon else f"{word}{number}", module)
    weights = sum(parameter.numel() for parameter in chain.parameters())
    if weights > MOST_WEIGHTS:
        raise ValueError(f"the layers have {weights:,} weights so far; at most {MOST_WEIGHTS:,} are read")
    return after


def _module(word: str, values: Sequence[str], shape: Shape) -> nn.Module:
    """The layer, on the meta device."""
    kind, space = KINDS[word], len(shape) - 1
    if word == "linear" and space:
        raise ValueError(f"a linear layer takes one dimension, and gets {_said(shape)}: put flatten before it")
    if "{}" in kind.type and word != "batchnorm" and not space:
        raise ValueError(f"a {word} takes channels with a length or a height and width, and gets {_said(shape)}")
    dimensions = max(space, 1)
    arguments = dict(kind.fixed or {}) | ({kind.takes: shape[0]} if kind.takes else {})
    for value in values:
        option, equals, text = value.rpartition("=")
        argument = (kind.options or {}).get(option.lower(), "") if equals else kind.number
        if not argument:
            known = ", ".join(f"{name}=" for name in kind.options or {}) or "none"
            also = "a number and " if kind.number else ""
            raise ValueError(f"{value!r}: {word} takes {also}these options: {known}")
        if argument in arguments:
            raise ValueError(f"{value!r}: {word} has its {argument.replace('_', ' ')} already")
        arguments[argument] = _value(argument, text, value, dimensions)
    for argument in kind.needs:
        if argument not in arguments:
            raise ValueError(
                f"{word} needs its {argument.replace('_', ' ')}, as in '{EXAMPLES.get(word, f'{word} 2')}'"
            )
    try:
        with torch.device("meta"):
            return LAYER_TYPES[kind.type.format(f"{dimensions}")][0](**arguments).eval()
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{word}: {str(error).splitlines()[0]}") from error


def _value(argument: str, text: str, said: str, dimensions: int) -> Any:
    if text in WORDS.get(argument, {}):
        return WORDS[argument][text]
    if argument in WHOLE:
        return _whole(text, said, WHOLE[argument])
    if argument in SIZES:
        sizes = tuple(_whole(size, said, SIZES[argument]) for size in text.split("x"))
        if len(sizes) not in (1, dimensions):
            raise ValueError(f"{said!r}: {len(sizes)} sizes for {dimensions} dimension{'s' if dimensions > 1 else ''}")
        return sizes[0] if len(sizes) == 1 else sizes
    if argument in WORDS:
        raise ValueError(f"{said!r}: one of {', '.join(WORDS[argument])} is meant")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{said!r} is not a number")
    return number


def _whole(text: str, said: str, least: int) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < least:
        raise ValueError(f"{said!r}: {text!r} is not a whole number from {least} to 999,999,999")
    return int(text)


def _run(module: nn.Module, word: str, shape: Shape) -> Shape:
    try:
        after = module(torch.empty(2, *shape, device="meta")).shape[1:]
    except (ValueError, TypeError, RuntimeError, IndexError, OverflowError) as error:
        raise ValueError(f"a {word} cannot take {_said(shape)}: {str(error).splitlines()[0]}") from error
    return _checked(tuple(after))


def _checked(shape: Shape) -> Shape:
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"{_said(shape)} are {math.prod(shape):,} numbers a sample; at most {MOST_NUMBERS:,} are read")
    return shape


def _said(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def architecture_of(said: object) -> Architecture:
    """Of a listing or a text for one; anything else is taken for an architecture. Raises ValueError for a problem."""
    listing = layer_list(said) if isinstance(said, str) else said
    if not isinstance(listing, Listing):
        return listing  # type: ignore[return-value]  # checked where it is built
    if listing.architecture is None:
        raise ValueError(f"architecture, {listing.problem}")
    return listing.architecture
