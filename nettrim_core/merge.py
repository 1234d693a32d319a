"""One budget for many curves: how many removals each takes, at the least total cost.

A curve says what its first 0, 1, 2, ... removals cost together. Taking the pieces of all lower convex hulls in the
order of their slopes is optimal wherever a piece ends. In between, the rest is given to one curve, or taken back from
it, where that is cheapest, from a few such ends nearby: the excess over dynamic programming is then below a thousandth
on layers of hundreds of weights a neuron (measured in the tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

NEARBY = 4  # ends of pieces looked at on either side


def hull_slopes(costs: np.ndarray) -> np.ndarray:
    """Slopes of the lower convex hull of each column's cumulative cost: (n, M), non-decreasing in each column.

    costs: (n, M) of each removal, in order. Pool adjacent violators.
    """
    return np.stack([isotonic_regression(column).x for column in costs.T], 1)


@dataclass(frozen=True, eq=False)
class Pieces:
    """The hulls' pieces of all curves in the order of their slopes. ends: removals after each; spent: cost then."""

    owner: np.ndarray
    length: np.ndarray
    ends: np.ndarray
    spent: np.ndarray


class Merge:
    """costs: (n, M), what each removal of each of M curves adds, in its order."""

    def __init__(self, costs: np.ndarray) -> None:
        n, M = costs.shape
        self.cumulative = np.concatenate([np.zeros((1, M)), costs.cumsum(0)])
        slopes = hull_slopes(costs)
        last = np.ones((n, M), dtype=bool)  # of a piece
        last[:-1] = slopes[1:] > slopes[:-1]
        owner, place = np.nonzero(last.T)
        length = np.diff(place, prepend=-1)
        length[np.diff(owner, prepend=-1) != 0] = place[np.diff(owner, prepend=-1) != 0] + 1
        order = np.argsort(slopes[place, owner], kind="stable")
        spent = self.cumulative[place + 1, owner] - self.cumulative[place + 1 - length, owner]
        self.pieces = Pieces(owner[order], length[order], length[order].cumsum(), spent[order].cumsum())

    def shares(self, total: int) -> np.ndarray:
        """(M,) how many removals each curve takes of ``total``."""
        n, M = self.cumulative.shape[0] - 1, self.cumulative.shape[1]
        found = int(np.searchsorted(self.pieces.ends, total))
        best, shares = np.inf, np.zeros(M, dtype=int)
        for taken in range(max(found - NEARBY, 0), min(found + NEARBY, len(self.pieces.ends)) + 1):
            base = np.bincount(self.pieces.owner[:taken], self.pieces.length[:taken], M).astype(int)
            rest = total - int(base.sum())
            fits = (base + rest >= 0) & (base + rest <= n)
            moved = np.where(fits, base + rest, base)
            change = np.where(fits, np.take_along_axis(self.cumulative, moved[None], 0)[0], np.inf)
            change -= np.take_along_axis(self.cumulative, base[None], 0)[0]
            one = int(change.argmin())
            cost = (self.pieces.spent[taken - 1] if taken else 0.0) + change[one]
            if cost < best:
                best, shares = cost, base
                shares[one] = moved[one]
        return shares
