"""One response of one neuron as the sum that it is, before and after pruning."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.inputs import Inputs, batches
from nettrim_core.problem import LayerProblem
from nettrim_core.report import Plain

LARGEST = 6  # terms that are told one by one


@dataclass(frozen=True)
class Term:
    """One input of a sum: row of W, x, the trained weight w and the pruned one u."""

    row: int
    x: float
    w: float
    u: float


@dataclass(frozen=True)
class ResponseSum(Plain):
    """w'x + shift and u'x + shift of one sample, term by term.

    sample: column of X (from 0). before, after: the sums. largest: the LARGEST terms, by |w x| or |u x|, whichever is
    larger; others: how many more have an input and a weight that are not zero; others_before, others_after: their sums.
    bias: (trained, pruned), None for a layer without. shift: what a batch norm adds, which is no weight.
    """

    sample: int
    before: float
    after: float
    largest: list[Term]
    others: int
    others_before: float
    others_after: float
    bias: tuple[float, float] | None
    shift: float


def response_sum(problem: LayerProblem, U: Tensor, neuron: int, sample: int) -> ResponseSum:
    """The response of a neuron (from 0) to a sample (a column of X, from 0), with weights W and with U (N, M).

    ValueError for a neuron or a sample that the layer has not.
    """
    alone, P = problem.neuron(neuron), problem.X.shape[1]
    if not 0 <= sample < P:
        raise ValueError(f"sample = {sample!r} is out of range: 0 <= sample < {P}, the layer's samples from 0")
    x, w, u = _column(alone.X, sample), alone.W[:, 0].double(), U[:, neuron].double()
    shift, inputs = float(alone.constant), len(w) - alone.bias
    parts = torch.stack([x * w, x * u])[:, :inputs]
    sizes = parts.abs().amax(0)
    order = sizes.argsort(descending=True, stable=True)[:LARGEST]
    told = [int(i) for i in order if sizes[i] > 0]
    rest = parts.clone()
    rest[:, told] = 0
    return ResponseSum(
        sample=sample,
        before=float(x @ w) + shift,
        after=float(x @ u) + shift,
        largest=[Term(i, float(x[i]), float(w[i]), float(u[i])) for i in told],
        others=int((sizes > 0).sum()) - len(told),
        others_before=float(rest[0].sum()),
        others_after=float(rest[1].sum()),
        bias=(float(w[-1]), float(u[-1])) if alone.bias else None,
        shift=shift,
    )


def example_samples(problem: LayerProblem, U: Tensor, neuron: int) -> dict[str, int]:
    """Samples of a neuron (columns of X) that say something, by what they are: "changed most", the one whose output
    act(u'X + shift) is furthest from Y; "typical", one with the median change of the response; "strongest", that of the
    largest trained response."""
    alone = problem.neuron(neuron)
    trained, pruned = (alone.response(weights)[0] for weights in (alone.W, U[:, neuron : neuron + 1]))
    output = (alone.activate(pruned)[0] - alone.Y[0].double()).abs()
    middle = (pruned - trained).abs().median(0).indices
    found = {"changed most": output.argmax(), "typical": middle, "strongest": trained.argmax()}
    return {name: int(place) for name, place in found.items()}


def _column(X: Inputs, sample: int) -> Tensor:
    """(N,) float64 of inputs without groups."""
    for part in batches(X, torch.float64):
        if sample < part.shape[-1]:
            return part[:, sample]
        sample -= part.shape[-1]
    raise AssertionError("a sample beyond the last")
