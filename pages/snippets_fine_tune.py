"""The Python of the Fine-tune page, with the public API alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nettrim_core.finetune import Training
from pages.snippets import cascade_source, changed, imports, method_source, options, setup
from pages.state import Choice


def tuned(choice: Choice, names: Sequence[str]) -> str:
    """These methods, pruned and retrained, and judged on the test rows at the end."""
    methods = "".join(f"    {method_source(choice, name, choice.eps)},\n" for name in names)
    used = dataclasses.replace(choice, methods=tuple(names))
    return (
        imports(used, "Training", "evaluate", "finetune", "masks_of", "prune")
        + setup(choice)
        + f"how = {_training(choice)}\n"
        + f"for method in [\n{methods}]:\n    pruned, report = prune(\n"
        + f"        bundle.model, inputs, method, layers,\n        {options(choice, 'validation')}\n    )\n"
        + '    print(f"{report.method}: {report.sparsity:.1%} zeros, {report.accuracy:.1%} right")\n'
        + "    tuning = finetune(pruned, masks_of(pruned, layers), bundle.train, bundle.validation, how)\n"
        + "    for epoch in tuning:  # tuning.model is the best network so far, at every moment\n"
        + '        note = ", the best so far" if epoch.best else ""\n'
        + '        print(f"  epoch {epoch.number}: {epoch.validation_accuracy:.1%} right{note}")\n'
        + "    after = evaluate(tuning.model, bundle.test, noise=()).accuracy\n"
        + '    print(f"  {after.value:.2%} of the test samples right")\n'
    )


def rounds(choice: Choice) -> str:
    """The method under the lens, pruned and retrained in rounds."""
    name = choice.lens[1]
    used = dataclasses.replace(choice, methods=(name,))
    return (
        imports(used, "Training", "prune_rounds")
        + setup(choice)
        + "steps = prune_rounds(\n"
        + f"    bundle.model, inputs, {method_source(choice, name)}, {list(choice.of('rounds').targets)},\n"
        + f"    bundle.train, bundle.validation, {_training(choice)},\n"
        + f"    cascade={cascade_source(choice)}, layers=layers, test=bundle.validation, seed={choice.seed},\n"
        + f"    max_patches={choice.patches},\n"
        + ")\n"
        + "for step in steps:  # step.model is the best network of its round so far\n"
        + "    if step.epoch is None:\n"
        + '        found = f"{step.report.sparsity:.1%} zeros, {step.report.accuracy:.1%} right"\n'
        + '        print(f"round {step.round}: {found}")\n'
        + "    elif step.epoch.best:\n"
        + '        print(f"  epoch {step.epoch.number}: {step.epoch.validation_accuracy:.1%} right")\n'
    )


def _training(choice: Choice) -> str:
    how: Training = choice.of("train")
    return f"Training({changed(how)})"
