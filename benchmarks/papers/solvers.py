"""Seconds, iterations and memory to a certified solution of Net-Trim's program, against other solvers."""

from __future__ import annotations

import ctypes
import gc
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.papers.experiment import Cell, Chart, Experiment, Line, Measured, Shown, Table
from benchmarks.published import CHECK_EVERY, RHO, PublishedADMM, well_scaled
from nettrim_core import LayerProblem, NetTrim, load_bundle
from nettrim_core.inputs import matrix
from nettrim_core.network import Network
from nettrim_core.response import response_set

LEVELS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
LIMIT = 60.0  # seconds after which an iteration is given up
EPSILON = 0.1
LAYERS = (("fc2", 1000), ("fc3", 1000), ("fc3", 200))  # of LeNet-300-100
SMALLEST = (20, 10, 50)  # N, M, P of a planted layer
BASE = (100, 50, 500)
GROWN = (1, 2, 4, 8)
SCALING = 1e-3
MODELLED = 10_000_000  # N M P of the largest layer that is put to CVXPY
TUNED = 5.0  # the published iteration's penalty on well scaled data

PATH, FIRST_ORDER = "exact path (here)", "first-order, steered (here)"
PUBLISHED, TUNED_NAME = "published ADMM", "published ADMM, tuned"
CLARABEL, SCS, SKGLM = "CVXPY, Clarabel", "CVXPY, SCS", "skglm, same lassos"
ALWAYS = (PATH, FIRST_ORDER, PUBLISHED, TUNED_NAME)


def layer(name: str, samples: int) -> LayerProblem:
    bundle = load_bundle("lenet_300_100")
    network = Network(bundle.model, bundle.calibration_sample(samples), [name])
    return network.problem(network.selected[0])


