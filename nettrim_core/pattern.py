"""Where zeros may lie: anywhere, as many in every neuron, or n of m consecutive inputs left.

A pattern fixes how many weights can go. In n:m, of every m consecutive inputs of a neuron n stay (for a convolution in
the order channel, row, column of its weight; of a last, shorter run at most n), and its bias stays (for 2:4: Mishra et
al., arXiv 2104.08378).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nettrim_core.problem import LayerProblem, choice
from nettrim_core.ranking import flat_order

FREE, NEURON = "free", "neuron"


def pattern_setting() -> Any:
    """The setting of the methods that can keep to a pattern."""
    return choice(
        FREE, NEURON, "1:2", "2:4", "4:8", "1:4",
        help="where zeros may lie: anywhere, as many in every neuron, or n of every m consecutive inputs kept",
    )  # fmt: skip


def runs(problem: LayerProblem, pattern: str) -> tuple[Tensor, Tensor] | None:
    """For n:m, (the run each row of W lies in, how many weights of a neuron go in each run); a bias is a run of its
    own, of which none goes. None for other patterns."""
    if ":" not in pattern:
        return None
    n, m = map(int, pattern.split(":"))
    rows = len(problem.W) - problem.bias
    run = torch.arange(len(problem.W), device=problem.W.device) // m
    if problem.bias:
        run[-1] = -(-rows // m)
    leaving = (run.bincount() - n).clamp(min=0)
    if problem.bias:
        leaving[-1] = 0
    return run, leaving


def ordered(
    problem: LayerProblem, pattern: str, scores: Tensor, then: Tensor | None = None
) -> tuple[Tensor, Sequence[int]]:
    """(positions of removal (N, M), the numbers of removals that the pattern allows).

    Smallest score first, ties by ``then``, then by index; under a pattern, among the weights of a neuron.
    """
    N, M = scores.shape
    if pattern == FREE:
        return flat_order(scores, then), range(N * M + 1)
    within = flat_order(scores, then)
    if (found := runs(problem, pattern)) is None:  # the first of every neuron, the second of every neuron, ...
        return flat_order(within.argsort(0).argsort(0), within), range(0, N * M + 1, M)
    run, leaving = found
    rank = (run[:, None] * (N * M) + within).argsort(0).argsort(0)  # in the runs' order, by score in each
    starts = run.bincount().cumsum(0) - run.bincount()
    stays = rank - starts[run][:, None] >= leaving[run][:, None]
    return flat_order(stays, within), (0, int(leaving.sum()) * M)
