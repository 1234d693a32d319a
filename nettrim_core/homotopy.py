"""Net-Trim's whole path in epsilon, exactly: the engine for layers on the CPU.

The neurons of a layer are coupled by one number only. At a price lambda of the weights every neuron has a problem of
its own (:mod:`nettrim_core.active_set`), whose squared residual R_m^2(lambda) is a piecewise quadratic; the layer's
solution at a radius is the one at the lambda where

    sum_m R_m^2(lambda) = radius^2,

a root of a known increasing function. So each neuron is followed once, from the lambda at which its weights appear
down to that of the smallest radius asked for, one neuron at a time (its N x N arrays live no longer than that). Any
radius above then costs a root and, per neuron, one linear system in its basic indices. With L = (Z - Y) / lambda on
omega and mu / lambda off it, the certificate is that of any other engine; neurons that spoil it are reworked one by
one.

What is done to a neuron by itself are tasks (:mod:`nettrim_core.neurons`); the search for lambda, and the certificate,
are not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from torch import Tensor

from nettrim_core import active_set
from nettrim_core.active_set import Float, Trace
from nettrim_core.admm import ADMM, Solution
from nettrim_core.certificate import Certificate, certify
from nettrim_core.executor import current
from nettrim_core.inputs import Inputs, correlate, groups_in, response, rows_of
from nettrim_core.neurons import Group, Leg, Neurons, Place, alive_rows, basic, followed, reworked, solved
from nettrim_core.problem import Size
from nettrim_core.response import ResponseSet

NEAR_ENOUGH = 0.1  # of the tolerance: where correcting the radius ends
FIRST = 0.15  # of ||Y||: start no lower than at this radius
GUESS_TOL, GUESS_ITERATIONS = 2e-2, 200
MARGIN = 1.08  # on the guessed lambda
HIGHEST, LOWEST = 1e4, 1e-9  # times the first lambda: where a radius above, or below, is given up
LEAST_STEP = 0.8  # lambda falls at least by this factor when neurons are taken up again
SAMPLE = 24  # neurons followed first, to see how far down the others must go
ENOUGH = 0.6  # of the squared radius: how far down to follow, as a sample only guesses where it is
ROOT_TOL, LEAST = 1e-14, float(np.finfo(float).tiny)
CORRECTIONS = 80
FIRST_STRIDE = 1e-3  # of lambda, doubled each time, where traces do not say how far to go
NOTHING = 1e-7  # of the lambda at which the first weight appears: as good as none
REWORK = 0.1  # of the tolerance: a neuron further from optimal than this is reworked where the layer fails


@dataclass(frozen=True)
class Stretch:
    """The traces of all neurons between two lambdas."""

    high: float
    low: float
    traces: list[Trace]

    def r2(self, lam: float, without: Sequence[int] = ()) -> float:
        """sum_m R_m^2(lambda), some neurons left out."""
        return math.fsum(active_set.r2_at(t, lam) for m, t in enumerate(self.traces) if m not in without)


class Homotopy:
    """The path of one layer, followed as far down as it is asked for.

    X: (N, P) or (groups, N, P). W: (N, M); its dtype is that of the solutions. radii: what is going to be asked
    for, as far as known; the neurons are followed on to those that are not smaller by more than a factor ``ahead``.

    omega and center are those of the first target; later targets differ by their radius only. Inside, responses are
    scaled to a mean square of one.
    """

    def __init__(self, X: Tensor, W: Tensor, radii: Sequence[float] = (), ahead: float = math.inf) -> None:
        self.X, self.W, self.radii, self.ahead = X, W, radii, ahead
        groups = X.reshape(-1, *X.shape[-2:]).numpy()
        self.rows = [rows for rows, _ in map(alive_rows, groups) for _ in range(W.shape[1] // len(groups))]
        self.known: list[Stretch] = []

    def solve(self, target: ResponseSet, tol: float) -> Solution:
        """The sparsest U (in l1) whose response is in ``target``, with its certificate."""
        if not self.known:
            self._begin(target)
        goal = target.radius / self.size
        self._reach(goal)
        best: Solution | None = None
        bad: list[int] = []  # neurons that must be reworked at every lambda, as their traces do not hold
        wanted = goal**2  # what the good traces are to say of the squared residual
        before = 0.0  # the last lambda
        below, above = 0.0, math.inf  # lambdas whose measured residual was too small, too large
        stride = FIRST_STRIDE
        for _ in range(CORRECTIONS):
            lam = self._price(wanted, self._left_out(bad))
            if not below < lam < above:  # the good traces do not say enough
                lam = self._between(below, above, stride)
                stride *= 2
            U, MU = self._at(lam)
            self._rework(bad, lam, U, MU)
            L = MU / lam
            residual = (response(self.X, torch.from_numpy(U)).numpy() - self.center)[self.omega]
            L[self.omega] = residual / lam
            u, multipliers = torch.from_numpy(U * self.size).to(self.W.dtype), torch.from_numpy(L)
            found = certify(self.X, target, u, multipliers)
            kinks = sum(len(t.lam) for stretch in self.known for t in stretch.traces)
            if best is None or found.worst < best.certificate.worst:
                best = Solution(u, multipliers, found, kinks, found.within(tol))
            if best.converged:
                break
            r2 = float(residual @ residual)
            # what a neuron's gap has of the layer's radius, which lambda does not meet yet, is no fault of its own
            apart = lam * np.square(L * self.omega).sum(1) * self.size * (goal / (r2**0.5 or 1.0) - 1)
            known, bad = bad, self._offenders(found, apart / (found.objective or 1.0), tol, bad)
            room = min(goal**2, abs(self.energy - goal**2))
            if len(bad) == len(known) and (abs(r2 - goal**2) < NEAR_ENOUGH * tol * room or lam == before):
                break
            before = lam
            if len(bad) > len(known):  # the residuals measured so far were those of other solutions
                below, above, before, stride = 0.0, math.inf, 0.0, FIRST_STRIDE
            elif r2 < goal**2:
                below = lam
            else:
                above = lam
            wanted = self._corrected(wanted, goal**2, r2, lam, bad)
        assert best is not None
        return best

    def _between(self, below: float, above: float, stride: float) -> float:
        """A lambda between two that are known or, where there is one only, a stride from it."""
        if below > 0 and above < math.inf:
            return math.sqrt(below * above)
        return max(below * (1 + stride) if below > 0 else above / (1 + stride), self.known[-1].low)

    def _left_out(self, bad: list[int]) -> list[int]:
        """The neurons whose traces are not to be believed, unless there are no others."""
        return bad if len(bad) < len(self.busy) else []

    def _corrected(self, wanted: float, goal: float, r2: float, lam: float, bad: list[int]) -> float:
        """What the good traces are to say of the squared residual for it to be ``goal``, when at lambda it is r2.

        They say the same part of it as there or, where little of the responses' energy is to be lost, of that loss.
        """
        out = self._left_out(bad)
        said = self._stretch(lam).r2(lam, out)
        if 2 * goal < self.energy:
            return goal * said / r2 if r2 > 0 else wanted
        energy = self.energy - float(np.square(self.responses[out]).sum())
        return energy - (self.energy - goal) * (energy - said) / (self.energy - r2) if r2 < self.energy else wanted

    def _begin(self, target: ResponseSet) -> None:
        """Start at the largest radius that will be asked for, or a large one: from where few weights are left, guessed
        by a first-order iteration, the others come in one by one. Not where V is negative, as it is in a cascade: there
        the constraints take many weights at any radius, and the walk down has many times as many kinks."""
        self.omega = target.omega.numpy()
        self.size = float(target.center.square().mean()) ** 0.5 or 1.0
        self.center = target.center.numpy() / self.size
        self.responses = np.where(self.omega, self.center, 0.0)
        self.energy = float(np.square(self.responses).sum())
        self.busy = [m for m in range(len(self.center)) if self.omega[m].any() or (self.center[m] < 0).any()]
        given = (self.X.numpy(), self.omega, self.responses, self.center)
        self.neurons = current().made(Neurons, *map(current().share, given))
        asked = max(target.radius, *self.radii, 0.0) / self.size
        radius = asked if (self.center[~self.omega] < 0).any() else max(asked, FIRST * self.energy**0.5)
        scaled = dataclasses.replace(target, center=target.center / self.size, radius=radius)
        guess = ADMM(self.X, self.W / self.size, torch.float32).solve(scaled, GUESS_TOL, GUESS_ITERATIONS)
        slope = float(torch.linalg.vector_norm(guess.L * target.omega))  # d objective / d radius, so 1 / lambda is
        steepest = float(correlate(self.X, torch.from_numpy(self.responses)).abs().max()) or 1.0
        self.top = min(radius / slope, steepest) if slope > 0 else steepest
        U = guess.U.double().numpy()
        MU = (guess.L * ~target.omega).clamp(min=0).numpy() * self.top
        self.start = self.top * MARGIN, U, MU
        self._extend(*self.start, self._least(target.radius / self.size))
        while self.known[0].r2(self.known[0].high) < asked**2 and self.known[0].high < HIGHEST * self.top:
            high = self.known[0].high
            self._follow(high * 3, high, *self._at(high))

    def _least(self, radius: float) -> float:
        """The smallest radius that will be asked for and is not smaller than this one by more than ``ahead``."""
        return min((r / self.size for r in self.radii if radius / self.ahead <= r / self.size), default=radius)

    def _reach(self, radius: float) -> None:
        """Follow on until the known stretches hold the radius, and those that will come and are not much smaller."""
        while self.known[-1].r2(self.known[-1].low) > radius**2 and self.known[-1].low > LOWEST * self.top:
            low = self.known[-1].low
            self._extend(low, *self._at(low), min(self._least(radius), radius))

    def _extend(self, high: float, U: Float, MU: Float, radius: float) -> None:
        """Follow all neurons from lambda = high, where U and MU are (nearly) the solution, to about where the radius
        is reached, judged by a sample of them."""
        residual = (response(self.X, torch.from_numpy(U)).numpy() - self.center) * self.omega
        r2 = np.square(residual).sum(1)
        share = ENOUGH * radius**2 / max(r2.sum(), 1e-300)
        sample = self.busy[:: max(len(self.busy) // SAMPLE, 1)]
        paths = self._paths([self._leg(m, high, LOWEST * self.top, U, MU, 0.5 * share * r2[m]) for m in sample])
        low = max(max(t.lam[-1] for t in paths), LOWEST * self.top)
        goal = share * r2[sample].sum()
        over = lambda lam: math.fsum(active_set.r2_at(t, lam) for t in paths) - goal  # noqa: E731
        if over(low) < 0 < over(high):
            low = _root(over, low, high)
        low = min(low, high * LEAST_STEP)
        done = {m: path for m, path in zip(sample, paths, strict=True) if path.lam[-1] <= low}
        self._follow(high, low, U, MU, done)

    def _price(self, r2: float, without: Sequence[int]) -> float:
        """The lambda at which the squared residual, some neurons left out, is r2; or the nearest that is known."""
        for stretch in self.known:
            if stretch.r2(stretch.low, without) <= r2:
                over = lambda lam, of=stretch: of.r2(lam, without) - r2  # noqa: E731
                if over(stretch.high) <= 0:
                    return stretch.high
                return _root(over, stretch.low, stretch.high)
        return self.known[-1].low

    def _stretch(self, lam: float) -> Stretch:
        return next(s for s in self.known if lam >= s.low)

    def _at(self, lam: float) -> tuple[Float, Float]:
        """U (N, M) and the multipliers MU (M, P) of the constraints at a known lambda, by the neurons' bases."""
        U, MU = np.zeros(self.W.shape), np.zeros(self.center.shape)
        traces = self._stretch(lam).traces
        sizes = [len(self.rows[m]) + int((~self.omega[m]).sum()) for m in self.busy]
        places = [
            Place(m, active_set.basis_at(traces[m], lam, size), lam) for m, size in zip(self.busy, sizes, strict=True)
        ]
        for place, (u, mu) in zip(places, current().each(solved, places, self.neurons), strict=True):
            m, rows, off = place.m, self.rows[place.m], np.flatnonzero(~self.omega[place.m])
            weights, samples = basic(place.sides, len(rows))
            U[rows[weights], m], MU[m, off[samples]] = u, mu
        return U, MU

    def _offenders(self, found: Certificate, apart: Float, tol: float, known: list[int]) -> list[int]:
        """The neurons known to spoil the certificate and those that do now. apart: (M,) of their gaps, not theirs."""
        own = found.neuron_gap - torch.from_numpy(apart)
        parts = torch.stack([own, found.neuron_excess, found.neuron_violation])
        bad = parts.amax(0) > REWORK * tol
        return sorted({*known, *(m for m in self.busy if bool(bad[m]))})

    def _rework(self, neurons: list[int], lam: float, U: Float, MU: Float) -> None:
        """Solve for these neurons again, more carefully, in place."""
        legs = [self._leg(m, lam, lam, U, MU) for m in neurons]
        for m, values in zip(neurons, current().each(reworked, legs, self.neurons), strict=True):
            if values is not None:
                U[self.rows[m], m], MU[m, ~self.omega[m]] = values

    def _follow(self, high: float, low: float, U: Float, MU: Float, done: dict[int, Trace] | None = None) -> None:
        """Follow all neurons between two lambdas, from a guess at the upper one; some may be ``done``."""
        left = [m for m in self.busy if not done or m not in done]
        found = dict(zip(left, self._paths([self._leg(m, high, low, U, MU) for m in left]), strict=True))
        nothing = active_set.room(1)
        traces = [found.get(m) or (done or {}).get(m) or nothing for m in range(len(self.center))]
        self.known.append(Stretch(high, low, traces))
        self.known.sort(key=lambda s: -s.low)

    def _paths(self, legs: list[Leg]) -> list[Trace]:
        """The neurons' paths. Taken up where lambda is next to nothing, one may be lost that is not if it comes from
        the start."""
        paths = current().each(followed, legs, self.neurons)
        high, U, MU = self.start
        lost = [
            i for i, (leg, path) in enumerate(zip(legs, paths, strict=True))
            if leg.high < high and path.lam[-1] > leg.low and path.r2[-1] > leg.enough
        ]  # fmt: skip
        again = [self._leg(legs[i].m, high, legs[i].low, U, MU, legs[i].enough) for i in lost]
        for i, path in zip(lost, current().each(followed, again, self.neurons) if lost else [], strict=True):
            if path.lam[-1] < paths[i].lam[-1]:
                paths[i] = path
        return paths

    def _leg(self, m: int, high: float, low: float, U: Float, MU: Float, enough: float = -1.0) -> Leg:
        return Leg(m, U[:, m], MU[m, ~self.omega[m]], high, low, enough)


