"""The pruned network as files, each checked by loading it again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor, nn

from nettrim_core.dense import checked_inputs
from nettrim_core.formats import FORMATS, Source, source
from nettrim_core.formats.compare import reloaded
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.report import Report


def export(
    model: nn.Module,
    report: Report,
    path: str | Path,
    formats: Sequence[str] = ("safetensors", "report"),
    *,
    inputs: Tensor | None = None,
    recipe: Recipe | None = None,
    curves: Sequence[Report] = (),
) -> list[str]:
    """Write the pruned network into the folder ``path``, a file for each format, names in FORMATS.

    inputs: (samples, ...) calibration inputs, for formats that hold the computation and are compared by outputs.
    recipe: what made the network, for formats that tell how to make it again. curves: reports of the points around it,
    as :func:`nettrim_core.sweep` gives them, for formats that show them.

    ``model`` is not touched; zeros are written without their sign. Every file is read again and compared with what it
    was made from; returns what was checked, a sentence for each file.

    Raises ValueError for a format that there is none of, that lacks what it needs or cannot hold this network, and,
    naming the file and the difference, where a check fails; that file is not left behind.
    """
    names = _known(formats)
    made = source(model, report, None if inputs is None else checked_inputs(inputs, "inputs"), recipe, curves)
    for name in names:
        _check_has(name, made)
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    checks = []
    for name in names:
        file = folder / FORMATS[name].file
        try:
            FORMATS[name].write(made, file)
            checks.append(FORMATS[name].check(made, file))
        except BaseException:  # an interrupt too is not to leave half a file
            file.unlink(missing_ok=True)
            raise
    return checks


def _known(formats: Sequence[str]) -> list[str]:
    if isinstance(formats, str) or not formats:
        raise ValueError(f"formats = {formats!r} must be a list of names, at least one of {', '.join(FORMATS)}")
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"unknown format {name!r}; known formats: {', '.join(FORMATS)}")
    return list(dict.fromkeys(formats))


def _check_has(name: str, made: Source) -> None:
    """Raise ValueError where a format lacks what it is made from."""
    known = FORMATS[name]
    if known.needs_inputs and made.inputs is None:
        raise ValueError(f"the format {name} needs inputs: give the calibration inputs, a tensor (samples, ...)")
    if known.needs_recipe and made.recipe is None:
        raise ValueError(f"the format {name} needs a recipe: give the one that made the network")
    if known.needs_curves and not made.curves:
        raise ValueError(f"the format {name} needs curves: give the reports of a sweep")


def packed(model: nn.Module, masks: Mapping[str, Tensor]) -> bytes:
    """The state dict as the bytes of model.safetensors, loaded again with strict=True and compared.

    masks: parameter name -> bool, False where it must be exactly zero. Raises ValueError where a check fails.
    """
    file = FORMATS["safetensors"].file
    data = save({key: value.contiguous() for key, value in model.state_dict().items()})
    loaded = reloaded(model, load(data), file).state_dict()
    for name, mask in masks.items():
        if bool(loaded[name][~mask].any()):
            raise ValueError(f"{file}: {name} has weights that are not zero where its mask says they are")
    return data


def unpacked(model: nn.Module, data: bytes) -> nn.Module:
    """A copy of ``model`` with the weights that :func:`packed` gave."""
    fresh = copy.deepcopy(model)
    fresh.load_state_dict(load(data), strict=True)
    return fresh
