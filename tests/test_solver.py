"""The engine for layers on the CPU, on anything legal: its own certificate, the definitions, and the other engine."""

from __future__ import annotations

import dataclasses
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from nettrim_core import LayerProblem, NetTrim, load_bundle
from nettrim_core.active_set import shortened
from nettrim_core.admm import ADMM
from nettrim_core.certificate import certify
from nettrim_core.homotopy import Homotopy
from nettrim_core.methods import METHODS
from nettrim_core.methods.nettrim import condensed
from nettrim_core.network import Network
from nettrim_core.neurons import Neurons
from nettrim_core.problem import halving
from nettrim_core.reference import reference
from nettrim_core.response import response_set
from tests.conftest import random_layer

F64 = torch.float64
KINDS = ("plain", "rectified", "dead and equal inputs", "integers", "low rank", "a constant input", "many silent",
         "many always active", "input scale", "weight scale")  # fmt: skip


def layer(kind: str, N: int, M: int, P: int, seed: int, relu: bool = True, scale: float = 1.0) -> LayerProblem:
    g = torch.Generator().manual_seed(seed)
    X = torch.randn(N, P, dtype=F64, generator=g)
    W = torch.randn(N, M, dtype=F64, generator=g) / N**0.5
    bias = kind.startswith("many") and N > 1
    if kind == "rectified":
        X = X.relu()
    elif kind == "dead and equal inputs" and N > 3:
        X[0], X[1] = 0, X[2]
    elif kind == "integers":
        X = torch.randint(0, 3, (N, P), generator=g).double()
        W = torch.randint(-2, 3, (N, M), generator=g).double()
    elif kind == "low rank":
        X = X[:, :3].clone() @ torch.randn(min(3, P), P, dtype=F64, generator=g)
    elif kind == "a constant input":
        X[0] = 3
    elif kind == "input scale":
        X = X * scale
    elif kind == "weight scale":
        W = W * scale
    if bias:
        X[-1] = 1
        W[-1] += {"many silent": -2.0, "many always active": 4.0}[kind]
    Z = W.T @ X
    return LayerProblem(X, Z.relu() if relu else Z, W, relu, bias)


def cascade(problem: LayerProblem, seed: int, gamma: float | None) -> LayerProblem:
    """The same layer on moved inputs, as after pruning upstream; V is negative in places."""
    g = torch.Generator().manual_seed(seed + 10**6)  # not the seed that X was drawn with
    X = problem.X + 0.1 * problem.X.abs().mean() * torch.randn(problem.X.shape, dtype=F64, generator=g)
    if problem.bias:
        X[-1] = 1
    return dataclasses.replace(problem, X=X, pruned_inputs=True, gamma=gamma)


def assert_certified(problem: LayerProblem, epsilon: float, tol: float) -> None:
    """What a result says of itself, measured again from U alone; weak duality bounds the objective."""
    result = NetTrim(epsilon=epsilon, tol=tol).prune(problem)
    assert bool(torch.isfinite(result.U).all())
    assert result.converged, result.stats
    target = response_set(problem, epsilon)
    assert target.violation(result.U.double().T @ problem.X) == pytest.approx(result.stats["violation"], abs=1e-10)
    assert result.stats["violation"] <= tol
    objective = float(result.U.abs().sum())
    assert objective - result.stats["bound"] <= tol * objective + 1e-12
    assert all(figure.shape == (problem.Y.shape[0],) for figure in result.neurons.values())


sizes = {"N": st.integers(1, 14), "M": st.integers(1, 5), "P": st.integers(1, 50), "seed": st.integers(0, 10_000)}


@settings(max_examples=120, deadline=None)
@example(kind="input scale", relu=False, scale=1e-6, epsilon=0.999, tol=1e-6, N=1, M=1, P=1, seed=0)
@example(kind="plain", relu=True, scale=1.0, epsilon=0.999, tol=1e-6, N=12, M=1, P=49, seed=895)
@example(kind="dead and equal inputs", relu=True, scale=1.0, epsilon=0.999, tol=1e-6, N=13, M=2, P=49, seed=4541)
@given(
    kind=st.sampled_from(KINDS), relu=st.booleans(), scale=st.sampled_from([1e-6, 1e-3, 1e3, 1e6]),
    epsilon=st.sampled_from([0.999, 0.7, 0.3, 0.1, 0.02, 1e-3]), tol=st.sampled_from([1e-3, 1e-6]), **sizes,
)  # fmt: skip
def test_any_layer_is_certified(
    kind: str, relu: bool, scale: float, epsilon: float, tol: float, N: int, M: int, P: int, seed: int
) -> None:
    problem = layer(kind, N, M, P, seed, relu, scale)
    if problem.norm > 0:
        assert_certified(problem, epsilon, tol)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS[:6]), relu=st.booleans(), **sizes)
