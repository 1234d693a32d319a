"""How fast Net-Trim is solved, and how well: ``python benchmarks/solver.py [section ...]``.

Sections: path (twelve points, certified, against first-order solvers), one (a single epsilon from scratch), certified
(every layer of LeNet-300-100 and LeNet-5), anytime, growth (in samples, inputs and outputs), lasso (linear layers
against skglm), cancel, obs, textbook (exact OBS against its textbook form), memory; all of them without an argument.
Prints Markdown; growth also writes its figure's numbers.

Times are of one run on one machine, baselines in the same run. The published solver stops after 2,000 iterations: its
time is that of the iterations measured times 2,000 for each epsilon.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numba
import numpy as np
import torch
from published import ITERATIONS, RHO, PublishedADMM, tuned, well_scaled

from nettrim_core import LayerProblem, NetTrim, environment, load_bundle
from nettrim_core.admm import ADMM
from nettrim_core.certificate import Certificate
from nettrim_core.greedy import greedy_trace
from nettrim_core.inputs import matrix
from nettrim_core.methods.obs import LOBS, ExactOBS
from nettrim_core.network import Network
from nettrim_core.reference import reference
from nettrim_core.refit import LeastSquares
from nettrim_core.response import response_set
from nettrim_core.threads import each

GAINS = (0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.08, 0.06, 0.04, 0.02, 0.01)
TOL = 1e-3
INTERRUPTS = (0.05, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0)  # seconds after the start
SKGLM_TOL = 1e-4  # its default; the differences in the objective are printed
HERE = Path(__file__).resolve().parent


@cache
def layers(name: str, samples: int) -> dict[str, LayerProblem]:
    """The layers of a sample network on this many samples; of a convolution, this many patches."""
    bundle = load_bundle(name)
    network = Network(bundle.model, bundle.calibration_sample(samples), max_patches=samples)
    return {target.name: network.problem(target) for target in network.selected}


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def size(problem: LayerProblem) -> str:
    return f"{problem.X.shape[0]}x{problem.Y.shape[0]}"


def warm_up() -> None:
    """Compile, or load what was compiled."""
    list(NetTrim().path(layers("digits_mlp", 200)["fc2"], [0.2, 0.1]))


def ours(problem: LayerProblem, epsilons: Iterable[float] = GAINS, tol: float = TOL) -> tuple[float, list]:
    results = []
    seconds = timed(lambda: results.extend(NetTrim(tol=tol).path(problem, epsilons)))
    return seconds, results


class Unsteered(ADMM):
    """The batched first-order engine with its penalty held at 3, the best fixed one, instead of steered."""

    def _balance(self, found: Certificate, tol: float) -> None:
        pass

    def _start(self, radius: float) -> None:
        pass


def first_order(
    problem: LayerProblem, engine: type[ADMM] = ADMM, epsilons: Iterable[float] = GAINS, most: int = 6000
) -> tuple[float, int]:
    """Seconds of batched float32 ADMM, warm-started along the path, and how many points it certified."""
    started = time.perf_counter()
    alive = problem.alive
    solver = engine(matrix(problem.X)[alive], problem.W[alive], torch.float32)
    certified = sum(solver.solve(response_set(problem, e), TOL, most).converged for e in epsilons)
    return time.perf_counter() - started, certified


def published_iteration(problem: LayerProblem, times: int = 20) -> float:
    solver = PublishedADMM(problem, 0.2, RHO)
    solver.iterate(2)
    return timed(lambda: solver.iterate(times)) / times


def path() -> None:
    print("\n## Twelve points, gap and violation at most 1e-3, setup included\n")
    print("Seconds; in brackets how many of the twelve points were certified (the first-order runs end at 6,000 "
          "iterations a point) and the ratio to the first column.\n")  # fmt: skip
    print("| layer, samples | here | its largest gap | batched float32 ADMM | the same, penalty not steered | "
          "published ADMM, 2,000 iterations an epsilon |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for name, samples in (("fc2", 1000), ("fc2", 4000), ("fc1", 1000), ("fc3", 1000)):
        problem = layers("lenet_300_100", samples)[name]
        seconds, results = ours(problem)
        gap = max(r.stats["gap"] for r in results)
        cells = []
        for engine in (ADMM, Unsteered):
            other, reached = first_order(problem, engine)
            cells.append(f"{other:.1f} ({reached}, {other / seconds:.1f}x)")
        published = published_iteration(problem) * ITERATIONS * len(GAINS)
        print(
            f"| {size(problem)}, {samples:,} | {seconds:.2f} ({sum(r.converged for r in results)}) | {gap:.0e} | "
            f"{' | '.join(cells)} | {published:.0f} ({published / seconds:.0f}x) |", flush=True,
        )  # fmt: skip
    problem = layers("lenet_300_100", 1000)["fc3"]
    slow = sum(timed(lambda e=e: reference(problem, e)) for e in GAINS)
    fast = ours(problem)[0]
    print(f"\nCVXPY with Clarabel, where it fits ({size(problem)}): {slow:.1f} s, {slow / fast:.0f} times as long.")


def one() -> None:
    print("\n## One epsilon from scratch, 301x100, 1,000 samples, equal certificate\n")
    print("| epsilon | here, s | gap | published ADMM tuned, s | rho | iterations | gap | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    problem = layers("lenet_300_100", 1000)["fc2"]
    for epsilon in (0.2, 0.05):
        seconds, (result,) = ours(problem, [epsilon])
        runs = []
        for rho in (3.0, 5.0, 10.0):
            started = time.perf_counter()
            done, _ = tuned(problem, epsilon, rho, TOL)
            runs.append((done, rho, time.perf_counter() - started))
        done, rho, _ = min(runs)
        solver = PublishedADMM(problem, epsilon, rho, well_scaled(problem))
        baseline = timed(lambda: solver.iterate(done))  # without the certificates on the way
        print(
            f"| {epsilon:g} | {seconds:.2f} | {result.stats['gap']:.0e} | {baseline:.2f} | {rho:g} | {done} | "
            f"{solver.certificate().gap:.0e} | {baseline / seconds:.1f} |", flush=True,
        )  # fmt: skip
    solver = PublishedADMM(problem, 0.2, RHO)
    seconds = timed(lambda: solver.iterate(ITERATIONS))
    found = solver.certificate()
    print(f"\nWith its published settings (rho 100, 2,000 iterations) the published ADMM took {seconds:.0f} s at "
          f"epsilon 0.2 and ended at a gap of {found.gap:.1e} and a violation of {found.violation:.1e}.")  # fmt: skip


def certified() -> None:
    print("\n## Every layer, twelve points\n")
    print("| network | layer | samples | tolerance | seconds | certified | largest gap | largest violation | "
          "memory stated, MB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    jobs = [(n, p, TOL) for p in (1000, 4000, 10_000) for n in ("lenet_300_100", "lenet_5")]
    jobs += [(n, 1000, 1e-6) for n in ("spirals", "digits_mlp")]
    for name, samples, tol in jobs:
        for layer, problem in layers(name, samples).items():
            seconds, results = ours(problem, tol=tol)
            gap, violation = (max(r.stats[key] for r in results) for key in ("gap", "violation"))
            print(
                f"| {name} | {layer} {size(problem)} | {problem.X.shape[1]:,} | {tol:g} | {seconds:.2f} | "
                f"{sum(r.converged for r in results)} of 12 | {gap:.0e} | {violation:.0e} | "
                f"{NetTrim().memory(problem.size) / 1e6:.0f} |", flush=True,
            )  # fmt: skip
        layers.cache_clear()


def anytime() -> None:
    print("\n## Anytime: seconds until the first point, until the coarse pass is done, until everything is certified\n")
    print("| layer | first point | its gap | coarse pass | its largest gap | all certified |")
    print("|---|---|---|---|---|---|")
    for layer in ("fc2", "fc1"):
        problem = layers("lenet_300_100", 1000)[layer]
        started, seen = time.perf_counter(), []
        for _, result in NetTrim().refine(problem, GAINS):
            seen.append((time.perf_counter() - started, result))
        coarse = [entry for entry in seen if entry[1].stats["tol"] > TOL]
        print(
            f"| {size(problem)} | {coarse[0][0]:.2f} | {coarse[0][1].stats['gap']:.2f} | {coarse[-1][0]:.2f} | "
            f"{max(r.stats['gap'] for _, r in coarse):.2f} | {seen[-1][0]:.2f} |", flush=True,
        )  # fmt: skip


def synthetic(N: int, M: int, P: int, seed: int = 0) -> LayerProblem:
    """A ReLU layer on correlated, rectified inputs, as hidden layers see them."""
    g = torch.Generator().manual_seed(seed)
    Z = (torch.randn(N - 1, 40, generator=g) @ torch.randn(40, P, generator=g)).double().relu()
    X = torch.cat([Z, torch.ones(1, P, dtype=torch.float64)])
    W = torch.randn(N, M, generator=g).double() / N**0.5
    return LayerProblem(X, (W.T @ X).relu(), W, True)


GROWTH = {
    "samples P (N = 300, M = 20)": [((300, 20, p), p) for p in (500, 1000, 2000, 5000, 10_000, 20_000)],
    "inputs N (M = 20, P = 2,000)": [((n, 20, 2000), n) for n in (100, 200, 400, 800, 1600)],
    "outputs M (N = 100, P = 1,000)": [((100, m, 1000), m) for m in (10, 30, 100, 300, 1000)],
}
GROWTH_GAINS = (0.7, 0.5, 0.3, 0.2, 0.1)


def growth() -> None:
    print(f"\n## Growth: seconds for the points {', '.join(map(str, GROWTH_GAINS))} of synthetic ReLU layers\n")
    measured = {}
    for title, cases in GROWTH.items():
        points = []
        for shape, x in cases:
            seconds, results = ours(synthetic(*shape), GROWTH_GAINS)
            points.append((x, seconds, all(r.converged for r in results)))
        x, y = np.log([p[0] for p in points]), np.log([p[1] for p in points])
        slope = float(np.polyfit(x, y, 1)[0])
        measured[title] = {"points": points, "slope": slope}
        print(f"* {title}: " + ", ".join(f"{x:,}: {s:.2f} s" for x, s, _ in points)
              + f"; all certified: {all(ok for *_, ok in points)}; log-log slope {slope:.2f}", flush=True)  # fmt: skip
    (HERE / "growth.json").write_text(json.dumps(measured, indent=1) + "\n")


def lasso() -> None:
    """A linear layer at a price lambda is one lasso per neuron: skglm's path over the same prices."""
    from skglm import Lasso

    print("\n## Linear last layers\n")
    print("| layer, samples | setup and first point, ms | each later point, ms | "
          "skglm on the same lassos, ms a point | its largest difference in l1 |")  # fmt: skip
    print("|---|---|---|---|---|")
    for samples in (1000, 10_000):
        problem = layers("lenet_300_100", samples)["fc3"]
        stream, times, results = NetTrim().path(problem, GAINS), [], []
        for _ in GAINS:
            times.append(timed(lambda: results.append(next(stream))))
        X = np.asfortranarray(matrix(problem.X).numpy().T)
        Y = problem.Y.double().numpy()
        prices = []  # lambda, which at the solution is the largest |X (Y - Z)'|
        for result in results:
            residual = Y.T - X @ result.U.double().numpy()
            prices.append(float(np.abs(X.T @ residual).max()))

        def lassos(X=X, Y=Y, alphas=np.array(prices) / len(X)) -> np.ndarray:  # noqa: B008
            model = Lasso(fit_intercept=False, tol=SKGLM_TOL)
            return np.sum([np.abs(model.path(X, y, alphas)[1]).sum(0) for y in Y], axis=0)

        norms = lassos()  # compiles
        other = timed(lassos)
        apart = max(abs(n - r.stats["objective"]) / n for n, r in zip(norms, results, strict=True))
        print(f"| {size(problem)}, {samples:,} | {1e3 * times[0]:.0f} | {1e3 * np.median(times[1:]):.1f} | "
              f"{1e3 * other / len(GAINS):.0f} | {apart:.0e} |", flush=True)  # fmt: skip


