"""The path of one Net-Trim neuron over lambda, exactly: a parametric active set, compiled.

A neuron's share of Net-Trim, at a price lambda of its weights against its residual, is

    min  lambda sum_j w_j |u_j| + 1/2 ||X_O'u - y_O||^2   s.t.  X_C'u <= v            (O = omega, C = off omega)

Its solution is a continuous, piecewise linear function of lambda, so that it can be followed from kink to kink, as
the lasso's can (Osborne, Presnell, Turlach 2000; for quadratic programs in general Best 1996). With mu >= 0 the
multipliers of the constraints, let x = (u, mu), h = (b, v), b = X_O y_O, and

    K = [[G + DELTA I, X_C], [X_C', -DELTA_DUAL I]],   G = X_O X_O',   y = K x - h

so that y holds the gradient of the smooth part for a weight and X_c'u - v for a sample. At the solution

    a weight:  |y_j| <= lambda w_j,  and  y_j = -lambda w_j sign(u_j)  where  u_j != 0
    a sample:    y_c <= 0,           and  y_c = 0                      where  mu_c > 0

An index is *basic* where x is free and y sits on its bound, else x = 0 and y moves between its bounds. K is symmetric
quasi-definite (Vanderbei 1995): every principal submatrix is invertible, so that any index may change sides. The two
regularisers and a jitter of w and v (to break ties) are far below any tolerance, and only decide *which* indices are
basic; :func:`values_of` then solves for x without them.

T holds K with the basic indices swept (Goodnight 1979),

    T = [[-K_BB^-1, K_BB^-1 K_BN], [., K_NN - K_NB K_BB^-1 K_BN]],   B basic, N not

so that rates of change are products with T, and an index that changes sides is a rank-one update of T. Updates are
kept in V until BLOCK of them are worth a matrix product. Only indices near their bound are in T. Where a stretch ends
beyond the bound of an index that was not, it is walked again from where it began, with that index.

X comes scaled: rows of unit norm over all samples, and ``stretch`` times that for X_C, so that entries of K are of
the order of one. Arrays are float64.

Everything compiled is in this one file, as the compiled code on disk is renewed when *its* file changes, and would not
notice a change in another one that it calls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# of K and its bounds, which are of the order of one
DELTA, DELTA_DUAL = 1e-8, 1e-7  # regularisers: smaller ones cost T its digits, larger ones move the solution
JITTER, GOLDEN = 1e-7, 0.6180339887498949  # breaks ties, by multiples of the golden ratio modulo 1
# which rows are in T
STRETCH_RATIO, FEW_KINKS = 0.72, 64  # the other indices are looked at when lambda fell by this, or after these many
NEAR_WEIGHT = 0.55  # in T: |y_j| above this part of its bound, so that it would be met within the stretch
NEAR_SAMPLE = 0.3  # in T: y_c above minus this part of the mean of |y_c|
VISIBLE = 1e3  # times the jitter: a mean of |y_c| below it does not tell near from far
CLOSE = 0.05  # as far from its bound as this, an index comes along with those that are beyond theirs
MORE_ROWS = 64  # at least so many at once
BLOCK = 48  # updates of T that make one matrix product
# when T is not to be trusted
SOUND_PIVOT = 1e-6  # of a guessed basic index
UNSOUND = 1e-9  # of a pivot on the way: less than the regularisers leave it
DRIFT = 1e-6  # a basic y may be off its bound by this part of it,
ROUNDING = 1e-13  # or by this part of max |b|
NUDGE = 1e-6  # of lambda: a lost path is taken up this little further on
MAX_STEPS, MOST_ROUNDS, MOST_RESTARTS = 3000, 30, 60  # more means that the walk goes in circles
# of the values that are returned
PROXIMAL_ROUNDS, PROXIMAL_TOL = 30, 1e-10
REFINEMENTS, FINE = 3, 1e-7
NEGLIGIBLE = 1e-8  # of ||y||: a weight that is zero
SINGULAR = 1e-12  # added to a diagonal of unit order, so that no system is exactly singular

ARRIVED, LOST = 0, 1  # what came of a walk
DONE, CIRCLES, FULL, STOPPED = 0, 1, 2, 3  # what came of a trace

Float = NDArray[np.float64]
Int = NDArray[np.int64]


class Tableau(NamedTuple):
    """T and, per row of it: the index, the side it is on, bounds and their rates, the free one of x and y, its rate."""

    T: Float
    V: Float
    pivots: Float
    index: Int  # j for weight j, N + c for sample c
    basic: NDArray[np.bool_]
    side: Float  # 1 on (or last on) the upper bound, -1 on the lower
    sign: Float  # 1 for a weight, -1 for a sample: the sign of its diagonal entry of K
    low: Float
    high: Float
    low_rate: Float
    high_rate: Float
    value: Float  # x of a basic row, else y
    rate: Float


class Layer(NamedTuple):
    """What neurons share: X (N, P) with rows of unit norm and its transpose, X X', ``stretch``, the prices w."""

    X: Float
    XT: Float
    gram: Float
    stretch: float
    w: Float


