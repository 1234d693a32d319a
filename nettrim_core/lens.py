"""One pruned layer under a magnifying glass, as plain data: its weights, one of its neurons, how its solver converges.

What Optimal Brain Surgeon does to a neuron step by step is in :mod:`nettrim_core.removals`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nettrim_core.admm import CHECK_EVERY, MAX_ITERATIONS
from nettrim_core.inputs import alive
from nettrim_core.methods.nettrim import NetTrim
from nettrim_core.problem import LayerProblem, LayerResult
from nettrim_core.report import Plain
from nettrim_core.response import ResponseSet, response_set

BINS = 60  # of a histogram; an even number, so that zero is an edge and no bin mixes the signs
MOST_SAMPLES = 2000  # of a neuron's pre-activations, for a picture
LARGEST = 12  # weights of a neuron that are told one by one


@dataclass(frozen=True)
class Matrix:
    """One set of weights; biases are left out, but for the l1 norm.

    counts: the weights in each bin of a histogram, exact zeros left out; zeros: how many of those there are.
    singular: the singular values, descending; of the block-diagonal matrix where there are groups.
    dead_inputs: rows of X, group by group, that are zero on every sample or whose weights are all zero.
    dead_neurons: outputs whose weights are all zero, whatever the bias.
    silent_neurons: outputs of a ReLU layer that are zero on every sample; none of a linear layer.
    l1: ||.||_1, biases among it, which is what Net-Trim makes small.
    """

    counts: list[int]
    zeros: int
    singular: list[float]
    dead_inputs: list[int]
    dead_neurons: list[int]
    silent_neurons: list[int]
    l1: float


@dataclass(frozen=True)
class Weights(Plain):
    """A layer's trained weights and pruned ones. edges: the BINS + 1 edges of both histograms, symmetric about 0."""

    edges: list[float]
    trained: Matrix
    pruned: Matrix


@dataclass(frozen=True)
class Samples:
    """A neuron on the calibration samples.

    count: how many there are; on_count: how many of them are on omega. The lists hold at most MOST_SAMPLES, evenly
    spaced, the first and the last among them; shown: which.
    trained, pruned: pre-activations w'x + shift and u'x + shift.
    on: is the sample on omega, where the pruned one must stay near the trained output (a tube), or off it, where it
        must stay below V (a half-line)? center: y on omega, V + shift off it; that is 0 but in a cascade.
    """

    count: int
    on_count: int
    shown: list[int]
    trained: list[float]
    pruned: list[float]
    on: list[bool]
    center: list[float]


@dataclass(frozen=True)
class Constraints:
    """What the two constraints of Net-Trim leave a neuron, and what it takes (arXiv 1611.05162, eq. 4-6).

    radius: what the layer's error on omega, all neurons and samples together, may be (Frobenius norm).
    half_width: radius / sqrt(|omega| of the layer), what an entry may be off if all are off by as much; 0 where omega
        is empty.
    squared_error: this neuron's sum of (u'x + shift - y)^2 on omega; layer_squared_error: that of all neurons, at most
        radius^2 where the constraint holds.
    over: its largest u'x - V off omega, 0 where it is nowhere above.
    """

    radius: float
    half_width: float
    squared_error: float
    layer_squared_error: float
    over: float


@dataclass(frozen=True)
class Kept:
    """A neuron's weights. count: those that are not zero, of ``inputs``; the bias is left out of both.

    largest: (row of W, pruned value, trained value) of the LARGEST largest that are kept. bias, trained_bias: None for
    a layer without.
    """

    count: int
    inputs: int
    largest: list[tuple[int, float, float]]
    bias: float | None
    trained_bias: float | None


@dataclass(frozen=True)
class Optimality:
    """A neuron's part of the layer's certificate, as Certificate has it: neuron_gap, neuron_excess, neuron_violation.
    With Net-Trim's ``refit``, that of the weights before it."""

    gap: float
    excess: float
    violation: float


@dataclass(frozen=True)
class Neuron(Plain):
    """One neuron of a pruned layer. first_input: the row of X that its row 0 of W sees, 0 but in later groups.
    optimality: None for methods without a certificate."""

    index: int
    group: int
    first_input: int
    samples: Samples
    constraints: Constraints
    weights: Kept
    optimality: Optimality | None


@dataclass(frozen=True)
class Iterate(Plain):
    """Where the first-order engine stands at one of its certificates.

    seconds: since it was asked, preparations and certificates among them. gap, violation: see Certificate; zeros: the
    fraction of the layer's weights, biases among them, that are exactly zero. certified: are both within the tolerance?
    """

    iteration: int
    seconds: float
    gap: float
    violation: float
    zeros: float
    certified: bool


def weights(problem: LayerProblem, U: Tensor) -> Weights:
    """The trained weights of a layer beside pruned ones U (N, M); ValueError for a U of another shape."""
    _check_shape(problem, U)
    rows = len(U) - problem.bias
    top = max((float(body.abs().max()) for body in (problem.W[:rows], U[:rows]) if body.numel()), default=0.0) or 1.0
    edges = np.linspace(-top, top, BINS + 1)
    return Weights(edges.tolist(), _matrix(problem, problem.W.double(), edges), _matrix(problem, U.double(), edges))


