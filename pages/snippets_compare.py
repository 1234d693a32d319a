"""The Python that makes what the Compare page shows, with the public API alone. Each snippet runs as it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nettrim_core.cascade import Cascade
from nettrim_core.methods import METHODS
from pages.candidates import Candidate
from pages.snippets import imports, labelled, loading, method_source, options, worth
from pages.state import Choice


def _pruned(candidates: Sequence[Candidate], *names: str) -> str:
    """``candidates``: name -> (bundle, pruned, report)."""
    used = {"load_bundle", "prune", *names} | {type(METHODS[c.method]).__name__ for c in candidates}
    if any(c.plan.cascade not in (None, Cascade()) for c in candidates):
        used.add("Cascade")
    ordered = sorted(used, key=lambda name: (not name.isupper(), name[0].islower(), name))
    calls = "".join(_call(candidate) for candidate in candidates)
    return f"from nettrim_core import {', '.join(ordered)}\n\ncandidates = {{}}\n{calls}\n"


def _call(candidate: Candidate) -> str:
    choice = candidate.choice
    method = method_source(choice, candidate.method, choice.eps)
    return (
        f"bundle = {loading(choice.model)}\n"
        f"inputs = bundle.calibration_sample({choice.n}, seed={choice.seed})\n"
        f"pruned, report = prune(\n    bundle.model, inputs, {method}, {list(choice.layers)!r},\n"
        f"    {options(choice, 'validation')}\n)\n"
        f'candidates["{candidate.title}"] = bundle, pruned, report\n'
    )


def table(candidates: Sequence[Candidate]) -> str:
    """The figures side by side."""
    judged = _judged(candidates)
    return (
        _pruned(candidates)
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + "    low, high = report.accuracy_interval\n" * judged
        + "    left = sum(layer.weights - layer.weight_zeros for layer in report.layers)\n"
        + "    size = sum(layer.weights for layer in report.layers) / 8 + 4 * left  # bytes\n"
        + "    certified = report.converged and all(layer.gap is not None for layer in report.layers)\n"
        + f'    worth = f"{_worth(candidates)}{" ({low:.1%} to {high:.1%})" * judged}"\n'
        + '    print(f"{name}: {report.sparsity:.1%} zeros, {worth}, {size / 1e3:,.1f} kB, certified {certified}")\n'
    )


def _judged(candidates: Sequence[Candidate]) -> bool:
    """Have all of them labels?"""
    return all(labelled(candidate.choice.model) for candidate in candidates)


def _worth(candidates: Sequence[Candidate]) -> str:
    """As :func:`pages.snippets.worth` has it, for all of them alike."""
    return worth(min((candidate.choice.model for candidate in candidates), key=labelled))


def changes(candidates: Sequence[Candidate]) -> str:
    """Which test samples are answered in another way."""
    true = "class {bundle.test[1][row]}, " if _judged(candidates) else ""
    chance = ", p = {changes.p_value:.2g}" if _judged(candidates) else ""
    return (
        _pruned(candidates, "evaluate")
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + "    changes = evaluate(pruned, bundle.test, bundle.model, noise=()).changes\n"
        + f'    print(f"{{name}}: {{changes.counts}}{chance}")\n'
        + "    for row, old, new in zip(changes.indices, changes.old, changes.new):\n"
        + f'        print(f"  test sample {{row}}: {true}was {{old}}, is {{new}}")\n'
    )


def classes(candidates: Sequence[Candidate]) -> str:
    """Accuracy class by class."""
    return (
        _pruned(candidates, "by_class")
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + "    inputs, labels = bundle.test\n"
        + "    old, new = bundle.model(inputs).argmax(1), pruned(inputs).argmax(1)\n"
        + "    found = by_class(old, new, labels)\n"
        + "    for entry in sorted(found, key=lambda entry: entry.pruned.value - entry.dense.value):\n"
        + '        change = f"{entry.dense.value:.1%} -> {entry.pruned.value:.1%}"\n'
        + '        print(f"{name}: class {entry.label}, {entry.samples} samples: {change}")\n'
    )


def noise(candidates: Sequence[Candidate], step: int) -> str:
    """Accuracy under noise; without labels, answers as the dense network's without noise. step: every so many test rows
    are used."""
    judged = _judged(candidates)
    right = "right" if judged else "as the dense network without noise"
    return (
        _pruned(candidates, "evaluate")
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + f"    rows = bundle.test[0][::{step}], {f'bundle.test[1][::{step}]' if judged else 'None'}\n"
        + "    found = evaluate(pruned, rows, bundle.model)\n"
        + "    for (norm, right), (_, before) in zip(found.noise, found.noise_dense):\n"
        + f'        print(f"{{name}}: noise {{norm:g}}: {{right.value:.1%}} {right}, dense {{before.value:.1%}}")\n'
    )


def pareto(candidates: Sequence[Candidate]) -> str:
    """The candidates that no other one beats, in zeros and accuracy; without labels, in zeros and how far the outputs
    moved."""
    good, said = "report.accuracy", "{right:.1%} right"
    if not _judged(candidates):
        good, said = "-report.output_error", "outputs moved {-right:.3g}"
    return (
        _pruned(candidates)
        + f"figures = {{name: (report.sparsity, {good}) for name, (_, _, report) in candidates.items()}}\n"
        + "for name, (zeros, right) in figures.items():\n"
        + "    beaten = any(\n"
        + "        a >= zeros and b >= right and (a, b) != (zeros, right) for a, b in figures.values()\n"
        + "    )\n"
        + f"    print(f\"{{name}}: {{zeros:.1%}} zeros, {said}{{', beaten' * beaten}}\")\n"
    )


def seeds(choice: Choice, seeds: Sequence[int]) -> str:
    """Zeros and accuracy over several draws of the calibration samples."""
    methods = "".join(f"    {method_source(choice, name, choice.eps)},\n" for name in choice.methods)
    one = dataclasses.replace(choice, seed=0)
    arguments = options(one, "validation").replace("seed=0, ", "")
    return (
        imports(choice, "prune_seeds", "spread")
        + f"\nbundle = {loading(choice.model)}\n"
        + f"layers = {list(choice.layers)!r}\n"
        + f"for method in [\n{methods}]:\n    runs = prune_seeds(\n"
        + f"        bundle.model, bundle.calibration, method, {list(seeds)!r}, {choice.n}, layers=layers,\n"
        + f"        {arguments}\n    )\n"
        + "    reports = [report for seed, report in runs]\n"
        + '    figures = {"zeros": spread(report.sparsity for report in reports)}\n'
        + '    figures["right"] = spread(report.accuracy for report in reports)\n' * labelled(choice.model)
        + "    for what, found in figures.items():\n"
        + '        interval = f"{found.low:.2%} to {found.high:.2%}"\n'
        + '        print(f"{reports[0].method}: {found.mean:.2%} {what}, 95 % interval of the mean {interval}")\n'
    )
