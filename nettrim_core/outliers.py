"""The neurons of a pruned layer that are worth looking at first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.problem import LayerProblem, LayerResult
from nettrim_core.report import Plain


@dataclass(frozen=True)
class Outliers(Plain):
    """Neurons from 0; the first of several that are alike.

    changed: the one whose outputs act(u'X + shift) moved most, and by what part of the layer's squared change; 0 where
    nothing moved. sparsest: the one with the fewest weights left, biases not counted, and how many.
    gap, violation: of the methods with a certificate, the neuron with the largest share of the gap and the one with the
    most above V off omega (relative to the radius), with those figures; None for other methods.
    """

    changed: tuple[int, float]
    sparsest: tuple[int, int]
    gap: tuple[int, float] | None
    violation: tuple[int, float] | None


def outliers(problem: LayerProblem, result: LayerResult) -> Outliers:
    """Those of a result; its certificate's neurons where it has one."""
    change = (problem.activate(problem.response(result.U)) - problem.Y.double()).square().sum(1)
    kept = (result.U[: len(result.U) - problem.bias] != 0).sum(0)
    neuron, most = _largest(change)
    fewest = int(kept.argmin())
    certified = {name: _largest(result.neurons[name]) for name in ("gap", "violation") if name in result.neurons}
    return Outliers(
        (neuron, most / (float(change.sum()) or 1.0)),
        (fewest, int(kept[fewest])),
        certified.get("gap"),
        certified.get("violation"),
    )


def _largest(figures: Tensor) -> tuple[int, float]:
    place = int(torch.argmax(figures))
    return place, float(figures[place])
