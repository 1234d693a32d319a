"""Pruning a network layer by layer, in parallel or as a cascade, and measuring what it did.

Parallel: every layer is pruned on the dense network's signals, on its own.
Cascade: layers are pruned in order on the signals of the network pruned so far; targets stay those of the dense one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nettrim_core.capture import (
    Layer,
    Step,
    layer_problem,
    lipschitz,
    operator_norm,
    positions,
    sample_columns,
    steps_of,
    write_weights,
)
from nettrim_core.methods import METHODS, method_name
from nettrim_core.problem import GAMMA, LayerProblem, LayerResult, Method, Settings, discrepancy, setting
from nettrim_core.report import LayerReport, Report
from nettrim_core.response import response_set

MAX_PATCHES = 10_000
ROWS_AT_A_TIME = 1_000

Labelled = tuple[Tensor, Tensor]


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


def prune(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    layers: Sequence[str] | None = None,
    cascade: bool | Cascade = False,
    test: Labelled | None = None,
    *,
    max_patches: int = MAX_PATCHES,
    seed: int = 0,
) -> tuple[nn.Sequential, Report]:
    """A pruned copy of ``model`` (in eval mode) and the report of what was done. ``model`` is never touched.

    inputs: (samples, ...) calibration inputs, without labels. method: a value such as ``NetTrim(epsilon=0.1)`` or a
    name in METHODS. layers: module names (None: every layer that can be pruned). test: (inputs, labels) to measure
    accuracy on. max_patches: a convolution's problem uses at most this many patches, drawn with ``seed``.

    Raises ValueError for inputs that do not fit, unknown or unsupported layers, and NaN or Inf anywhere.
    """
    method = named(method)[1]
    network = Network(model, inputs, layers, test, max_patches=max_patches, seed=seed)
    return next(network.points(method, [method.epsilon], cascade))


def named(method: str | Method) -> tuple[str, Method]:
    """(name, value) of a method given as either; ValueError for an unknown name."""
    if not isinstance(method, str):
        return method_name(method), method
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known methods: {', '.join(METHODS)}")
    return method, METHODS[method]


@dataclass(frozen=True, eq=False)
class _Selected:
    """A layer to prune with the dense network's signals around it; columns: which of its patches are used."""

    index: int
    step: Step
    layer: Layer
    inputs: Tensor
    targets: Tensor
    columns: Tensor | None

    @property
    def columns_total(self) -> int:
        return len(self.targets) * positions(self.layer, self.targets)

    def problem(self, inputs: Tensor, pruned_inputs: bool = False, gamma: float | None = GAMMA) -> LayerProblem:
        try:
            return layer_problem(
                self.layer,
                inputs,
                self.targets,
                self.step.relu,
                columns=self.columns,
                pruned_inputs=pruned_inputs,
                gamma=gamma,
            )
        except ValueError as error:
            raise ValueError(f"layer {self.step.name!r}: {error}") from error


Solved = tuple[LayerProblem, LayerResult]


