"""The commands about files: networks, recipes, exports."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import typer
from torch import Tensor, nn

from nettrim_cli import show
from nettrim_cli.pruning import formats_of, written
from nettrim_cli.settings import Words, numbers
from nettrim_cli.subject import opened, patches_of
from nettrim_core import environment
from nettrim_core.bundle import sample_titles
from nettrim_core.capture import anatomy, sizes_of
from nettrim_core.layers import is_layer
from nettrim_core.methods import NetTrim
from nettrim_core.models import load_model, sample_shape
from nettrim_core.plan import SAMPLES
from nettrim_core.recipes.replay import Replay
from nettrim_core.recipes.replay import replay as made_again

DIFFERENT = 3


def export(recipe: Path, out: Path, formats: str, model: str, data: str, as_json: bool) -> None:
    wanted = formats_of(formats)
    found, checks = _again(recipe, model, data, None, out, wanted)
    if as_json:
        show.document({"checks": checks, "out": str(out), "same": found.same, "comparison": list(found.sentences)})
        return
    show.say(*checks, "", *found.sentences)


def replay(
    recipe: Path, model: str, data: str, weights: Path | None, out: Path | None, formats: str, as_json: bool
) -> None:
    found, checks = _again(recipe, model, data, weights, out, formats_of(formats) if out is not None else [])
    if as_json:
        show.document(
            {
                "same": found.same, "comparison": list(found.sentences), "report": found.report.to_dict(),
                "recipe": found.recipe.to_dict(), "checks": checks,
            }
        )  # fmt: skip
    else:
        show.report(found.report)
        show.say("", *found.sentences)
        show.say(*checks)
    if found.same is False:
        raise typer.Exit(DIFFERENT)


def _again(
    recipe: Path, model: str, data: str, weights: Path | None, out: Path | None, wanted: list[str]
) -> tuple[Replay, list[str]]:
    """A recipe's result made again, and exported where a folder is given."""
    torch.set_num_threads(environment.cores())
    with show.progress() as hear:
        found = made_again(recipe, model=model or None, data=data or None, weights=weights, hear=hear)
    return found, [] if out is None else written(found, out, wanted)


def inspect(
    model: str, data: str, architecture: Path | None, settings: list[str], shape: str, samples: int | None,
    patches: str, as_json: bool,
) -> None:  # fmt: skip
    if not model:
        _samples(as_json)
        return
    text = "" if architecture is None else architecture.read_text(encoding="utf-8")
    words = Words(settings)
    network, example, rows = _network(model, data, text, words, shape)
    words.finished()
    count = min(SAMPLES, rows or SAMPLES) if samples is None else samples
    layers, skipped = _layers(network, example, count, patches_of(patches))
    found = {
        "model": model, "sample_shape": list(example.shape[1:]), "samples": count,
        "parameters": sum(p.numel() for p in network.parameters()),
        "layers": layers, "skipped": [{"name": name, "reason": reason} for name, reason in skipped],
    }  # fmt: skip
    if as_json:
        show.document(found)
        return
    show.say(f"{model}: {found['parameters']:,} parameters; a sample is {tuple(example.shape[1:])}.", "")
    heads = ("Layer", "Kind", "After it", "Inputs", "Outputs", "Weights", "Net-Trim's memory")
    show.table(heads, (_row(layer) for layer in layers), left=3)
    show.say(
        "",
        f"Memory is about what Net-Trim takes for the layer on {count:,} samples; {patches} patches of a convolution.",
    )
    for name, reason in skipped:
        show.say(f"{name} cannot be pruned: {reason}")


def _samples(as_json: bool) -> None:
    titles = sample_titles()
    if as_json:
        show.document({"samples": titles})
        return
    show.table(("Sample model", "Title"), titles.items(), left=2)


def _network(model: str, data: str, text: str, words: Words, shape: str) -> tuple[nn.Module, Tensor, int]:
    """The network, a sample for it, and how many calibration rows there are; 0 for unknown."""
    if data or not Path(model).is_file():
        bundle, _ = opened(model, data, text, words)
        return bundle.model, bundle.calibration[:1], len(bundle.calibration)
    network = load_model(model, architecture=text or None)
    sizes = [int(number) for number in numbers("--shape", shape)] or list(sample_shape(network, text or None) or ())
    first = next((module for module in network.modules() if is_layer(module)), None)
    if not sizes and isinstance(first, nn.Linear):
        sizes = [first.in_features]
    if not sizes:
        raise ValueError(f"{model}: it does not say how large a sample is: give --shape, such as 1,28,28")
    example = torch.zeros(1, *sizes)
    try:
        with torch.no_grad():
            network(example)
    except (RuntimeError, ValueError, IndexError) as error:
        said = str(error).splitlines()[0]
        raise ValueError(
            f"{model}: it does not take a sample of shape {tuple(sizes)} ({said}): give --shape"
        ) from error
    return network, example, 0


def _layers(
    network: nn.Module, example: Tensor, samples: int, patches: int | None
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    found = anatomy(network, example)
    sizes = sizes_of(network, example, samples, patches)
    layers = []
    for target in found.targets:
        layer, size = target.layer(network), sizes[target.name]
        layers.append(
            {
                "name": target.name, "kind": type(layer).__name__, "relu": target.relu, "norm": target.norm,
                "calls": target.calls, "inputs": size.inputs, "outputs": size.outputs,
                "weights": layer.weight.numel(), "bias": layer.bias is not None, "note": target.note,
                "memory": NetTrim().memory(size, environment.cores()), "size": dataclasses.asdict(size),
            }
        )  # fmt: skip
    return layers, found.skipped


def _row(layer: dict[str, Any]) -> tuple[str, ...]:
    after = ", ".join([*([layer["norm"]] if layer["norm"] else []), "ReLU" if layer["relu"] else "linear"])
    return (
        layer["name"], layer["kind"], after, f"{layer['inputs']:,}", f"{layer['outputs']:,}", f"{layer['weights']:,}",
        f"{layer['memory'] / 1e6:,.0f} MB",
    )  # fmt: skip
