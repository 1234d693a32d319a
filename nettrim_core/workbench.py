"""What a worker holds between requests: bundles, networks and layer results, so that the next question is answered
from what the last one left."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from torch import nn

from nettrim_core.allocate import Budget
from nettrim_core.assemble import Solved
from nettrim_core.bundle import Bundle, load_bundle
from nettrim_core.cluster import connected
from nettrim_core.configuration import Scheduler, Work
from nettrim_core.dense import MEMORY_LIMIT
from nettrim_core.devices import device_of
from nettrim_core.durable.kept import Kept, context_of
from nettrim_core.durable.store import Store
from nettrim_core.executor import LOCAL, Executor
from nettrim_core.known import Known, Within
from nettrim_core.network import Network
from nettrim_core.plan import Plan
from nettrim_core.problem import Method
from nettrim_core.report import Report


class Workbench:
    """Everything by content: nothing here changes what comes out, only when.

    memory: bytes that a request may take, 0 for as many as usual. folders: those of bundles that are no samples, by the
    names that plans have for them. Such a name is made from the content, so that what is held under it stays right
    wherever it lies. kept: what outlives the process.
    """

    def __init__(
        self, store: Store | None = None, bundles: Mapping[str, Bundle] | None = None, memory: int = 0,
        scheduler: str | None = None, device: str = "",
    ) -> None:  # fmt: skip
        """store: where results are kept; None for nowhere. bundles: by the names that plans have for them. scheduler:
        whose workers solve sweeps, "" for none; None and no device (where torch computes) are what is configured."""
        self.store, self.bundles, self.memory = store, dict(bundles or {}), memory or MEMORY_LIMIT
        self.scheduler = Scheduler.configured().address if scheduler is None else scheduler
        self.device = device or Work.configured().device
        self.folders: dict[str, str] = {}
        self.kept = Kept(store)
        self.forget()

    def serve(self, request: Mapping[str, Any]) -> None:
        """Be ready for this request. What visitors brought is not kept: it goes when they do."""
        self.folders = request.get("folders", {})
        self.kept = Kept(None if self.folders else self.store, request.get("run", ""))

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        """Where to solve: with a scheduler's workers, if there is to be one."""
        if self.scheduler:
            if device_of(self.device).type != "cpu":
                raise ValueError(
                    f"device = {self.device!r} is for solving here, and scheduler = {self.scheduler!r} for solving "
                    "elsewhere: give one of them"
                )
            with connected(self.scheduler) as cluster:
                yield cluster
        else:
            yield LOCAL

    def forget(self) -> None:
        """Let go of everything."""
        self.bundle = lru_cache(maxsize=2)(self._bundle)
        self.network = lru_cache(maxsize=2)(self._network)
        self.budgets = lru_cache(maxsize=1)(self._budget)
        self.solved = lru_cache(maxsize=1)(self._solved)
        self.results = Known()

    def _bundle(self, name: str) -> Bundle:
        return (self.bundles.get(name) or load_bundle(self.folders.get(name, name))).on(self.device)

    def _network(self, plan: Plan) -> Network:
        return plan.network(self.bundle(plan.bundle), memory_limit=self.memory)

    def _budget(self, plan: Plan, method: Method) -> Budget:
        return Budget(self.network(plan), method)

    def budget(self, plan: Plan, method: Method) -> Budget:
        """The layers' curves and probes, for any target, rule and locks; epsilons play no part in them."""
        return self.budgets(dataclasses.replace(plan, cascade=None, scale=()), method)

    def known(self, plan: Plan) -> Within:
        context = context_of(self.bundle(plan.bundle), plan)
        return self.results.within(context, self.kept.layers(context))

    def pruned(self, plan: Plan, method: Method) -> tuple[nn.Module, Report]:
        """The network pruned at the method's epsilon, judged on the validation rows."""
        *_, (_, pruned, report) = self.network(plan).refined(
            method, [method.epsilon], plan.cascade or False, self.known(plan)
        )
        return pruned, report

    def _solved(self, plan: Plan, method: Method, layer: str) -> Solved:
        """One layer's problem and its result at the method's epsilon."""
        network = self.network(plan)
        if plan.cascade is None and not method.joint:
            return network.solved(method, layer, self.known(plan))
        found = next(network.solve(method, [method.epsilon], plan.cascade or False))
        return found[plan.layers.index(layer)]