class Neuron(NamedTuple):
    """The data of a neuron: G (N, N), b (N,), yy = ||y_O||^2, X_C and its transpose, v, w and v's jitter.

    Rows of G are made when they are first needed, and ``made`` says which are: from X_O, or if that has more columns
    than X_C, from ``gram`` - X_C X_C' / stretch^2 (and X_O is left empty).
    """

    G: Float
    made: NDArray[np.bool_]
    gram: Float
    XO: Float
    stretch: float
    b: Float
    yy: float
    XC: Float
    XCT: Float
    v: Float
    w: Float
    jitter: Float


class Walk(NamedTuple):
    """Kinks met: rows that changed, their new side (0: left the basis), the times; R^2 and its derivatives there."""

    row: Int
    side: NDArray[np.int8]
    time: Float
    r2: Float
    slope: Float
    bend: Float


class Scratch(NamedTuple):
    """Of all N + |C| indices: y, is it near its bound, is it in the tableau, the side last noted in the path."""

    y: Float
    near: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    noted: NDArray[np.int8]
    walk: Walk


class Trace(NamedTuple):
    """A path: from lam[i] down to lam[i+1], ||X_O'u - y||^2 = r2[i] + slope[i] s + bend[i] s^2, s = lam[i] - lam.

    At lam[i] ``index[i]`` became basic (on the bound ``side[i]``) or, where side[i] = 0, left the basis; index -1:
    nothing changed.
    """

    lam: Float
    r2: Float
    slope: Float
    bend: Float
    index: Int
    side: NDArray[np.int8]


def room(entries: int) -> Trace:
    """A trace to be filled."""
    lam, r2, slope, bend = np.zeros((4, entries))
    return Trace(lam, r2, slope, bend, np.full(entries, -1), np.zeros(entries, np.int8))


def shortened(path: Trace, used: int) -> Trace:
    """The first entries of a trace."""
    lam, r2, slope, bend, index, side = (column[:used].copy() for column in path)
    return Trace(lam, r2, slope, bend, index, side)  # type: ignore[arg-type]


@njit(cache=True, nogil=True)
def _tableau(rows):
    """An empty tableau with room for so many rows."""
    f = np.zeros((8, rows))
    return Tableau(
        np.empty((rows, rows)),
        np.empty((BLOCK, rows)),
        np.empty(BLOCK),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.bool_),
        f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7],
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _copied(t, n, to):
    """The state of a tableau, in the arrays of another one."""
    to.T[:n, :n] = t.T[:n, :n]
    to.index[:n], to.basic[:n], to.side[:n] = t.index[:n], t.basic[:n], t.side[:n]
    to.sign[:n], to.value[:n] = t.sign[:n], t.value[:n]
    return to


