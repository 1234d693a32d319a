"""smaller.safetensors: the network without its dead neurons, with the architecture that its tensors have now.

The architecture stands in the file's metadata, under ``architecture``, as bundle.json has it.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from nettrim_core.architecture import build, describe
from nettrim_core.dead import without_dead
from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source
from nettrim_core.state import state_of

KEY = "architecture"


def load_smaller(path: str | Path) -> nn.Module:
    """The network in smaller.safetensors, in eval mode.

    Raises ValueError naming the file and the reason for what is no such file.
    """
    try:
        with safe_open(path, "pt") as file:
            architecture = json.loads((file.metadata() or {})[KEY])
        model = build(architecture, str(path))
        state = load_file(path)
        floats = [value.dtype for value in state.values() if value.is_floating_point()]
        model.to(floats[0] if floats else None).load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, OSError, KeyError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not a smaller network: {type(error).__name__}: {error}") from error
    return model.eval()


def _write(source: Source, path: Path) -> None:
    small, _ = without_dead(source.model, source.rows[:1])
    if not isinstance(small, nn.Sequential):
        raise ValueError(
            f"{path}: only a chain, nn.Sequential, can be made smaller, and this is a {type(small).__name__}: take "
            "compact, which has few bytes for zeros, or onnx or pt2, which hold the whole computation"
        )
    architecture = json.dumps(describe(small))
    save_file(state_of(small), path, {KEY: architecture})


def _check(source: Source, path: Path) -> str:
    loaded = load_smaller(path)
    near = compare.outputs(source, loaded, path)
    shrinking = without_dead(source.model, source.rows[:1])[1]
    numbers = sum(value.numel() for value in loaded.state_dict().values())
    if numbers != shrinking.numbers:
        raise ValueError(
            f"{path}: the network holds {numbers:,} numbers after loading; {shrinking.numbers:,} were written"
        )
    return f"{path.name} was loaded again: {near}. {' '.join(shrinking.sentences)}"


FORMAT = Format(
    "Smaller network",
    "smaller.safetensors",
    "The network with every neuron taken out that does nothing any more: fewer numbers to store and to compute with.",
    _write,
    _check,
    needs_inputs=True,
)