def test_a_cascade_is_certified_wherever_w_is_strictly_allowed(
    kind: str, relu: bool, N: int, M: int, P: int, seed: int
) -> None:
    problem = cascade(layer(kind, N, M, P, seed, relu), seed, 1.1)
    if response_set(problem, 0.1).radius > 1e-6 * problem.norm:
        assert_certified(problem, 0.1, 1e-3)


@settings(max_examples=40, deadline=None)
@given(gamma=st.sampled_from([1e-3, None]), epsilon=st.sampled_from([1e-6, 0.01, 0.999_999]), **sizes)
def test_what_cannot_be_solved_is_said(gamma: float | None, epsilon: float, N: int, M: int, P: int, seed: int) -> None:
    problem = cascade(layer("plain", N, M, P, seed), seed, gamma)
    result = NetTrim(epsilon=epsilon).prune(problem)
    assert bool(torch.isfinite(result.U).all())
    worst = max(result.stats["gap"], result.stats["violation"])
    assert result.converged == (worst <= 1e-3)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_two_engines_prove_each_other_right(relu: bool, seed: int) -> None:
    problem = layer("rectified", 20, 6, 150, seed, relu)
    for epsilon in (0.5, 0.1, 0.03):
        target = response_set(problem, epsilon)
        exact = Homotopy(problem.X, problem.W).solve(target, 1e-6).certificate
        first_order = ADMM(problem.X, problem.W, F64).solve(target, 1e-5).certificate
        assert exact.within(1e-6)
        assert first_order.within(1e-5)
        assert first_order.bound <= exact.objective * (1 + 1e-5)
        assert exact.bound <= first_order.objective * (1 + 1e-4)


@pytest.mark.parametrize("kind", ["integers", "low rank", "many silent"])
def test_degenerate_layers_agree_with_clarabel(kind: str) -> None:
    problem = layer(kind, 8, 3, 40, 1)
    for epsilon in (0.4, 0.05):
        ours = NetTrim(epsilon=epsilon, tol=1e-6).prune(problem)
        assert ours.converged
        assert ours.stats["objective"] == pytest.approx(reference(problem, epsilon).objective, rel=1e-4)


def test_a_cascade_agrees_with_clarabel() -> None:
    problem = cascade(layer("rectified", 9, 4, 50, 3), 3, 1.1)
    assert bool((response_set(problem, 0.1).center < 0).any())
    ours = NetTrim(tol=1e-6).prune(problem)
    assert ours.converged
    assert ours.stats["objective"] == pytest.approx(reference(problem, 0.1).objective, rel=1e-4)


def test_the_squared_residual_of_a_path_is_that_of_its_solutions() -> None:
    problem = layer("rectified", 25, 6, 200, 0)
    engine = Homotopy(problem.X, problem.W, [response_set(problem, e).radius for e in (0.6, 0.02)])
    engine.solve(response_set(problem, 0.6), 1e-6)
    (stretch,) = engine.known
    for lam in np.geomspace(stretch.high * 0.99, stretch.low * 1.01, 40):
        U, _ = engine._at(lam)
        residual = (U.T @ problem.X.numpy() - engine.center) * engine.omega
        assert stretch.r2(lam) == pytest.approx(float((residual**2).sum()), rel=1e-5)
    r2 = [stretch.r2(lam) for lam in np.geomspace(stretch.high, stretch.low, 200)]
    assert r2 == sorted(r2, reverse=True)


