"""The exported files of one pruned network."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nettrim_core.export import export
from nettrim_core.plan import Plan, method_from
from nettrim_core.prune import prune
from nettrim_core.workbench import Workbench


def files(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "method", "settings"}`` -> ``{"files": {name: base64}, "checks": [...]}``: solved from scratch,
    judged on the test rows, written, and loaded again."""
    plan = Plan.from_dict(request["plan"])
    bundle = bench.bundle(plan.bundle)
    method = method_from(request["method"], request["settings"])
    inputs = bundle.calibration_sample(plan.samples, plan.seed)
    pruned, report = prune(
        bundle.model, inputs, method, list(plan.layers), plan.cascade or False, bundle.test,
        seed=plan.seed, max_patches=plan.patches, scale=dict(plan.scale),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        checks = export(pruned, report, folder)
        written = {path.name: base64.b64encode(path.read_bytes()).decode() for path in sorted(Path(folder).iterdir())}
    yield {"files": written, "checks": checks}