def cancel() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores Ctrl-C for what it runs in background
    print("\n## Cancelling: seconds from the interrupt to the end\n")
    for name, samples in (("lenet_300_100", 1000), ("lenet_300_100", 10_000), ("lenet_5", 10_000)):
        problem = layers(name, samples)["fc1"]
        delays = [interrupted(problem, after) for after in INTERRUPTS]
        print(f"* {size(problem)}, {samples:,} samples, interrupted after {INTERRUPTS[0]} to {INTERRUPTS[-1]} s: "
              f"{max(delays):.2f} at most of {len(delays)}", flush=True)  # fmt: skip


def interrupted(problem: LayerProblem, after: float) -> float:
    """Seconds it takes to stop when Ctrl-C comes after so many."""
    fired = []

    def interrupt() -> None:
        fired.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(after, interrupt)
    timer.start()
    try:
        ours(problem)
    except KeyboardInterrupt:
        return time.perf_counter() - fired[0]
    raise RuntimeError(f"solved within {after} s: nothing left to interrupt")


def obs() -> None:
    print("\n## The OBS side, 1,000 samples: seconds (refits: the median of three)\n")
    print("| layer | full ExactOBS trace | refit at 50 %, 65 %, 80 % removed | classic L-OBS, ranking | one level |")
    print("|---|---|---|---|---|")
    for layer in ("fc2", "fc1"):
        problem = layers("lenet_300_100", 1000)[layer]
        total = problem.W.numel()
        ranking, classic = [], []
        trace = timed(lambda: ranking.append(ExactOBS().rank(problem)))
        refits = [np.median([timed(lambda f=f: ranking[0].weights(round(f * total))) for _ in range(3)])
                  for f in (0.5, 0.65, 0.8)]  # fmt: skip
        ranked = timed(lambda: classic.append(LOBS().rank(problem)))
        level = timed(lambda: classic[0].weights(round(0.8 * total)))
        print(
            f"| {size(problem)} | {trace:.2f} | {', '.join(f'{r:.2f}' for r in refits)} | {ranked:.3f} | {level:.4f} |"
        )