def test_each_neurons_weights_change_sides_only_at_kinks() -> None:
    """Between kinks the solution is linear in lambda: the middle of two solutions is the solution in the middle."""
    problem = layer("plain", 12, 2, 60, 4)
    engine = Homotopy(problem.X, problem.W, [response_set(problem, e).radius for e in (0.6, 0.05)])
    engine.solve(response_set(problem, 0.6), 1e-6)
    (stretch,) = engine.known
    kinks = np.unique(np.concatenate([t.lam for t in stretch.traces]))
    wide = [(a, b) for a, b in pairwise(kinks) if a >= stretch.low and b > 1.01 * a]
    assert len(wide) > 5
    for a, b in wide:
        low, middle, high = (engine._at(a + part * (b - a))[0] for part in (0.1, 0.5, 0.9))
        np.testing.assert_allclose(middle, (low + high) / 2, atol=1e-7)


def test_order_of_neurons_and_samples_does_not_matter() -> None:
    problem = layer("rectified", 15, 5, 80, 2)
    g = torch.Generator().manual_seed(0)
    neurons, samples = torch.randperm(5, generator=g), torch.randperm(80, generator=g)
    moved = LayerProblem(
        problem.X[:, samples], problem.Y[neurons][:, samples], problem.W[:, neurons], True, problem.bias
    )
    plain, other = NetTrim(tol=1e-6).prune(problem), NetTrim(tol=1e-6).prune(moved)
    torch.testing.assert_close(other.U, plain.U[:, neurons], rtol=0, atol=1e-5)


def test_threads_change_nothing() -> None:
    problem = layer("rectified", 30, 12, 200, 0)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(list(NetTrim().path(problem, [0.5, 0.1, 0.02])))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert one.converged
        assert two.converged
        assert one.stats["objective"] == pytest.approx(two.stats["objective"], rel=1e-6)


GRID = [0.02, 0.3, 0.1, 0.7, 0.05, 0.5]


def test_refine_gets_better_and_ends_at_the_path() -> None:
    problem = layer("rectified", 25, 8, 200, 5)
    seen: dict[int, list[float]] = {}
    last = {}
    order = []
    for index, result in NetTrim().refine(problem, GRID):
        seen.setdefault(index, []).append(max(result.stats["gap"], result.stats["violation"]))
        last[index] = result
        order.append(index)
    descending = sorted(range(6), key=lambda i: -GRID[i])
    assert order[:6] == [descending[place] for place in halving(6)]
    assert order[6:] == descending
    for index, result in enumerate(NetTrim().path(problem, GRID)):
        first, final = seen[index]
        assert first <= 0.1
        assert final <= min(first, 1e-3)
        assert last[index].stats["objective"] == pytest.approx(result.stats["objective"], rel=1e-6)
    other = [index for index, _ in NetTrim().refine(layer("low rank", 5, 2, 30, 1), GRID)]
    assert other == order


def test_halving_takes_shape_early() -> None:
    assert halving(0) == []
    assert halving(1) == [0]
    assert halving(9) == [0, 8, 4, 2, 6, 1, 3, 5, 7]
    assert all(sorted(halving(n)) == list(range(n)) for n in range(40))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_refines_to_its_own_path(name: str) -> None:
    problem = random_layer(12, 4, 60)
    final = dict(METHODS[name].refine(problem, GRID))
    for index, result in enumerate(METHODS[name].path(problem, GRID)):
        torch.testing.assert_close(final[index].U, result.U, rtol=0, atol=1e-5)


def test_a_spoiled_neuron_is_named() -> None:
    problem = layer("rectified", 15, 5, 80, 2)
    target = response_set(problem, 0.1)
    solution = Homotopy(problem.X, problem.W).solve(target, 1e-6)
    L = solution.L.clone()
    L[3] *= 1.5
    assert int(certify(problem.X, target, solution.U, L).neuron_excess.argmax()) == 3
    U = solution.U.clone()
    U[:, 2] += 0.05 * problem.X[:, ~target.omega[2]].mean(1)
    found = certify(problem.X, target, U, solution.L)
    assert int(found.neuron_violation.argmax()) == 2
    assert not found.within(1e-3)


