"""Can H be inverted, and is it damping that makes it so?"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nettrim_core.inputs import gram
from nettrim_core.problem import LayerProblem
from nettrim_core.report import Plain

SINGULAR = 1e12  # largest over smallest eigenvalue: beyond it, a float64 inverse has fewer than four digits left


@dataclass(frozen=True)
class Conditioning(Plain):
    """H = XX'/P of the inputs that one neuron sees, those left out that are zero on every sample.

    live, dead: how many inputs there are (a bias is one), and how many are left out. smallest, largest: the extreme
    eigenvalues of H, as computed, before damping. condition: that of H + damping I, infinite where it is not positive
    definite. singular: is H itself as good as singular, largest / smallest above SINGULAR?
    """

    live: int
    dead: int
    damping: float
    smallest: float
    largest: float
    condition: float
    singular: bool


def conditioning(problem: LayerProblem, neuron: int, damping: float) -> Conditioning:
    """Of the Hessian that L-OBS inverts for this neuron; ValueError for a neuron that the layer has not, and for a
    damping that is negative."""
    if not damping >= 0:
        raise ValueError(f"damping = {damping!r} is out of range: 0 <= damping, what is added to the diagonal of XX'/P")
    alone = problem.neuron(neuron)
    live = alone.alive
    H = (gram(alone.X) / alone.X.shape[1])[live][:, live]
    values = torch.linalg.eigvalsh(H) if len(H) else H.new_ones(1)
    low, high = float(values[0]), float(values[-1])
    damped = low + damping
    return Conditioning(
        live=int(live.sum()),
        dead=int((~live).sum()),
        damping=damping,
        smallest=low,
        largest=high,
        condition=(high + damping) / damped if damped > 0 else float("inf"),
        singular=low * SINGULAR < high,
    )