class Network:
    """A dense chain with its calibration signals, captured once: what prune and sweep run on."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        layers: Sequence[str] | None = None,
        test: Labelled | None = None,
        *,
        max_patches: int = MAX_PATCHES,
        seed: int = 0,
    ) -> None:
        self.model = copy.deepcopy(model).eval()
        self.steps = steps_of(self.model)
        self.seed = seed
        self.device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        self.inputs = _checked(inputs, "inputs").to(self.device)
        self.test = _checked_test(test, self.device)
        if max_patches < 1:
            raise ValueError(f"max_patches = {max_patches} must be at least 1")
        wanted = self._wanted(layers)
        self.selected = self._capture(wanted, max_patches, seed)
        self.accuracy_before = self._accuracy(self.model)

    def _wanted(self, layers: Sequence[str] | None) -> list[str]:
        prunable = [s.name for s in self.steps if s.reason is None]
        if layers is None:
            if not prunable:
                raise ValueError("the model has no layer that can be pruned (Linear or Conv2d)")
            return prunable
        if isinstance(layers, str):
            raise ValueError(f"layers must be a list of module names; got the string {layers!r}")
        reasons = {s.name: s.reason for s in self.steps}
        for name in layers:
            if name not in reasons:
                raise ValueError(
                    f"layers: there is no module {name!r}; layers that can be pruned: {', '.join(prunable)}"
                )
            if reasons[name]:
                raise ValueError(f"layers: {name!r} cannot be pruned: {reasons[name]}")
        if not layers:
            raise ValueError(f"layers is empty: name at least one of {', '.join(prunable)}")
        return list(layers)

    @torch.no_grad()
    def _capture(self, wanted: list[str], max_patches: int, seed: int) -> list[_Selected]:
        selected, signal = [], self.inputs
        for index, step in enumerate(self.steps):
            try:
                output = _run(step.module, signal)
            except (RuntimeError, ValueError, TypeError) as error:
                shape = tuple(self.inputs.shape)
                raise ValueError(
                    f"inputs of shape {shape} do not fit the model: layer {step.name!r} says: {error}"
                ) from error
            if step.name in wanted:
                assert isinstance(step.module, nn.Linear | nn.Conv2d)
                targets = output.relu() if step.relu else output
                columns = sample_columns(step.module, output, max_patches, seed)
                selected.append(_Selected(index, step, step.module, signal, targets, columns))
            signal = output
        self.outputs = signal
        return selected

    def points(
        self, method: Method, epsilons: Iterable[float], cascade: bool | Cascade = False
    ) -> Iterator[tuple[nn.Sequential, Report]]:
        """One pruned network and report per epsilon, in the order given, as they finish."""
        epsilons = list(epsilons)
        for epsilon, solved in zip(epsilons, self.solve(method, epsilons, cascade), strict=True):
            yield self._assemble(dataclasses.replace(method, epsilon=epsilon), solved, _rules(cascade))

    def refined(
        self, method: Method, epsilons: Iterable[float], cascade: bool | Cascade = False
    ) -> Iterator[tuple[float, nn.Sequential, Report]]:
        """(epsilon, pruned network, report) as the answer takes shape: where ``report.rough``, a better one of the same
        epsilon follows. A cascade has no rough answers: what its later layers are asked depends on the earlier ones.
        """
        epsilons, rules = list(epsilons), _rules(cascade)
        if rules is not None:
            yield from ((e, *point) for e, point in zip(epsilons, self.points(method, epsilons, cascade), strict=True))
            return
        problems = [s.problem(s.inputs) for s in self.selected]
        for answers in zip(*[method.refine(problem, epsilons) for problem in problems], strict=True):
            ((index, _), *_) = answers
            solved = [(problem, result) for problem, (_, result) in zip(problems, answers, strict=True)]
            pointed = dataclasses.replace(method, epsilon=epsilons[index])
            yield epsilons[index], *self._assemble(pointed, solved, rules)

    def solve(self, method: Method, epsilons: list[float], cascade: bool | Cascade = False) -> Iterator[list[Solved]]:
        """Per epsilon the (problem, result) of every selected layer: what ``points`` assembles."""
        rules = _rules(cascade)
        return self._parallel(method, epsilons) if rules is None else self._cascaded(method, epsilons, rules)

    def _parallel(self, method: Method, epsilons: list[float]) -> Iterator[list[Solved]]:
        problems = [s.problem(s.inputs) for s in self.selected]
        paths = [method.path(problem, epsilons) for problem in problems]
        for _ in epsilons:
            yield [(problem, next(path)) for problem, path in zip(problems, paths, strict=True)]

    @torch.no_grad()
    def _cascaded(self, method: Method, epsilons: list[float], rules: Cascade) -> Iterator[list[Solved]]:
        first = self.selected[0].problem(self.selected[0].inputs)
        path = method.path(first, epsilons)
        for epsilon in epsilons:
            solved = [(first, next(path))]
            pruned = copy.deepcopy(self.model)
            steps = steps_of(pruned)
            signal, at = self.selected[0].inputs, self.selected[0].index
            for previous, here in zip(self.selected, self.selected[1:], strict=False):
                _write(steps[previous.index].module, solved[-1][1].U)
                for step in steps[at : here.index]:
                    signal = _run(step.module, signal)
                at = here.index
                gamma = rules.gamma * (rules.kappa**2 if self._is_output(here) else 1.0)
                problem = here.problem(signal, pruned_inputs=not torch.equal(signal, here.inputs), gamma=gamma)
                solved.append((problem, dataclasses.replace(method, epsilon=epsilon).prune(problem)))
            yield solved

    def _is_output(self, selected: _Selected) -> bool:
        """A linear layer with no other layer of weights after it."""
        later = self.steps[selected.index + 1 :]
        return not selected.step.relu and not any(True for s in later for _ in s.module.parameters())

    @torch.no_grad()
    def _assemble(self, method: Method, solved: list[Solved], rules: Cascade | None) -> tuple[nn.Sequential, Report]:
        """Write the weights into a copy, run it, and put beside each other what was asked, promised and measured."""
        pruned = copy.deepcopy(self.model)
        steps = steps_of(pruned)
        results = {s.index: (s, *pair) for s, pair in zip(self.selected, solved, strict=True)}
        for index, (_, _, result) in results.items():
            _write(steps[index].module, result.U)
        layers, signal = [], self.inputs
        bound: float | None = 0.0
        estimate, why_none = False, ""
        for index, step in enumerate(steps):
            output = _run(step.module, signal)
            if index in results:
                selected, problem, result = results[index]
                estimate = estimate or selected.columns is not None
                bound = None if bound is None else _layer_bound(selected, step, problem, result, bound, signal)
                error = _norm((output.relu() if step.relu else output) - selected.targets)
                layers.append(_layer_report(selected, problem, result, bound, estimate, error, why_none))
            elif bound is not None and bound > 0:
                stretch = operator_norm(step.module, signal) if step.reason is None else lipschitz(step.module)  # type: ignore[arg-type]
                bound = None if stretch is None else bound * stretch
                why_none = why_none or (
                    "" if stretch else f"no bound: how far {step.name!r} can stretch an error is not known"
                )
            signal = output
        report = Report(
            method=method_name(method),
            settings=dataclasses.asdict(method),
            cascade=None if rules is None else dataclasses.asdict(rules),
            samples=len(self.inputs),
            seed=self.seed,
            layers=layers,
            skipped=[(s.name, s.reason) for s in steps if s.reason is not None and list(s.module.parameters())],
            network_weights=sum(p.numel() for p in _weights(steps)),
            network_zeros=sum(int((p == 0).sum()) for p in _weights(steps)),
            output_error=_norm(signal - self.outputs) / max(_norm(self.outputs), torch.finfo(torch.float64).tiny),
            accuracy=self._accuracy(pruned),
            accuracy_before=self.accuracy_before,
            test_samples=0 if self.test is None else len(self.test[1]),
        )
        assert isinstance(pruned, nn.Sequential)
        return pruned, report

    @torch.no_grad()
    def _accuracy(self, model: nn.Module) -> float | None:
        if self.test is None:
            return None
        inputs, labels = self.test
        right = 0
        for x, y in zip(inputs.split(ROWS_AT_A_TIME), labels.split(ROWS_AT_A_TIME), strict=True):
            right += int((_run(model, x).argmax(1) == y).sum())
        return right / len(labels)


def _layer_bound(
    selected: _Selected, step: Step, problem: LayerProblem, result: LayerResult, before: float, signal: Tensor
) -> float:
    """A bound on ||Y^ - Y||_F after this layer, from the bound ``before`` on its inputs' error.

    Parallel (paper 1, Theorem 1, unnormalised): radius + ||U||_2 before.
    Cascade (paper 1, Theorem 2, unnormalised): sqrt(gamma) ||W||_2 before; a method without Net-Trim's constraint off
    omega adds what it left there above V. Where the radius is not kept, what was measured takes its place.
    """
    target = response_set(problem, result.stats["epsilon"])
    excess = target.excess(problem.response(result.U))
    scale = (selected.columns_total / problem.X.shape[1]) ** 0.5  # 1 unless patches were sampled
    if not problem.pruned_inputs or problem.gamma is None:
        return max(target.radius, _norm(excess)) * scale + operator_norm(step.module, signal) * before  # type: ignore[arg-type]
    on, off = _norm(excess * target.omega), _norm(excess * ~target.omega)
    kept = max(on / target.radius, 1.0) if target.radius > 0 else 1.0
    return kept * max(problem.gamma, 1.0) ** 0.5 * operator_norm(selected.layer, signal) * before + off * scale


def _layer_report(
    selected: _Selected,
    problem: LayerProblem,
    result: LayerResult,
    bound: float | None,
    estimate: bool,
    error: float,
    why_none: str,
) -> LayerReport:
    stats: Mapping[str, float] = result.stats
    zeros = result.U == 0
    body, tail = (zeros[:-1], zeros[-1:]) if problem.bias else (zeros, zeros[:0])
    dead = sum(int((~block.alive[: len(body)]).sum()) * len(block.Y) for block in problem.blocks)
    N, M = problem.W.shape
    P = problem.X.shape[1]
    notes = [selected.step.note] if selected.step.note else []
    if P < N:
        notes.append(f"fewer samples ({P}) than inputs ({N}): many weights fit the samples equally well")
    if selected.columns is not None:
        notes.append(f"{P} of {selected.columns_total} patches were used; the bound is an estimate")
    if bound is None:
        notes.append(why_none)
    return LayerReport(
        name=selected.step.name,
        kind=type(selected.layer).__name__,
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
        columns_total=selected.columns_total,
        error=error,
        output_norm=_norm(selected.targets),
        bound=bound,
        bound_is_estimate=estimate,
        notes=notes,
    )


def _rules(cascade: bool | Cascade) -> Cascade | None:
    return (Cascade() if cascade else None) if isinstance(cascade, bool) else cascade


def _write(module: nn.Module, U: Tensor) -> None:
    assert isinstance(module, nn.Linear | nn.Conv2d)
    write_weights(module, U)


def _weights(steps: list[Step]) -> list[Tensor]:
    return [s.module.weight for s in steps if isinstance(s.module, nn.Linear | nn.Conv2d)]


def _run(module: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([module(rows) for rows in inputs.split(ROWS_AT_A_TIME)])


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