def downdated(inverse: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The exact greedy order of one neuron by its textbook: a private inverse, of which every removal takes its own
    part away (Hassibi, Stork, NIPS 1993; for the rows of a layer, Frantar, Alistarh, NeurIPS 2022, algorithm 1)."""
    A, w, cost = inverse.copy(), w.copy(), np.zeros(len(w))
    order = np.empty(len(w), np.int64)
    for t in range(len(w)):
        cost[:] = w * w / np.diag(A)
        cost[order[:t]] = np.inf
        j = order[t] = int(cost.argmin())
        row = A[j] / A[j, j]
        w -= w[j] * row
        A -= np.outer(A[:, j], row)
        A[j, j] = 1.0  # out of the way of the divisions
    return order


@numba.njit(nogil=True)
def downdated_compiled(inverse: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The same in compiled loops, over what is left only."""
    A, w, n = inverse.copy(), w.copy(), len(w)
    order, gone = np.empty(n, np.int64), np.zeros(n, np.bool_)
    for t in range(n):
        j, least = -1, np.inf
        for i in range(n):
            if not gone[i] and w[i] * w[i] / A[i, i] < least:
                j, least = i, w[i] * w[i] / A[i, i]
        order[t], gone[j] = j, True
        row, step = A[j] / A[j, j], w[j]
        for i in range(n):
            if not gone[i]:
                w[i] -= step * row[i]
                factor = A[i, j]
                for k in range(n):
                    A[i, k] -= factor * row[k]
    return order


def textbook() -> None:
    print(
        "\n## Exact OBS to full depth, against a private inverse that is down-dated for every neuron, 1,000 samples\n"
    )
    print("| layer | ours, s | textbook in NumPy, s | ratio | textbook compiled, s | ratio | neurons of one order |")
    print("|---|---|---|---|---|---|---|")
    for layer in ("fc2", "fc1"):
        fit = LeastSquares(layers("lenet_300_100", 1000)[layer], ExactOBS().damping)
        inverse, W = fit.inverse(), fit.W[fit.alive]
        matrix_, columns = inverse.numpy(), np.ascontiguousarray(W.numpy().T)
        found: list[np.ndarray] = []
        trace = timed(lambda: found.append(greedy_trace(inverse, W)[0].T.numpy()))
        downdated_compiled(matrix_[:2, :2].copy(), columns[0, :2].copy())
        plain, compiled = (
            timed(lambda: found.append(np.stack(each(lambda m: form(matrix_, columns[m]), range(len(columns))))))
            for form in (downdated, downdated_compiled)
        )
        same = (found[0] == found[1]).all(1) & (found[0] == found[2]).all(1)
        print(f"| {W.shape[0]} live of {len(fit.W)} x {W.shape[1]} | {trace:.2f} | {plain:.0f} | {plain / trace:.0f} | "
              f"{compiled:.1f} | {compiled / trace:.1f} | {same.mean():.1%} |")  # fmt: skip


def memory() -> None:
    """In a process of its own, as the peak is the process's."""
    print("\n## Memory: a 4096x1000 layer with 4,000 samples at epsilon 0.5\n")
    sys.stdout.flush()
    subprocess.run([sys.executable, __file__, "_memory"], check=True)


def _memory() -> None:
    torch.set_num_threads(environment.cores())
    problem = synthetic(4096, 1000, 4000)
    stated = NetTrim().memory(problem.size)
    seconds, (result,) = ours(problem, [0.5])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"Stated {stated / 1e9:.1f} GB before solving; the whole process peaked at {peak / 1e9:.1f} GB; "
          f"{seconds:.0f} s; certified: {result.converged}.")  # fmt: skip


SECTIONS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (path, one, certified, anytime, growth, lasso, cancel, obs, textbook, memory)
}


def main(wanted: list[str]) -> None:
    if wanted == ["_memory"]:
        _memory()
        return
    torch.set_num_threads(environment.cores())
    warm_up()
    print(f"# The solver, measured\n\n{environment.sentence()}.", flush=True)
    for name in wanted or SECTIONS:
        SECTIONS[name]()
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
