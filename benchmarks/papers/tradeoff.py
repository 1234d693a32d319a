"""Zeros against test error: what is asked of each network and measured. :mod:`benchmarks.papers.tradeoffs` shows it.

Net-Trim's zeros at each gain are the reference. The other methods are asked for the same tolerance, for the same number
of zeros in each layer, and for the same number overall, which each shares among the layers by its own curves.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from torch import nn

from benchmarks.papers.experiment import Cell
from benchmarks.papers.training import calibrated, dense, error, retrained, rows
from nettrim_core import METHODS
from nettrim_core.allocate import Budget
from nettrim_core.assemble import assemble
from nettrim_core.network import Network
from nettrim_core.report import Report

GAINS = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of the authors' code
FEWER = (0.06, 0.1, 0.2, 0.4)  # for what takes long
RETRAINED = {"lenet_5": (0.4,)}
RETRAINED_ELSE = (0.1, 0.4)
SAMPLES, DRAWS = 1000, 3
BY_TOLERANCE = ("nettrim", "nettrim_refit", "lobs", "exactobs", "wanda", "sparsegpt", "magnitude", "magnitude_refit")
LONG = ("nettrim", "nettrim_refit", "alps")  # to share a budget by: on one network only
BY_COUNTS = ("lobs", "exactobs", "wanda", "sparsegpt", "alps", "magnitude", "magnitude_refit")
CASCADES = ("nettrim", "lobs", "exactobs")
ITERATIVE = "magnitude_iterative"  # no method of the core: magnitude and retraining in turns
ROUNDS = 3  # an epoch each

Counts = dict[str, float]  # layer -> fraction of zeros, biases among them
Pruned = Iterator[tuple[nn.Module, Report]]


def measure(
    data: str, network: str, draw: int, samples: int, gains: Sequence[float], gains_retrained: Sequence[float],
    method: str, by: str, cascade: bool,
) -> dict[str, Any]:  # fmt: skip
    """by: "tolerance" (each gain as epsilon), "layers" (the reference's zeros of each layer) or "overall" (its zeros of
    the whole network). points: gain; kept, the part of weights and biases that is left; layers, the zeros of each;
    error, of the test rows; retrained, the same after an epoch with the masks held, where that is asked for. seconds:
    of all pruning, and of the retraining between rounds."""
    here, test = dense(data, network, draw, samples), rows(data, network)[2]
    found, seconds, points = [], 0.0, _points(here, data, network, draw, samples, gains, method, by, cascade)
    for gain in gains:
        started = time.perf_counter()
        model, report = next(points)
        seconds += time.perf_counter() - started
        point = {"gain": gain, "kept": 1 - overall(report), "layers": zeros(report), "error": error(model, test)}
        if gain in gains_retrained:
            again = model if method == ITERATIVE else retrained(model, data, network)
            point["retrained"] = error(again, test)
        found.append(point)
    return {"dense": error(here.model, test), "points": found, "seconds": seconds}


def _points(
    here: Network, data: str, network: str, draw: int, samples: int, gains: Sequence[float], method: str, by: str,
    cascade: bool,
) -> Pruned:  # fmt: skip
    if by == "tolerance":
        if method == "nettrim" and not cascade:
            return _solved_now(data, network, draw, samples, tuple(gains))
        return here.points(METHODS[method], gains, cascade)
    # all gains, so that one path serves every method
    known = dict(zip(GAINS, reference(data, network, draw, samples, GAINS), strict=True))
    wanted = [known[gain][1] for gain in gains]
    if method == ITERATIVE:
        return (_in_rounds(here, data, network, zeros(report)) for report in wanted)
    budget = Budget(here, METHODS[method])
    if by == "overall":
        return (budget.share(overall(report)) for report in wanted)
    if cascade:
        return (here.at(METHODS[method], zeros(report), cascade) for report in wanted)
    return (_at(here, budget, zeros(report)) for report in wanted)


@lru_cache(maxsize=1)
def reference(
    data: str, network: str, draw: int, samples: int, gains: tuple[float, ...]
) -> list[tuple[nn.Module, Report]]:
    """Net-Trim, in parallel."""
    return list(dense(data, network, draw, samples).points(METHODS["nettrim"], gains))


def _solved_now(data: str, network: str, draw: int, samples: int, gains: tuple[float, ...]) -> Pruned:
    """The reference when it is asked for, so that its seconds are seen."""
    yield from reference(data, network, draw, samples, gains)


def zeros(report: Report) -> Counts:
    return {
        layer.name: (layer.weight_zeros + layer.bias_zeros) / (layer.weights + layer.biases) for layer in report.layers
    }


def overall(report: Report) -> float:
    """Fraction of zeros of the network, biases among them."""
    gone = sum(layer.weight_zeros + layer.bias_zeros for layer in report.layers)
    return gone / sum(layer.weights + layer.biases for layer in report.layers)


def _at(here: Network, budget: Budget, counts: Counts) -> tuple[nn.Module, Report]:
    solved = {name: (budget.problems[name], budget.curves[name].at(part)) for name, part in counts.items()}
    return assemble(here, budget.method, solved, None)


def _in_rounds(here: Network, data: str, network: str, counts: Counts) -> tuple[nn.Module, Report]:
    """In each round every layer keeps the same part of what it had, and what is left is retrained for an epoch."""
    left, report = here, None
    for turn in range(1, ROUNDS + 1):
        so_far = {name: 1 - (1 - part) ** (turn / ROUNDS) for name, part in counts.items()}
        pruned, report = left.at(METHODS["magnitude"], so_far)
        left = calibrated(retrained(pruned, data, network), here.inputs)
    assert report is not None
    return left.model, report


def cells(data: str, network: str, quick: bool) -> list[Cell]:
    if quick:
        plans = [("nettrim", "tolerance", True), ("lobs", "layers", False), ("exactobs", "overall", False),
                 (ITERATIVE, "layers", False)]  # fmt: skip
        return [_cell("few", "small", 0, 100, FEWER[1::2], FEWER[1:2], *plan) for plan in plans]
    again = RETRAINED.get(network, RETRAINED_ELSE)
    found = []
    for draw in range(DRAWS):
        where = (data, network, draw, SAMPLES)
        for cascade, names in ((False, BY_TOLERANCE), (True, CASCADES)):
            for name in names:
                late = again if "nettrim" in name else ()
                found.append(_cell(*where, GAINS, late, name, "tolerance", cascade))
        for name in BY_COUNTS:
            found.append(_cell(*where, FEWER if name == "alps" else GAINS, again, name, "layers", False))
        found += [_cell(*where, GAINS, again, name, "layers", True) for name in CASCADES[1:]]
        found.append(_cell(*where, again, again, ITERATIVE, "layers", False))
        for name in dict.fromkeys((*BY_TOLERANCE, *BY_COUNTS)):
            if name not in LONG or network == "lenet_300_100":
                found.append(_cell(*where, FEWER, again if network != "lenet_5" else (), name, "overall", False))
    return found


def _cell(
    data: str, network: str, draw: int, samples: int, gains: Sequence[float], gains_retrained: Sequence[float],
    method: str, by: str, cascade: bool,
) -> Cell:  # fmt: skip
    return {
        "data": data, "network": network, "draw": draw, "samples": samples, "gains": list(gains),
        "gains_retrained": list(gains_retrained), "method": method, "by": by, "cascade": cascade,
    }  # fmt: skip