def planted(N: int, M: int, P: int, relu: bool = True) -> LayerProblem:
    """Rectified Gaussian features, half as many causes as inputs, and neurons that look at a tenth of them."""
    g = torch.Generator().manual_seed(N + M + P)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=g)  # noqa: E731
    X = (draw(N, N // 2) @ draw(N // 2, P)).relu() / N**0.5
    W = draw(N, M) * (draw(N, M) > 1.28)
    response = W.T @ X
    return LayerProblem(X, response.relu() if relu else response, W, relu, bias=False)


def problem_of(cell: Cell) -> LayerProblem:
    return planted(*cell["size"]) if "size" in cell else layer(cell["layer"], cell["samples"])


def measure(solver: str, levels: Sequence[float], limit: float, **where: Any) -> dict[str, Any]:
    """reached: (level, seconds, iterations) for each level that was reached in time, setup included; memory: bytes."""
    problem = problem_of(where)
    for _ in SOLVERS[solver](planted(*SMALLEST, problem.relu), levels, limit=1.0):
        pass  # what is imported and compiled is there from now on
    peak = Peak()
    reached = [list(found) for found in SOLVERS[solver](problem, levels, limit)]
    N, M = problem.W.shape
    return {"reached": reached, "memory": peak.bytes(), "size": [N, M, problem.X.shape[1]], "relu": problem.relu}


class Peak:
    """The most memory that this process has at a time, from now on."""

    def __init__(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what earlier solvers have freed would be taken again, unseen
        Path("/proc/self/clear_refs").write_text("5")
        self.before = self._now("VmRSS")

    def bytes(self) -> int:
        return max(self._now("VmHWM") - self.before, 0)

    @staticmethod
    def _now(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


Reached = Iterator[tuple[float, float, float]]


def _path(problem: LayerProblem, levels: Sequence[float], limit: float) -> Reached:
    for level in levels:
        started = time.perf_counter()
        result = NetTrim(epsilon=EPSILON, tol=level).prune(problem)
        if result.converged:
            yield level, time.perf_counter() - started, result.stats["iterations"]


def _first_order(problem: LayerProblem, levels: Sequence[float], limit: float) -> Reached:
    for level in levels:  # the precision of its numbers depends on the level
        started = time.perf_counter()
        for found in NetTrim(epsilon=EPSILON, tol=level).iterates(problem, 10**6):
            if found.certificate.within(level):
                yield level, time.perf_counter() - started, found.iterations
                break
            if time.perf_counter() - started > limit:
                return


def _published(rho: float, scaled: bool) -> Any:
    def solve(problem: LayerProblem, levels: Sequence[float], limit: float) -> Reached:
        started, done, left = time.perf_counter(), 0, list(levels)
        solver = PublishedADMM(problem, EPSILON, rho, well_scaled(problem) if scaled else 1.0)
        clock = time.perf_counter() - started
        while left and clock < limit:
            started = time.perf_counter()
            solver.iterate(CHECK_EVERY)
            clock += time.perf_counter() - started
            done += CHECK_EVERY
            found = solver.certificate()  # which the published solver has none of: its seconds are not counted
            while left and found.within(left[0]):
                yield left.pop(0), clock, done

    return solve


def _cvxpy(name: str) -> Any:
    """Its accuracy as it is asked for, where the solver says that it was reached."""

    def solve(problem: LayerProblem, levels: Sequence[float], limit: float) -> Reached:
        import cvxpy as cp

        for level in levels:
            started = time.perf_counter()
            (N, M), target = problem.W.shape, response_set(problem, EPSILON)
            center, omega = target.center.numpy(), target.omega.numpy()
            U = cp.Variable((N, M))
            response = U.T @ matrix(problem.X).numpy()
            constraints: list[Any] = [cp.norm((response - center)[omega], 2) <= target.radius]
            if not omega.all():
                constraints.append(response[~omega] <= center[~omega])
            program = cp.Problem(cp.Minimize(cp.sum(cp.abs(U))), constraints)
            if name == "SCS":
                program.solve(solver=cp.SCS, eps_abs=level, eps_rel=level, max_iters=10**6, time_limit_secs=limit)
            else:
                program.solve(
                    solver=cp.CLARABEL, tol_gap_rel=level, tol_gap_abs=level, tol_feas=level, time_limit=limit
                )
            if program.status != "optimal":
                return
            yield level, time.perf_counter() - started, program.solver_stats.num_iters or 0

    return solve


def _skglm(problem: LayerProblem, levels: Sequence[float], limit: float) -> Reached:
    """The lassos at the price that the radius comes to, which is read off a solution: that one's seconds count not."""
    from skglm import Lasso

    solution = NetTrim(epsilon=EPSILON, tol=1e-7).prune(problem)
    X = np.asfortranarray(matrix(problem.X).numpy().T)
    Y = problem.Y.double().numpy()
    price = float(np.abs(X.T @ (Y.T - X @ solution.U.double().numpy())).max())
    Lasso(alpha=price / len(X), fit_intercept=False, tol=1e-2).fit(X, Y[0])  # compiles
    for level in levels:
        started = time.perf_counter()
        models = [Lasso(alpha=price / len(X), fit_intercept=False, tol=level * price / len(X)).fit(X, y) for y in Y]
        seconds = time.perf_counter() - started
        norm = sum(float(np.abs(model.coef_).sum()) for model in models)
        if abs(norm / solution.stats["objective"] - 1) < max(level, 1e-6):
            yield level, seconds, float(sum(model.n_iter_ for model in models))


SOLVERS = {  # those that all charts have come first, and look the same in all
    PATH: _path,
    FIRST_ORDER: _first_order,
    TUNED_NAME: _published(TUNED, True),
    CLARABEL: _cvxpy("CLARABEL"),
    SCS: _cvxpy("SCS"),
    SKGLM: _skglm,
    PUBLISHED: _published(RHO, False),
}


def cells(quick: bool) -> list[Cell]:
    found: list[Cell] = []
    levels, limit = list(LEVELS[:2] if quick else LEVELS), 2.0 if quick else LIMIT
    for name, samples in (("fc3", 100),) if quick else LAYERS:
        solvers = [*ALWAYS, *((CLARABEL, SCS) if samples < 1000 else ()), *((SKGLM,) if name == "fc3" else ())]
        found += [
            {"solver": solver, "levels": levels, "limit": limit, "layer": name, "samples": samples}
            for solver in solvers
        ]
    sizes = {tuple(b * k if i == which else b for i, b in enumerate(BASE)) for which in range(3) for k in GROWN}
    for size in [SMALLEST] if quick else sorted(sizes):
        solvers = [*ALWAYS, *((CLARABEL, SCS) if math.prod(size) <= MODELLED else ())]
        found += [{"solver": s, "levels": [SCALING], "limit": limit, "size": list(size)} for s in solvers]
    return found


def show(measured: list[Measured]) -> Shown:
    layers = [cell for cell in measured if "layer" in cell.asked]
    grown = [cell for cell in measured if "size" in cell.asked]
    charts, tables = [], []
    for name, samples in dict.fromkeys((cell.asked["layer"], cell.asked["samples"]) for cell in layers):
        here = [cell for cell in layers if (cell.asked["layer"], cell.asked["samples"]) == (name, samples)]
        N, M, P = here[0].found["size"]
        title = f"{name}, {N} x {M}, {P:,} samples, {'ReLU' if here[0].found['relu'] else 'linear'}"
        drawn = sorted(here, key=lambda cell: list(SOLVERS).index(cell.asked["solver"]))
        lines = [_line(cell) for cell in drawn if cell.found["reached"]]
        charts.append(Chart(title, "seconds, setup included", "gap and violation", lines, True, True))
        tables.append(_table(title, here))
    for place, letter in enumerate("NMP"):
        lines = [line for solver in SOLVERS if (line := _grown(grown, solver, place)) is not None]
        fixed = ", ".join(f"{other} = {size}" for other, size in zip("NMP", BASE, strict=True) if other != letter)
        charts.append(Chart(f"to {SCALING:g}, {fixed}", letter, "seconds", lines, True, True))
    return Shown(_sentences(layers), tables, charts)


def _line(cell: Measured) -> Line:
    reached = cell.found["reached"]
    dashed = cell.asked["solver"] not in (PATH, FIRST_ORDER)
    return Line(cell.asked["solver"], [r[1] for r in reached], [r[0] for r in reached], dashed=dashed)


def _table(title: str, here: list[Measured]) -> Table:
    levels = here[0].asked["levels"]
    rows = []
    for cell in here:
        at = {level: (seconds, iterations) for level, seconds, iterations in cell.found["reached"]}
        said = [f"{at[level][0]:.3g} s, {at[level][1]:,.0f}" if level in at else "not reached" for level in levels]
        rows.append([cell.asked["solver"], *said, f"{cell.found['memory'] / 1e6:,.0f}"])
    return Table(
        f"{title}: seconds and iterations to a certified accuracy",
        ["solver", *(f"{level:g}" for level in levels), "memory, MB"], rows,
        "The exact path's iterations are kinks of all neurons. CVXPY's solvers are believed when they say that they "
        "reached what was asked; skglm's is the same l1 norm to that accuracy. Not reached: not "
        f"in {here[0].asked['limit']:g} seconds.",
    )  # fmt: skip


def _grown(grown: list[Measured], solver: str, place: int) -> Line | None:
    base = [value for i, value in enumerate(BASE) if i != place]
    points = [
        (cell.asked["size"][place], cell.found["reached"][0][1])
        for cell in grown
        if cell.asked["solver"] == solver and cell.found["reached"]
        and [value for i, value in enumerate(cell.asked["size"]) if i != place] == base
    ]  # fmt: skip
    points.sort()
    dashed = solver not in (PATH, FIRST_ORDER)
    return Line(solver, [x for x, _ in points], [y for _, y in points], dashed=dashed) if points else None


def _sentences(layers: list[Measured]) -> list[str]:
    """How often each solver of other people's was faster than both of ours, and how often slower."""
    at = {
        (cell.asked["layer"], cell.asked["samples"], cell.asked["solver"], level): seconds
        for cell in layers for level, seconds, _ in cell.found["reached"]
    }  # fmt: skip
    cases = sorted({(name, samples, level) for name, samples, _, level in at})
    best = {case: min((at[(*case[:2], s, case[2])] for s in (PATH, FIRST_ORDER) if (*case[:2], s, case[2]) in at),
                      default=float("inf")) for case in cases}  # fmt: skip
    said = []
    for solver in SOLVERS:
        if solver in (PATH, FIRST_ORDER):
            continue
        asked = {(cell.asked["layer"], cell.asked["samples"]) for cell in layers if cell.asked["solver"] == solver}
        tried = [case for case in cases if case[:2] in asked]
        won = [case for case in tried if at.get((*case[:2], solver, case[2]), float("inf")) < best[case]]
        said.append(f"{solver} is faster than both solvers here in {len(won)} of {len(tried)} cases.")
    return said


EXPERIMENT = Experiment(
    "solvers",
    "Solvers of Net-Trim's program",
    "Fast Convex Pruning (2020), section on the ADMM solver",
    (
        f"epsilon = {EPSILON:g}; every solver is stopped by the same certificate (relative gap and violation), from "
        "outside where it has none, and the seconds of looking at it are not counted then.",
        f"The published iteration is transcribed from the paper, with its penalty of {RHO:g} on unscaled data, and "
        f"once with {TUNED:g} on data scaled for it.",
    ),
    cells,
    measure,
    show,
    with_sources=("benchmarks.published",),
    alone=True,
)
