"""A layer under the lens against definitions on whole matrices, planted dead parts, and the engines' own answers."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from nettrim_core import METHODS, ExactOBS, LayerProblem, LayerResult, Magnitude, NetTrim, sparsity
from nettrim_core.admm import ADMM
from nettrim_core.lens import BINS, LARGEST, MOST_SAMPLES, convergence, neuron, weights
from nettrim_core.patches import Patches
from nettrim_core.removals import removals
from nettrim_core.response import response_set
from tests.conftest import random_layer
from tests.test_groups import grouped, whole

F64 = torch.float64


def moved(problem: LayerProblem, gamma: float | None = 1.1, seed: int = 3) -> LayerProblem:
    """The layer in a cascade: its inputs are no longer those that Y was made from."""
    X = problem.X.clone()
    X[: len(X) - problem.bias] += 0.1 * torch.randn(
        len(X) - problem.bias, X.shape[1], dtype=F64, generator=torch.Generator().manual_seed(seed)
    )
    return dataclasses.replace(problem, X=X, pruned_inputs=True, gamma=gamma)


PROBLEMS = {
    "relu": random_layer(12, 6, 60),
    "linear": random_layer(12, 6, 60, relu=False),
    "no bias": random_layer(12, 6, 60, bias=False),
    "groups and shift": grouped(2),
    "linear groups without a bias": grouped(3, relu=False, bias=False),
    "cascade": moved(random_layer(12, 6, 60)),
    "cascade by epsilon, groups and shift": moved(grouped(2), None),
}


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> LayerProblem:
    return PROBLEMS[request.param]


def body_of(problem: LayerProblem, U: Tensor) -> Tensor:
    return U[:-1] if problem.bias else U


def preactivations(problem: LayerProblem, U: Tensor) -> Tensor:
    shift = torch.zeros(len(problem.Y), dtype=F64) if problem.shift is None else problem.shift
    return whole(problem, U).T @ problem.X + shift[:, None]


def test_a_histogram_counts_every_weight_once_zeros_apart(problem: LayerProblem) -> None:
    U = Magnitude(refit=True).at_sparsity(problem, 0.5).U
    found = weights(problem, U)
    assert len(found.edges) == BINS + 1
    assert found.edges[BINS // 2] == 0
    biggest = max(float(body_of(problem, matrix).abs().max()) for matrix in (problem.W, U))
    assert found.edges[-1] == -found.edges[0] == biggest
    for matrix, told in ((problem.W, found.trained), (U, found.pruned)):
        values = body_of(problem, matrix).flatten().tolist()
        for place, (low, high) in enumerate(pairwise(found.edges)):
            last = place == BINS - 1
            inside = [v for v in values if v != 0 and (low <= v < high or (last and v == high))]
            assert told.counts[place] == len(inside)
        assert told.zeros == values.count(0.0)
        assert sum(told.counts) + told.zeros == len(values)
        assert told.l1 == pytest.approx(float(matrix.abs().sum()))


def test_singular_values_are_those_of_the_whole_matrix(problem: LayerProblem) -> None:
    U = Magnitude().at_sparsity(problem, 0.5).U
    found = weights(problem, U)
    for matrix, told in ((problem.W, found.trained), (U, found.pruned)):
        expected = np.linalg.svd(body_of(problem, whole(problem, matrix)).numpy(), compute_uv=False)
        np.testing.assert_allclose(told.singular, expected, rtol=1e-10, atol=1e-12)


def test_dead_and_silent_parts_that_were_planted_are_found() -> None:
    layer = random_layer(12, 5, 60, dead=2)
    W = layer.W.clone()
    W[-1, 4] = -100
    layer = LayerProblem(layer.X, (W.T @ layer.X).relu(), W, True)
    U = W.clone()
    U[5], U[:-1, 1], U[-1, 1] = 0, 0, 0.5  # input 5 goes; neuron 1 keeps its bias only, and is always active
    U[:, 3] = 0
    found = weights(layer, U)
    assert found.trained.dead_inputs == [0, 1]
    assert found.pruned.dead_inputs == [0, 1, 5]
    assert found.trained.dead_neurons == []
    assert found.pruned.dead_neurons == [1, 3]
    assert found.trained.silent_neurons == [4]
    assert found.pruned.silent_neurons == [3, 4]
    linear = LayerProblem(layer.X, W.T @ layer.X, W, False)
    assert weights(linear, U).pruned.dead_neurons == [1, 3]
    assert weights(linear, U).pruned.silent_neurons == []


@pytest.mark.parametrize("bias", [True, False])
def test_an_input_is_dead_in_its_own_group(bias: bool) -> None:
    layer = grouped(3, bias=bias)  # its second input is zero on every sample
    U = layer.W.clone()
    U[2, :2] = 0  # the first group's third input, which its two neurons see
    U[4, 2] = 0  # seen by the other neuron of the second group
    U[0, 4:] = 0
    assert weights(layer, layer.W).pruned.dead_inputs == [1]
    assert weights(layer, U).pruned.dead_inputs == [1, 2, 10]


def test_a_layer_of_zeros_and_a_layer_of_a_bias_alone_have_histograms() -> None:
    layer = random_layer(6, 3, 20)
    blank = LayerProblem(layer.X, torch.zeros_like(layer.Y), torch.zeros_like(layer.W), True)
    found = weights(blank, blank.W)
    assert sum(found.trained.counts) == 0
    assert found.trained.zeros == 15
    assert found.edges == sorted(set(found.edges))
    only = LayerProblem(layer.X[-1:], layer.Y, layer.W[-1:], True)
    assert weights(only, only.W).trained.singular == []


@pytest.mark.parametrize("method", [NetTrim(epsilon=0.2), ExactOBS(epsilon=0.2)], ids=lambda m: type(m).__name__)
def test_a_neuron_is_told_by_definition(problem: LayerProblem, method: NetTrim | ExactOBS) -> None:
    result = method.prune(problem)
    Z, trained = preactivations(problem, result.U), preactivations(problem, problem.W)
    omega = problem.Y > 0 if problem.relu else torch.ones_like(problem.Y, dtype=torch.bool)
    cap = trained if problem.pruned_inputs else torch.zeros_like(trained)
    radius = 0.2 * float(problem.Y.norm())
    if problem.pruned_inputs and problem.gamma is not None:
        radius = problem.gamma**0.5 * float((trained - problem.Y)[omega].norm())
    for j in range(6):
        found = neuron(problem, result, j, 0.2)
        on = omega[j]
        samples, held = found.samples, found.constraints
        assert samples.count == problem.X.shape[1]
        assert samples.shown == list(range(samples.count))
        torch.testing.assert_close(torch.tensor(samples.trained, dtype=F64), trained[j])
        torch.testing.assert_close(torch.tensor(samples.pruned, dtype=F64), Z[j])
        assert samples.on == on.tolist()
        assert samples.on_count == int(on.sum())
        center = torch.where(on, problem.Y[j], cap[j])
        torch.testing.assert_close(torch.tensor(samples.center, dtype=F64), center)
        assert held.radius == pytest.approx(radius)
        assert held.half_width**2 * int(omega.sum()) == pytest.approx(radius**2)
        assert held.squared_error == pytest.approx(float((Z[j] - problem.Y[j])[on].square().sum()), abs=1e-12)
        above = (Z[j] - cap[j])[~on]
        assert held.over == pytest.approx(max([0.0, *above.tolist()]), abs=1e-12)


def test_the_squared_errors_of_all_neurons_are_the_layers_and_within_its_radius(problem: LayerProblem) -> None:
    result = NetTrim(epsilon=0.2).prune(problem)
    told = [neuron(problem, result, j, 0.2).constraints for j in range(6)]
    total = sum(held.squared_error for held in told)
    for held in told:
        assert held.layer_squared_error == pytest.approx(total)
        assert total <= held.radius**2 * (1 + 1e-3) ** 2
        assert held.over <= 1e-3 * held.radius


def test_a_method_without_constraints_may_lie_over_the_half_line() -> None:
    layer = random_layer(12, 6, 60)
    result = Magnitude().at_sparsity(layer, 0.6)
    over = [neuron(layer, result, j, 0.2).constraints.over for j in range(6)]
    assert max(over) == pytest.approx(float((result.U.T @ layer.X)[layer.Y == 0].max()))
    assert max(over) > 0.1


def test_a_silent_neuron_that_stays_below_zero_is_over_nothing() -> None:
    layer = random_layer(6, 3, 20)
    W = layer.W.clone()
    W[-1, 1] = -100
    silent = LayerProblem(layer.X, (W.T @ layer.X).relu(), W, True)
    found = neuron(silent, LayerResult(W, True, {}), 1, 0.1)
    assert found.samples.on_count == 0
    assert max(found.samples.pruned) < -50
    assert (found.constraints.over, found.constraints.squared_error) == (0, 0)


def test_a_neurons_largest_weights_are_told_beside_the_trained_ones(problem: LayerProblem) -> None:
    layer = random_layer(40, 3, 90) if problem.groups == 1 else problem  # more than are told, and fewer
    result = Magnitude(refit=True).at_sparsity(layer, 0.4)
    for j in range(3):
        found = neuron(layer, result, j, 0.1).weights
        u, w = body_of(layer, result.U)[:, j].tolist(), layer.W[:, j].tolist()
        kept = [i for i in range(len(u)) if u[i] != 0]
        assert found.inputs == len(u)
        assert found.count == len(kept)
        assert found.largest == [(i, u[i], w[i]) for i in sorted(kept, key=lambda i: -abs(u[i]))[:LARGEST]]
        assert found.bias == (float(result.U[-1, j]) if layer.bias else None)
        assert found.trained_bias == (w[-1] if layer.bias else None)


def test_a_neuron_of_a_later_group_says_where_its_inputs_begin() -> None:
    layer = grouped(3)
    told = [neuron(layer, Magnitude().at_sparsity(layer, 0.5), j, 0.1) for j in range(6)]
    assert [found.group for found in told] == [0, 0, 1, 1, 2, 2]
    assert [found.first_input for found in told] == [0, 0, 5, 5, 10, 10]


def test_the_parts_of_the_certificate_are_the_neurons() -> None:
    layer = random_layer(12, 6, 60)
    result = NetTrim(epsilon=0.2).prune(layer)
    parts = [neuron(layer, result, j, 0.2).optimality for j in range(6)]
    assert sum(part.gap for part in parts if part) == pytest.approx(result.stats["gap"], abs=1e-9)
    assert [part.excess for part in parts if part] == result.neurons["excess"].tolist()
    assert [part.violation for part in parts if part] == result.neurons["violation"].tolist()
    assert neuron(layer, ExactOBS().prune(layer), 0, 0.1).optimality is None


def test_many_samples_are_thinned_evenly_and_counted_whole() -> None:
    layer = random_layer(8, 2, 4_700)
    found = neuron(layer, Magnitude().at_sparsity(layer, 0.5), 1, 0.1).samples
    assert found.count == 4_700
    assert found.on_count == int((layer.Y[1] > 0).sum())
    assert len(found.shown) == MOST_SAMPLES
    assert (found.shown[0], found.shown[-1]) == (0, 4_699)
    assert {b - a for a, b in pairwise(found.shown)} == {2, 3}
    torch.testing.assert_close(torch.tensor(found.trained, dtype=F64), (layer.W.T @ layer.X)[1, found.shown])
    assert found.on == (layer.Y[1, found.shown] > 0).tolist()


def test_a_silent_layer_has_a_tube_of_no_width() -> None:
    layer = random_layer(6, 3, 20)
    silent = dataclasses.replace(layer, Y=torch.zeros_like(layer.Y))
    held = neuron(silent, LayerResult(layer.W, True, {}), 0, 0.1).constraints
    assert (held.radius, held.half_width, held.squared_error) == (0, 0, 0)


def test_all_of_it_goes_into_json(problem: LayerProblem) -> None:
    result = NetTrim(epsilon=0.2).prune(problem)
    told = [weights(problem, result.U), neuron(problem, result, 0, 0.2), *convergence(problem, 0.2, 1e-2)]
    for found in told:
        data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert set(data) == {f.name for f in dataclasses.fields(found)}
    assert json.dumps(told[1].to_dict()["samples"]["pruned"][0])[0] in "-0123456789"


@pytest.mark.parametrize("j", [-1, 6, 100])
def test_a_neuron_that_is_not_there_is_named(j: int) -> None:
    layer = PROBLEMS["groups and shift"]
    with pytest.raises(ValueError, match=rf"neuron = {j} is out of range: 0 <= neuron < 6"):
        neuron(layer, LayerResult(layer.W, True, {}), j, 0.1)


@pytest.mark.parametrize("epsilon", [-0.1, math.nan, math.inf])
def test_an_epsilon_that_is_none_is_named(epsilon: float) -> None:
    layer = PROBLEMS["relu"]
    with pytest.raises(ValueError, match=r"epsilon = .* is out of range: 0 <= epsilon < inf"):
        neuron(layer, LayerResult(layer.W, True, {}), 0, epsilon)


def test_weights_of_another_shape_are_refused() -> None:
    layer = PROBLEMS["relu"]
    for ask in (weights, lambda p, U: neuron(p, LayerResult(U, True, {}), 0, 0.1)):
        with pytest.raises(ValueError, match=r"U has the shape \(6, 12\) .* \(12, 6\)"):
            ask(layer, layer.W.T)


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-5])
def test_the_last_iterate_is_the_first_that_is_certified(problem: LayerProblem, tol: float) -> None:
    *before, last = convergence(problem, 0.2, tol)
    assert last.certified
    assert max(last.gap, last.violation) <= tol
    for found in before:
        assert not found.certified
        assert max(found.gap, found.violation) > tol
    told = [*before, last]
    assert all(a.iteration < b.iteration and a.seconds <= b.seconds for a, b in pairwise(told))
    assert last.iteration > 0
    assert told[0].seconds > 0


def test_an_iterate_says_what_the_certificate_of_its_own_weights_says(problem: LayerProblem) -> None:
    """The zeros and the violation measured again from the weights, on all samples of the problem."""
    method = NetTrim(epsilon=0.2, tol=1e-5)
    target = response_set(problem, 0.2)
    seen = torch.stack([block.alive for block in problem.blocks]).any(0)
    told, found = convergence(problem, 0.2, 1e-5), list(method.iterates(problem))
    assert len(told) == len(found)
    exact = method.prune(problem).stats
    for iterate, solution in zip(told, found, strict=True):
        U = torch.zeros_like(problem.W)
        U[seen] = solution.U
        assert iterate.iteration == solution.iterations
        assert iterate.zeros == pytest.approx(sparsity(U))
        violation = target.violation(problem.response(U))
        assert iterate.violation == pytest.approx(violation, rel=1e-6, abs=1e-9)
        assert solution.certificate.bound <= exact["objective"] * (1 + 1e-5)
    assert found[-1].certificate.objective == pytest.approx(exact["objective"], rel=1e-4)


@pytest.mark.parametrize("tol", [1e-2, 1e-3])
def test_where_net_trim_has_this_engine_only_it_ends_at_its_own_certificate(tol: float) -> None:
    g = torch.Generator().manual_seed(0)
    X = Patches([torch.randn(6, 3, 6, 6, generator=g)], (3, 3), ones=1.0)
    W = torch.randn(28, 4, generator=g)
    blank = LayerProblem(X, torch.ones(4, 96), W, True)
    layer = dataclasses.replace(blank, Y=blank.response(W).relu().float())
    result = NetTrim(epsilon=0.2, tol=tol).prune(layer)
    last = convergence(layer, 0.2, tol)[-1]
    stats = result.stats
    assert (last.iteration, last.gap, last.violation) == (stats["iterations"], stats["gap"], stats["violation"])
    assert last.zeros == pytest.approx(sparsity(result.U))


@pytest.mark.parametrize("most", [20, 120, 4000])
def test_a_solution_is_the_best_of_its_iterates_and_the_next_starts_from_it(most: int) -> None:
    layer = random_layer(20, 6, 90)
    one, other = (ADMM(layer.X, layer.W, F64) for _ in range(2))
    last_is_best = []
    for epsilon in (0.5, 0.05):
        solved = one.solve(response_set(layer, epsilon), 1e-6, most)
        found = list(other.iterates(response_set(layer, epsilon), 1e-6, most))
        best = min(found, key=lambda solution: solution.certificate.worst)
        last_is_best.append(best is found[-1])
        assert solved.converged == (most == 4000)
        assert torch.equal(solved.U, best.U)
        assert torch.equal(solved.L, best.L)
        assert solved.iterations == found[-1].iterations <= most
        assert [len(engine.kept) for engine in (one, other)] == [1 + (epsilon == 0.05)] * 2
    assert all(last_is_best) == (most != 120)


def test_a_layer_that_needs_no_engine_has_one_iterate() -> None:
    layer = random_layer(6, 3, 30)
    (only,) = convergence(dataclasses.replace(layer, Y=torch.zeros_like(layer.Y)), 0.1, 1e-3)
    assert (only.iteration, only.gap, only.violation, only.zeros, only.certified) == (0, 0, 0, 1, True)


def test_dead_inputs_count_among_the_zeros() -> None:
    """The engine never sees them, and their weights are zero all the same."""
    layer = random_layer(12, 4, 60, dead=3)
    assert 3 / 12 <= convergence(layer, 0.01, 1e-3)[-1].zeros < 3 / 12 + 0.5
    without = LayerProblem(layer.X[3:], layer.Y, layer.W[3:], True)
    kept = [(1 - found.zeros) * size for found, size in
            ((convergence(layer, 0.01, 1e-3)[-1], 48), (convergence(without, 0.01, 1e-3)[-1], 36))]  # fmt: skip
    assert kept[0] == pytest.approx(kept[1])


def test_too_few_iterations_end_without_a_certificate() -> None:
    found = convergence(random_layer(20, 6, 90), 0.05, 1e-6, most=70)
    assert [iterate.iteration for iterate in found] == [20, 40, 60]
    assert not any(iterate.certified for iterate in found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((0.0, 1e-3), r"epsilon = 0.0 is out of range: 0 < epsilon < 1"),
        ((1.0, 1e-3), r"epsilon = 1.0 is out of range"),
        ((0.1, 0.5), r"tol = 0.5 is out of range"),
        ((0.1, 1e-3, 19), r"most = 19 is out of range: 20 <= most"),
    ],
)
def test_what_convergence_refuses(arguments: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        convergence(PROBLEMS["relu"], *arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", list(METHODS))
def test_every_methods_result_can_be_looked_at(name: str) -> None:
    layer = PROBLEMS["groups and shift"]
    result = METHODS[name].at_sparsity(layer, 0.5)
    epsilon = result.stats["epsilon"]
    assert weights(layer, result.U).pruned.zeros <= int((result.U == 0).sum())
    held = neuron(layer, result, 5, epsilon).constraints
    assert held.radius == pytest.approx(result.stats["radius"])


@pytest.mark.parametrize("groups", [1, 2])
def test_images_are_looked_at_as_their_columns_are(groups: int) -> None:
    g = torch.Generator().manual_seed(0)
    X = Patches([torch.randn(4, 4, 5, 5, generator=g, dtype=F64)], (3, 3), groups=groups, ones=1.0)
    X.images[0][:, 1] = 0
    W = torch.randn(36 // groups + 1, 4, generator=g, dtype=F64)
    blank = LayerProblem(X, torch.ones(4, 36, dtype=F64), W, True, groups=groups)
    images = dataclasses.replace(blank, Y=blank.activate(blank.response(W)))
    columns = dataclasses.replace(
        images,
        X=torch.cat(
            [block[:-1] for block in torch.cat([*X.batches(F64)], -1).reshape(groups, -1, 36)] + [torch.ones(1, 36)]
        ),
    )
    result = Magnitude().at_sparsity(columns, 0.5)
    assert weights(images, result.U) == weights(columns, result.U)
    assert weights(images, result.U).trained.dead_inputs == list(range(9, 18))
    for j in (0, 3):
        one, other = (neuron(p, result, j, 0.1) for p in (images, columns))
        assert one.samples.pruned == pytest.approx(other.samples.pruned)
        assert one.constraints.squared_error == pytest.approx(other.constraints.squared_error)
        steps, others = (removals(p, j, 1e-3) for p in (images, columns))
        assert [step.index for step in steps] == [step.index for step in others]
