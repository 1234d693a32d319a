"""The Python that makes what a page shows, with the public API alone. Each snippet runs as it stands."""

from __future__ import annotations

import dataclasses
from typing import Any

from nettrim_core.cascade import Cascade
from nettrim_core.methods import METHODS
from nettrim_core.recipe import EPSILONS
from pages.state import Choice


def method_source(choice: Choice, name: str, epsilon: float | None = None) -> str:
    """An expression for a method with this choice's settings, such as ``NetTrim(epsilon=0.1, tol=0.0001)``."""
    method: Any = choice.method(name)
    if epsilon is not None:
        method = dataclasses.replace(method, epsilon=epsilon)
    return f"{type(method).__name__}({_changed(method, always='' if epsilon is None else 'epsilon')})"


def _changed(settings: Any, always: str = "") -> str:
    """The arguments that are not at their default, and the one that is always said, which comes first."""
    said = [f for f in dataclasses.fields(settings) if f.name == always or getattr(settings, f.name) != f.default]
    said.sort(key=lambda f: f.name != always)
    return ", ".join(f"{f.name}={getattr(settings, f.name)!r}" for f in said)


def _cascade_source(choice: Choice) -> str:
    rules = choice.recipe().cascade
    if rules is None:
        return "False"
    if rules == Cascade():
        return "True"
    return f"Cascade({_changed(rules)})"


def _options(choice: Choice, rows: str) -> str:
    """The arguments that prune and sweep share."""
    return f"cascade={_cascade_source(choice)}, test=bundle.{rows}, seed={choice.seed}, max_patches={choice.patches},"


def _imports(choice: Choice, *names: str) -> str:
    used = {type(METHODS[name]).__name__ for name in choice.methods} | set(names) | {"load_bundle"}
    if "Cascade(" in _cascade_source(choice):
        used.add("Cascade")
    ordered = sorted(used, key=lambda name: (not name.isupper(), name[0].islower(), name))
    return f"from nettrim_core import {', '.join(ordered)}\n"


def _setup(choice: Choice) -> str:
    return (
        f'\nbundle = load_bundle("{choice.model}")\n'
        f"inputs = bundle.calibration_sample({choice.n}, seed={choice.seed})\n"
        f"layers = {list(choice.layers)!r}\n"
    )


def curves(choice: Choice) -> str:
    """Every point of the curves, printed as they finish."""
    grid = "coarse_to_fine(EPSILONS)"
    if choice.eps not in EPSILONS:
        grid = f"[{choice.eps!r}, *{grid}]"
    methods = "".join(f"    {method_source(choice, name)},\n" for name in choice.methods)
    return (
        _imports(choice, "EPSILONS", "coarse_to_fine", "sweep")
        + _setup(choice)
        + f"methods = [\n{methods}]\n"
        + f"for name, epsilon, pruned, report in sweep(\n"
        f"    bundle.model, inputs, methods, {grid}, layers,\n"
        f"    {_options(choice, 'validation')}\n"
        "):\n"
        '    print(f"{name:16} epsilon {epsilon:<7.4g} zeros {report.sparsity:6.1%} right {report.accuracy:6.1%}")\n'
    )


def at_epsilon(choice: Choice) -> str:
    """Each method at the knob's epsilon: the network's figures and the layers'."""
    methods = "".join(f"    {method_source(choice, name, choice.eps)},\n" for name in choice.methods)
    return (
        _imports(choice, "prune") + _setup(choice) + f"for method in [\n{methods}]:\n" + "    pruned, report = prune(\n"
        f"        bundle.model, inputs, method, layers,\n"
        f"        {_options(choice, 'validation')}\n"
        "    )\n"
        '    print(f"{report.method}: {report.sparsity:.1%} zeros, {report.accuracy:.1%} right")\n'
        "    for layer in report.layers:\n"
        '        used = f"discrepancy {layer.held:.3f} of {layer.epsilon:.3f}"\n'
        '        print(f"  {layer.name}: {layer.sparsity:.1%} zeros, {used}")\n'
    )


def sight(choice: Choice) -> str:
    """What is left of the first chosen layer's weights, input by input, for the first method."""
    method = method_source(choice, choice.methods[0], choice.eps)
    return (
        _imports(dataclasses.replace(choice, methods=choice.methods[:1]), "prune")
        + _setup(choice)
        + "pruned, report = prune(\n"
        f"    bundle.model, inputs, {method}, layers,\n"
        f"    {_options(choice, 'validation')}\n"
        ")\n"
        "first = pruned.get_submodule(layers[0]).weight\n"
        "left = (first != 0).sum(0)  # weights left, for every input of the layer\n"
        'print(f"{int((left > 0).sum())} of {left.numel()} inputs are still used")\n'
    )


def exported(choice: Choice, name: str) -> str:
    """The exported files."""
    method = method_source(choice, name, choice.eps)
    return (
        _imports(dataclasses.replace(choice, methods=(name,)), "export", "prune")
        + _setup(choice)
        + "pruned, report = prune(\n"
        f"    bundle.model, inputs, {method}, layers,\n"
        f"    {_options(choice, 'test')}\n"
        ")\n"
        'for check in export(pruned, report, "pruned"):\n'
        "    print(check)\n"
    )


def loaded(choice: Choice) -> str:
    """How to load the exported weights in plain torch, without this project."""
    return (
        "from safetensors.torch import load_file\n\n"
        "model = ...  # your own network, built as before it was trained\n"
        'model.load_state_dict(load_file("model.safetensors"), strict=True)\n'
    )
