"""A recipe in Python, with the public functions: cells of a notebook, or a script."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import nbformat

from nettrim_core.allocate import AccuracyDrop, MultiplyAdds
from nettrim_core.methods import titled
from nettrim_core.plain import for_markdown
from nettrim_core.recipes.recipe import Recipe

Cell = tuple[str, str]  # text, and the Python under it
FOLDER = "pruned"


def expression(settings: Any, always: Iterable[str] = ()) -> str:
    """A value of settings as Python, such as ``NetTrim(epsilon=0.1)``: what is not at its default, and what is always
    said, which comes first."""
    return f"{type(settings).__name__}({changed(settings, always)})"


def changed(settings: Any, always: Iterable[str] = ()) -> str:
    """The arguments of :func:`expression`."""
    first = tuple(always)
    said = [f for f in dataclasses.fields(settings) if f.name in first or getattr(settings, f.name) != f.default]
    said.sort(key=lambda f: f.name not in first)
    return ", ".join(f"{f.name}={getattr(settings, f.name)!r}" for f in said)


def script(recipe: Recipe) -> str:
    """The recipe as a script that makes the network again and exports it."""
    parts = []
    for text, code in cells(recipe):
        parts.append("\n".join(f"# {line}" for line in text.splitlines()) + f"\n{code}")
    return "\n\n".join(parts)


def notebook(recipe: Recipe) -> str:
    """The same as a notebook (nbformat 4.5); equal recipes give equal notebooks."""
    written = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    for number, (text, code) in enumerate(cells(recipe)):
        written.cells.append(nbformat.v4.new_markdown_cell(for_markdown(text), id=f"text-{number}"))
        written.cells.append(nbformat.v4.new_code_cell(code.rstrip("\n"), id=f"code-{number}"))
    nbformat.validate(written)
    return nbformat.writes(written) + "\n"


def cells(recipe: Recipe) -> list[Cell]:
    """What both are made of: the network and its data, the pruning, the retraining if there is any, the files."""
    how = titled(recipe.method_name)
    made = [
        ("The trained network, its data and the calibration rows.", _opening(recipe)),
        (f"{how} on {', '.join(recipe.plan.layers)}.", _pruning(recipe)),
    ]
    if recipe.training is not None and not recipe.rounds:
        made.append(("What is left learns again; zeros stay zero.", _training(recipe)))
    exported = f'for check in export(pruned, report, "{FOLDER}", inputs=inputs):\n    print(check)\n'
    return [*made, ("The files, each loaded again and compared.", exported)]


def _opening(recipe: Recipe) -> str:
    plan = recipe.plan
    lines = [f"from nettrim_core import {', '.join(_names(recipe))}", ""]
    if recipe.made is not None:  # the last bits of a sum depend on it
        lines = ["import torch", "", *lines, f"torch.set_num_threads({recipe.made.threads})"]
    if recipe.steps:
        lines = ["from itertools import islice", "", *lines]
    if recipe.data is None:
        lines.append(f"bundle = load_bundle({plan.bundle!r})")
    else:
        reading = recipe.data
        architecture = f", architecture={recipe.architecture!r}" if recipe.architecture else ""
        lines += [
            f"model = load_model({plan.bundle!r}{architecture})",
            f"data = load_data({reading.path!r}, {expression(reading.options)}, digest={reading.digest!r})",
            "bundle = Bundle.of(model, data)",
        ]
    lines += [
        f"inputs = bundle.calibration_sample({plan.samples}, seed={plan.seed})",
        f"layers = {list(plan.layers)!r}",
    ]
    return "\n".join(lines) + "\n"


def _names(recipe: Recipe) -> list[str]:
    """What the whole of it imports."""
    used = {type(recipe.method).__name__, "export", _verb(recipe)}
    used |= {"load_bundle"} if recipe.data is None else {"Bundle", "DataOptions", "load_data", "load_model"}
    used |= {"Cascade"} if recipe.plan.cascade is not None else set()
    if recipe.budget is not None and not isinstance(recipe.budget.target, float | int):
        used.add(type(recipe.budget.target).__name__)
    if recipe.training is not None:
        used |= {"Training"} if recipe.rounds else {"Training", "finetune", "masks_of"}
    return sorted(used, key=lambda name: (not name.isupper(), name[0].islower(), name))


def _verb(recipe: Recipe) -> str:
    return "prune_rounds" if recipe.rounds else "prune" if recipe.budget is None else "allocate"


def _pruning(recipe: Recipe) -> str:
    plan, asked = recipe.plan, recipe.budget
    method = expression(recipe.method, () if asked is not None or recipe.rounds else ("epsilon",))
    cascade = "False" if plan.cascade is None else expression(plan.cascade)
    options = (
        f"cascade={cascade}, test=bundle.test,\n    max_patches={plan.patches!r}, seed={plan.seed}, "
        f"batchnorm={plan.batchnorm!r},"
    )
    if recipe.rounds:
        assert recipe.training is not None
        return (
            f"how = {expression(recipe.training)}\nsteps = prune_rounds(\n"
            f"    bundle.model, inputs, {method}, {list(recipe.rounds)!r},\n"
            f"    bundle.train, bundle.validation, how, layers=layers,\n    {options}\n)\n"
            f"for step in {_cut('steps', recipe)}:\n"
            '    print(step.round, "pruned" if step.epoch is None else step.epoch)\n'
            "pruned, report = step.model, step.report\n"
        )
    if asked is not None:
        target = repr(asked.target)
        if isinstance(asked.target, AccuracyDrop | MultiplyAdds):
            target = expression(asked.target, [f.name for f in dataclasses.fields(asked.target)])
        locked = f" locked={dict(asked.locked)!r}," if asked.locked else ""
        return (
            f"pruned, report = allocate(\n    bundle.model, inputs, {method}, {target},\n"
            f"    rule={asked.rule!r}, loss={asked.loss!r}, layers=layers,{locked} validation=bundle.validation,\n"
            f"    {options}\n)\n"
        )
    scale = f" scale={dict(plan.scale)!r}," if plan.scale else ""
    return f"pruned, report = prune(\n    bundle.model, inputs, {method}, layers,\n    {options}{scale}\n)\n"


def _training(recipe: Recipe) -> str:
    return (
        "tuning = finetune(\n    pruned, masks_of(pruned, layers), bundle.train, bundle.validation,\n"
        f"    {expression(recipe.training)},\n)\n"
        f"for epoch in {_cut('tuning', recipe)}:\n    print(epoch)\npruned = tuning.model\n"
    )


def _cut(steps: str, recipe: Recipe) -> str:
    """The steps of a retraining, up to where it was interrupted."""
    return f"islice({steps}, {recipe.steps})" if recipe.steps else steps
