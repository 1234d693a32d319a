"""The exported files of one pruned network."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nettrim_core.export import export
from nettrim_core.prune import prune
from nettrim_core.recipe import Recipe, method_from
from nettrim_core.workbench import Workbench


def files(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"recipe", "method", "settings"}`` -> ``{"files": {name: base64}, "checks": [...]}``: solved from scratch,
    judged on the test rows, written, and loaded again."""
    recipe = Recipe.from_dict(request["recipe"])
    bundle = bench.bundle(recipe.bundle)
    method = method_from(request["method"], request["settings"])
    inputs = bundle.calibration_sample(recipe.samples, recipe.seed)
    pruned, report = prune(
        bundle.model, inputs, method, list(recipe.layers), recipe.cascade or False, bundle.test,
        seed=recipe.seed, max_patches=recipe.patches, scale=dict(recipe.scale),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        checks = export(pruned, report, folder)
        written = {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(Path(folder).iterdir())}
    yield {"files": written, "checks": checks}
