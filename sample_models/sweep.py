"""Recompute the stored sweeps of the sample models: ``python sample_models/sweep.py [name ...]``.

For every bundle, all layers, the methods of STORED, the knob's 25 epsilons, parallel and cascade, with the default
settings; written beside the bundle as sweep_parallel.npz and sweep_cascade.npz, from which the first page starts at
once (but see NOT_STORED). In parallel the accuracies of every part of the layers too, where those are few: a layer is
then taken out or put back at once.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from typing import Any

import torch

from nettrim_core import Cascade, load_bundle, sample_names
from nettrim_core.bundle import SAMPLE_MODELS, Bundle
from nettrim_core.capture import anatomy
from nettrim_core.plan import EPSILONS, SAMPLES, Plan, coarse_to_fine
from nettrim_core.record import Point, Stored, save_points
from nettrim_core.subsets import figures, subsets
from nettrim_core.tasks.sweeps import solve
from nettrim_core.workbench import Workbench

STORED = ("nettrim", "lobs", "exactobs", "magnitude", "magnitude_refit")  # the page solves the other methods when asked
# all bundles together are to stay below 20 MB, and a sweep below a quarter of an hour; the page solves these when asked
NOT_STORED = {("lenet_5", "cascade"), ("resnet_small", "cascade")}


FEW = 5  # layers, of which there are 30 parts


def final(plan: Plan, curves: list[dict[str, Any]], bundle: Bundle, bench: Workbench) -> list[Point]:
    solved = solve(plan, curves, bundle, known=bench.known(plan))
    return [point for point in solved if not point.report.rough]


def in_order(points: list[Point], found: list[Point]) -> list[Point]:
    """The points of the same methods and epsilons as ``points``."""
    by_key = {point.key: point for point in found}
    return [by_key[point.key] for point in points]


def main() -> None:
    parser = argparse.ArgumentParser(description="Recompute the stored sweeps of the sample models.")
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"which bundles (default all): {', '.join(sample_names())}"
    )
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    curves = [{"method": name, "settings": {}, "epsilons": coarse_to_fine(EPSILONS)} for name in STORED]
    names = parser.parse_args().names or sample_names()
    for mode, rules in (("parallel", None), ("cascade", Cascade())):
        for name in names:
            if (name, mode) in NOT_STORED:
                continue
            bundle = load_bundle(name)
            layers = tuple(target.name for target in anatomy(bundle.model, bundle.calibration[:1]).targets)
            samples = min(SAMPLES, len(bundle.calibration))
            plan = Plan(name, layers, rules, samples)
            started = time.perf_counter()
            bench = Workbench()
            points = final(plan, curves, bundle, bench)
            few = mode == "parallel" and len(layers) <= FEW
            parts = {
                part: figures(layers, in_order(points, final(replace(plan, layers=part), curves, bundle, bench)))
                for part in (subsets(layers) if few else [])
            }
            path = SAMPLE_MODELS / name / f"sweep_{mode}.npz"
            save_points(path, bundle.fingerprint, Stored(plan, points, parts))
            uncertified = sum(not point.report.converged for point in points)
            print(f"{path.name} of {name}: {len(points)} points, {uncertified} not converged, "
                  f"{time.perf_counter() - started:.0f} s, {path.stat().st_size / 1e6:.1f} MB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
