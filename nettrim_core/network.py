"""A dense network with its calibration signals: what prune and sweep run on.

Parallel: every layer is pruned on the dense network's signals, on its own.
Cascade: layers are pruned in order on the signals of the network pruned so far; targets stay those of the dense one.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nettrim_core.capture import (
    ROWS_AT_A_TIME,
    Sampling,
    Target,
    anatomy,
    columns_of,
    outputs_of,
    probe,
    reestimate,
    run,
    sampling,
)
from nettrim_core.graph import Bound
from nettrim_core.layers import Layer, operator_norm, weights_of
from nettrim_core.methods import method_name
from nettrim_core.problem import GAMMA, LayerProblem, LayerResult, Method, Settings, discrepancy, setting
from nettrim_core.report import LayerReport, Report
from nettrim_core.response import response_set

MAX_PATCHES = 10_000
MEMORY_LIMIT = 8e9  # bytes
HELD = 3e8  # bytes of the dense network's outputs that are kept rather than computed for every point

Labelled = tuple[Tensor, Tensor]
Solved = tuple[LayerProblem, LayerResult]


@dataclass(frozen=True)
class Cascade(Settings):
    """How far later layers of a cascade may depart (paper 1, section 3.2; supplementary, section on the risk).

    gamma: radius^2 of a later layer is gamma times the squared error already made there.
    kappa: the radius of the network's linear output layer is multiplied by kappa; below 1 / sqrt(gamma) the trained
        weights are no longer sure to be allowed.
    """

    gamma: float = setting(
        GAMMA, 1, 10, help="slack on the squared error already made upstream, for later layers of a cascade"
    )
    kappa: float = setting(1.0, 0.01, 1, help="factor on the radius of the network's output layer in a cascade")


class Network:
    """A copy of a model in eval mode, read once; the problems of the layers to prune; any number of pruned copies."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        layers: Sequence[str] | None = None,
        test: Labelled | None = None,
        *,
        max_patches: int = MAX_PATCHES,
        seed: int = 0,
        memory_limit: float = MEMORY_LIMIT,
        batchnorm: str = "reestimate",
    ) -> None:
        if batchnorm not in ("reestimate", "keep"):
            raise ValueError(f'batchnorm = {batchnorm!r} must be "reestimate" or "keep"')
        if max_patches < 1:
            raise ValueError(f"max_patches = {max_patches} must be at least 1")
        self.model = copy.deepcopy(model).eval()
        self.seed = seed
        self.device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        self.inputs = _checked(inputs, "inputs").to(self.device)
        self.test = _checked_test(test, self.device)
        self.probe = probe(self.model, self.inputs[:1])
        self.anatomy = anatomy(self.model, self.inputs[:2])
        self.selected = self._wanted(layers)
        self._refuse_too_much(max_patches, memory_limit)
        self.samplings = {
            t.name: sampling(t.layer(self.model), self.probe.calls[t.name], len(self.inputs), max_patches, seed)
            for t in self.selected
        }
        self.columns = columns_of(self.model, self.inputs, self._sampled(self.selected))
        self.has_norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.model.modules())
        self.reestimates = batchnorm == "reestimate" and len(self.inputs) > 1
        self._held: list[tuple[dict[str, list[Tensor]], Tensor]] = []
        self.accuracy_before = self._accuracy(self.model)

    def _wanted(self, layers: Sequence[str] | None) -> list[Target]:
        targets = {target.name: target for target in self.anatomy.targets}
        if layers is None:
            if not targets:
                raise ValueError("the model has no layer that can be pruned (Linear, Conv1d or Conv2d)")
            return list(targets.values())
        known = ", ".join(targets)
        if isinstance(layers, str):
            raise ValueError(f"layers must be a list of module names; got the string {layers!r}")
        reasons = dict(self.anatomy.skipped)
        for name in layers:
            if name not in targets:
                if name not in dict(self.model.named_modules()):
                    raise ValueError(f"layers: there is no module {name!r}; layers that can be pruned: {known}")
                raise ValueError(f"layers: {name!r} cannot be pruned: {reasons.get(name, 'has no weights of its own')}")
        if not layers:
            raise ValueError(f"layers is empty: name at least one of {known}")
        return [target for name, target in targets.items() if name in layers]

    def _refuse_too_much(self, max_patches: int, limit: float) -> None:
        """The columns of all layers are held at once."""
        needed = {}
        for target in self.selected:
            size = self.probe.size(self.model, target, len(self.inputs), max_patches)
            width = target.layer(self.model).weight.element_size()
            needed[target.name] = width * size.samples * (size.groups * size.inputs + size.outputs)
        total = sum(needed.values())
        if total > limit:
            worst = max(needed, key=lambda name: needed[name])
            raise ValueError(
                f"the layers' inputs and outputs on {len(self.inputs):,} samples take {total / 1e9:.1f} GB, most of it "
                f"{worst!r} with {needed[worst] / 1e9:.1f} GB; the limit is {limit / 1e9:.1f} GB. Use fewer samples, "
                "fewer patches (max_patches) or fewer layers at a time, or raise memory_limit"
            )

    def _stale_norms(self, pruned: Iterable[Target]) -> list[str]:
        """The batch norms that run after a pruned layer: their statistics are those of other signals then."""
        order = self.probe.order
        first = min(order.index(target.name) for target in pruned)
        norms = {
            name
            for name, module in self.model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
        }
        return [name for name in dict.fromkeys(order[first:]) if name in norms]

    def _sampled(self, targets: Iterable[Target]) -> dict[str, tuple[Target, Sampling]]:
        return {target.name: (target, self.samplings[target.name]) for target in targets}

    def problem(self, target: Target) -> LayerProblem:
        """A layer's problem on the dense network's signals."""
        return target.problem(self.model, *self.columns[target.name])

    def points(
        self, method: Method, epsilons: Iterable[float], cascade: bool | Cascade = False
    ) -> Iterator[tuple[nn.Module, Report]]:
        """One pruned network and report per epsilon, in the order given, as they finish."""
        epsilons = list(epsilons)
        for epsilon, solved in zip(epsilons, self.solve(method, epsilons, cascade), strict=True):
            yield self._assemble(dataclasses.replace(method, epsilon=epsilon), self._named(solved), _rules(cascade))

    def refined(
        self, method: Method, epsilons: Iterable[float], cascade: bool | Cascade = False
    ) -> Iterator[tuple[float, nn.Module, Report]]:
        """(epsilon, pruned network, report) as the answer takes shape: where ``report.rough``, a better one of the same
        epsilon follows. A cascade has no rough answers: what its later layers are asked depends on the earlier ones.
        """
        epsilons, rules = list(epsilons), _rules(cascade)
        if rules is not None:
            yield from ((e, *point) for e, point in zip(epsilons, self.points(method, epsilons, cascade), strict=True))
            return
        problems = [self.problem(target) for target in self.selected]
        for answers in zip(*[method.refine(problem, epsilons) for problem in problems], strict=True):
            ((index, _), *_) = answers
            solved = [(problem, result) for problem, (_, result) in zip(problems, answers, strict=True)]
            pointed = dataclasses.replace(method, epsilon=epsilons[index])
            yield epsilons[index], *self._assemble(pointed, self._named(solved), rules)

    def at(
        self, method: Method, sparsities: Mapping[str, float], cascade: bool | Cascade = False
    ) -> tuple[nn.Module, Report]:
        """The network with these layers pruned to these fractions of zeros. In a cascade the fraction takes the place
        of the radius."""
        self._check_names(sparsities)
        rules, pruned = _rules(cascade), copy.deepcopy(self.model)
        solved: dict[str, Solved] = {}
        for target in self.selected:
            if target.name in sparsities:
                problem = self.problem(target)
                if rules is not None and solved:
                    problem = self._next_problem(pruned, target, rules)
                solved[target.name] = problem, method.at_sparsity(problem, sparsities[target.name])
                target.write(pruned, solved[target.name][1].U)
        return self._assemble(method, solved, rules)

    def alone(self, method: Method, name: str, sparsities: Iterable[float]) -> Iterator[tuple[nn.Module, Report]]:
        """One layer alone, pruned to each of these fractions of zeros."""
        self._check_names([name])
        problem = self.problem(next(target for target in self.selected if target.name == name))
        for result in method.levels(problem, sparsities):
            yield self._assemble(method, {name: (problem, result)}, None)

    def _check_names(self, names: Iterable[str]) -> None:
        known = [target.name for target in self.selected]
        for name in names:
            if name not in known:
                raise ValueError(f"there is no layer {name!r} among those to prune: {', '.join(known)}")

    def _named(self, solved: Iterable[Solved]) -> dict[str, Solved]:
        return {target.name: pair for target, pair in zip(self.selected, solved, strict=True)}

    def solve(self, method: Method, epsilons: list[float], cascade: bool | Cascade = False) -> Iterator[list[Solved]]:
        """Per epsilon the (problem, result) of every selected layer: what ``points`` assembles."""
        rules = _rules(cascade)
        return self._parallel(method, epsilons) if rules is None else self._cascaded(method, epsilons, rules)

    def _parallel(self, method: Method, epsilons: list[float]) -> Iterator[list[Solved]]:
        problems = [self.problem(target) for target in self.selected]
        paths = [method.path(problem, epsilons) for problem in problems]
        for _ in epsilons:
            yield [(problem, next(path)) for problem, path in zip(problems, paths, strict=True)]

    def _cascaded(self, method: Method, epsilons: list[float], rules: Cascade) -> Iterator[list[Solved]]:
        first = self.problem(self.selected[0])
        path = method.path(first, epsilons)
        for epsilon in epsilons:
            pruned, solved = copy.deepcopy(self.model), [(first, next(path))]
            self.selected[0].write(pruned, solved[0][1].U)
            for target in self.selected[1:]:
                problem = self._next_problem(pruned, target, rules)
                solved.append((problem, dataclasses.replace(method, epsilon=epsilon).prune(problem)))
                target.write(pruned, solved[-1][1].U)
            yield solved

    def _next_problem(self, pruned: nn.Module, target: Target, rules: Cascade) -> LayerProblem:
        """The problem of a cascade's next layer: inputs of the network pruned so far, outputs of the dense one."""
        X = columns_of(pruned, self.inputs, self._sampled([target]), stop=True)[target.name][0]
        before, Y = self.columns[target.name]
        is_output = not target.relu and target.name == self.probe.last(self.model)
        gamma = rules.gamma * (rules.kappa**2 if is_output else 1.0)
        return target.problem(self.model, X, Y, pruned_inputs=not torch.equal(X, before), gamma=gamma)

    @torch.no_grad()
    def _assemble(self, method: Method, results: dict[str, Solved], rules: Cascade | None) -> tuple[nn.Module, Report]:
        """Write the weights into a copy, run it, and put beside each other what was asked, promised and measured."""
        pruned = copy.deepcopy(self.model)
        chosen = [target for target in self.selected if target.name in results]
        for target in chosen:
            target.write(pruned, results[target.name][1].U)
        errors, norms, output_error = self._compare(pruned)
        bounds = self._bounds(pruned, results, rules)
        layers, estimate = [], False
        for target in chosen:
            problem, result = results[target.name]
            sampled = self.samplings[target.name]
            estimate = estimate or sampled.used < sampled.total
            layers.append(
                _layer_report(
                    target, target.layer(pruned), problem, result, sampled, bounds[target.name], estimate,
                    errors[target.name], norms[target.name],
                )
            )  # fmt: skip
        kept: dict[str, float | None] = {}
        stale = self._stale_norms(chosen) if self.reestimates else []
        if stale:
            kept = {"accuracy_kept": self._accuracy(pruned), "output_error_kept": output_error}
            reestimate(pruned, stale, self.inputs)
            output_error = self._compare(pruned)[2]
            layers = [self._reestimated(layer, pruned, *results[layer.name]) for layer in layers]
        report = Report(
            method=method_name(method),
            settings=dataclasses.asdict(method),
            cascade=None if rules is None else dataclasses.asdict(rules),
            samples=len(self.inputs),
            seed=self.seed,
            layers=layers,
            skipped=self.anatomy.skipped,
            network_weights=sum(p.numel() for p in _weights(pruned)),
            network_zeros=sum(int((p == 0).sum()) for p in _weights(pruned)),
            output_error=output_error,
            accuracy=self._accuracy(pruned),
            accuracy_before=self.accuracy_before,
            test_samples=0 if self.test is None else len(self.test[1]),
            batchnorm=("reestimate" if stale else "keep") if self.has_norms else None,
            **kept,
        )
        return pruned, report

    def _reestimated(
        self, layer: LayerReport, pruned: nn.Module, problem: LayerProblem, result: LayerResult
    ) -> LayerReport:
        """The report of a layer whose batch norm now has other statistics."""
        target = next(target for target in self.selected if target.name == layer.name)
        before, after = target.affine(self.model), target.affine(pruned)
        if before is None or after is None:
            return dataclasses.replace(layer, discrepancy_kept=layer.discrepancy)
        plain = problem.response(result.U) / torch.where(before[0] == 0, 1.0, before[0])[:, None]
        output = plain * after[0][:, None] + after[1][:, None]
        moved = _norm((output.relu() if target.relu else output) - problem.Y)
        return dataclasses.replace(layer, discrepancy=moved / (problem.norm or 1.0), discrepancy_kept=layer.discrepancy)

    def _dense_outputs(self) -> Iterator[tuple[Tensor, dict[str, list[Tensor]], Tensor]]:
        """(inputs, outputs of the selected layers that count, output of the network), batch by batch."""
        batches = self.inputs.split(ROWS_AT_A_TIME)
        held = 0
        for i, rows in enumerate(batches):
            found = self._held[i] if i < len(self._held) else outputs_of(self.model, rows, self.selected)
            held += sum(Y.numel() * Y.element_size() for calls in found[0].values() for Y in calls)
            if i == len(self._held) and held <= HELD:
                self._held.append(found)
            yield rows, *found

    def _compare(self, pruned: nn.Module) -> tuple[dict[str, float], dict[str, float], float]:
        """(layer -> ||Y^ - Y||_F, layer -> ||Y||_F, ||Z^ - Z||_F / ||Z||_F of the network's outputs)."""
        squares = {target.name: [0.0, 0.0] for target in self.selected}
        output = [0.0, 0.0]
        for rows, dense, Z in self._dense_outputs():
            found, Z_hat = outputs_of(pruned, rows, self.selected)
            for name, calls in dense.items():
                for Y, Y_hat in zip(calls, found[name], strict=True):
                    squares[name][0] += _norm(Y_hat - Y) ** 2
                    squares[name][1] += _norm(Y) ** 2
            output[0] += _norm(Z_hat - Z) ** 2
            output[1] += _norm(Z) ** 2
        errors, norms = ({name: math.sqrt(s[i]) for name, s in squares.items()} for i in (0, 1))
        return errors, norms, math.sqrt(output[0] / max(output[1], torch.finfo(torch.float64).tiny))

    def _bounds(self, pruned: nn.Module, results: dict[str, Solved], rules: Cascade | None) -> dict[str, Bound]:
        """Layer -> a bound on ||Y^ - Y||_F at the outputs that count, in the pruned network."""
        if self.anatomy.graph is None:
            return dict.fromkeys(results, (None, "no bound: the model's graph cannot be read"))
        targets = {target.name: target for target in self.selected}

        def through(name: str, before: float) -> Bound:
            call = self.probe.calls[name][0]
            if name not in results:
                layer = self.model.get_submodule(name)
                assert isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
                return (operator_norm(layer, call.shape) * before if before > 0 else 0.0), ""
            target = targets[name]
            if rules is not None and target.calls > 1:
                return None, f"no bound: {name!r} is called more than once, and in a cascade its inputs move again"
            sampled = self.samplings[name]
            scale = math.sqrt(sampled.total / sampled.used)  # 1 unless patches were sampled
            return _layer_bound(self.model, pruned, target, call.shape, scale, *results[name], before), ""

        return self.anatomy.graph.bounds(through, {name: targets[name].norm for name in results})

    @torch.no_grad()
    def _accuracy(self, model: nn.Module) -> float | None:
        if self.test is None:
            return None
        inputs, labels = self.test
        return int((run(model, inputs).argmax(1) == labels).sum()) / len(labels)


