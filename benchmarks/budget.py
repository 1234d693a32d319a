"""One budget for a whole network against the same share for every layer: ``python benchmarks/budget.py [network ...]``.

For every method, at 80 and 90 % zeros overall, before any retraining: test accuracy with the budget shared by merged
hulls, uniformly, and by the usual rules, over three draws of the calibration rows. Prints Markdown.
"""

from __future__ import annotations

import sys
import time

import torch

from nettrim_core import METHODS, environment, load_bundle
from nettrim_core.allocate import Budget
from nettrim_core.network import Network
from nettrim_core.report import wilson
from nettrim_core.seeds import spread
from nettrim_core.shares import RULES

NETWORKS = ("lenet_300_100", "lenet_5")
METHODS_SHOWN = ("nettrim", "exactobs", "lobs", "magnitude_refit")
TARGETS = (0.8, 0.9)
SEEDS = (0, 1, 2)
SAMPLES = 1000
PATCHES = 2000
TEST_ROWS = 10_000


def measured(network: str, method: str) -> dict[tuple[float, str], list[float]]:
    """(target, rule) -> test accuracies, one a seed."""
    bundle, found = load_bundle(network), {}
    for seed in SEEDS:
        dense = Network(
            bundle.model, bundle.calibration_sample(SAMPLES, seed), None, bundle.test, max_patches=PATCHES, seed=seed
        )
        budget = Budget(dense, METHODS[method])
        for target in TARGETS:
            for rule in RULES:
                report = budget.share(target, rule)[1]
                assert report.accuracy is not None
                found.setdefault((target, rule), []).append(report.accuracy)
    return found


def cell(values: list[float]) -> str:
    seen = spread(values)
    return f"{seen.mean:.2%} ({min(values):.2%} to {max(values):.2%})"


def why(hull: list[float], uniform: list[float]) -> str:
    """Whether the test rows could tell the two apart, and whether the draws of the calibration rows do."""
    apart = spread(hull).mean - spread(uniform).mean
    low, high = wilson(spread(hull).mean, TEST_ROWS)
    chance = f"within the {100 * (high - low) / 2:.2f} points to which {TEST_ROWS:,} test rows tell an accuracy"
    return (
        f"hull is {100 * apart:+.2f} points from uniform, {chance if abs(apart) < (high - low) / 2 else 'a real loss'}"
    )


def main(networks: list[str]) -> None:
    torch.set_num_threads(environment.cores())
    print(f"# One budget for a whole network, measured\n\n{environment.sentence()}.\n")
    print(
        f"Test accuracy on {TEST_ROWS:,} rows before retraining: mean and range over {len(SEEDS)} draws of "
        f"{SAMPLES:,} calibration rows, at most {PATCHES:,} patches a convolution. *hull* is this project's rule."
    )
    behind = []
    for network in networks or NETWORKS:
        bundle = load_bundle(network)
        dense = Network(bundle.model, bundle.calibration[:10], None, bundle.test)
        print(f"\n## {network}, dense {dense.accuracy_before:.2%}\n")
        print(f"| method | zeros | {' | '.join(RULES)} | hull better than uniform on |\n|{'---|' * (len(RULES) + 3)}")
        for method in METHODS_SHOWN:
            started, found = time.perf_counter(), measured(network, method)
            for target in TARGETS:
                pairs = zip(found[target, "hull"], found[target, "uniform"], strict=True)
                wins = sum(ours > other for ours, other in pairs)
                if wins < len(SEEDS):
                    behind.append(
                        f"{network}, {method}, {target:.0%}: {why(found[target, 'hull'], found[target, 'uniform'])}"
                    )
                print(f"| {method} | {target:.0%} | {' | '.join(cell(found[target, rule]) for rule in RULES)} | "
                      f"{wins} of {len(SEEDS)} draws |", flush=True)  # fmt: skip
            print(f"{method}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)

    print("\nHull is better than uniform in every draw of every row." if not behind else
          "\nHull is not better than uniform in every draw of:\n\n* " + "\n* ".join(behind))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
