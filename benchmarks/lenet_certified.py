"""LeNet-300-100, all layers, twelve epsilons, every method side by side: ``python benchmarks/lenet_certified.py``.

Prints a Markdown table: at equal epsilon the zeros, the validation accuracy and the seconds of each method, and for
Net-Trim the worst duality gap and violation of any layer and how many of the layers came back certified at 1e-3.
"""

from __future__ import annotations

import torch

from nettrim_core import METHODS, environment, load_bundle, sweep

GAINS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
SAMPLES = 1000


def main() -> None:
    torch.set_num_threads(environment.cores())
    bundle = load_bundle("lenet_300_100")
    inputs = bundle.calibration_sample(SAMPLES)
    names = ["nettrim", "lobs", "exactobs", "magnitude_refit"]
    reports = {}
    for name, epsilon, _, report in sweep(
        bundle.model, inputs, [METHODS[n] for n in names], sorted(GAINS, reverse=True), test=bundle.validation
    ):
        reports[name, epsilon] = report
    rows = len(bundle.validation[0])
    print(f"{environment.sentence()}; {SAMPLES} calibration samples; accuracy on {rows} validation rows.\n")
    print("Each entry: zeros / accuracy / seconds. The first point (0.7) includes the set-up of the whole path.\n")
    print(f"| epsilon | {' | '.join(names)} | Net-Trim's worst gap | worst violation | layers certified |")
    print("|" + "---|" * (len(names) + 4))
    for epsilon in GAINS:
        row = [reports[name, epsilon] for name in names]
        cells = [f"{r.sparsity:.1%} / {r.accuracy:.1%} / {r.seconds:.1f}" for r in row]
        layers = row[0].layers
        gap = max(layer.gap for layer in layers if layer.gap is not None)
        violation = max(layer.violation for layer in layers if layer.violation is not None)
        certified = sum(layer.converged for layer in layers)
        print(f"| {epsilon:g} | {' | '.join(cells)} | {gap:.1e} | {violation:.1e} | {certified} of {len(layers)} |")


if __name__ == "__main__":
    main()