def test_neurons_whose_path_is_wrong_are_reworked() -> None:
    """A trace is cut off behind the engine's back: it must notice, and solve for that neuron by itself."""
    problem = layer("rectified", 25, 6, 200, 0)
    target = response_set(problem, 0.1)
    engine = Homotopy(problem.X, problem.W, [target.radius])
    right = engine.solve(target, 1e-6)
    traces = engine.known[0].traces
    traces[1] = shortened(traces[1], len(traces[1].lam) // 3)
    found = engine.solve(target, 1e-6)
    assert found.converged
    torch.testing.assert_close(found.U, right.U, rtol=0, atol=1e-5)


def test_few_samples_are_certified_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 images many pixels are lit in one or two only: far down, a path that is taken up again can be lost."""
    extend = Homotopy._extend

    def extended(self: Homotopy, *given: Any) -> None:
        assert len(self.known) < 8  # a stretch after the other leads nowhere
        extend(self, *given)

    monkeypatch.setattr(Homotopy, "_extend", extended)
    bundle = load_bundle("lenet_300_100")
    network = Network(bundle.model, bundle.calibration_sample(20), ["fc1"])
    whole = network.problem(network.selected[0])
    problem = dataclasses.replace(whole, Y=whole.Y[:20], W=whole.W[:, :20])
    solver = NetTrim().curve(problem).solver
    assert all(solver.at(epsilon).converged for epsilon in (0.1, 0.03, 0.01, 0.003, 0.001, 3e-4, 1e-4))


def test_a_neuron_with_a_gap_of_its_own_is_reworked() -> None:
    """Neither its multipliers nor its response need to be wrong for its weights to be."""
    bundle = load_bundle("lenet_300_100")
    network = Network(bundle.model, bundle.calibration_sample(10), ["fc1"])
    problem = network.problem(network.selected[0])
    target = response_set(problem, 0.03)
    found = Homotopy(problem.inputs.double(), problem.W, [target.radius]).solve(target, 1e-3)
    assert found.certificate.within(1e-3)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("outputs", [1, 5])
def test_a_radius_that_is_not_met_yet_is_no_neurons_fault(
    relu: bool, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reworked: list[int] = []
    monkeypatch.setattr(Homotopy, "_rework", lambda self, neurons, *_: reworked.extend(neurons))
    for seed in range(6):
        problem = random_layer(n=40, m=outputs, p=100, relu=relu, seed=seed)
        assert all(NetTrim(epsilon=epsilon, tol=1e-7).prune(problem).converged for epsilon in (0.3, 0.1, 0.02))
    assert reworked == []


def test_an_interrupt_stops_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = layer("rectified", 60, 20, 300, 0)
    engine = Homotopy(problem.X, problem.W, [response_set(problem, 0.01).radius])
    neuron, calls = Neurons.neuron, []

    def interrupted(neurons: Neurons, m: int):
        calls.append(m)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return neuron(neurons, m)

    monkeypatch.setattr(Neurons, "neuron", interrupted)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        engine.solve(response_set(problem, 0.01), 1e-3)
    assert threading.active_count() == before
    assert len(calls) < 20
    monkeypatch.undo()
    assert engine.solve(response_set(problem, 0.01), 1e-3).converged


def test_memory_is_stated_and_grows_with_the_layer() -> None:
    small, large = (NetTrim().memory(random_layer(n, 4, 60).size) for n in (10, 20))
    assert 0 < small < large


def test_single_precision_weights_come_back_in_single_precision() -> None:
    problem = layer("rectified", 12, 4, 60, 0)
    single = dataclasses.replace(problem, X=problem.X.float(), Y=problem.Y.float(), W=problem.W.float())
    result = NetTrim().prune(single)
    assert result.U.dtype == torch.float32
    assert result.converged


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), moved=st.booleans(), gamma=st.sampled_from([1.1, None]), **sizes)
def test_a_linear_layer_is_condensed_without_a_trace(
    kind: str, moved: bool, gamma: float | None, N: int, M: int, P: int, seed: int
) -> None:
    """Any weights miss the target by as much, neuron by neuron, on no more than N + 1 samples."""
    problem = layer(kind, N, M, P, seed, relu=False)
    if moved:
        problem = cascade(problem, seed, gamma)
    X, Y = condensed(problem.X, problem.Y, problem.W)
    assert X.shape[1] <= min(N + 1, P)
    for U in (torch.randn(N, M, dtype=F64, generator=torch.Generator().manual_seed(seed)), problem.W):
        missed = (U.T @ problem.X - problem.Y).norm(dim=1)
        found = (U.T @ X - Y).norm(dim=1)
        torch.testing.assert_close(found, missed, rtol=1e-9, atol=1e-12 * (1 + problem.norm))


def exact_zeros(U: Tensor) -> int:
    return int((U == 0).sum())


def test_solutions_are_sparse_vertices() -> None:
    """No more weights than constraints that hold with equality: omega's samples and the active ones."""
    problem = layer("plain", 60, 3, 20, 0)
    result = NetTrim(epsilon=0.1, tol=1e-6).prune(problem)
    response = result.U.T @ problem.X
    active = (~problem.omega & (response.abs() < 1e-9)).sum(1) + problem.omega.sum(1)
    assert bool(((result.U != 0).sum(0) <= active).all())
    assert exact_zeros(result.U) > 0


def slack(problem: LayerProblem, epsilon: float, L: Tensor, U: Tensor) -> float:
    """How far below the optimum the violation of U may bring its objective: what it lies outside, priced by L."""
    target = response_set(problem, epsilon)
    offset = U.double().T @ problem.X.double() - target.center
    outside = max(float((offset * target.omega).norm()) - target.radius, 0.0) * float((L * target.omega).norm())
    return outside + float(((offset * L) * ~target.omega).clamp(min=0).sum())


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS), relu=st.booleans(), epsilon=st.sampled_from([0.999_999, 0.3, 0.01]),
    tol=st.sampled_from([1e-3, 1e-6]), **sizes,
)  # fmt: skip
def test_a_gap_below_zero_is_explained_by_the_violation(
    kind: str, relu: bool, epsilon: float, tol: float, N: int, M: int, P: int, seed: int
) -> None:
    problem = layer(kind, N, M, P, seed, relu)
    alive = problem.X[problem.alive]
    if problem.norm > 0:
        target = response_set(problem, epsilon)
        found = Homotopy(alive, problem.W[problem.alive]).solve(target, tol)
        inside = dataclasses.replace(problem, X=alive, W=problem.W[problem.alive])
        below = found.certificate.bound - found.certificate.objective
        assert below <= slack(inside, epsilon, found.L, found.U) * (1 + 1e-6) + 1e-9 * (1 + found.certificate.bound)