def _layer_bound(
    model: nn.Module, pruned: nn.Module, target: Target, shape: torch.Size, scale: float, problem: LayerProblem,
    result: LayerResult, before: float,
) -> float:  # fmt: skip
    """A bound on ||Y^ - Y||_F after this layer, from the bound ``before`` on its inputs' error.

    Parallel (paper 1, Theorem 1, unnormalised): radius + ||U||_2 before.
    Cascade (paper 1, Theorem 2, unnormalised): sqrt(gamma) ||W||_2 before; a method without Net-Trim's constraint off
    omega adds what it left there above V. Where the radius is not kept, what was measured takes its place.
    """
    allowed = response_set(problem, result.stats["epsilon"])
    excess = allowed.excess(problem.response(result.U))
    if not problem.pruned_inputs or problem.gamma is None:
        spread = target.norm_of(pruned, shape) * before if before > 0 else 0.0
        return max(allowed.radius, _norm(excess)) * scale + spread
    on, off = _norm(excess * allowed.omega), _norm(excess * ~allowed.omega)
    kept = max(on / allowed.radius, 1.0) if allowed.radius > 0 else 1.0
    return kept * max(problem.gamma, 1.0) ** 0.5 * target.norm_of(model, shape) * before + off * scale


def _layer_report(
    target: Target, layer: Layer, problem: LayerProblem, result: LayerResult, sampled: Sampling, bound: Bound,
    estimate: bool, error: float, output_norm: float,
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
        seconds=stats["seconds"],
        columns=P,
        columns_total=sampled.total,
        error=error,
        output_norm=output_norm,
        bound=bound[0],
        bound_is_estimate=estimate,
        notes=notes,
    )


