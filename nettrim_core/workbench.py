"""What a worker holds between requests: bundles, networks and layer results, so that the next question is answered
from what the last one left."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from torch import nn

from nettrim_core.allocate import Budget
from nettrim_core.assemble import Solved
from nettrim_core.bundle import load_bundle
from nettrim_core.known import Known, Within
from nettrim_core.network import Network
from nettrim_core.problem import Method
from nettrim_core.recipe import Recipe
from nettrim_core.report import Report


class Workbench:
    """Everything by content: nothing here changes what comes out, only when."""

    def __init__(self) -> None:
        self.bundle = lru_cache(maxsize=2)(load_bundle)
        self.network = lru_cache(maxsize=2)(self._network)
        self.budgets = lru_cache(maxsize=1)(self._budget)
        self.solved = lru_cache(maxsize=1)(self._solved)
        self.results = Known()

    def _network(self, recipe: Recipe) -> Network:
        return recipe.network(self.bundle(recipe.bundle))

    def _budget(self, recipe: Recipe, method: Method) -> Budget:
        return Budget(self.network(recipe), method)

    def budget(self, recipe: Recipe, method: Method) -> Budget:
        """The layers' curves and probes, for any target, rule and locks; epsilons play no part in them."""
        return self.budgets(dataclasses.replace(recipe, cascade=None, scale=()), method)

    def known(self, recipe: Recipe) -> Within:
        return self.results.within(f"{self.bundle(recipe.bundle).fingerprint} {recipe.context}")

    def pruned(self, recipe: Recipe, method: Method) -> tuple[nn.Module, Report]:
        """The network pruned at the method's epsilon, judged on the validation rows."""
        *_, (_, pruned, report) = self.network(recipe).refined(
            method, [method.epsilon], recipe.cascade or False, self.known(recipe)
        )
        return pruned, report

    def _solved(self, recipe: Recipe, method: Method, layer: str) -> Solved:
        """One layer's problem and its result at the method's epsilon."""
        network = self.network(recipe)
        if recipe.cascade is None and not method.joint:
            return network.solved(method, layer, self.known(recipe))
        found = next(network.solve(method, [method.epsilon], recipe.cascade or False))
        return found[recipe.layers.index(layer)]