@pytest.mark.parametrize(("N", "M", "P"), [(1, 1, 1), (1, 3, 20), (6, 1, 30), (8, 3, 1), (20, 4, 7), (5, 2, 5)])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("epsilon", [0.999_999, 0.1, 1e-4])
def test_the_smallest_shapes_and_fewer_samples_than_inputs(N: int, M: int, P: int, relu: bool, epsilon: float) -> None:
    for seed in range(2):
        problem = layer("plain", N, M, P, seed, relu)
        if problem.norm > 0:
            assert_certified(problem, epsilon, 1e-6)


@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_neurons_that_are_never_or_always_active(shift: float) -> None:
    """A silent neuron keeps no weights; one that is always active is solved as its linear twin is."""
    problem = layer("many silent", 8, 4, 60, 1)
    W = problem.W.clone()
    W[-1, :2] = shift
    Z = W.T @ problem.X
    mixed = LayerProblem(problem.X, Z.relu(), W, True, True)
    assert bool((mixed.omega[:2] == (shift > 0)).all())
    result = NetTrim(epsilon=0.1, tol=1e-6).prune(mixed)
    assert result.converged
    if shift < 0:
        assert bool((result.U[:, :2] == 0).all())
    else:
        twin = [NetTrim(epsilon=0.1, tol=1e-6).prune(LayerProblem(problem.X, Z[:2].clamp(min=0), W[:, :2], relu, True))
                for relu in (True, False)]  # fmt: skip
        torch.testing.assert_close(twin[0].U, twin[1].U, rtol=0, atol=1e-9)


def test_equal_inputs_share_one_objective() -> None:
    """Two equal rows of X are worth as much as one of them."""
    problem = layer("rectified", 9, 4, 60, 6)
    twice = dataclasses.replace(
        problem, X=torch.cat([problem.X[:1], problem.X]), W=torch.cat([0 * problem.W[:1], problem.W])
    )
    one, two = (NetTrim(epsilon=0.1, tol=1e-6).prune(p) for p in (problem, twice))
    assert one.converged
    assert two.converged
    assert two.stats["objective"] == pytest.approx(one.stats["objective"], rel=2e-6)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("inverse", [True, False])
