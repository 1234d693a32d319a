"""The neurons of a layer, each by itself: the tasks that Net-Trim's exact engine (:mod:`nettrim_core.homotopy`) is made
of. They take what all neurons share, :class:`Neurons`, and what is to be done to one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nettrim_core import active_set
from nettrim_core.active_set import Float, Trace
from nettrim_core.threads import stop

MOST_ENTRIES = 10**7  # of a trace


class Group:
    """The inputs that some neurons share, scaled as :mod:`nettrim_core.active_set` wants them; X (N, P).

    rows: the inputs that are not always zero. The others' weights stay zero.
    """

    def __init__(self, X: Float) -> None:
        self.rows, norms = alive_rows(X)
        unit = 1 / norms
        scaled = np.ascontiguousarray(X[self.rows] * unit[:, None])
        turned = np.ascontiguousarray(scaled.T)
        stretch = (X.shape[1] / max(len(self.rows), 1)) ** 0.5
        self.layer = active_set.Layer(scaled, turned, scaled @ turned, stretch, unit)

    def scaled(self, u: Float, mu: Float) -> tuple[Float, Float]:
        """Weights (N,) and multipliers of a neuron, as its path has them."""
        return u[self.rows] / self.layer.w, mu / self.layer.stretch

    def unscaled(self, u: Float, mu: Float) -> tuple[Float, Float]:
        """The weights of ``rows`` and the multipliers, from those of a path."""
        return u * self.layer.w, mu * self.layer.stretch


class Neurons:
    """What the neurons of a layer share, and what is each one's own. X (N, P) or (groups, N, P); omega, responses (Y
    on omega, 0 off it), center (M, P)."""

    def __init__(self, X: Float, omega: NDArray[np.bool_], responses: Float, center: Float) -> None:
        self.omega, self.responses, self.center = omega, responses, center
        self._groups = [Group(rows) for rows in X.reshape(-1, *X.shape[-2:])]

    def group(self, m: int) -> Group:
        return self._groups[m * len(self._groups) // len(self.center)]

    def neuron(self, m: int) -> active_set.Neuron:
        return active_set.neuron_of(self.group(m).layer, self.omega[m], self.responses[m], self.center[m])


class Leg(NamedTuple):
    """What is to be followed: neuron m from lambda = high, where its weights are about u (N,) and its multipliers about
    mu, down to low, or to where its squared residual is ``enough``."""

    m: int
    u: Float
    mu: Float
    high: float
    low: float
    enough: float = -1.0


class Place(NamedTuple):
    """Neuron m at lambda, where these sides (:func:`nettrim_core.active_set.basis_at`) are basic."""

    m: int
    sides: NDArray[np.int8]
    lam: float


def followed(leg: Leg, neurons: Neurons) -> Trace:
    """A neuron's path. One that is lost ends early; what is asked below is reworked."""
    neuron = neurons.neuron(leg.m)
    u, mu = neurons.group(leg.m).scaled(leg.u, leg.mu)
    entries = 4 * sum(neuron.XC.shape) + 4096
    while True:
        room = active_set.room(entries)
        status, used = active_set.trace(neuron, u, mu, leg.high, leg.low, leg.enough, room, stop())
        if status == active_set.STOPPED:
            raise KeyboardInterrupt
        if status != active_set.FULL or entries > MOST_ENTRIES:
            return active_set.shortened(room, used)
        entries *= 4


def solved(place: Place, neurons: Neurons) -> tuple[Float, Float]:
    """The weights and multipliers of a neuron that are basic, by its basis; all others are zero."""
    m, group = place.m, neurons.group(place.m)
    found = active_set.values_of(
        place.sides, group.layer, neurons.omega[m], neurons.responses[m], neurons.center[m], place.lam
    )
    u, mu = group.unscaled(*found)
    weights, samples = basic(place.sides, len(u))
    return u[weights], mu[samples]


def basic(sides: NDArray[np.int8], weights: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of so many weights, and which samples, are basic."""
    return np.flatnonzero(sides[:weights]), np.flatnonzero(sides[weights:])


def reworked(leg: Leg, neurons: Neurons) -> tuple[Float, Float] | None:
    """The same at lambda = high by solving for it again, more carefully; None if that fails."""
    group = neurons.group(leg.m)
    u, mu, found = active_set.rework(neurons.neuron(leg.m), *group.scaled(leg.u, leg.mu), leg.high)
    return group.unscaled(u, mu) if found else None


def alive_rows(X: Float) -> tuple[NDArray[np.intp], Float]:
    """The rows of X that are not always zero, and their norms."""
    norms = np.linalg.norm(X, axis=1)
    rows = np.flatnonzero(norms)
    return rows, norms[rows]
