"""Net-Trim on one layer beside the same program solved by a second solver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nettrim_core.plan import Plan, method_from
from nettrim_core.reference import reference
from nettrim_core.workbench import Workbench

TOL = 1e-5


def check(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "layer", "settings"}`` -> Net-Trim's objective, bound, gap and violation, tightened to TOL, and the
    second solver's objective and status."""
    plan, settings = Plan.from_dict(request["plan"]), request["settings"]
    method = method_from("nettrim", {**settings, "tol": min(settings.get("tol", TOL), TOL)})
    problem, result = bench.solved(plan, method, request["layer"])
    second = reference(problem, result.stats["epsilon"])
    ours = {key: result.stats[key] for key in ("objective", "bound", "gap", "violation")}
    yield {"layer": request["layer"], **ours, "reference": second.objective, "status": second.status}
