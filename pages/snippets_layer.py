"""The Python behind the Layer page, with the public API only: runs as it stands."""

from __future__ import annotations

from pages.snippets import cascade_source, method_source, setup
from pages.state import Choice

MOST_ITERATIONS, MOST_REMOVALS = 1000, 100


def _solved(choice: Choice, *names: str) -> str:
    """The layer's problem and its result."""
    layer, method = choice.lens
    source, cascade = method_source(choice, method, choice.eps), cascade_source(choice)
    used = {source.partition("(")[0], "load_bundle", "prune_layer", *names}
    used |= {"Cascade"} if cascade.startswith("Cascade") else set()
    ordered = sorted(used, key=lambda name: (not name.isupper(), name[0].islower(), name))
    scale = dict(choice.plan().scale)
    return (
        f"from nettrim_core import {', '.join(ordered)}\n" + setup(choice) + "problem, result = prune_layer(\n"
        f'    bundle.model, inputs, {source}, "{layer}", layers,\n'
        f"    cascade={cascade}, seed={choice.seed}, max_patches={choice.patches},"
        f"{f' scale={scale!r},' if scale else ''}\n)\n"
    )


def weights(choice: Choice) -> str:
    """Trained and pruned weights, and how many are zero."""
    return _solved(choice, "layer_weights") + (
        "W, U = problem.W, result.U  # (inputs, outputs) before and after; a bias is the last row\n"
        "found = layer_weights(problem, U)\n"
        "for name, told in (('before', found.trained), ('after', found.pruned)):\n"
        "    count = sum(told.counts) + told.zeros\n"
        '    print(f"{name}: {told.zeros:,} of {count:,} weights are zero, l1 {told.l1:.4g}")\n'
    )


def spectrum(choice: Choice) -> str:
    """The singular values."""
    return _solved(choice, "layer_weights") + (
        "found = layer_weights(problem, result.U)\n"
        "for name, told in (('before', found.trained), ('after', found.pruned)):\n"
        "    rank = sum(value > 1e-7 * found.trained.singular[0] for value in told.singular)\n"
        '    print(f"{name}: largest {told.singular[0]:.3g}, {rank} of {len(told.singular)} not zero")\n'
    )


def dead(choice: Choice) -> str:
    """Dead inputs, dead neurons, and the neurons to look at first."""
    return _solved(choice, "layer_weights", "outliers") + (
        "found = layer_weights(problem, result.U)\n"
        "for name, told in (('before', found.trained), ('after', found.pruned)):\n"
        '    print(f"{name}: dead inputs {len(told.dead_inputs)}, dead neurons {told.dead_neurons}")\n'
        '    print(f"{name}: silent neurons {told.silent_neurons}")\n'
        "print(outliers(problem, result))\n"
    )


def neuron(choice: Choice, j: int) -> str:
    """One neuron and its constraints."""
    return _solved(choice, "layer_neuron") + (
        f'found = layer_neuron(problem, result, {j}, result.stats["epsilon"])\n'
        "samples, held, kept = found.samples, found.constraints, found.weights\n"
        'print(f"keeps {kept.count} of {kept.inputs} weights, {samples.on_count} of {samples.count} on omega")\n'
        'print(f"tube +-{held.half_width:.4g} if all use the same share, radius {held.radius:.4g}")\n'
        'print(f"squared error {held.squared_error:.4g}, at most {held.over:.4g} above V")\n'
    )


def spelled_out(choice: Choice, j: int, sample: str) -> str:
    """One response as a sum."""
    return _solved(choice, "example_samples", "response_sum") + (
        f'sample = example_samples(problem, result.U, {j})["{sample}"]\n'
        f"told = response_sum(problem, result.U, {j}, sample)\n"
        "for term in told.largest:\n"
        '    print(f"input {term.row}: {term.w:.4g} x {term.x:.4g} -> {term.u:.4g} x {term.x:.4g}")\n'
        'print(f"the other {told.others}: {told.others_before:.4g} -> {told.others_after:.4g}")\n'
        'print(f"bias {told.bias}, sum {told.before:.4g} -> {told.after:.4g}")\n'
    )


def convergence(choice: Choice) -> str:
    """The first-order engine, certificate by certificate."""
    tol = choice.solving(choice.lens[1]).tol  # type: ignore[attr-defined]
    return _solved(choice, "convergence") + (
        f'for now in convergence(problem, result.stats["epsilon"], tol={tol!r}, most={MOST_ITERATIONS}):\n'
        '    print(f"{now.iteration:5} gap {now.gap:.1e} violation {now.violation:.1e} zeros {now.zeros:.1%}")\n'
        "print(f\"exact engine: gap {result.stats['gap']:.1e} violation {result.stats['violation']:.1e}\")\n"
    )


def removals(choice: Choice, j: int, exact: bool) -> str:
    """L-OBS, weight by weight."""
    damping = choice.solving(choice.lens[1]).damping  # type: ignore[attr-defined]
    return _solved(choice, "conditioning", "removals") + (
        f"for step in removals(problem, {j}, damping={damping!r}, exact={exact}, most={MOST_REMOVALS}):\n"
        '    print(f"{step.step:3} {step.sentence}; error +{step.measured:.3g} = {step.error:.3g}")\n'
        f"print(conditioning(problem, {j}, damping={damping!r}))\n"
    )


def check(choice: Choice) -> str:
    """The layer's program by a second solver."""
    return _solved(choice, "reference") + (
        'second = reference(problem, result.stats["epsilon"])  # CVXPY and Clarabel\n'
        "print(f\"l1 {result.stats['objective']:.6g}, by the second solver {second.objective:.6g}\")\n"
    )
