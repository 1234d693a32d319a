"""One budget for a whole network, and how much each layer alone matters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from nettrim_core.allocate import Budget, Offer, target_of
from nettrim_core.durable.kept import context_of
from nettrim_core.plan import Plan, method_from
from nettrim_core.report import finite
from nettrim_core.sensitivity import SPARSITIES
from nettrim_core.workbench import Workbench


def budget(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "method", "settings", "target", "rule", "locked", "offers"}`` -> ``{"layer", "offer"}`` as each
    layer's curve is priced, those apart that the request brings, then ``{"report"}``. A target that cannot be reached
    raises before all of that, one of accuracy after it."""
    plan, target, rule = Plan.from_dict(request["plan"]), target_of(request["target"]), request["rule"]
    shared = _budget_of(request, bench).relocked(request["locked"])
    shared.check(target, rule)
    shared.recall({name: Offer.from_dict(entry) for name, entry in request.get("offers", {}).items()})
    context = context_of(bench.bundle(plan.bundle), plan)
    for layer in shared.asked if rule == "hull" else []:
        if layer.name not in request.get("offers", {}):
            yield {"layer": layer.name, "offer": dataclasses.asdict(bench.kept.price(shared, layer, context))}
    report = shared.share(target, rule, plan.cascade or False, bench.bundle(plan.bundle).validation)[1]
    yield {"report": report.to_dict()}


def sensitivity(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "method", "settings", "layers"}`` -> ``{"layer", "asked", "zeros", "accuracy", "dense",
    "output_error"}`` for every one of SPARSITIES, layer by layer, all others dense. zeros: the fraction got, of the
    layer's weights and biases; dense: the accuracy before; output_error: as a report has it."""
    shared = _budget_of(request, bench)
    for layer in request["layers"]:
        for asked, (_, report) in zip(SPARSITIES, shared.alone(layer, SPARSITIES), strict=True):
            (entry,) = report.layers
            zeros = (entry.weight_zeros + entry.bias_zeros) / (entry.weights + entry.biases)
            figures = {
                "accuracy": report.accuracy,
                "dense": report.accuracy_before,
                "output_error": report.output_error,
            }
            yield finite({"layer": layer, "asked": asked, "zeros": zeros, **figures})


def _budget_of(request: dict[str, Any], bench: Workbench) -> Budget:
    return bench.budget(Plan.from_dict(request["plan"]), method_from(request["method"], request["settings"]))
