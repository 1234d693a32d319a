"""The Python that makes what the Compare page shows, with the public API alone. Each snippet runs as it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nettrim_core.cascade import Cascade
from nettrim_core.methods import METHODS
from pages.candidates import Candidate
from pages.snippets import imports, loading, method_source, options
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
    return (
        _pruned(candidates)
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + "    low, high = report.accuracy_interval\n"
        + "    left = sum(layer.weights - layer.weight_zeros for layer in report.layers)\n"
        + "    size = sum(layer.weights for layer in report.layers) / 8 + 4 * left  # bytes\n"
        + "    certified = report.converged and all(layer.gap is not None for layer in report.layers)\n"
        + '    right = f"{report.accuracy:.1%} right ({low:.1%} to {high:.1%})"\n'
        + '    print(f"{name}: {report.sparsity:.1%} zeros, {right}, {size / 1e3:,.1f} kB, certified {certified}")\n'
    )


def changes(candidates: Sequence[Candidate]) -> str:
    """Which test samples are answered in another way."""
    return (
        _pruned(candidates, "evaluate")
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + "    changes = evaluate(pruned, bundle.test, bundle.model, noise=()).changes\n"
        + '    print(f"{name}: {changes.counts}, p = {changes.p_value:.2g}")\n'
        + "    for row, old, new in zip(changes.indices, changes.old, changes.new):\n"
        + '        print(f"  test sample {row}: class {bundle.test[1][row]}, was {old}, is {new}")\n'
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
    """Accuracy under noise. step: every so many test rows are used."""
    return (
        _pruned(candidates, "evaluate")
        + "for name, (bundle, pruned, report) in candidates.items():\n"
        + f"    inputs, labels = (part[::{step}] for part in bundle.test)\n"
        + "    found = evaluate(pruned, (inputs, labels), bundle.model)\n"
        + "    for (norm, right), (_, before) in zip(found.noise, found.noise_dense):\n"
        + '        print(f"{name}: noise {norm:g}: {right.value:.1%} right, dense {before.value:.1%}")\n'
    )


def pareto(candidates: Sequence[Candidate]) -> str:
    """The candidates that no other one beats, in zeros and accuracy."""
    return (
        _pruned(candidates)
        + "figures = {name: (report.sparsity, report.accuracy) for name, (_, _, report) in candidates.items()}\n"
        + "for name, (zeros, right) in figures.items():\n"
        + "    beaten = any(\n"
        + "        a >= zeros and b >= right and (a, b) != (zeros, right) for a, b in figures.values()\n"
        + "    )\n"
        + "    print(f\"{name}: {zeros:.1%} zeros, {right:.1%} right{', beaten' * beaten}\")\n"
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
        + "    zeros = spread(report.sparsity for report in reports)\n"
        + "    right = spread(report.accuracy for report in reports)\n"
        + '    for what, found in (("zeros", zeros), ("right", right)):\n'
        + '        interval = f"{found.low:.2%} to {found.high:.2%}"\n'
        + '        print(f"{reports[0].method}: {found.mean:.2%} {what}, 95 % interval of the mean {interval}")\n'
    )
