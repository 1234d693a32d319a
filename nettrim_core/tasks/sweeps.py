"""Curves: methods over epsilons, of one recipe or of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nettrim_core.bundle import Bundle
from nettrim_core.known import Within
from nettrim_core.network import Network
from nettrim_core.recipe import Recipe, method_from
from nettrim_core.record import Point, make_point
from nettrim_core.workbench import Workbench


def solve(
    recipe: Recipe, curves: list[dict[str, Any]], bundle: Bundle, network: Network | None = None,
    known: Within | None = None,
) -> Iterator[Point]:  # fmt: skip
    """The points of every curve as they take shape, the methods in turn; a rough point is followed by a better one.

    curves: each ``{"method": name, "settings": {...}, "epsilons": [...]}``.
    """
    network = network or recipe.network(bundle)
    waiting = []
    for curve in curves:
        method = method_from(curve["method"], curve["settings"])
        refined = network.refined(method, curve["epsilons"], recipe.cascade or False, known)
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
    """``{"sweeps": [{"recipe": {...}, "curves": [...]}, ...]}`` -> ``{"sweep": its place, "point": {...}}`` for every
    result as it finishes."""
    for place, wanted in enumerate(request["sweeps"]):
        recipe = Recipe.from_dict(wanted["recipe"])
        bundle = bench.bundle(recipe.bundle)
        for point in solve(recipe, wanted["curves"], bundle, bench.network(recipe), bench.known(recipe)):
            yield {"sweep": place, "point": point.to_dict()}
