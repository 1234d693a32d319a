"""Curves: methods over epsilons, of one plan or of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nettrim_core.bundle import Bundle
from nettrim_core.known import Within
from nettrim_core.network import Network
from nettrim_core.plan import Plan, method_from
from nettrim_core.record import Point, make_point
from nettrim_core.workbench import Workbench


def solve(
    plan: Plan, curves: list[dict[str, Any]], bundle: Bundle, network: Network | None = None,
    known: Within | None = None,
) -> Iterator[Point]:  # fmt: skip
    """The points of every curve as they take shape, the methods in turn; a rough point is followed by a better one.

    curves: each ``{"method": name, "settings": {...}, "epsilons": [...]}``.
    """
    network = network or plan.network(bundle)
    waiting = []
    for curve in curves:
        method = method_from(curve["method"], curve["settings"])
        refined = network.refined(method, curve["epsilons"], plan.cascade or False, known)
        waiting.append((curve["method"], refined))
    while waiting:
        for entry in list(waiting):
            name, points = entry
            found = next(points, None)
            if found is None:
                waiting.remove(entry)
                continue
            epsilon, pruned, report = found
            yield make_point(name, epsilon, pruned, report, bundle)


def sweep(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"sweeps": [{"plan": {...}, "curves": [...]}, ...]}`` -> ``{"sweep": its place, "point": {...}}`` for every
    result as it finishes."""
    for place, wanted in enumerate(request["sweeps"]):
        plan = Plan.from_dict(wanted["plan"])
        bundle = bench.bundle(plan.bundle)
        for point in solve(plan, wanted["curves"], bundle, bench.network(plan), bench.known(plan)):
            yield {"sweep": place, "point": point.to_dict()}
