"""How many samples make a sparse neuron the answer: the phase transition of exact recovery, for Gaussian inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.papers.experiment import Cell, Experiment, Heat, Line, Measured, Shown, Table
from nettrim_core import LayerProblem, NetTrim

SIZES = (100, 200, 400)
PARTS = 10  # of N / 4 weights, and of 2 N samples
NEURONS, DRAWS = 5, 4  # neurons that share a draw of the inputs
EPSILON, TOL = 1e-4, 1e-5  # next to nothing, as epsilon = 0 has no interior
RECOVERED = 0.01  # ||u - w|| / ||w||


def measure(N: int, s: int, samples: Sequence[int], seed: int) -> dict[str, Any]:
    """rate: the part of neurons whose s planted weights Net-Trim finds, for each number of samples."""
    generator = torch.Generator().manual_seed(seed)
    rates, certified = [], 0
    for P in samples:
        found = 0
        for _ in range(DRAWS):
            X = torch.randn(N, P, dtype=torch.float64, generator=generator)
            W = torch.zeros(N, NEURONS, dtype=torch.float64)
            for m in range(NEURONS):
                support = torch.randperm(N, generator=generator)[:s]
                W[support, m] = torch.randn(s, dtype=torch.float64, generator=generator)
            problem = LayerProblem(X, (W.T @ X).relu(), W, relu=True, bias=False)
            result = NetTrim(epsilon=EPSILON, tol=TOL).prune(problem)
            off = torch.linalg.vector_norm(result.U - W, dim=0) / torch.linalg.vector_norm(W, dim=0)
            found += int((off < RECOVERED).sum())
            certified += result.converged
        rates.append(found / (DRAWS * NEURONS))
    return {"rates": rates, "certified": certified / (DRAWS * len(samples))}


def cells(quick: bool) -> list[Cell]:
    sizes, parts = ((40,), 4) if quick else (SIZES, PARTS)
    return [
        {"N": N, "s": s, "samples": [2 * N * part // parts for part in range(1, parts + 1)], "seed": N + s}
        for N in sizes
        for s in sorted({max(N * part // (4 * parts), 1) for part in range(1, parts + 1)})
    ]


def promised(N: int, s: int) -> float:
    """Theorem 3 of paper 1, with mu = 1."""
    return (11 * s + 7) * math.log(N)


def growth(N: int, s: int) -> float:
    return s * math.log(N / s)


def half(samples: Sequence[int], rates: Sequence[float]) -> float | None:
    """Where the rate comes to one half, on the line between two numbers of samples; None if it does not."""
    before, low = 0, 0.0
    for P, rate in zip(samples, rates, strict=True):
        if rate >= 0.5:
            return before + (P - before) * (0.5 - low) / (rate - low)
        before, low = P, rate
    return None


def show(measured: list[Measured]) -> Shown:
    heats, rows, ratios = [], [], []
    for N in sorted({cell.asked["N"] for cell in measured}):
        here = [cell for cell in measured if cell.asked["N"] == N]
        sparsities, samples = [cell.asked["s"] for cell in here], here[0].asked["samples"]
        halves = [half(samples, cell.found["rates"]) for cell in here]
        known = [(s, at) for s, at in zip(sparsities, halves, strict=True) if at is not None]
        # the one constant that puts s log(N / s) through the measured halves
        constant = sum(at for _, at in known) / sum(growth(N, s) for s, _ in known) if known else 0.0
        lines = [
            Line("half of the neurons, measured", [s for s, _ in known], [at for _, at in known]),
            Line(
                f"{constant:.2f} s log(N / s)",
                sparsities,
                [constant * s * math.log(N / s) for s in sparsities],
                dashed=True,
            ),
        ]
        columns = zip(*(cell.found["rates"] for cell in here), strict=True)
        heats.append(Heat(
            f"N = {N}", "weights of a neuron, s", "samples, P", sparsities, samples,
            [list(row) for row in columns], lines,
        ))  # fmt: skip
        ratios += [(promised(N, s) / at, at / growth(N, s)) for s, at in known]
        for s, at in known[:: max(len(known) // 3, 1)]:
            rows.append([f"{N}", f"{s}", f"{at:,.0f}", f"{at / growth(N, s):.2f}", f"{promised(N, s):,.0f}",
                         f"{promised(N, s) / at:.0f}"])  # fmt: skip
    table = Table(
        "Samples at which half of the neurons are recovered, and what the theorem asks for",
        ["N", "s", "measured", "over s log(N / s)", "(11 s + 7) log N", "times as many"], rows,
    )  # fmt: skip
    every = [cell.found["certified"] for cell in measured]
    says = [
        f"Half of the neurons are found with {_range([at for _, at in ratios], '.2f')} times s log(N / s) samples; the "
        f"theorem asks for {_range([promise for promise, _ in ratios], '.0f')} times as many as that takes.",
        f"{sum(every) / len(every):.1%} of the solutions are certified to {TOL:g}; the others are counted as they are.",
    ]
    return Shown(says, [table], heats=heats)


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values, default=0):{form}} to {max(values, default=0):{form}}"


EXPERIMENT = Experiment(
    "recovery",
    "Samples that a sparse neuron takes",
    "Net-Trim (NIPS 2017), theorem 3; Fast Convex Pruning (2020), section on Gaussian inputs",
    (
        f"epsilon is {EPSILON:g} and not 0; recovered is what is within {RECOVERED:.0%} of the planted weights.",
        "The theorem's factor mu is taken as 1.",
    ),
    cells,
    measure,
    show,
)
