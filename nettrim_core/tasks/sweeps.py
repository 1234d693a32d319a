"""Curves: methods over epsilons, of one plan or of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nettrim_core.bundle import Bundle
from nettrim_core.durable.kept import Points
from nettrim_core.executor import stepwise
from nettrim_core.known import Within
from nettrim_core.network import Network
from nettrim_core.plan import Plan, method_from, method_key
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
    result, first those that are kept, then as they finish."""
    for place, wanted in enumerate(request["sweeps"]):
        plan = Plan.from_dict(wanted["plan"])
        bundle = bench.bundle(plan.bundle)
        kept = bench.kept.points(bundle, plan)
        found, left = recalled(wanted["curves"], kept)
        for point in found:
            yield {"sweep": place, "point": point.to_dict()}
        if not left:
            continue
        with bench.executor() as executor:
            for point in stepwise(executor, solve(plan, left, bundle, bench.network(plan), bench.known(plan))):
                if not point.report.rough:
                    kept.put(point)
                yield {"sweep": place, "point": point.to_dict()}


def recalled(curves: list[dict[str, Any]], kept: Points) -> tuple[list[Point], list[dict[str, Any]]]:
    """The points of these curves that are kept, and the curves with those that are not."""
    found, left = [], []
    for curve in curves:
        key = method_key(curve["method"], method_from(curve["method"], curve["settings"]))
        points = {epsilon: kept.get(key, epsilon) for epsilon in curve["epsilons"]}
        found += [point for point in points.values() if point is not None]
        if missing := [epsilon for epsilon, point in points.items() if point is None]:
            left.append({**curve, "epsilons": missing})
    return found, left
