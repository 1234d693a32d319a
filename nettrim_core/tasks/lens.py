"""One layer under the lens: the whole of it, one neuron, how Net-Trim converges on it, how Optimal Brain Surgeon takes
its weights away.

Every request has ``{"plan", "method", "settings", "layer"}``, which say what was pruned and how.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from nettrim_core.assemble import Solved
from nettrim_core.conditioning import conditioning
from nettrim_core.lens import converging, neuron, weights
from nettrim_core.outliers import outliers
from nettrim_core.plan import Plan, method_from
from nettrim_core.problem import LayerProblem, Method
from nettrim_core.removals import removals
from nettrim_core.report import finite
from nettrim_core.sums import example_samples, response_sum
from nettrim_core.workbench import Workbench

MOST_ITERATIONS = 1000  # of the first-order engine, for a look
MOST_REMOVALS = 100
STEPS = 32767  # of a weight in a picture, from zero to the largest


def lens(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """With ``{"first", "count"}``, the neurons in the picture -> the layer's shape, its weights before and after, what
    its method says of the result, the neurons to look at first, and the picture."""
    method, (problem, result) = _asked(request, bench)
    first, count = request["first"], request["count"]
    said = ("gap", "violation", "objective", "bound", "iterations", "epsilon", "radius", "seconds")
    yield {
        "shape": _shape(problem),
        "weights": weights(problem, result.U).to_dict(),
        "outliers": outliers(problem, result).to_dict(),
        "result": finite({name: result.stats.get(name) for name in said})
        | {"converged": result.converged, "tol": getattr(method, "tol", None)},
        "picture": picture(problem, result.U, first, count),
    }


def one_neuron(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """With ``{"neuron"}`` -> the neuron, and the sum that its response is on the samples that are worth it."""
    _, (problem, result) = _asked(request, bench)
    j = request["neuron"]
    sums = {
        name: response_sum(problem, result.U, j, sample).to_dict()
        for name, sample in example_samples(problem, result.U, j).items()
    }
    yield {"neuron": neuron(problem, result, j, result.stats["epsilon"]).to_dict(), "sums": sums}


def convergence(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """-> where the first-order engine stands, certificate by certificate, to at most MOST_ITERATIONS."""
    method, (problem, result) = _asked(request, bench)
    for iterate in converging(problem, result.stats["epsilon"], method.tol, MOST_ITERATIONS):  # type: ignore[attr-defined]
        yield iterate.to_dict()


def removal(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """With ``{"neuron"}`` -> the first MOST_REMOVALS steps, classic and exact, how H is conditioned, and how many of
    the weights that are no dead input's, a bias among them, the method removed."""
    method, (problem, result) = _asked(request, bench)
    j, damping = request["neuron"], method.damping  # type: ignore[attr-defined]
    steps = {
        name: [step.to_dict() for step in removals(problem, j, damping, exact, MOST_REMOVALS)]
        for name, exact in (("classic", False), ("exact", True))
    }
    yield steps | {
        "conditioning": conditioning(problem, j, damping).to_dict(),
        "removed": int(((result.U[:, j] == 0) & problem.neuron(j).alive).sum()),
    }


def _asked(request: dict[str, Any], bench: Workbench) -> tuple[Method, Solved]:
    method = method_from(request["method"], request["settings"])
    return method, bench.solved(Plan.from_dict(request["plan"]), method, request["layer"])


def _shape(problem: LayerProblem) -> dict[str, Any]:
    N, M = problem.W.shape
    return {
        "inputs": N - problem.bias,
        "outputs": M,
        "samples": problem.X.shape[1],
        "groups": problem.groups,
        "bias": problem.bias,
        "relu": problem.relu,
        "norm": problem.shift is not None,
        "pruned_inputs": problem.pruned_inputs,
    }


def picture(problem: LayerProblem, U: Tensor, first: int, count: int) -> dict[str, Any]:
    """The weights of some neurons, biases left out, (count, inputs) each as base64 of little-endian int16: STEPS is
    ``top``, and exact zeros alone are 0."""
    rows, columns = len(U) - problem.bias, slice(first, first + count)
    bodies = [body[:rows].double() for body in (problem.W, U)]
    top = max((float(body.abs().max()) for body in bodies if body.numel()), default=0.0) or 1.0
    trained, pruned = (_packed(body[:, columns].T.cpu().numpy(), top) for body in bodies)
    return {"first": first, "top": top, "trained": trained, "pruned": pruned}


def _packed(values: np.ndarray, top: float) -> str:
    steps = np.where(values == 0, 0, np.sign(values) * np.maximum(np.abs(values) * (STEPS / top), 1))
    return base64.b64encode(np.rint(steps).astype("<i2").tobytes()).decode()
