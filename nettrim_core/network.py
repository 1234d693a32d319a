"""A dense network that can be pruned: what prune and sweep run on.

Parallel: every layer is pruned on the dense network's signals, on its own.
Cascade: layers are pruned in order on the signals of the network pruned so far; targets stay those of the dense one.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from torch import Tensor, nn

from nettrim_core.assemble import Solved, assemble
from nettrim_core.capture import Target, columns_of
from nettrim_core.cascade import Cascade, rules_of
from nettrim_core.dense import Dense, scaled
from nettrim_core.inputs import equal
from nettrim_core.known import Within
from nettrim_core.problem import LayerProblem, LayerResult, Method, measured
from nettrim_core.ranking import judged
from nettrim_core.refit import Refit
from nettrim_core.report import Report
from nettrim_core.response import response_set


class Network(Dense):
    """Any number of pruned copies of a dense network."""

    def points(
        self, method: Method, epsilons: Iterable[float], cascade: bool | Cascade = False
    ) -> Iterator[tuple[nn.Module, Report]]:
        """One pruned network and report per epsilon, in the order given, as they finish. A layer's own epsilon is this
        one times its ``scale``; in a cascade that counts until the first signals differ from the dense network's."""
        epsilons = list(epsilons)
        for epsilon, solved in zip(epsilons, self.solve(method, epsilons, cascade), strict=True):
            yield assemble(self, dataclasses.replace(method, epsilon=epsilon), self._named(solved), rules_of(cascade))

    def refined(
        self,
        method: Method,
        epsilons: Iterable[float],
        cascade: bool | Cascade = False,
        known: Within | None = None,
    ) -> Iterator[tuple[float, nn.Module, Report]]:
        """(epsilon, pruned network, report) as the answer takes shape: where ``report.rough``, a better one of the same
        epsilon follows. A cascade has no rough answers: what its later layers are asked depends on the earlier ones.
        known: results to use in place of solving, and to add to.
        """
        epsilons, rules = list(epsilons), rules_of(cascade)
        if rules is not None:
            points = self.points(method, epsilons, cascade)
            return ((epsilon, *point) for epsilon, point in zip(epsilons, points, strict=True))
        self.check_memory(method, at_once=True)
        kept = {} if known is None or method.joint else self._kept(method, epsilons, known)
        fresh = [target for target in self.selected if target.name not in kept]
        problems = {target.name: self.problem(target) for target in self.selected}
        asked = [problems[target.name] for target in fresh], [self._own(target, epsilons) for target in fresh]
        steps = method.refines(*asked) if fresh else ((index, []) for index in range(len(epsilons)))
        return self._assembled(method, epsilons, steps, problems, kept, known)

    def _assembled(
        self, method: Method, epsilons: list[float], steps: Iterator[tuple[int, list[LayerResult]]],
        problems: Mapping[str, LayerProblem], kept: Mapping[str, list[LayerResult]], known: Within | None,
    ) -> Iterator[tuple[float, nn.Module, Report]]:  # fmt: skip
        """What is known and what is found, step by step, as networks."""
        fresh = [target for target in self.selected if target.name not in kept]
        for index, results in steps:
            solved = {name: results_of[index] for name, results_of in kept.items()}
            solved |= {target.name: result for target, result in zip(fresh, results, strict=True)}
            pointed = dataclasses.replace(method, epsilon=epsilons[index])
            found = {target.name: (problems[target.name], solved[target.name]) for target in self.selected}
            pruned, report = assemble(self, pointed, found, None)
            if known is not None and not report.rough:
                for target in fresh:
                    known.put(target.name, method, self._own(target, epsilons)[index], solved[target.name])
            yield epsilons[index], pruned, report

    def solved(self, method: Method, name: str, known: Within) -> Solved:
        """The problem and the result of one layer, in parallel, at the method's epsilon."""
        self.check_names([name])
        target = next(target for target in self.selected if target.name == name)
        problem, (epsilon,) = self.problem(target), self._own(target, [method.epsilon])
        result = known.get(name, method, epsilon)
        if result is None:
            self.check_memory(method)
            result = dataclasses.replace(method, epsilon=epsilon).prune(problem)
            known.put(name, method, epsilon, result)
        return problem, result

    def _own(self, target: Target, epsilons: Iterable[float]) -> list[float]:
        """The epsilons of a layer."""
        return [scaled(epsilon, self.scale.get(target.name, 1.0)) for epsilon in epsilons]

    def _kept(self, method: Method, epsilons: list[float], known: Within) -> dict[str, list[LayerResult]]:
        """Layer -> its results, of the layers whose results are all known."""
        found = {
            target.name: [known.get(target.name, method, epsilon) for epsilon in self._own(target, epsilons)]
            for target in self.selected
        }
        return {
            name: [result for result in results if result is not None]
            for name, results in found.items()
            if None not in results
        }

    def at(
        self, method: Method, sparsities: Mapping[str, float], cascade: bool | Cascade = False
    ) -> tuple[nn.Module, Report]:
        """The network with these layers pruned to these fractions of zeros; 0 leaves a layer as it is. In a cascade the
        fraction takes the place of the radius."""

        def solve(problem: LayerProblem, name: str) -> LayerResult:
            if sparsities[name] == 0:
                return measured(problem, problem.W, 0.0)
            return method.at_sparsity(problem, sparsities[name])

        return self._in_turn(method, sparsities, cascade, solve)

    def refitted(
        self, how: Refit, masks: Mapping[str, Tensor], cascade: bool | Cascade = False
    ) -> tuple[nn.Module, Report]:
        """The network with the weights that these layers' masks leave, refitted. masks: (N, M) bool, as a layer problem
        has its weights."""
        return self._in_turn(how, masks, cascade, lambda problem, name: how.of(problem, masks[name]))

    def _in_turn(
        self,
        method: Method | Refit,
        names: Collection[str],
        cascade: bool | Cascade,
        solve: Callable[[LayerProblem, str], LayerResult],
    ) -> tuple[nn.Module, Report]:
        """Some layers of the network solved, in a cascade each on the signals of those before it."""
        self.check_names(names)
        self.check_memory(method)
        rules, pruned = rules_of(cascade), copy.deepcopy(self.model)
        solved: dict[str, Solved] = {}
        for target in self.selected:
            if target.name in names:
                problem = self.problem(target)
                if rules is not None and solved:
                    problem = self._next_problem(pruned, target, rules)
                solved[target.name] = problem, solve(problem, target.name)
                target.write(pruned, solved[target.name][1].U)
        return assemble(self, method, solved, rules)

    def alone(self, method: Method, name: str, sparsities: Iterable[float]) -> Iterator[tuple[nn.Module, Report]]:
        """One layer alone, pruned to each of these fractions of zeros."""
        self.check_names([name])
        self.check_memory(method)
        problem = self.problem(next(target for target in self.selected if target.name == name))
        curve = method.curve(problem)
        for sparsity in sparsities:
            yield assemble(self, method, {name: (problem, curve.at(sparsity))}, None)

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ValueError for a name that is none of a layer to prune."""
        known = [target.name for target in self.selected]
        for name in names:
            if name not in known:
                raise ValueError(f"there is no layer {name!r} among those to prune: {', '.join(known)}")

    def _named(self, solved: Iterable[Solved]) -> dict[str, Solved]:
        return {target.name: pair for target, pair in zip(self.selected, solved, strict=True)}

    def solve(self, method: Method, epsilons: list[float], cascade: bool | Cascade = False) -> Iterator[list[Solved]]:
        """Per epsilon the (problem, result) of every selected layer: what ``points`` assembles."""
        rules = rules_of(cascade)
        self.check_memory(method, at_once=len(epsilons) > 1)
        return self._parallel(method, epsilons) if rules is None else self._cascaded(method, epsilons, rules)

    def _parallel(self, method: Method, epsilons: list[float]) -> Iterator[list[Solved]]:
        problems = [self.problem(target) for target in self.selected]
        for results in method.paths(problems, [self._own(target, epsilons) for target in self.selected]):
            yield list(zip(problems, results, strict=True))

    def _cascaded(self, method: Method, epsilons: list[float], rules: Cascade) -> Iterator[list[Solved]]:
        if method.joint:
            yield from self._followed(method, epsilons, rules)
            return
        first = self.problem(self.selected[0])
        path = method.path(first, self._own(self.selected[0], epsilons))
        for epsilon in epsilons:
            pruned, solved = copy.deepcopy(self.model), [(first, next(path))]
            self.selected[0].write(pruned, solved[0][1].U)
            for target in self.selected[1:]:
                problem = self._next_problem(pruned, target, rules)
                (own,) = self._own(target, [epsilon])
                solved.append((problem, dataclasses.replace(method, epsilon=own).prune(problem)))
                target.write(pruned, solved[-1][1].U)
            yield solved

    def _followed(self, method: Method, epsilons: list[float], rules: Cascade) -> Iterator[list[Solved]]:
        """A method that decides layers together cannot take them in turn: its answer on the dense network's signals,
        held to the radii of a cascade."""
        for epsilon, results in zip(epsilons, self._parallel(method, epsilons), strict=True):
            pruned, solved = copy.deepcopy(self.model), results[:1]
            for target, (_, result) in zip(self.selected, results, strict=True):
                if target is not self.selected[0]:
                    problem, (own,) = self._next_problem(pruned, target, rules), self._own(target, [epsilon])
                    allowed = response_set(problem, own)
                    solved.append((problem, judged(problem, result.U, allowed, own, result.stats["seconds"])))
                target.write(pruned, result.U)
            yield solved

    def _next_problem(self, pruned: nn.Module, target: Target, rules: Cascade) -> LayerProblem:
        """The problem of a cascade's next layer: inputs of the network pruned so far, outputs of the dense one."""
        X = columns_of(pruned, self.inputs, self.sampled([target]), stop=True)[target.name][0]
        before, Y = self.columns[target.name]
        is_output = not target.relu and target.name == self.probe.last(self.model)
        gamma = rules.gamma * (rules.kappa**2 if is_output else 1.0)
        problem = target.problem(self.model, X, Y, pruned_inputs=not equal(X, before), gamma=gamma)
        if not rules.dense or not problem.pruned_inputs:
            return problem
        return dataclasses.replace(problem, responses=self.problem(target).response(problem.W))
