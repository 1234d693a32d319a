"""The feasible set of a layer's responses, and the one rule that turns a tolerance into it.

Net-Trim allows the responses Z = U'X (M, P) that lie in

    { Z :  ||(Z - Y)_omega||_F <= radius,   Z <= V off omega }

(paper 1, eq. 4-6; paper 2, eq. 2), Y less the shift where a layer has one. Every method, convex or not, is held to the
same V and radius.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from nettrim_core.problem import LayerProblem


@dataclass(frozen=True, eq=False)
class ResponseSet:
    """center (M, P) holds Y - shift on omega and V off it; omega (M, P) bool; radius absolute; relu as in the problem,
    and shift (M, 1)."""

    center: Tensor
    omega: Tensor
    radius: float
    relu: bool
    shift: Tensor | float = 0.0

    def to(self, dtype: torch.dtype, scale: float = 1.0) -> ResponseSet:
        """The set of all ``scale * Z``, in another dtype."""
        return dataclasses.replace(self, center=(self.center * scale).to(dtype), radius=self.radius * scale)

    def project(self, Z: Tensor) -> Tensor:
        """The nearest point of the set: a ball around Y on omega, a cap at V off it."""
        offset = Z - self.center
        if not self.relu:
            return self.center + _into_ball(offset, self.radius)
        return self.center + torch.where(self.omega, _into_ball(offset * self.omega, self.radius), offset.clamp(max=0))

    def support(self, L: Tensor) -> Tensor:
        """sup <L, Z> over the set, 0-dimensional; needs L >= 0 off omega (else it is infinite)."""
        return (L * self.center).sum() + self.radius * torch.linalg.vector_norm(L * self.omega)

    def violation(self, Z: Tensor) -> float:
        """How far Z is outside, relative to the radius: the larger of the excess on omega and off it; 0 inside."""
        offset = Z - self.center
        on = float(torch.linalg.vector_norm(offset * self.omega))
        off = float(torch.linalg.vector_norm((offset * ~self.omega).clamp(min=0)))
        if self.radius == 0:
            return 0.0 if on == 0 and off == 0 else float("inf")
        return max(on / self.radius - 1, off / self.radius, 0.0)

    def excess(self, Z: Tensor) -> Tensor:
        """(M, P) the part of the activated response that the set does not ask for.

        On omega act(Z + shift) - Y; off omega what rises above max(V + shift, 0). Its Frobenius norm is what a method
        without constraints of its own keeps within the radius. In the parallel mode that norm is the absolute
        discrepancy; the trained weights are within the radius in a cascade too, whenever gamma >= 1.
        """
        if not self.relu:
            return Z - self.center
        change = (Z + self.shift).relu() - (self.center + self.shift).relu()
        return torch.where(self.omega, change, change.clamp(min=0))


def _into_ball(offset: Tensor, radius: float) -> Tensor:
    norm = torch.linalg.vector_norm(offset)
    return offset * (radius / norm.clamp(min=1e-300 if offset.dtype == torch.float64 else 1e-30)).clamp(max=1)


def response_set(problem: LayerProblem, epsilon: float) -> ResponseSet:
    """The set of responses U'X allowed at ``epsilon``, in float64.

    Parallel (dense inputs): act(V + shift) = 0, so V = -shift, and radius = epsilon ||Y||_F.
    Cascade (pruned inputs): V = W'X, and radius^2 = gamma ||(W'X + shift - Y)_omega||_F^2, the error already made;
    with ``problem.gamma`` None the radius is epsilon ||Y||_F there too (then W need not be feasible).
    """
    Y = problem.Y.double() - problem.constant
    V = problem.response(problem.W) if problem.pruned_inputs else -problem.constant.expand_as(Y)
    radius = epsilon * problem.norm
    if problem.pruned_inputs and problem.gamma is not None:
        radius = problem.gamma**0.5 * float(torch.linalg.vector_norm((V - Y) * problem.omega))
    return ResponseSet(torch.where(problem.omega, Y, V), problem.omega, radius, problem.relu, problem.constant)
