"""A recipe carried out from scratch, and its result as files."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nettrim_core.costs import costs
from nettrim_core.export import export
from nettrim_core.formats import FORMATS
from nettrim_core.formats.quiet import refusal
from nettrim_core.recipes.carry_out import carry_out
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.report import Report
from nettrim_core.workbench import Workbench


def files(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"recipe", "formats": [names], "curves": [reports], "batch"}`` -> ``{"report", "recipe"}`` of what came out,
    judged on the test rows; for each format, in turn, ``{"format", "data": base64, "check": sentence}``, or
    ``{"format", "refused": sentence}`` where it cannot hold this network; ``{"costs"}`` on batches of so many samples.
    """
    recipe = Recipe.from_dict(request["recipe"])
    bundle = bench.bundle(recipe.plan.bundle)
    outcome = carry_out(recipe, bundle, memory_limit=bench.memory)
    yield {"report": outcome.report.to_dict(), "recipe": outcome.recipe.to_dict()}
    curves = [Report.from_dict(entry) for entry in request["curves"]]
    for name in request["formats"]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                (check,) = export(
                    outcome.model, outcome.report, folder, [name], inputs=outcome.inputs, recipe=outcome.recipe,
                    curves=curves,
                )  # fmt: skip
            except Exception as error:  # an exporter may raise anything, and the other files are not to be lost
                yield {"format": name, "refused": refusal(error, folder)}
                continue
            data = (Path(folder) / FORMATS[name].file).read_bytes()
        yield {"format": name, "data": base64.b64encode(data).decode(), "check": check}
    found = costs(outcome.model, outcome.inputs, request["batch"])
    yield {"costs": found.to_dict() | {"sentence": found.sentence}}