def _rules(cascade: bool | Cascade) -> Cascade | None:
    return (Cascade() if cascade else None) if isinstance(cascade, bool) else cascade


def _weights(model: nn.Module) -> list[Tensor]:
    """Every matrix and kernel of weights: no biases, no scales of norms."""
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.double()))


def _checked(inputs: Tensor, name: str) -> Tensor:
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2:
        got = (
            f"a {inputs.dtype} tensor of shape {tuple(inputs.shape)}"
            if isinstance(inputs, Tensor)
            else type(inputs).__name__
        )
        raise ValueError(f"{name} must be a float tensor of shape (samples, ...); got {got}")
    if len(inputs) == 0:
        raise ValueError(f"{name} has no samples; at least 1 is needed")
    if bad := int((~torch.isfinite(inputs)).sum()):
        raise ValueError(f"{name} has {bad} NaN or infinite entries; every entry must be finite")
    return inputs.detach()


def _checked_test(test: Labelled | None, device: torch.device) -> Labelled | None:
    if test is None:
        return None
    inputs, labels = test
    inputs = _checked(inputs, "test inputs")
    if labels.is_floating_point() or labels.shape != (len(inputs),):
        raise ValueError(
            f"test labels must be class indices, one for each of the {len(inputs)} test inputs; "
            f"got a {labels.dtype} tensor of shape {tuple(labels.shape)}"
        )
    return inputs.to(device), labels.to(device)