def neuron(problem: LayerProblem, result: LayerResult, j: int, epsilon: float) -> Neuron:
    """Neuron j (from 0) of a result, held against the response set at ``epsilon``.

    ValueError for a neuron that the layer has not, for weights of another shape, and for an epsilon that is negative or
    not finite; one beyond 1 is taken, as the error of weights that nothing was asked of may be.
    """
    alone = problem.neuron(j)
    _check_shape(problem, result.U)
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon = {epsilon!r} is out of range: 0 <= epsilon < inf, relative to ||Y||_F")
    target, response = response_set(problem, epsilon), problem.response(result.U)
    trained = alone.response(alone.W)[0]
    group = j // (len(problem.Y) // problem.groups)
    return Neuron(
        index=j,
        group=group,
        first_input=group * (len(problem.W) - problem.bias),
        samples=_samples(
            target.omega[j], *(row + problem.constant[j] for row in (trained, response[j], target.center[j]))
        ),
        constraints=_constraints(target, response, j),
        weights=_kept(alone, result.U[:, j].double()),
        optimality=_optimality(result, j),
    )


def convergence(problem: LayerProblem, epsilon: float, tol: float, most: int = MAX_ITERATIONS) -> list[Iterate]:
    """The first-order engine on one layer, certificate by certificate, until it is certified at ``tol`` or has made
    ``most`` iterations; one Iterate, of no iterations, for a layer that needs no engine (see NetTrim.iterates).

    ValueError for an epsilon or tol that NetTrim refuses, and for fewer iterations than come before a certificate.
    """
    return list(converging(problem, epsilon, tol, most))


def converging(problem: LayerProblem, epsilon: float, tol: float, most: int = MAX_ITERATIONS) -> Iterator[Iterate]:
    """:func:`convergence` as it happens."""
    method = NetTrim(epsilon=epsilon, tol=tol)
    if most < CHECK_EVERY:
        raise ValueError(f"most = {most!r} is out of range: {CHECK_EVERY} <= most, the iterations to a certificate")
    started = time.perf_counter()
    return (
        Iterate(
            found.iterations,
            time.perf_counter() - started,
            found.certificate.gap,
            found.certificate.violation,
            1 - int((found.U != 0).sum()) / problem.W.numel(),
            found.converged,
        )
        for found in method.iterates(problem, most)
    )


def _check_shape(problem: LayerProblem, U: Tensor) -> None:
    if U.shape != problem.W.shape:
        raise ValueError(
            f"U has the shape {tuple(U.shape)} but the layer's weights have {tuple(problem.W.shape)}: (inputs, "
            "outputs), the bias as the last row; are they those of another layer?"
        )


def _matrix(problem: LayerProblem, U: Tensor, edges: np.ndarray) -> Matrix:
    body = U[: len(U) - problem.bias]
    silent = (problem.activate(problem.response(U)) == 0).all(1) if problem.relu else torch.zeros(len(problem.Y))
    return Matrix(
        counts=np.histogram(body[body != 0].cpu().numpy(), edges)[0].tolist(),
        zeros=int((body == 0).sum()),
        singular=_singular_values(body, problem.groups),
        dead_inputs=_where(_dead_inputs(problem, body)),
        dead_neurons=_where((body == 0).all(0)),
        silent_neurons=_where(silent),
        l1=float(U.abs().sum()),
    )


def _singular_values(body: Tensor, groups: int) -> list[float]:
    """Descending, of the block-diagonal matrix of groups: those of its blocks."""
    return torch.cat([torch.linalg.svdvals(block) for block in body.chunk(groups, 1)]).sort(descending=True)[0].tolist()


def _dead_inputs(problem: LayerProblem, body: Tensor) -> Tensor:
    seen = alive(problem.inputs).reshape(problem.groups, -1)[:, : len(body)]
    used = (body != 0).unflatten(1, (problem.groups, -1)).any(2).T
    return ~(seen & used).flatten()


def _where(flags: Tensor) -> list[int]:
    return flags.nonzero().flatten().tolist()


def _samples(on: Tensor, trained: Tensor, pruned: Tensor, center: Tensor) -> Samples:
    count = len(on)
    shown = torch.linspace(0, count - 1, min(count, MOST_SAMPLES), dtype=torch.float64).round().long().to(on.device)
    lists = (row[shown].tolist() for row in (trained, pruned, on, center))
    return Samples(count, int(on.sum()), shown.tolist(), *lists)


def _constraints(target: ResponseSet, response: Tensor, j: int) -> Constraints:
    total = int(target.omega.sum())
    offset = response - target.center
    errors = (offset * target.omega).square().sum(1)
    above = (offset[j] * ~target.omega[j]).clamp(min=0)
    return Constraints(
        radius=target.radius,
        half_width=target.radius / math.sqrt(total) if total else 0.0,
        squared_error=float(errors[j]),
        layer_squared_error=float(errors.sum()),
        over=float(above.max()),
    )


def _kept(alone: LayerProblem, u: Tensor) -> Kept:
    """The weights u (N,) of a neuron whose own problem is ``alone``."""
    w, inputs = alone.W[:, 0].double(), len(u) - alone.bias
    body = u[:inputs]
    order = body.abs().argsort(descending=True, stable=True)[:LARGEST].tolist()
    largest = [(i, float(u[i]), float(w[i])) for i in order if u[i] != 0]
    bias, trained_bias = (float(u[-1]), float(w[-1])) if alone.bias else (None, None)
    return Kept(int((body != 0).sum()), inputs, largest, bias, trained_bias)


def _optimality(result: LayerResult, j: int) -> Optimality | None:
    if not result.neurons:
        return None
    return Optimality(*(float(result.neurons[name][j]) for name in ("gap", "excess", "violation")))