def test_the_scale_of_the_inputs_only_scales_the_answer(scale: float, inverse: bool) -> None:
    problem = layer("rectified", 10, 3, 60, 2)
    W = problem.W / scale if inverse else problem.W
    moved = LayerProblem(scale * problem.X, (W.T @ (scale * problem.X)).relu(), W, True, False)
    plain, other = (NetTrim(epsilon=0.1, tol=1e-6).prune(p) for p in (problem, moved))
    assert other.converged
    torch.testing.assert_close(other.U * (scale if inverse else 1), plain.U, rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(relu=st.booleans(), epsilon=st.sampled_from([0.7, 0.2, 0.05]), kind=st.sampled_from(KINDS[:6]),
       N=st.integers(1, 8), M=st.integers(1, 3), P=st.integers(1, 30), seed=st.integers(0, 10_000))  # fmt: skip
def test_clarabel_stays_within_the_certificate(
    relu: bool, epsilon: float, kind: str, N: int, M: int, P: int, seed: int
) -> None:
    problem = layer(kind, N, M, P, seed, relu)
    if problem.norm > 0:
        ours = NetTrim(epsilon=epsilon, tol=1e-6).prune(problem)
        assert ours.converged
        assert ours.stats["objective"] == pytest.approx(reference(problem, epsilon).objective, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("gamma", [1e-3, 1e-6])
@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_radius_that_nothing_fits_is_reported(kind: str, gamma: float) -> None:
    """Many more samples than inputs, moved: no weights come so near, whatever they are."""
    problem = cascade(layer(kind, 3, 2, 80, 1, relu=False), 2, gamma)
    target = response_set(problem, 0.1)
    best = torch.linalg.lstsq(problem.X.T, problem.Y.T, driver="gelsd").solution
    assert float((best.T @ problem.X - problem.Y).norm()) > 1.01 * target.radius > 0
    result = NetTrim().prune(problem)
    assert not result.converged
    assert result.stats["violation"] > 1e-3
    for figure in (result.U, *result.neurons.values(), torch.tensor(list(result.stats.values()))):
        assert bool(torch.isfinite(figure).all())


def test_threads_and_runs_change_no_bit() -> None:
    problem = layer("rectified", 30, 12, 200, 0)
    threads = torch.get_num_threads()
    try:
        runs = []
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            runs.append([r.U for r in NetTrim().path(problem, [0.5, 0.1, 0.02])])
    finally:
        torch.set_num_threads(threads)
    for one, two, again in zip(*runs, strict=True):
        assert torch.equal(two, again)
        assert torch.equal(one, two)


@pytest.mark.parametrize("after", [1, 7])
def test_closing_a_generator_leaves_no_thread(after: int) -> None:
    before = threading.active_count()
    answers = NetTrim().refine(layer("rectified", 30, 8, 150, 0), GRID)
    for _ in range(after):
        next(answers)
    answers.close()
    assert threading.active_count() == before


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(KINDS), tol=st.sampled_from([1e-3, 1e-4]), **{**sizes, "P": st.integers(2, 50)})
def test_single_precision_is_certified_on_what_is_returned(
    kind: str, tol: float, N: int, M: int, P: int, seed: int
) -> None:
    problem = layer(kind, N, M, P, seed)
    single = dataclasses.replace(problem, X=problem.X.float(), Y=problem.Y.float(), W=problem.W.float())
    if single.norm > 0:
        result = NetTrim(epsilon=0.1, tol=tol).prune(single)
        assert result.U.dtype == torch.float32
        assert result.converged, result.stats
        violation = response_set(single, 0.1).violation(result.U.double().T @ single.X.double())
        assert violation == pytest.approx(result.stats["violation"], abs=1e-9)


@pytest.mark.parametrize("relu", [True, False])
def test_a_layer_of_middle_size_is_certified(relu: bool) -> None:
    for kind in ("rectified", "integers", "low rank"):
        for epsilon in (0.3, 0.02):
            assert_certified(layer(kind, 60, 20, 200, 1, relu), epsilon, 1e-6)
