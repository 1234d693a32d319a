"""Wanda: magnitude times the norm of the input, compared within each neuron (Sun, Liu, Bair, Kolter, ICLR 2024,
arXiv 2306.11695, section 3).

The score of a weight is |w_ij| ||x_i||_2. Every neuron loses the same number of weights, to within one, its smallest
scores first; what is left stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nettrim_core.inputs import energies
from nettrim_core.pattern import ordered, pattern_setting
from nettrim_core.problem import LayerProblem, tolerance
from nettrim_core.ranking import RankedMethod, Ranking


@dataclass(frozen=True)
class Wanda(RankedMethod):
    epsilon: float = tolerance()
    pattern: str = pattern_setting()

    @property
    def squares(self) -> bool:
        return False

    def rank(self, problem: LayerProblem) -> Ranking:
        W = problem.W.double()
        norms = torch.cat([energies(b.X).sqrt()[:, None].expand_as(b.W) for b in problem.blocks], 1)
        scores = W.abs() * norms
        turn = scores.argsort(dim=0, stable=True).argsort(dim=0)  # first of every neuron, second of every neuron, ...
        position, counts = ordered(problem, self.pattern, turn, scores)
        return Ranking(position, lambda keep: W * keep, counts)
