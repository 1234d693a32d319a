"""What a GPU gives beside the CPU: ``python benchmarks/gpu.py [DEVICE]`` prints Markdown; the device is cuda.

Every method prunes each network twice, with network and rows on the CPU and on the device. Both must keep what was
asked for: responses within epsilon and, for Net-Trim, certificates within its tolerance, whose objectives then differ
by no more than twice that. The other methods follow one order of removal, so their masks are the same but for ties,
which sums in another order decide otherwise: told is the part of the weights whose masks differ.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
import time
from dataclasses import dataclass

import torch
from torch import nn

from nettrim_core import METHODS, Report, environment, load_bundle, prune
from nettrim_core.bundle import Bundle
from nettrim_core.problem import Method

NETWORKS = ("digits_mlp", "lenet_300_100", "mnist1d_conv")
EPSILON, SAMPLES, PATCHES = 0.1, 500, 2000
WITHIN = 1e-3  # of epsilon: float32 responses


@dataclass(frozen=True)
class Both:
    """One network pruned here and there. differ: the part of the weights with other masks; objectives: the largest
    relative difference of a layer's l1 norm; kept: did both keep to what was asked?"""

    here: Report
    there: Report
    differ: float
    objectives: float
    kept: bool
    seconds: tuple[float, float]


def pruned(bundle: Bundle, method: Method, device: str, samples: int) -> tuple[nn.Module, Report, float]:
    """The network on the CPU again, its report, and how long it took."""
    model = copy.deepcopy(bundle.model).to(device)
    inputs, test = bundle.calibration_sample(samples), bundle.validation
    started = time.perf_counter()
    found, report = prune(model, inputs, method, test=test, max_patches=PATCHES)
    if device != "cpu":
        torch.cuda.synchronize()
    return found.cpu(), report, time.perf_counter() - started


def kept(report: Report, epsilon: float) -> bool:
    return all(layer.converged and layer.held <= epsilon * (1 + WITHIN) for layer in report.layers)


def compare(bundle: Bundle, method: Method, device: str, samples: int = SAMPLES) -> Both:
    (a, here, before), (b, there, after) = (pruned(bundle, method, place, samples) for place in ("cpu", device))
    weights = [(p, dict(b.named_parameters())[name]) for name, p in a.named_parameters()]
    other = sum(int(((p == 0) != (q == 0)).sum()) for p, q in weights)
    norms = [(x.l1 or 0.0, y.l1 or 0.0) for x, y in zip(here.layers, there.layers, strict=True)]
    return Both(
        here, there,
        other / sum(p.numel() for p, _ in weights),
        max(abs(x - y) / max(x, y, 1e-30) for x, y in norms),
        kept(here, method.epsilon) and kept(there, method.epsilon),
        (before, after),
    )  # fmt: skip


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("there is no GPU that torch can use here: nothing was measured")
    torch.set_num_threads(environment.cores())
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    print(f"{environment.sentence()}; {name}\n")
    print("| network | method | zeros | masks that differ | l1 differs by | kept by both | seconds, CPU : device |")
    print("|---|---|--:|--:|--:|---|--:|")
    for network in NETWORKS:
        bundle = load_bundle(network)
        for key, usual in METHODS.items():
            found = compare(bundle, dataclasses.replace(usual, epsilon=EPSILON), device)
            print(
                f"| {network} | {key} | {found.here.sparsity:.3f}, {found.there.sparsity:.3f} | {found.differ:.2%} | "
                f"{found.objectives:.1e} | {'yes' if found.kept else 'NO'} | {found.seconds[0]:.1f} : "
                f"{found.seconds[1]:.1f} |"
            )


if __name__ == "__main__":
    main()