class RefitInside:
    """The least squares on a support inside a set's own constraints: from U (N, M), whose zeros stay, to V like it,

        min 1/2 ||(V'X - Y)_omega||^2  s.t.  V'X <= V_off off omega,  V = 0 where U = 0

    neuron by neuron: a path's end at a lambda of (nearly) zero, with the inputs of the support only. Where it is not
    found, or is no nearer to Y than U is, a neuron keeps its weights. The set's radius plays no part.
    """

    def __init__(self, X: Inputs, target: ResponseSet) -> None:
        self.size = float(target.center.square().mean()) ** 0.5 or 1.0
        center, omega = target.center.cpu().numpy() / self.size, target.omega.cpu().numpy()
        self.given = [current().share(value) for value in (X, omega, center)]

    def __call__(self, U: Tensor) -> Tensor:
        given = U.double().cpu().numpy() / self.size
        columns = current().each(_refitted, [(m, given[:, m]) for m in range(U.shape[1])], *self.given)
        return torch.from_numpy(np.stack(columns, 1) * self.size).to(U)


def _refitted(place: tuple[int, Float], X: Inputs, omega: NDArray[np.bool_], center: Float) -> Float:
    m, u = place[0], place[1].copy()
    support = np.flatnonzero(u)
    if len(support) == 0 or not omega[m].any():
        return u
    rows = rows_of(X, m * groups_in(X) // len(center), support)
    group, y = Group(rows), np.where(omega[m], center[m], 0.0)
    neuron = active_set.neuron_of(group.layer, omega[m], y, center[m])
    lam = NOTHING * float(np.abs(neuron.b / neuron.w).max())
    guess = group.scaled(u[support], np.zeros(int((~omega[m]).sum())))
    found, mu, ok = active_set.rework(neuron, *guess, lam)
    if ok:
        fitted = np.zeros(len(support))
        fitted[group.rows] = group.unscaled(found, mu)[0]
        off = [np.linalg.norm((w @ rows - center[m])[omega[m]]) for w in (fitted, u[support])]
        if off[0] <= off[1]:
            u[support] = fitted
    return u


def _root(increasing: Callable[[float], float], low: float, high: float) -> float:
    """The lambda between where a function is zero; to a part of it, as lambda has the scale of the inputs."""
    return root_scalar(increasing, bracket=(low, high), xtol=LEAST, rtol=ROOT_TOL).root


def peak_bytes(size: Size, threads: int) -> int:
    """About the most memory (bytes) that one layer takes."""
    N, M, P = size.inputs, size.outputs, size.samples
    rows = min(2 * N + N // 4 + 64, N + P)  # of a tableau: every weight and as many samples basic, and company
    shared = size.groups * (3 * N * P + 2 * N * N) + 8 * M * P + 4 * N * M
    neuron = N * N + 2 * N * P + 4 * rows * rows
    traces = 6 * M * (N + P)
    return 8 * (shared + min(threads, M) * neuron + traces)
