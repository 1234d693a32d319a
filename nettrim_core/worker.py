"""The child process that solves: requests come in and answers go out as lines of JSON.

Sweeps run here (``python -m nettrim_core.worker``) and not in the server, so that a page stays responsive and a
cancel is a kill.

    {"recipe": {...}, "curves": [{"method": "nettrim", "settings": {...}, "epsilons": [...]}, ...]}
        -> {"point": {...}} for every result as it finishes, rough ones first, then {"done": true}
    {"recipe": {...}, "export": {"method": "nettrim", "settings": {..., "epsilon": 0.1}}}
        -> {"files": {name: base64}, "checks": [...]}, then {"done": true}
    {"recipe": {...}, "check": {"layer": "fc3", "settings": {..., "epsilon": 0.1}}}
        -> Net-Trim's objective, bound and gap, the second solver's objective and status, then {"done": true}

A request that cannot be met is answered with {"error": "one sentence"}.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from nettrim_core.bundle import Bundle, load_bundle
from nettrim_core.export import export
from nettrim_core.prune import prune
from nettrim_core.recipe import Recipe, method_from
from nettrim_core.record import Point, make_point
from nettrim_core.reference import reference
from nettrim_core.warm import warm_up

CHECK_TOL = 1e-5

load_bundle_once = lru_cache(maxsize=2)(load_bundle)


def solve(recipe: Recipe, curves: list[dict[str, Any]], bundle: Bundle) -> Iterator[Point]:
    """The points of every curve as they take shape, the methods in turn; a rough point is followed by a better one."""
    network = recipe.network(bundle)
    waiting = []
    for curve in curves:
        method = method_from(curve["method"], curve["settings"])
        waiting.append((curve["method"], network.refined(method, curve["epsilons"], recipe.cascade or False)))
    while waiting:
        for entry in list(waiting):
            name, points = entry
            found = next(points, None)
            if found is None:
                waiting.remove(entry)
                continue
            epsilon, pruned, report = found
            yield make_point(name, epsilon, pruned, report, bundle)


def make_files(recipe: Recipe, wanted: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """The exported files of one pruned network, judged on the test rows, and what was checked of them."""
    method = method_from(wanted["method"], wanted["settings"])
    inputs = bundle.calibration_sample(recipe.samples, recipe.seed)
    pruned, report = prune(
        bundle.model, inputs, method, list(recipe.layers), recipe.cascade or False, bundle.test,
        seed=recipe.seed, max_patches=recipe.patches,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        checks = export(pruned, report, folder)
        files = {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(Path(folder).iterdir())}
    return {"files": files, "checks": checks}


def check_layer(recipe: Recipe, wanted: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
    """Net-Trim on one layer, tightened to CHECK_TOL, beside the same program solved by the second solver."""
    settings = wanted["settings"]
    method = method_from("nettrim", {**settings, "tol": min(settings["tol"], CHECK_TOL)})
    solved = next(recipe.network(bundle).solve(method, [method.epsilon], recipe.cascade or False))
    problem, result = solved[recipe.layers.index(wanted["layer"])]
    second = reference(problem, method.epsilon)
    ours = {key: result.stats[key] for key in ("objective", "bound", "gap", "violation")}
    return {"layer": wanted["layer"], **ours, "reference": second.objective, "status": second.status}


def answers(request: dict[str, Any]) -> Iterator[str]:
    """The answer lines of one request."""
    recipe = Recipe.from_dict(request["recipe"])
    bundle = load_bundle_once(recipe.bundle)
    if "export" in request:
        yield json.dumps(make_files(recipe, request["export"], bundle))
    elif "check" in request:
        yield json.dumps(check_layer(recipe, request["check"], bundle))
    else:
        for point in solve(recipe, request["curves"], bundle):
            yield f'{{"point": {point.to_json()}}}'
    yield '{"done": true}'


def serve(lines: Iterable[str]) -> Iterator[str]:
    """Answers to request lines; one that cannot be met is answered with its error, and the next one is taken."""
    for line in lines:
        try:
            yield from answers(json.loads(line))
        except (ValueError, RuntimeError, MemoryError) as error:
            yield json.dumps({"error": f"{error}"})


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    warm_up()  # before the first request, which then need not wait for compiled code to be loaded
    for answer in serve(sys.stdin):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
