"""From solved layers to a pruned network and its report: what was asked, promised and measured, side by side."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nettrim_core.capture import Sampling, Target, outputs_of, reestimate
from nettrim_core.cascade import Cascade
from nettrim_core.dense import Dense
from nettrim_core.graph import Bound
from nettrim_core.layers import Layer, operator_norm, weights_of
from nettrim_core.methods import method_name
from nettrim_core.patches import Patches
from nettrim_core.problem import LayerProblem, LayerResult, Method, discrepancy, frobenius
from nettrim_core.refit import Refit
from nettrim_core.report import LayerReport, Report
from nettrim_core.response import response_set

Solved = tuple[LayerProblem, LayerResult]


@torch.no_grad()
def assemble(
    dense: Dense, method: Method | Refit, results: dict[str, Solved], rules: Cascade | None
) -> tuple[nn.Module, Report]:
    """Write the weights into a copy, run it, and put beside each other what was asked, promised and measured."""
    pruned = copy.deepcopy(dense.model)
    chosen = [target for target in dense.selected if target.name in results]
    for target in chosen:
        target.write(pruned, results[target.name][1].U)
    errors, norms, output_error = _compare(dense, pruned)
    bounds = _bounds(dense, pruned, results, rules)
    layers, estimate = [], False
    for target in chosen:
        problem, result = results[target.name]
        sampled = dense.samplings[target.name]
        estimate = estimate or sampled.used < sampled.total
        layers.append(
            _layer_report(
                target, target.layer(pruned), problem, result, sampled, bounds[target.name], estimate,
                _l1(target.layer(dense.model)), errors[target.name], norms[target.name],
            )
        )  # fmt: skip
    accuracy_kept = output_error_kept = None
    stale = dense.stale_norms(chosen) if dense.reestimates else []
    if stale:
        accuracy_kept, output_error_kept = dense.accuracy(pruned), output_error
        reestimate(pruned, stale, dense.inputs)
        output_error = _compare(dense, pruned)[2]
        layers = [_reestimated(dense, layer, pruned, *results[layer.name]) for layer in layers]
    report = Report(
        method=method_name(method),
        settings=dataclasses.asdict(method),
        cascade=None if rules is None else dataclasses.asdict(rules),
        samples=len(dense.inputs),
        seed=dense.seed,
        layers=layers,
        skipped=dense.anatomy.skipped,
        network_weights=sum(p.numel() for p in _weights(pruned)),
        network_zeros=sum(int((p == 0).sum()) for p in _weights(pruned)),
        output_error=output_error,
        accuracy=dense.accuracy(pruned),
        accuracy_before=dense.accuracy_before,
        test_samples=0 if dense.test is None else len(dense.test[1]),
        batchnorm=("reestimate" if stale else "keep") if dense.has_norms else None,
        accuracy_kept=accuracy_kept,
        output_error_kept=output_error_kept,
    )
    return pruned, report


def _reestimated(
    dense: Dense, layer: LayerReport, pruned: nn.Module, problem: LayerProblem, result: LayerResult
) -> LayerReport:
    """The report of a layer whose batch norm now has other statistics."""
    target = next(target for target in dense.selected if target.name == layer.name)
    before, after = target.affine(dense.model), target.affine(pruned)
    if before is None or after is None:
        return dataclasses.replace(layer, discrepancy_kept=layer.discrepancy)
    plain = problem.response(result.U) / torch.where(before[0] == 0, 1.0, before[0])[:, None]
    output = plain * after[0][:, None] + after[1][:, None]
    moved = frobenius((output.relu() if target.relu else output) - problem.Y)
    return dataclasses.replace(layer, discrepancy=moved / (problem.norm or 1.0), discrepancy_kept=layer.discrepancy)


def _compare(dense: Dense, pruned: nn.Module) -> tuple[dict[str, float], dict[str, float], float]:
    """(layer -> ||Y^ - Y||_F, layer -> ||Y||_F, ||Z^ - Z||_F / ||Z||_F of the network's outputs)."""
    squares = {target.name: [0.0, 0.0] for target in dense.selected}
    output = [0.0, 0.0]
    for rows, before, Z in dense.outputs():
        found, Z_hat = outputs_of(pruned, rows, dense.selected)
        for name, calls in before.items():
            for Y, Y_hat in zip(calls, found[name], strict=True):
                squares[name][0] += frobenius(Y_hat - Y) ** 2
                squares[name][1] += frobenius(Y) ** 2
        output[0] += frobenius(Z_hat - Z) ** 2
        output[1] += frobenius(Z) ** 2
    errors, norms = ({name: math.sqrt(s[i]) for name, s in squares.items()} for i in (0, 1))
    return errors, norms, math.sqrt(output[0] / max(output[1], torch.finfo(torch.float64).tiny))


def _bounds(dense: Dense, pruned: nn.Module, results: dict[str, Solved], rules: Cascade | None) -> dict[str, Bound]:
    """Layer -> a bound on ||Y^ - Y||_F at the outputs that count, in the pruned network."""
    if dense.anatomy.graph is None:
        return dict.fromkeys(results, (None, "no bound: the model's graph cannot be read"))
    targets = {target.name: target for target in dense.selected}

    def through(name: str, before: float) -> Bound:
        call = dense.probe.calls[name][0]
        if name not in results:
            layer = dense.model.get_submodule(name)
            assert isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
            return (operator_norm(layer, call.shape) * before if before > 0 else 0.0), ""
        target = targets[name]
        if rules is not None and target.calls > 1:
            return None, f"no bound: {name!r} is called more than once, and in a cascade its inputs move again"
        sampled = dense.samplings[name]
        scale = math.sqrt(sampled.total / sampled.used)  # 1 unless patches were sampled
        return _layer_bound(dense.model, pruned, target, call.shape, scale, *results[name], before), ""

    return dense.anatomy.graph.bounds(through, {name: targets[name].norm for name in results})


def _layer_bound(
    model: nn.Module, pruned: nn.Module, target: Target, shape: torch.Size, scale: float, problem: LayerProblem,
    result: LayerResult, before: float,
) -> float:  # fmt: skip
    """A bound on ||Y^ - Y||_F after this layer, from the bound ``before`` on its inputs' error.

    Parallel (paper 1, Theorem 1, unnormalised): radius + ||U||_2 before. With the error that was measured in place of
    the radius this is the L-OBS paper's Theorem 3.2, whose Frobenius norms are no smaller than the spectral ones here.
    Cascade (paper 1, Theorem 2, unnormalised): sqrt(gamma) ||W||_2 before; a method without Net-Trim's constraint off
    omega adds what it left there above V, and a gamma below 1 (the risk kappa, of a linear layer) shrinks what lies on
    omega alone. Where the radius is not kept, what was measured takes its place.
    """
    allowed = response_set(problem, result.stats["epsilon"])
    excess = allowed.excess(problem.response(result.U))
    if not problem.pruned_inputs or problem.gamma is None:
        spread = target.norm_of(pruned, shape) * before if before > 0 else 0.0
        return max(allowed.radius, frobenius(excess)) * scale + spread
    on, off = frobenius(excess * allowed.omega), frobenius(excess * ~allowed.omega)
    kept = max(on / allowed.radius, 1.0) if allowed.radius > 0 else 1.0
    gamma = max(problem.gamma, 1.0) if problem.relu else problem.gamma
    return kept * gamma**0.5 * target.norm_of(model, shape) * before + off * scale


def _layer_report(
    target: Target, layer: Layer, problem: LayerProblem, result: LayerResult, sampled: Sampling, bound: Bound,
    estimate: bool, l1_before: float, error: float, output_norm: float,
) -> LayerReport:  # fmt: skip
    stats: Mapping[str, float] = result.stats
    zeros = weights_of(layer) == 0
    body, tail = (zeros[:-1], zeros[-1:]) if problem.bias else (zeros, zeros[:0])
    dead = sum(int((~block.alive[: len(body)]).sum()) * len(block.Y) for block in problem.blocks)
    N, M = problem.W.shape
    P = problem.X.shape[1]
    notes = [target.note] if target.note else []
    if target.calls > 1:
        notes.append(f"called {target.calls} times: its problem holds the samples of all calls")
    if target.norm is not None:
        notes.append(f"pruned with the batch norm {target.norm} folded in")
    if isinstance(problem.X, Patches):
        notes.append(f"all {P} patches were used, as images: the operator form")
    if P < N:
        notes.append(f"fewer samples ({P}) than inputs ({N}): many weights fit the samples equally well")
    if sampled.used < sampled.total:
        notes.append(f"{P} of {sampled.total} patches were used; the bound is an estimate")
    if bound[0] is None:
        notes.append(bound[1])
    return LayerReport(
        name=target.name,
        kind=type(layer).__name__,
        inputs=len(body),
        outputs=M,
        relu=problem.relu,
        weights=body.numel(),
        weight_zeros=int(body.sum()),
        dead_weights=dead,
        biases=tail.numel(),
        bias_zeros=int(tail.sum()),
        converged=result.converged,
        discrepancy=discrepancy(problem, result.U),
        epsilon=stats["radius"] / problem.norm if problem.norm else 0.0,
        radius=stats["radius"],
        gap=stats.get("gap"),
        violation=stats.get("violation"),
        iterations=int(stats["iterations"]) if "iterations" in stats else None,
        solved_to=stats.get("tol"),
        memory=stats.get("memory"),
        l1=_l1(layer),
        l1_before=l1_before,
        seconds=stats["seconds"],
        columns=P,
        columns_total=sampled.total,
        error=error,
        output_norm=output_norm,
        bound=bound[0],
        bound_is_estimate=estimate,
        notes=notes,
    )


def _l1(layer: Layer) -> float:
    return float(layer.weight.abs().double().sum())


def _weights(model: nn.Module) -> list[Tensor]:
    """Every matrix and kernel of weights: no biases, no scales of norms."""
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]
