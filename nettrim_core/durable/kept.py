"""What a worker keeps in a store, and finds there, while it works for one run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nettrim_core.allocate import Budget, Offer
from nettrim_core.bundle import Bundle
from nettrim_core.capture import Target
from nettrim_core.durable.address import Address, address, of_layer, of_plan, of_point
from nettrim_core.durable.results import (
    layer_sealed,
    layer_unsealed,
    point_sealed,
    point_unsealed,
    retraining_sealed,
    retraining_unsealed,
)
from nettrim_core.durable.sealed import Sealed
from nettrim_core.durable.store import Store
from nettrim_core.plan import Plan
from nettrim_core.problem import LayerResult, Method
from nettrim_core.record import Point, point_key
from nettrim_core.retrain import Saved


def source_of(bundle: Bundle) -> str:
    """Weights, rows, and where they are computed with: another device gives other bits."""
    kind = bundle.device.type
    return bundle.fingerprint if kind == "cpu" else f"{bundle.fingerprint} {kind}"


def context_of(bundle: Bundle, plan: Plan) -> str:
    """All that a layer's problem depends on, in parallel: the source, and how its rows are drawn."""
    return f"{source_of(bundle)} {plan.context}"


@dataclass(frozen=True)
class Kept:
    """store: None keeps nothing, and finds nothing. run: whose the results are; "" for nobody's."""

    store: Store | None = None
    run: str = ""

    def get(self, address: Address) -> Sealed | None:
        return None if self.store is None else self.store.get(address, self.run)

    def put(self, address: Address, content: Sealed) -> None:
        if self.store is not None:
            self.store.put(address, content, self.run)

    def layers(self, context: str) -> Layers:
        """Layers pruned in parallel, in one context."""
        return Layers(self, context)

    def points(self, bundle: Bundle, plan: Plan) -> Points:
        """Networks pruned by one plan."""
        return Points(self, source_of(bundle), plan)

    def retraining(self, bundle: Bundle, plan: Plan, what: Any) -> Retraining:
        """A pruning and its retraining. what: the rest of what it depends on, plain data."""
        return Retraining(self, address("retraining", fingerprint=source_of(bundle), plan=of_plan(plan), what=what))

    def price(self, budget: Budget, layer: Target, context: str) -> Offer:
        """What a layer has to offer to a budget, in one context."""
        method = budget.method
        asked = [type(method).__name__, dataclasses.asdict(method), budget.loss]  # type: ignore[call-overload]
        here = address("offer", context=context, layer=layer.name, asked=asked)
        if (found := self.get(here)) is not None:
            budget.recall({layer.name: Offer.from_dict(found.about["offer"])})
        offer = budget.offer(layer)
        if found is None:
            self.put(here, Sealed({"offer": dataclasses.asdict(offer)}, {}))
        return offer


@dataclass(frozen=True)
class Layers:
    """As nettrim_core.known asks for them."""

    kept: Kept
    context: str

    def get(self, layer: str, method: Method, epsilon: float) -> LayerResult | None:
        found = self.kept.get(of_layer(self.context, layer, method, epsilon))
        return None if found is None else layer_unsealed(found)

    def put(self, layer: str, method: Method, epsilon: float, result: LayerResult) -> None:
        if self.kept.store is not None:
            self.kept.put(of_layer(self.context, layer, method, epsilon), layer_sealed(result))


@dataclass(frozen=True)
class Points:
    kept: Kept
    fingerprint: str
    plan: Plan

    def get(self, curve: str, epsilon: float) -> Point | None:
        """curve: the method and its settings, as method_key gives them."""
        found = self.kept.get(self._address(point_key(curve, epsilon)))
        return None if found is None else point_unsealed(found)

    def put(self, point: Point) -> None:
        """One that is not rough."""
        if self.kept.store is not None:
            self.kept.put(self._address(point.key), point_sealed(point))

    def _address(self, key: str) -> Address:
        return of_point(self.fingerprint, self.plan, key)


@dataclass(frozen=True)
class Retraining:
    """As nettrim_core.retrain asks for it. It changes after every epoch: the last one is kept."""

    kept: Kept
    address: Address

    def get(self) -> Saved | None:
        found = self.kept.get(self.address)
        return None if found is None else retraining_unsealed(found)

    def put(self, saved: Saved) -> None:
        if self.kept.store is not None:
            self.kept.put(self.address, retraining_sealed(saved))