@njit(cache=True, nogil=True)
def _with_room(t, n, rows):
    """The tableau itself or, where it has fewer rows than wanted, a larger copy."""
    if rows <= len(t.index):
        return t
    return _copied(t, n, _tableau(rows + rows // 2))


@njit(cache=True, nogil=True)
def _flush(t, n, pending):
    """T -= sum_r V_r V_r' / pivot_r over the pending updates."""
    if pending == 0:
        return
    V = t.V[:pending, :n].copy()
    scaled = np.empty((n, pending))
    for i in range(n):
        for r in range(pending):
            scaled[i, r] = V[r, i] / t.pivots[r]
    for start in range(0, n, 64):
        stop = min(start + 64, n)
        product = np.dot(scaled[start:stop], V)
        for i in range(start, stop):
            for j in range(n):
                t.T[i, j] -= product[i - start, j]


@njit(cache=True, nogil=True)
def _column(t, n, pending, k, column):
    """Column k of T, pending updates included. (T is stored with 2 added to the diagonal of basic rows: with that a
    sweep is a rank-one update in both directions.)"""
    for i in range(n):
        column[i] = t.T[k, i]
    for r in range(pending):
        factor = t.V[r, k] / t.pivots[r]
        if factor != 0.0:
            for i in range(n):
                column[i] -= factor * t.V[r, i]
    if t.basic[k]:
        column[k] -= 2.0


@njit(cache=True, nogil=True)
def _sweep(t, n, pending, k, column):
    """Move row k to the other side, given its column of T; returns the number of pending updates."""
    for i in range(n):
        t.V[pending, i] = column[i]
    t.V[pending, k] = column[k] + (1.0 if t.basic[k] else -1.0)
    t.pivots[pending] = column[k]
    t.basic[k] = not t.basic[k]
    pending += 1
    if pending == BLOCK:
        _flush(t, n, pending)
        return 0
    return pending


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(t, n, most, walk, from_r2):
    """Move all bounds at their rates for one unit of time, from kink to kink; at most ``most`` of them.

    Fills ``walk``. Returns how many kinks, the time reached, and ARRIVED or LOST: a pivot that quasi-definiteness
    rules out, so T has lost its digits. Values are those at the time reached.
    """
    at = np.empty(n)
    count, pending, time = 0, 0, 0.0
    current = from_r2
    while True:
        a, c = 0.0, 0.0
        step, k, side = 1.0 - time, -1, 0.0
        for i in range(n):
            x, d = t.value[i], t.rate[i]
            if t.basic[i]:
                if t.sign[i] > 0:
                    bound, bound_rate = (t.high[i], t.high_rate[i]) if t.side[i] > 0 else (t.low[i], t.low_rate[i])
                    a += d * (bound - DELTA * x)
                    c += d * (bound_rate - DELTA * d)
                else:
                    a -= DELTA_DUAL * x * d
                    c -= DELTA_DUAL * d * d
                away = -t.sign[i] * t.side[i]  # x / away >= 0
                if away * d < 0.0:
                    s = -x / d
                    if s < step:
                        step, k, side = s, i, 0.0
            else:
                closing = d - t.high_rate[i]
                if closing > 0.0:
                    s = (t.high[i] - x) / closing
                    if s < step:
                        step, k, side = s, i, 1.0
                closing = t.low_rate[i] - d
                if closing > 0.0:
                    s = (x - t.low[i]) / closing
                    if s < step:
                        step, k, side = s, i, -1.0
        walk.r2[count], walk.slope[count], walk.bend[count] = current, 2 * a, c
        if count == most:
            _flush(t, n, pending)
            return count, time, ARRIVED
        step = max(step, 0.0)
        if k >= 0:
            _column(t, n, pending, k, at)
            if at[k] * (-t.sign[k] if t.basic[k] else t.sign[k]) < UNSOUND:
                _flush(t, n, pending)
                return count, time, LOST
        current += step * (2 * a + step * c)
        for i in range(n):
            t.value[i] += step * t.rate[i]
            t.high[i] += step * t.high_rate[i]
            t.low[i] += step * t.low_rate[i]
        time += step
        if k < 0:
            _flush(t, n, pending)
            return count, 1.0, ARRIVED
        if t.basic[k]:
            moved = t.rate[k] / at[k]
        else:
            t.side[k] = side
            moved = ((t.high_rate[k] if side > 0 else t.low_rate[k]) - t.rate[k]) / at[k]
        for i in range(n):
            t.rate[i] += at[i] * (-moved if t.basic[i] else moved)
        if t.basic[k]:
            upper = t.side[k] > 0
            t.value[k] = t.high[k] if upper else t.low[k]
            t.rate[k] = (t.high_rate[k] if upper else t.low_rate[k]) + moved
        else:
            t.value[k] = 0.0
            t.rate[k] = moved
        walk.row[count], walk.side[count], walk.time[count] = k, np.int8(side), time
        count += 1
        pending = _sweep(t, n, pending, k, at)


@njit(cache=True, nogil=True)
def _entries(rows, columns, neuron, N):
    """K at the given indices."""
    K = np.empty((len(rows), len(columns)))
    for a in range(len(rows)):
        i = rows[a]
        for c in range(len(columns)):
            j = columns[c]
            if i < N:
                K[a, c] = neuron.G[i, j] if j < N else neuron.XCT[j - N, i]
            else:
                K[a, c] = neuron.XCT[i - N, j] if j < N else 0.0
            if i == j:
                K[a, c] += DELTA if i < N else -DELTA_DUAL
    return K


@njit(cache=True, nogil=True)
def _append(t, n, new, neuron, y, N):
    """Rows for the indices ``new``, none basic; returns the number of rows."""
    r = len(new)
    _make_rows(neuron, new[new < N])
    rows = _entries(new, t.index[:n], neuron, N)
    corner = _entries(new, new, neuron, N)
    basic = np.flatnonzero(t.basic[:n])
    k = len(basic)
    if k > 0 and r > 0:
        K, T = np.empty((r, k)), np.empty((k, n))
        for a in range(k):
            for q in range(r):
                K[q, a] = rows[q, basic[a]]
            T[a] = t.T[basic[a], :n]
            T[a, basic[a]] -= 2.0
        product = np.dot(K, T)
        at_basic = np.empty((k, r))
        for a in range(k):
            for q in range(r):
                at_basic[a, q] = product[q, basic[a]]
        corner += np.dot(K, at_basic)
        for q in range(r):
            for j in range(n):
                rows[q, j] = -product[q, j] if t.basic[j] else rows[q, j] - product[q, j]
    for q in range(r):
        for j in range(n):
            t.T[n + q, j] = rows[q, j]
            t.T[j, n + q] = rows[q, j]
        for c in range(r):
            t.T[n + q, n + c] = corner[q, c]
        i = new[q]
        t.index[n + q], t.basic[n + q], t.side[n + q] = i, False, 1.0
        t.sign[n + q] = 1.0 if i < N else -1.0
        t.value[n + q] = y[i]
    return n + r


@njit(cache=True, nogil=True)
def _forget(t, n, scratch):
    """Drop the rows that are not basic and far from their bounds, if they are many; returns the number of rows."""
    kept = np.empty(n, np.int64)
    m = 0
    for i in range(n):
        if t.basic[i] or scratch.near[t.index[i]]:
            kept[m] = i
            m += 1
    if m > 0.85 * n:
        return n
    for i in range(n):
        scratch.inside[t.index[i]] = False
    for a in range(m):
        i = kept[a]
        scratch.inside[t.index[i]] = True
        t.index[a], t.basic[a], t.side[a] = t.index[i], t.basic[i], t.side[i]
        t.sign[a], t.value[a] = t.sign[i], t.value[i]
        for c in range(m):
            t.T[a, c] = t.T[i, kept[c]]
    return m


@njit(cache=True, nogil=True)
def _responses(t, n, neuron, y):
    """y = K x - h of all N + |C| indices, and R^2 = ||X_O'u - y_O||^2."""
    N = len(neuron.b)
    g, z = y[:N], y[N:]
    g[:] = -neuron.b
    z[:] = -neuron.v
    r2 = neuron.yy
    for a in range(n):
        j, x = t.index[a], t.value[a]
        if t.basic[a] and j < N:
            g += x * neuron.G[j]
            z += x * neuron.XC[j]
    for a in range(n):
        j, x = t.index[a], t.value[a]
        if t.basic[a] and j < N:
            r2 += x * (g[j] - neuron.b[j])
    for a in range(n):
        j, x = t.index[a], t.value[a]
        if t.basic[a]:
            if j < N:
                g[j] += DELTA * x
            else:
                g += x * neuron.XCT[j - N]
                z[j - N] -= DELTA_DUAL * x
    return r2


@njit(cache=True, nogil=True)
def _through(t, n, change):
    """What the free values do when the y of basic rows changes by ``change`` (zero at the other rows)."""
    out = np.zeros(n)
    for i in range(n):
        if change[i] != 0.0:
            factor = change[i]
            for j in range(n):
                out[j] += factor * t.T[i, j]
            out[i] -= 2.0 * factor
    for i in range(n):
        if t.basic[i]:
            out[i] = -out[i]
    return out


@njit(cache=True, nogil=True)
def _bounds(t, n, neuron, lam, rate):
    """Bounds at lambda, and their rates where lambda changes by ``rate`` in a unit of time."""
    N = len(neuron.b)
    for i in range(n):
        j = t.index[i]
        if j < N:
            t.high[i], t.high_rate[i] = lam * neuron.w[j], rate * neuron.w[j]
            t.low[i], t.low_rate[i] = -t.high[i], -t.high_rate[i]
        else:
            t.high[i], t.high_rate[i] = neuron.jitter[j - N], 0.0
            t.low[i], t.low_rate[i] = -np.inf, 0.0


@njit(cache=True, nogil=True)
def _settle(t, n, y):
    """Take y afresh where it is free; one step of refinement of x where y must be on its bound."""
    change = np.zeros(n)
    for i in range(n):
        if t.basic[i]:
            change[i] = (t.high[i] if t.side[i] > 0 else t.low[i]) - y[t.index[i]]
        else:
            t.value[i] = y[t.index[i]]
    t.value[:n] += _through(t, n, change)


@njit(cache=True, nogil=True)
def _set_rates(t, n):
    """The rates of the free values when all bounds move at theirs."""
    change = np.zeros(n)
    for i in range(n):
        if t.basic[i]:
            change[i] = t.high_rate[i] if t.side[i] > 0 else t.low_rate[i]
    t.rate[:n] = _through(t, n, change)


@njit(cache=True, nogil=True)
def _find_near(neuron, lam, part_weight, part_sample, scratch):
    """Mark the indices near a bound; no more samples than a few times the weights, nearest first.

    Where u is (nearly) zero and V = 0, all samples are at their bounds at once, and none is marked.
    """
    N, C = len(neuron.b), len(neuron.v)
    near = scratch.near
    for j in range(N):
        near[j] = abs(scratch.y[j]) > part_weight * lam * neuron.w[j]
    if C == 0:
        return
    z = scratch.y[N:]
    scale = np.abs(z).mean()
    if scale < VISIBLE * neuron.jitter[0]:
        near[N:] = False
        return
    most = N // 4 + 64
    for c in range(C):
        near[N + c] = z[c] >= -part_sample * scale
    if near[N:].sum() > most:
        near[N:] = False
        near[N + np.argsort(-z)[:most]] = True


@njit(cache=True, nogil=True, error_model="numpy")
def _violated(neuron, lam, scratch):
    """The indices that are not in the tableau and beyond their bounds, the furthest first, and company that is close
    to it; no more than a part of all, as few of them will stay. Marks them inside."""
    N, C = len(neuron.b), len(neuron.v)
    y = scratch.y
    beyond = np.empty(N + C)
    scale = np.abs(y[N:]).mean() + neuron.jitter[0] if C > 0 else 1.0
    worst = 0.0
    for i in range(N + C):
        if scratch.inside[i]:
            beyond[i] = -1.0
        elif i < N:
            beyond[i] = abs(y[i]) / (lam * neuron.w[i]) - 1.0
        else:
            beyond[i] = (y[i] - neuron.jitter[i - N]) / scale
        worst = max(worst, beyond[i])
    if worst <= 0.0:
        return np.zeros(0, np.int64)
    new = np.flatnonzero(beyond > -CLOSE)
    most = max(MORE_ROWS, N // 4)
    if len(new) > most:
        new = new[np.argsort(-beyond[new])[:most]]
    scratch.inside[new] = True
    return new


@njit(cache=True, nogil=True)
def _gather(scratch):
    """The indices marked near that are not inside yet; marks them inside."""
    new = np.flatnonzero(scratch.near & ~scratch.inside)
    scratch.inside[new] = True
    return new


@njit(cache=True, nogil=True)
def _take_guess(t, n, u, mu, N):
    """Make the rows of a guess basic, weights first, larger ones first, where the pivot is sound.

    More samples than weights cannot be active at a vertex: the surplus of a guess from an interior iterate stays out.
    """
    size = np.zeros(n)
    most_u, most_mu = np.abs(u).max(), (mu.max() if len(mu) else 0.0)
    for i in range(n):
        j = t.index[i]
        if j < N:
            size[i] = 2.0 + abs(u[j]) / most_u if u[j] != 0.0 else 0.0
        elif mu[j - N] > 1e-3 * most_mu:
            size[i] = mu[j - N] / most_mu
    column = np.empty(n)
    order = np.argsort(-size)
    pending, weights, samples = 0, 0, 0
    for q in range(n):
        k = order[q]
        if size[k] == 0.0:
            break
        if t.sign[k] < 0 and samples >= weights:
            continue
        _column(t, n, pending, k, column)
        if t.sign[k] * column[k] < SOUND_PIVOT:
            continue
        j = t.index[k]
        if j < N:
            weights += 1
            t.value[k], t.side[k] = u[j], (-1.0 if u[j] > 0 else 1.0)
        else:
            samples += 1
            t.value[k], t.side[k] = mu[j - N], 1.0
        pending = _sweep(t, n, pending, k, column)
    _flush(t, n, pending)


@njit(cache=True, nogil=True)
def _cross_over(t, n, y, walk):
    """From any x with the right signs to the solution at the present bounds: the bounds of every row are moved to
    where its y is, and then walked back to where they belong."""
    for i in range(n):
        v = y[t.index[i]]
        gap = 0.0
        if t.basic[i]:
            gap = v - (t.high[i] if t.side[i] > 0 else t.low[i])
        else:
            t.value[i] = v
            room = 1e-3 * abs(v) + 1e-9
            if v > t.high[i]:
                gap = v - t.high[i] + room
            elif v < t.low[i]:
                gap = v - t.low[i] - room
        t.high[i] += gap
        t.low[i] += gap
        t.high_rate[i] = t.low_rate[i] = -gap
    _set_rates(t, n)
    _count, time, outcome = _walk(t, n, MAX_STEPS, walk, 0.0)
    return outcome == ARRIVED and time == 1.0


@njit(cache=True, nogil=True)
def _jitter(layer, y, on, off):
    """(off,) how far the bound of each sample off omega is moved, so that no two are met at once."""
    rms = np.sqrt(np.dot(y, y) / max(on, 1))
    return layer.stretch * JITTER * rms * (0.5 + (np.arange(off) * GOLDEN) % 1)


@njit(cache=True, nogil=True)
def neuron_of(layer, omega, y, v):
    """The :class:`Neuron` of rows ``omega`` (P,) bool, ``y`` (0 off omega) and ``v`` of a layer's response set."""
    X, XT, stretch = layer.X, layer.XT, layer.stretch
    on, off = np.flatnonzero(omega), np.flatnonzero(~omega)
    N, C = len(X), len(off)
    XCT = np.empty((C, N))
    for c in range(C):
        XCT[c] = stretch * XT[off[c]]
    XC = XCT.T.copy()
    XO = np.empty((N, len(on) if len(on) < C else 0))
    if XO.size > 0:
        for j in range(N):
            for o in range(len(on)):
                XO[j, o] = X[j, on[o]]
    G, made = (layer.gram, np.ones(N, np.bool_)) if C == 0 else (np.empty((N, N)), np.zeros(N, np.bool_))
    jitter = _jitter(layer, y, len(on), C)
    prices = layer.w * (1 + JITTER * ((np.arange(N) * GOLDEN) % 1))
    return Neuron(
        G, made, layer.gram, XO, stretch, np.dot(X, y), np.dot(y, y), XC, XCT, stretch * v[off], prices, jitter
    )


@njit(cache=True, nogil=True)
def _make_rows(neuron, wanted):
    """Make the rows of G that are wanted, (n,) indices, and not there yet."""
    new = wanted[~neuron.made[wanted]]
    if len(new) == 0:
        return
    if neuron.XO.shape[1] > 0:
        rows = np.dot(neuron.XO[new], neuron.XO.T)
    else:
        rows = neuron.gram[new] - np.dot(neuron.XC[new], neuron.XCT) / neuron.stretch**2
    for i in range(len(new)):
        neuron.G[new[i]] = rows[i]
        neuron.made[new[i]] = True


@njit(cache=True, nogil=True)
def r2_at(path, lam):
    """||X_O'u - y||^2 at a lambda that the path covers."""
    i = max(np.searchsorted(-path.lam, -lam, side="right") - 1, 0)
    s = path.lam[i] - lam
    return path.r2[i] + s * (path.slope[i] + s * path.bend[i])


@njit(cache=True, nogil=True)
def _saddle_point(G, B, right, below, ridge, soft):
    """u, mu of  (G + ridge) u + B mu = right,  B'u - soft mu = below.

    Where soft = 0, B B' may be added to G and B times the second equation to the first: G alone may be singular.
    """
    n, a = B.shape
    H = G.copy()
    both = np.empty((n, a + 1))
    both[:, :a], both[:, a] = B, right
    if soft == 0.0 and a > 0:
        H += np.dot(B, B.T)
        both[:, a] += np.dot(B, below)
    for i in range(n):
        H[i, i] += ridge
    solved = np.linalg.solve(H, both)
    u, mu = solved[:, a].copy(), np.zeros(a)
    if a > 0:
        T = np.ascontiguousarray(solved[:, :a])
        schur = np.dot(B.T, T)
        for k in range(a):
            schur[k, k] += soft + SINGULAR
        mu = np.linalg.solve(schur, np.dot(B.T, u) - below)
        u -= np.dot(T, mu)
    return u, mu


@njit(cache=True, nogil=True)
def _vertex(G, B, right, below, unit):
    """u, mu of  G u + B mu = right,  B'u = below, refined until the first holds to a part of ``unit``."""
    u, mu = _saddle_point(G, B, right, below, SINGULAR, 0.0)
    for _ in range(REFINEMENTS):
        left, under = right - np.dot(G, u) - np.dot(B, mu), below - np.dot(B.T, u)
        if np.abs(left).max() <= FINE * unit:
            break
        du, dmu = _saddle_point(G, B, left, under, SINGULAR, 0.0)
        u += du
        mu += dmu
    return u, mu


@njit(cache=True, nogil=True)
def basis_at(path, lam, size):
    """(size,) int8: the side of each index at a lambda that the path covers, 0 where it is not basic."""
    sides = np.zeros(size, np.int8)
    for i in range(len(path.lam)):
        if path.lam[i] < lam:
            break
        if path.index[i] >= 0:
            sides[path.index[i]] = path.side[i]
    return sides


@njit(cache=True, nogil=True)
def values_of(sides, layer, omega, y, v, lam):
    """(u, mu) of a basis at lambda: the equations of its basic indices, u scaled as X is.

    Solved without the regularisers and jitter; with them where that leaves the signs the basis stands for, as it may
    where the feasible cone is thinner than they are.
    """
    N = len(layer.X)
    on, off = np.flatnonzero(omega), np.flatnonzero(~omega)
    u, mu = np.zeros(N), np.zeros(len(off))
    S, A = np.flatnonzero(sides[:N]), np.flatnonzero(sides[N:])
    n, a = len(S), len(A)
    if n == 0:
        return u, mu
    part = off if len(on) > len(off) else on
    XS, B = np.empty((n, len(part))), np.empty((n, a))
    G, right = np.zeros((n, n)), np.empty(n)
    for i in range(n):
        row = layer.X[S[i]]
        for k in range(len(part)):
            XS[i, k] = row[part[k]]
        for k in range(a):
            B[i, k] = layer.stretch * row[off[A[k]]]
        right[i] = np.dot(row, y) + lam * layer.w[S[i]] * sides[S[i]]
    if len(part) > 0:
        G[:] = np.dot(XS, XS.T)
    if len(on) > len(off):
        for i in range(n):
            for j in range(n):
                G[i, j] = layer.gram[S[i], S[j]] - G[i, j]
    negligible = NEGLIGIBLE * np.sqrt(np.dot(y, y))
    active = layer.stretch * v[off][A]
    x, m = np.zeros(0), np.zeros(0)
    if a <= n:
        x, m = _vertex(G, B, right, active, lam * layer.w[S].min())
    if a > n or (x * sides[S] > negligible).any() or (m < -NEGLIGIBLE * np.abs(m).sum()).any():
        x, m = _saddle_point(G, B, right, active + _jitter(layer, y, len(on), len(off))[A], DELTA, DELTA_DUAL)
    for i in range(n):
        if -x[i] * sides[S[i]] > negligible:
            u[S[i]] = x[i]
    mu[A] = np.maximum(m, 0.0)
    return u, mu


@njit(cache=True, nogil=True)
def rework(neuron, u, mu, lam):
    """(u, mu) at lambda without the regularisers, and whether it was found; u, mu guess it.

    The proximal point method: the regularisers are centred at the solution before, until that is where they leave it.
    """
    N, C = len(neuron.b), len(neuron.v)
    scratch = _scratch(N, C)
    u, mu = u.copy(), mu.copy()
    t, n = _fresh(neuron, u, mu, lam, scratch)
    found = False
    for _ in range(PROXIMAL_ROUNDS):
        centred = Neuron(
            neuron.G, neuron.made, neuron.gram, neuron.XO, neuron.stretch, neuron.b + DELTA * u, neuron.yy,
            neuron.XC, neuron.XCT, neuron.v - DELTA_DUAL * mu, neuron.w, neuron.jitter,
        )  # fmt: skip
        t, n, found = _solve_at(t, n, centred, lam, scratch)
        if not found:
            break
        _responses(t, n, centred, scratch.y)
        _settle(t, n, scratch.y)
        before_u, before_mu = u.copy(), mu.copy()
        _values(t, n, u, mu)
        left = max(DELTA * np.abs(u - before_u).max() / lam, DELTA_DUAL * np.abs(mu - before_mu).sum())
        if left < PROXIMAL_TOL:
            break
    return u, mu, found


@njit(cache=True, nogil=True)
def _drifted(t, n, neuron, y, lam):
    """Is a row so far from what its side stands for that T must have lost digits?"""
    N = len(neuron.b)
    rounding = ROUNDING * np.abs(neuron.b).max()
    most_u, most_mu = 0.0, 0.0
    for i in range(n):
        if t.basic[i]:
            if t.sign[i] > 0:
                most_u = max(most_u, abs(t.value[i]))
            else:
                most_mu = max(most_mu, abs(t.value[i]))
    for i in range(n):
        j = t.index[i]
        unit = DRIFT * lam * neuron.w[j] + rounding if j < N else neuron.jitter[j - N]
        if t.basic[i]:
            if abs(y[j] - (t.high[i] if t.side[i] > 0 else t.low[i])) > unit:
                return True
            if t.sign[i] * t.side[i] * t.value[i] > DRIFT * (most_u if j < N else most_mu):
                return True
        elif y[j] > t.high[i] + unit or y[j] < t.low[i] - unit:
            return True
    return False


@njit(cache=True, nogil=True)
def _values(t, n, u, mu):
    """The present u and mu of a tableau."""
    u[:] = 0.0
    mu[:] = 0.0
    for i in range(n):
        if t.basic[i]:
            j = t.index[i]
            if j < len(u):
                u[j] = t.value[i]
            else:
                mu[j - len(u)] = t.value[i]


@njit(cache=True, nogil=True)
def _fresh(neuron, u, mu, lam, scratch):
    """A tableau with the indices near their bounds, and those of u and mu basic as far as their pivots are sound."""
    N = len(neuron.b)
    y = scratch.y
    y[:N] = -neuron.b
    y[N:] = -neuron.v
    _make_rows(neuron, np.flatnonzero(u))
    for j in range(N):
        if u[j] != 0.0:
            y[:N] += u[j] * neuron.G[j]
            y[N:] += u[j] * neuron.XC[j]
    weights = np.count_nonzero(u)
    guessed = np.argsort(-mu)[: 2 * weights]  # an interior guess has more, but no more than the weights can be active
    for c in guessed:
        y[:N] += mu[c] * neuron.XCT[c]
    _find_near(neuron, lam, NEAR_WEIGHT, NEAR_SAMPLE, scratch)
    scratch.near[:N] |= u != 0.0
    for c in guessed:
        scratch.near[N + c] |= mu[c] > 0.0
    scratch.inside[:] = False
    new = _gather(scratch)
    t = _tableau(2 * len(new) + 128)
    n = _append(t, 0, new, neuron, y, N)
    _take_guess(t, n, u, mu, N)
    return t, n


@njit(cache=True, nogil=True)
def _solve_at(t, n, neuron, lam, scratch):
    """From a tableau with x of the right signs to the solution at lambda; (tableau, rows, found).

    Indices that the solution of the rows so far leaves beyond their bounds join in, the worst first, as in a cutting
    plane method.
    """
    N, C = len(neuron.b), len(neuron.v)
    for _ in range(MOST_ROUNDS):
        _responses(t, n, neuron, scratch.y)
        _bounds(t, n, neuron, lam, 0.0)
        if not _cross_over(t, n, scratch.y, scratch.walk):
            u, mu = np.zeros(N), np.zeros(C)
            _values(t, n, u, mu)
            t, n = _fresh(neuron, u, mu, lam, scratch)
            continue
        _responses(t, n, neuron, scratch.y)
        new = _violated(neuron, lam, scratch)
        if len(new) == 0:
            return t, n, True
        t = _with_room(t, n, n + len(new))
        n = _append(t, n, new, neuron, scratch.y, N)
    return t, n, False


@njit(cache=True, nogil=True)
def _sides(t, n, size):
    """The side of every index: 0 where it is not basic."""
    sides = np.zeros(size, np.int8)
    for i in range(n):
        if t.basic[i]:
            sides[t.index[i]] = np.int8(t.side[i])
    return sides


@njit(cache=True, nogil=True)
def _note_basis(t, n, noted, path, used, lam, r2):
    """Entries for every index whose side is not the one noted last; returns the number of entries."""
    now = _sides(t, n, len(noted))
    for j in range(len(noted)):
        if now[j] != noted[j]:
            path.lam[used], path.index[used], path.side[used] = lam, j, now[j]
            path.r2[used], path.slope[used], path.bend[used] = r2, 0.0, 0.0  # should the path be lost here
            used += 1
    noted[:] = now
    return used


@njit(cache=True, nogil=True)
def _advance(t, n, spare, neuron, lam, end, r2, scratch):
    """Follow the solution from lambda towards end, for some kinks: (tableau, rows, kinks, lambda reached, outcome,
    another tableau to work in).

    An index that is not in the tableau may have gone beyond its bound meanwhile: then again from lambda, with it.
    """
    y = scratch.y.copy()
    for _ in range(MOST_ROUNDS):
        if len(spare.index) < len(t.index):
            spare = _tableau(len(t.index))
        spare, rows = _copied(t, n, spare), n
        _bounds(t, n, neuron, lam, end - lam)
        _set_rates(t, n)
        count, time, outcome = _walk(t, n, FEW_KINKS, scratch.walk, r2)
        if outcome == LOST:
            time = scratch.walk.time[count - 1] if count > 0 else 0.0
            return t, n, count, lam + time * (end - lam), LOST, spare
        reached = lam + time * (end - lam)
        _responses(t, n, neuron, scratch.y)
        new = _violated(neuron, reached, scratch)
        if len(new) == 0:
            return t, n, count, reached, ARRIVED, spare
        t, spare = spare, t
        t = _with_room(t, rows, rows + len(new))
        n = _append(t, rows, new, neuron, y, len(neuron.b))
    return t, n, 0, lam, LOST, spare


@njit(cache=True, nogil=True)
def _record(path, used, t, walk, count, lam, length):
    """Entries for the kinks of a walk from lam down by length; returns the number of entries."""
    for q in range(count + 1):
        path.lam[used] = lam - (walk.time[q - 1] * length if q > 0 else 0.0)
        path.r2[used], path.slope[used], path.bend[used] = walk.r2[q], walk.slope[q] / length, walk.bend[q] / length**2
        path.index[used], path.side[used] = -1, 0
        if q > 0:
            path.index[used], path.side[used] = t.index[walk.row[q - 1]], walk.side[q - 1]
        used += 1
    return used


@njit(cache=True, nogil=True)
def _scratch(N, C):
    """Room for N weights and C samples."""
    most = MAX_STEPS + 1
    f = np.empty((4, most))
    walk = Walk(np.empty(most, np.int64), np.empty(most, np.int8), f[0], f[1], f[2], f[3])
    marks = np.zeros((2, N + C), np.bool_)
    return Scratch(np.empty(N + C), marks[0], marks[1], np.zeros(N + C, np.int8), walk)


@njit(cache=True, nogil=True)
def trace(neuron, u, mu, start, end, enough, path, stop):
    """Follow the solution from lambda = start down to end, or until R^2 <= enough; u (N,), mu (|C|,) guess the first.

    Fills ``path`` (a Trace with room). Returns (status, how many entries of the path are used). Ends early when
    ``stop[0]`` is set from outside.
    """
    N, C = len(neuron.b), len(neuron.v)
    u, mu = u.copy(), mu.copy()
    scratch = _scratch(N, C)
    y = scratch.y
    lam, restarts, used = start, 0, 0
    t, n = _fresh(neuron, u, mu, lam, scratch)
    t, n, found = _solve_at(t, n, neuron, lam, scratch)
    if not found:
        path.lam[0], path.r2[0], path.index[0] = start, neuron.yy, -1
        return CIRCLES, 1
    spare = _tableau(len(t.index))
    while True:
        r2 = _responses(t, n, neuron, y)
        _bounds(t, n, neuron, lam, 0.0)
        _settle(t, n, y)
        used = _note_basis(t, n, scratch.noted, path, used, lam, r2)
        if lam <= end or r2 <= enough:
            break
        if stop[0]:
            return STOPPED, used
        if used + FEW_KINKS + N + C + 2 > len(path.lam):
            return FULL, used
        _find_near(neuron, lam, 0.4 * NEAR_WEIGHT, 2.5 * NEAR_SAMPLE, scratch)
        n = _forget(t, n, scratch)
        _find_near(neuron, lam, NEAR_WEIGHT, NEAR_SAMPLE, scratch)
        new = _gather(scratch)
        t = _with_room(t, n, n + len(new))
        n = _append(t, n, new, neuron, y, N)
        aim = max(lam * STRETCH_RATIO, end)
        t, n, count, reached, outcome, spare = _advance(t, n, spare, neuron, lam, aim, r2, scratch)
        sure = count - (outcome == LOST)  # what is at the last kink then is found afresh
        used = _record(path, used, t, scratch.walk, sure, lam, lam - aim)
        for q in range(sure):
            scratch.noted[t.index[scratch.walk.row[q]]] = scratch.walk.side[q]
        lam = reached
        r2 = _responses(t, n, neuron, y)
        _bounds(t, n, neuron, lam, 0.0)
        if outcome == LOST or _drifted(t, n, neuron, y, lam):
            restarts += 1
            if restarts > MOST_RESTARTS:
                return CIRCLES, used
            _values(t, n, u, mu)
            lam = max(lam * (1.0 - NUDGE), end)
            t, n = _fresh(neuron, u, mu, lam, scratch)
            t, n, found = _solve_at(t, n, neuron, lam, scratch)
            if not found:
                return CIRCLES, used
    path.lam[used], path.index[used], path.side[used] = lam, -1, 0
    path.r2[used], path.slope[used], path.bend[used] = r2, 0.0, 0.0
    return DONE, used + 1
