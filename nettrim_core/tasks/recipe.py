"""A recipe as a run: its report, and from where it left off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nettrim_core.recipes.carry_out import carry_out
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.workbench import Workbench


def recipe(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"recipe"}`` -> ``{"report", "recipe"}`` of what came out, judged on the test rows."""
    asked = Recipe.from_dict(request["recipe"])
    outcome = carry_out(asked, bench.bundle(asked.plan.bundle), kept=bench.kept)
    yield {"report": outcome.report.to_dict(), "recipe": outcome.recipe.to_dict()}
    if outcome.interrupted:
        raise KeyboardInterrupt  # told of the best network so far, the run is not done
