"""The Python that makes what the Budget page shows, with the public API alone. Each snippet runs as it stands."""

from __future__ import annotations

import dataclasses

from pages.snippets import cascade_source, imports, labelled, method_source, setup, worth
from pages.state import Choice, Goal


def _target(goal: Goal) -> str:
    return {
        "zeros": f"{goal.zeros!r}",
        "multiply-adds": f"MultiplyAdds(left={goal.left!r})",
        "accuracy": f"AccuracyDrop(drop={goal.drop!r})",
    }[goal.of]


def _allocated(choice: Choice) -> str:
    """From the imports to the report of a budget."""
    goal, name = choice.of("budget"), choice.lens[1]
    target = _target(goal)
    one = dataclasses.replace(choice, methods=(name,))
    kind = [target.split("(")[0]] if "(" in target else []
    rest = f"rule={goal.rule!r}, layers=layers," + (f" locked={choice.locked!r}," if choice.locked else "")
    return (
        imports(one, "allocate", *kind) + setup(choice) + "pruned, report = allocate(\n"
        f"    bundle.model, inputs, {method_source(choice, name)}, {target},\n    {rest}\n"
        f"    cascade={cascade_source(choice)}, validation=bundle.validation, test=bundle.validation,\n"
        f"    max_patches={choice.patches}, seed={choice.seed},\n"
        ")\n"
    )


def decided(choice: Choice) -> str:
    """What came out, and why."""
    before = "{report.accuracy_before:.1%} right before, " if labelled(choice.model) else ""
    return _allocated(choice) + (
        f'print(f"{before}{worth(choice.model)} after")\n'
        "for sentence in report.allocation.sentences:\n"
        "    print(sentence)\n"
    )


def shares(choice: Choice) -> str:
    """What each layer gives, and the even share."""
    return _allocated(choice) + (
        "for share in report.allocation.shares:\n"
        '    print(f"{share.name}: {share.zeros / share.size:.1%} of {share.size:,} weights and biases")\n'
        'print(f"even share: {report.allocation.uniform:.1%}")\n'
    )


def bounds(choice: Choice) -> str:
    """What was promised of every layer's error, and what was measured."""
    return _allocated(choice) + (
        "for layer in report.layers:\n"
        '    promised = "no bound" if layer.bound is None else f"{layer.bound / layer.output_norm:.3g} promised"\n'
        '    print(f"{layer.name}: {layer.error / layer.output_norm:.3g} measured, {promised}")\n'
    )


def alone(choice: Choice) -> str:
    """Every layer pruned alone, to several fractions of zeros."""
    name = choice.lens[1]
    return (
        imports(dataclasses.replace(choice, methods=(name,), mode="parallel"), "sensitivity")
        + setup(choice)
        + "for layer, asked, report in sensitivity(\n"
        f"    bundle.model, inputs, {method_source(choice, name)}, layers=layers, test=bundle.validation,\n"
        f"    max_patches={choice.patches}, seed={choice.seed},\n"
        "):\n"
        f'    print(f"{{layer}} alone at {{asked:.0%}} zeros: {worth(choice.model)}")\n'
    )
