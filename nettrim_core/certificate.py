"""Proof of optimality for Net-Trim: a dual bound from any multipliers, in float64.

Primal:  min ||U||_1  s.t.  U'X in C, C a ResponseSet.
Dual:    max -sup_{Z in C} <L, Z>  s.t.  |X L'| <= 1 entrywise,  L >= 0 off omega.
(Lagrangian of U'X = Z with multipliers L, (M, P); paper 2, section 3, has the primal splitting.)

The constraint |X L'| <= 1 is per neuron: a column of X L' belongs to one row of L. So any L becomes feasible by
clipping it off omega and shrinking each row by itself, and one bad neuron does not spoil the bound of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.inputs import Inputs, correlate, response
from nettrim_core.response import ResponseSet


@dataclass(frozen=True, eq=False)
class Certificate:
    """What a pair (U, L) proves: bound <= optimum, and objective <= optimum + gap * objective if violation is 0.

    gap: (||U||_1 - bound) / ||U||_1, one-sided: it may be slightly negative where U is slightly infeasible.
    violation: of the response set, relative to its radius.
    neuron_gap: (M,) each neuron's share of the gap; sums to it.
    neuron_excess: (M,) max |X l_m| - 1, at least 0: how far a neuron's multipliers were from being feasible before they
        were shrunk, 0 at the optimum.
    neuron_violation: (M,) what a neuron's response has above V off omega, relative to the radius.
    """

    objective: float
    bound: float
    gap: float
    violation: float
    neuron_gap: Tensor
    neuron_excess: Tensor
    neuron_violation: Tensor

    @property
    def worst(self) -> float:
        return max(self.gap, self.violation)

    def within(self, tol: float) -> bool:
        return self.worst <= tol


def certify(X: Inputs, target: ResponseSet, U: Tensor, L: Tensor) -> Certificate:
    """The certificate of primal U (N, M) and multipliers L (M, P); X (N, P), (groups, N, P) or Patches,
    and target in float64."""
    U, L = U.double(), L.double()
    if target.relu:
        L = torch.where(target.omega, L, L.clamp(min=0))
    steepest = correlate(X, L).abs().amax(0).clamp(min=1)
    L = L / steepest[:, None]
    on = (L * target.omega).square().sum(1)
    share = on / on.sum().sqrt().clamp(min=torch.finfo(torch.float64).tiny)
    bounds = -(L * target.center).sum(1) - target.radius * share
    norms = U.abs().sum(0)
    objective, bound = float(norms.sum()), float(bounds.sum())
    scale = objective if objective > 0 else 1.0
    Z = response(X, U)
    over = torch.linalg.vector_norm(((Z - target.center) * ~target.omega).clamp(min=0), dim=1)
    return Certificate(
        objective=objective,
        bound=bound,
        gap=(objective - bound) / scale,
        violation=target.violation(Z),
        neuron_gap=(norms - bounds) / scale,
        neuron_excess=steepest - 1,
        neuron_violation=over / (target.radius or 1.0),
    )
