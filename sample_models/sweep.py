"""Recompute the stored sweeps of the sample models: ``python sample_models/sweep.py [name ...]``.

For every bundle, all layers, the methods of STORED, the knob's 25 epsilons, parallel and cascade, with the default
settings; written beside the bundle as sweep_parallel.npz and sweep_cascade.npz, from which the first page starts at
once (but see NOT_STORED).
"""

from __future__ import annotations

import argparse
import os
import time

import torch

from nettrim_core import Cascade, load_bundle, sample_names
from nettrim_core.bundle import SAMPLE_MODELS
from nettrim_core.capture import anatomy
from nettrim_core.recipe import EPSILONS, SAMPLES, Recipe, coarse_to_fine
from nettrim_core.record import save_points
from nettrim_core.worker import solve

STORED = ("nettrim", "lobs", "exactobs", "magnitude", "magnitude_refit")  # the page solves the other methods when asked
# all bundles together are to stay below 20 MB, and a sweep below a quarter of an hour; the page solves these when asked
NOT_STORED = {("lenet_5", "cascade"), ("resnet_small", "cascade")}


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
            recipe = Recipe(name, layers, rules, samples)
            started = time.perf_counter()
            points = [point for point in solve(recipe, curves, bundle) if not point.report.rough]
            path = SAMPLE_MODELS / name / f"sweep_{mode}.npz"
            save_points(path, recipe, bundle.fingerprint, points)
            uncertified = sum(not point.report.converged for point in points)
            print(f"{path.name} of {name}: {len(points)} points, {uncertified} not converged, "
                  f"{time.perf_counter() - started:.0f} s, {path.stat().st_size / 1e6:.1f} MB", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
