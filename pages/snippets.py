"""The Python that makes what a page shows, with the public API alone. Each snippet runs as it stands."""

from __future__ import annotations

import dataclasses
from typing import Any

from nettrim_core.cascade import Cascade
from nettrim_core.methods import METHODS
from nettrim_core.plan import EPSILONS
from nettrim_core.recipes.script import changed, expression
from pages.curves import grid_of, stops_of
from pages.state import OWN, Choice
from pages.store import bundle_of, facts_of


def method_source(choice: Choice, name: str, epsilon: float | None = None) -> str:
    """An expression for a method with this choice's settings, such as ``NetTrim(epsilon=0.1, tol=0.0001)``."""
    method: Any = choice.method(name)
    if epsilon is not None:
        method = dataclasses.replace(method, epsilon=epsilon)
    return expression(method, () if epsilon is None else ("epsilon",))


def cascade_source(choice: Choice) -> str:
    rules = choice.plan().cascade
    if rules is None:
        return "False"
    if rules == Cascade():
        return "True"
    return f"Cascade({changed(rules)})"


def options(choice: Choice, rows: str) -> str:
    """The arguments that prune and sweep share."""
    scale = dict(choice.plan().scale)
    said = f"cascade={cascade_source(choice)}, test=bundle.{rows}, seed={choice.seed}, max_patches={choice.patches},"
    return said + (f" scale={scale!r}," if scale else "")


def imports(choice: Choice, *names: str) -> str:
    used = {type(METHODS[name]).__name__ for name in choice.methods} | set(names) | {"load_bundle"}
    if "Cascade(" in cascade_source(choice):
        used.add("Cascade")
    ordered = sorted(used, key=lambda name: (not name.isupper(), name[0].islower(), name))
    return f"from nettrim_core import {', '.join(ordered)}\n"


def loading(model: str) -> str:
    """An expression for a network with its data."""
    where = '  # the folder in what "Save this bundle" gives' if OWN.fullmatch(model) else ""
    return f'load_bundle("{model}"){where}'


def labelled(model: str) -> bool:
    """Can be said what is right?"""
    return bundle_of(model).validation[1] is not None


def worth(model: str, width: str = "") -> str:
    """The part of an f-string that says how good a network is: without labels, how far its outputs have moved."""
    return f"{{report.accuracy:{width}.1%}} right" if labelled(model) else "outputs moved {report.output_error:.3g}"


def setup(choice: Choice) -> str:
    return (
        f"\nbundle = {loading(choice.model)}\n"
        f"inputs = bundle.calibration_sample({choice.n}, seed={choice.seed})\n"
        f"layers = {list(choice.layers)!r}\n"
    )


def curves(choice: Choice) -> str:
    """Every point of the curves, printed as they finish."""
    if choice.knob != "eps":
        return _along(choice)
    grid = "coarse_to_fine(EPSILONS)"
    if choice.eps not in EPSILONS:
        grid = f"[{choice.eps!r}, *{grid}]"
    methods = "".join(f"    {method_source(choice, name)},\n" for name in choice.methods)
    found = f"{{report.sparsity:6.1%}} zeros, {worth(choice.model, '6')}"
    return (
        imports(choice, "EPSILONS", "coarse_to_fine", "sweep")
        + setup(choice)
        + f"methods = [\n{methods}]\n"
        + f"for name, epsilon, pruned, report in sweep(\n"
        f"    bundle.model, inputs, methods, {grid}, layers,\n"
        f"    {options(choice, 'validation')}\n"
        "):\n"
        f'    print(f"{{name:16}} epsilon {{epsilon:<7.4g}} {found}")\n'
    )


