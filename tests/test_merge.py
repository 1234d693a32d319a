"""Sharing removals between curves, against every way of doing it and against dynamic programming."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from nettrim_core import ExactOBS, load_bundle
from nettrim_core.greedy import greedy_trace
from nettrim_core.merge import Merge, hull_slopes
from nettrim_core.network import Network
from nettrim_core.refit import LeastSquares
from tests.conftest import random_layer


def spent(merge: Merge, total: int) -> float:
    shares = merge.shares(total)
    assert shares.sum() == total
    assert bool((shares >= 0).all())
    return float(np.take_along_axis(merge.cumulative, shares[None], 0).sum())


def dynamic_programming(cumulative: np.ndarray) -> np.ndarray:
    """The least total cost of 0, 1, 2, ... removals."""
    best = np.zeros(1)
    for column in cumulative.T:
        longer = np.full(len(best) + len(column) - 1, np.inf)
        for taken, cost in enumerate(column):
            part = longer[taken : taken + len(best)]
            np.minimum(part, best + cost, out=part)
        best = longer
    return best


def test_slopes_are_those_of_the_lower_hull() -> None:
    costs = np.array([[3.0], [1.0], [2.0], [5.0]])
    assert hull_slopes(costs)[:, 0].tolist() == [2.0, 2.0, 2.0, 5.0]


@pytest.mark.parametrize("seed", range(4))
def test_the_merge_is_optimal_at_every_end_of_a_piece(seed: int) -> None:
    """Against every way of sharing."""
    merge = Merge(np.random.default_rng(seed).random((5, 4)) ** 2)
    best = np.full(21, np.inf)
    for counts in itertools.product(range(6), repeat=4):
        best[sum(counts)] = min(best[sum(counts)], sum(merge.cumulative[c, m] for m, c in enumerate(counts)))
    np.testing.assert_allclose(dynamic_programming(merge.cumulative), best)
    assert len(merge.pieces.ends) > 5
    for total in merge.pieces.ends:
        assert spent(merge, int(total)) == pytest.approx(best[total], rel=1e-12)
    for total in range(21):
        assert spent(merge, total) >= best[total] * (1 - 1e-12)


@pytest.mark.parametrize(("network", "layer"), [("digits_mlp", "fc1"), ("digits_mlp", "fc2"), ("lenet_300_100", "fc2")])
def test_on_whole_layers_it_is_within_a_thousandth_of_dynamic_programming(network: str, layer: str) -> None:
    bundle = load_bundle(network)
    dense = Network(bundle.model, bundle.calibration_sample(500), [layer])
    fit = LeastSquares(dense.problem(dense.selected[0]), 1e-6)
    merge = Merge(greedy_trace(fit.inverse(), fit.W[fit.alive])[1].numpy())
    best = dynamic_programming(merge.cumulative)
    assert len(best) - 1 == int(fit.alive.sum()) * fit.W.shape[1]
    for total in np.linspace(0.2, 0.99, 150) * (len(best) - 1):
        assert best[int(total)] * (1 - 1e-9) <= spent(merge, int(total)) <= best[int(total)] * 1.001


def test_exact_obs_removes_what_the_merge_says() -> None:
    problem = random_layer(12, 6, 60, dead=2)
    fit = LeastSquares(problem, 1e-6)
    costs = greedy_trace(fit.inverse(), fit.W[fit.alive])[1].numpy()
    merge = Merge(np.concatenate([np.zeros((2, 6)), costs]))  # weights of dead inputs cost nothing
    for count in (12, 30, 50):
        U = ExactOBS().at_sparsity(problem, count / 72).U
        lost = torch.einsum("im,ij,jm->", U[2:] - problem.W[2:], fit.H, U[2:] - problem.W[2:])
        assert float(lost) == pytest.approx(spent(merge, count), rel=1e-6, abs=1e-12)
