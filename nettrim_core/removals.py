"""Optimal Brain Surgeon on one neuron, step by step and with its arithmetic (Dong, Chen, Pan, arXiv 1705.07565).

With H = XX'/P + damping I, removing weight q of a neuron w makes the error 1/2 (u - w)' H (u - w) larger by its
saliency, w_q^2 / (2 [H^-1]_qq), at least (eq. 5), where the others move by -(w_q / [H^-1]_qq) H^-1 e_q (eq. 4). That is
exact as long as H^-1 is that of the weights which are left: exact OBS down-dates it after each step, classic OBS never.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.greedy import greedy_trace
from nettrim_core.methods.obs import LOBS, ExactOBS
from nettrim_core.problem import LayerProblem
from nettrim_core.refit import LeastSquares
from nettrim_core.report import Plain

STEPS = 20
LARGEST = 5  # changes that are told one by one


@dataclass(frozen=True)
class Removal(Plain):
    """One step. Errors are (u - w)' H (u - w), that is ||(u - w)'X||^2 / P + damping ||u - w||^2: the mean squared
    change of the pre-activation, twice what the paper's 1/2 makes of it.

    step: from 1. index: the row of W that goes; bias: is it the bias? weight, inverse: w_q and [H^-1]_qq as it goes.
    saliency: w_q^2 / (2 [H^-1]_qq). predicted: w_q^2 / [H^-1]_qq, by how much the error should rise; measured: by how
        much it does; error: what it is then.
    changes: (row of W, change) of the LARGEST largest adjustments of the other weights, largest first.
    sentence: the arithmetic of the saliency in words.
    """

    step: int
    index: int
    bias: bool
    weight: float
    inverse: float
    saliency: float
    predicted: float
    measured: float
    error: float
    changes: list[tuple[int, float]]
    sentence: str


def removals(
    problem: LayerProblem, neuron: int, damping: float, exact: bool = True, most: int = STEPS
) -> list[Removal]:
    """The first ``most`` weights that OBS removes of one neuron (from 0), fewer where it has not so many.

    exact: always the weight of least saliency, H^-1 down-dated after each (ExactOBS); else in the order of the first
    saliencies and by the first H^-1 throughout, what is removed held at zero (LOBS). Both start from the weights that
    those do: in a cascade, the least squares on the dense network's responses. Weights of inputs that are zero on every
    sample cost nothing; those methods remove them first, and they are no steps here.

    Raises ValueError for a neuron that the layer has not, a damping that the methods refuse or that leaves H singular,
    and for less than one step.
    """
    alone = problem.neuron(neuron)
    (ExactOBS if exact else LOBS)(damping=damping)  # refuses an illegal damping
    if most < 1:
        raise ValueError(f"most = {most!r} is out of range: 1 <= most, the number of weights to remove")
    fit = LeastSquares(alone, damping)
    rows, w, inverse = fit.alive.nonzero().flatten().tolist(), fit.W[fit.alive, 0], fit.inverse()
    order = _order(inverse, w, exact, min(most, len(w))) if rows else []
    bias = len(fit.W) - 1 if problem.bias else None

    def error(u: Tensor) -> float:
        return float((u - w) @ fit.H @ (u - w))

    return [
        Removal(
            step=step,
            index=rows[q],
            bias=rows[q] == bias,
            weight=(weight := float(before[q])),
            inverse=pivot,
            saliency=weight**2 / (2 * pivot),
            predicted=weight**2 / pivot,
            measured=error(after) - error(before),
            error=error(after),
            changes=_largest(after - before, q, rows),
            sentence=_sentence(rows[q], rows[q] == bias, weight, pivot),
        )
        for step, (q, pivot, before, after) in enumerate(_steps(w, inverse, order, exact), 1)
    ]


def _order(inverse: Tensor, w: Tensor, exact: bool, most: int) -> list[int]:
    """Which weights go, first to last."""
    if not exact:
        return (w.square() / inverse.diagonal()).argsort(stable=True)[:most].tolist()
    one_run = torch.zeros_like(w, dtype=torch.int64), torch.tensor([most])
    return greedy_trace(inverse, w[:, None], one_run)[0].flatten().tolist()


def _steps(w: Tensor, inverse: Tensor, order: list[int], exact: bool) -> Iterator[tuple[int, float, Tensor, Tensor]]:
    """(q, [H^-1]_qq, the weights before, those after) of each removal; down-dates ``inverse`` in place if exact."""
    gone = torch.zeros_like(w, dtype=torch.bool)
    for q in order:
        column, pivot = inverse[:, q].clone(), float(inverse[q, q])
        if not pivot > 0:
            raise ValueError("rounding has used up the inverse of XX'/P + damping I; use a larger damping")
        gone[q] = True
        after = torch.where(gone, 0.0, w - w[q] / pivot * column)
        yield q, pivot, w, after
        w = after
        if exact:
            inverse.addr_(column, column, alpha=-1 / pivot)
            inverse[q], inverse[:, q] = 0.0, 0.0


def _largest(change: Tensor, q: int, rows: list[int]) -> list[tuple[int, float]]:
    sizes = change.abs()
    sizes[q] = 0
    places = sizes.argsort(descending=True, stable=True)[:LARGEST].tolist()
    return [(rows[i], float(change[i])) for i in places if sizes[i] > 0]


def _sentence(index: int, bias: bool, weight: float, inverse: float) -> str:
    w, h = f"{weight:.4g}", f"{inverse:.4g}"
    base = f"({w})" if weight < 0 else w
    name = f"w_{index} (the bias)" if bias else f"w_{index}"
    saliency = f"{weight**2 / (2 * inverse):.3g}"
    return f"{name} = {w}, [H^-1]_{index},{index} = {h}: saliency {base}^2 / (2 x {h}) = {saliency}"