def _along(choice: Choice) -> str:
    """The curves where another setting than epsilon is on the knob."""
    stops = [stop.value for stop in stops_of(choice, facts_of(choice.model).rows)]
    indented = "".join(f"    {line}\n" if line else "" for line in setup(choice).strip().splitlines()[1:])
    methods = "".join(f"        {_varied(choice, name)},\n" for name in choice.methods)
    if choice.knob == "n":
        indented = indented.replace(f"sample({choice.n},", "sample(value,")
    arguments = options(choice, "validation")
    if choice.knob.startswith("cascade."):
        rules = dataclasses.asdict(choice.of("cascade")) | {choice.knob.removeprefix("cascade."): None}
        said = ", ".join(f"{key}={'value' if value is None else repr(value)}" for key, value in rules.items())
        arguments = arguments.replace(f"cascade={cascade_source(choice)}", f"cascade=Cascade({said})")
    extra = ("Cascade",) if "Cascade(" in arguments else ()
    return (
        imports(choice, "prune", *extra)
        + f"\nbundle = {loading(choice.model)}\n"
        + f"for value in {stops!r}:\n"
        + indented
        + f"    for method in [\n{methods}    ]:\n        pruned, report = prune(\n"
        + f"            bundle.model, inputs, method, layers,\n            {arguments}\n        )\n"
        + f'        found = f"{{report.sparsity:6.1%}} zeros, {worth(choice.model, "6")}"\n'
        + '        print(f"{report.method:16} {value!r:>8} {found}")\n'
    )


def _varied(choice: Choice, name: str) -> str:
    """A method's source with the setting that is on the knob taken from ``value``."""
    owner, _, own = choice.knob.rpartition(".")
    if owner != name:
        return method_source(choice, name, choice.eps)
    method: Any = choice.solving(name)
    said = [f for f in dataclasses.fields(method) if f.name == "epsilon" or getattr(method, f.name) != f.default]
    shown = [f"{f.name}={getattr(method, f.name)!r}" for f in said if f.name != own]
    return f"{type(method).__name__}({', '.join([*shown, f'{own}=value'])})"


def grid(choice: Choice) -> str:
    """One figure of the method under the lens at every pair of two settings."""
    one = dataclasses.replace(choice, methods=(choice.lens[1],), grid="")
    beside = [stop.value for stop in grid_of(choice, facts_of(choice.model).rows)]
    return "\n".join(f"# {choice.grid} = {value!r}\n{curves(one.moved(choice.grid, value))}" for value in beside)


def mask(choice: Choice) -> str:
    """The mask of the layer under the lens, for every method."""
    layer = choice.lens[0]
    methods = "".join(f"    {method_source(choice, name, choice.eps)},\n" for name in choice.methods)
    return (
        imports(choice, "prune") + setup(choice) + f"for method in [\n{methods}]:\n    pruned, report = prune(\n"
        f"        bundle.model, inputs, method, layers,\n        {options(choice, 'validation')}\n    )\n"
        f'    mask = pruned.get_parameter("{layer}.weight") != 0  # True where a weight is left\n'
        '    print(f"{report.method} keeps {int(mask.sum())} of {mask.numel()} weights")\n'
    )


def at_epsilon(choice: Choice) -> str:
    """Each method at the knob's epsilon: the network's figures and the layers'."""
    methods = "".join(f"    {method_source(choice, name, choice.eps)},\n" for name in choice.methods)
    return (
        imports(choice, "prune") + setup(choice) + f"for method in [\n{methods}]:\n" + "    pruned, report = prune(\n"
        f"        bundle.model, inputs, method, layers,\n"
        f"        {options(choice, 'validation')}\n"
        "    )\n"
        f'    print(f"{{report.method}}: {{report.sparsity:.1%}} zeros, {worth(choice.model)}")\n'
        "    for layer in report.layers:\n"
        '        used = f"discrepancy {layer.held:.3f} of {layer.epsilon:.3f}"\n'
        '        print(f"  {layer.name}: {layer.sparsity:.1%} zeros, {used}")\n'
    )


def sight(choice: Choice) -> str:
    """What is left of the first chosen layer's weights, input by input, for the first method."""
    method = method_source(choice, choice.methods[0], choice.eps)
    return (
        imports(dataclasses.replace(choice, methods=choice.methods[:1]), "prune")
        + setup(choice)
        + "pruned, report = prune(\n"
        f"    bundle.model, inputs, {method}, layers,\n"
        f"    {options(choice, 'validation')}\n"
        ")\n"
        "first = pruned.get_submodule(layers[0]).weight\n"
        "left = (first != 0).sum(0)  # weights left, for every input of the layer\n"
        'print(f"{int((left > 0).sum())} of {left.numel()} inputs are still used")\n'
    )


def loaded(choice: Choice) -> str:
    """How to load the exported weights in plain torch, without this project."""
    return (
        "from safetensors.torch import load_file\n\n"
        "model = ...  # your own network, built as before it was trained\n"
        'model.load_state_dict(load_file("model.safetensors"), strict=True)\n'
    )
