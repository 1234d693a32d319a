"""What the cards of the lesson show of one layer beside its stored figures."""

from __future__ import annotations

import dataclasses
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from torch import Tensor

from nettrim_core.plan import Plan, method_from
from nettrim_core.problem import LayerProblem, frobenius
from nettrim_core.workbench import Workbench

FRACTIONS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # of zeros, at which a product with a sparse matrix is timed
REPEATS = 201  # of a product that is timed; the median counts


def ball(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "layer", "method", "settings"}`` -> where the layer's pruned response Z lies from the trained one Y.

    norm ||Y||_F; changed ||Z - Y||_F; along, the part of Z - Y on the line of Y, <Z - Y, Y> / ||Y||; across, the rest
    of it; count, the numbers in Y.
    """
    problem, U = _solved(request, bench)
    Y, change = problem.Y.double(), problem.activate(problem.response(U)) - problem.Y
    norm, changed = frobenius(Y), frobenius(change)
    along = float((change * Y).sum()) / norm
    across = max(changed**2 - along**2, 0.0) ** 0.5
    yield {"norm": norm, "changed": changed, "along": along, "across": across, "count": Y.numel()}


def two_sets(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"places": [{"plan", "layer", "method", "settings"}, ...]}`` -> for each place, what a ReLU layer keeps under
    the method's two sets of constraints and what it keeps if it is taken for a linear layer.

    Both promise that the output after the ReLU changes by at most epsilon ||Y||_F: the ReLU brings responses no further
    apart, so that a response that stays within this radius everywhere does, too. kept, kept_linear: weights that are
    not zero, of ``weights``. neuron: one whose samples are on omega and off it, with its trained and pruned
    pre-activations; half_width: radius / sqrt(|omega|), what an entry may be off if all are off by as much.
    """
    for place in request["places"]:
        problem, U = _solved(place, bench)
        linear = as_linear(problem)
        method = method_from(place["method"], place["settings"])
        radius = place["settings"]["epsilon"] * problem.norm
        V = dataclasses.replace(method, epsilon=radius / linear.norm).prune(linear).U  # type: ignore[type-var]
        trained, two, one = (problem.response(weights) for weights in (problem.W, U, V))
        j = _telling(problem, two - trained)
        bodies = [weights[: len(weights) - problem.bias] for weights in (U, V)]
        yield {
            "weights": bodies[0].numel(),
            "kept": int((bodies[0] != 0).sum()),
            "kept_linear": int((bodies[1] != 0).sum()),
            "neuron": j,
            "trained": trained[j].tolist(),
            "two": two[j].tolist(),
            "linear": one[j].tolist(),
            "half_width": radius / max(int(problem.omega.sum()), 1) ** 0.5,
        }


def _telling(problem: LayerProblem, change: Tensor) -> int:
    """The neuron that moved furthest off omega, of those with a quarter of their samples on omega and a quarter off."""
    on = problem.omega.double().mean(1)
    moved = (change * ~problem.omega).square().sum(1)
    both = (on >= 0.25) & (on <= 0.75)
    return int((moved * both if bool(both.any()) else moved).argmax())


def as_linear(problem: LayerProblem) -> LayerProblem:
    """The same layer without its ReLU: its response is to stay as it is everywhere."""
    return dataclasses.replace(problem, Y=problem.response(problem.W).to(problem.Y.dtype), relu=False)


def storage(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "layer", "method", "settings"}`` -> what the layer's weights take in bytes and in time.

    dense_before, dense: as numbers of four bytes each, before and after; zipped_before, zipped: that, through zlib.
    seconds_before, seconds: one sample times the dense matrix; fractions, sparse_seconds: times a sparse matrix (CSR)
    with so many zeros in random places, the layer's own fraction first.
    """
    problem, U = _solved(request, bench)
    W, V = (_matrix(problem, weights) for weights in (problem.W, U))
    x = np.ascontiguousarray(problem.inputs[: W.shape[1], 0].float().cpu().numpy())  # type: ignore[index]
    own = float((V == 0).mean())
    order = np.random.default_rng(0).permutation(W.size)
    sparse = [csr_matrix(V), *(csr_matrix(_thinned(W, order, fraction)) for fraction in FRACTIONS)]
    yield {
        "dense_before": W.nbytes,
        "dense": V.nbytes,
        "zipped_before": len(zlib.compress(W.tobytes())),
        "zipped": len(zlib.compress(V.tobytes())),
        "seconds_before": _seconds(lambda: W @ x),
        "seconds": _seconds(lambda: V @ x),
        "fractions": [own, *FRACTIONS],
        "sparse_seconds": [_seconds(lambda matrix=matrix: matrix @ x) for matrix in sparse],
    }


def _solved(request: dict[str, Any], bench: Workbench) -> tuple[LayerProblem, Tensor]:
    method = method_from(request["method"], request["settings"])
    problem, result = bench.solved(Plan.from_dict(request["plan"]), method, request["layer"])
    return problem, result.U


def _matrix(problem: LayerProblem, weights: Tensor) -> np.ndarray:
    """(outputs, inputs) float32, the bias left out."""
    return np.ascontiguousarray(weights[: len(weights) - problem.bias].T.float().cpu().numpy())


def _thinned(W: np.ndarray, order: np.ndarray, fraction: float) -> np.ndarray:
    thinned = W.copy()
    thinned.reshape(-1)[order[: round(fraction * W.size)]] = 0
    return thinned


def _seconds(product: Callable[[], object]) -> float:
    """The median time of one product."""
    product()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        product()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
