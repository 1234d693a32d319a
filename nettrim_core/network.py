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
from nettrim_core.dense import Dense
from nettrim_core.inputs import equal
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
        """One pruned network and report per epsilon, in the order given, as they finish."""
        epsilons = list(epsilons)
        for epsilon, solved in zip(epsilons, self.solve(method, epsilons, cascade), strict=True):
            yield assemble(self, dataclasses.replace(method, epsilon=epsilon), self._named(solved), rules_of(cascade))

    def refined(
        self, method: Method, epsilons: Iterable[float], cascade: bool | Cascade = False
    ) -> Iterator[tuple[float, nn.Module, Report]]:
        """(epsilon, pruned network, report) as the answer takes shape: where ``report.rough``, a better one of the same
        epsilon follows. A cascade has no rough answers: what its later layers are asked depends on the earlier ones.
        """
        epsilons, rules = list(epsilons), rules_of(cascade)
        if rules is not None:
            yield from ((e, *point) for e, point in zip(epsilons, self.points(method, epsilons, cascade), strict=True))
            return
        self.check_memory(method, at_once=True)
        problems = [self.problem(target) for target in self.selected]
        for index, results in method.refines(problems, epsilons):
            solved = self._named(zip(problems, results, strict=True))
            pointed = dataclasses.replace(method, epsilon=epsilons[index])
            yield epsilons[index], *assemble(self, pointed, solved, rules)

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
        for results in method.paths(problems, epsilons):
            yield list(zip(problems, results, strict=True))

    def _cascaded(self, method: Method, epsilons: list[float], rules: Cascade) -> Iterator[list[Solved]]:
        if method.joint:
            yield from self._followed(method, epsilons, rules)
            return
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

    def _followed(self, method: Method, epsilons: list[float], rules: Cascade) -> Iterator[list[Solved]]:
        """A method that decides layers together cannot take them in turn: its answer on the dense network's signals,
        held to the radii of a cascade."""
        for epsilon, results in zip(epsilons, self._parallel(method, epsilons), strict=True):
            pruned, solved = copy.deepcopy(self.model), results[:1]
            for target, (_, result) in zip(self.selected, results, strict=True):
                if target is not self.selected[0]:
                    problem = self._next_problem(pruned, target, rules)
                    allowed = response_set(problem, epsilon)
                    solved.append((problem, judged(problem, result.U, allowed, epsilon, result.stats["seconds"])))
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
