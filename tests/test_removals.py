"""Single removals against brute force, the published recursion, and the methods they explain."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from nettrim_core import LOBS, ExactOBS, LayerProblem
from nettrim_core.greedy import greedy_trace
from nettrim_core.refit import LeastSquares
from nettrim_core.removals import LARGEST, Removal, removals
from tests.conftest import random_layer
from tests.test_cascade_target import cascaded
from tests.test_groups import grouped
from tests.test_obs import hessian, least_squares, loss

F64 = torch.float64
DAMPING = 1e-6
EVERYTHING = 10**6

PROBLEMS = {
    "relu": random_layer(9, 4, 40),
    "linear, no bias": random_layer(9, 4, 40, relu=False, bias=False, seed=1),
    "dead inputs": random_layer(9, 4, 40, dead=3),
    "groups and shift": grouped(2),
    "groups, no bias": grouped(3, bias=False),
    "cascade": cascaded(),
}


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> LayerProblem:
    return PROBLEMS[request.param]


@pytest.fixture
def all_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["nettrim_core.removals"], "LARGEST", EVERYTHING)  # the package has the function


def inputs_of(problem: LayerProblem, j: int) -> Tensor:
    """The rows of X that a neuron sees."""
    body = len(problem.W) - problem.bias
    start = j // (len(problem.Y) // problem.groups) * body
    rows = [*range(start, start + body)] + [len(problem.X) - 1] * problem.bias
    return problem.X[rows]


def quadratic(problem: LayerProblem, j: int) -> tuple[Tensor, Tensor]:
    """(H, w): what the error of neuron j is, (u - w)' H (u - w), written out."""
    X, w = inputs_of(problem, j), problem.W[:, j]
    H = X @ X.T / X.shape[1] + DAMPING * torch.eye(len(X), dtype=F64)
    if problem.responses is not None:
        w = torch.linalg.solve(H, X @ problem.responses[j] / X.shape[1] + DAMPING * w)
    return H, w


def live_rows(problem: LayerProblem, j: int) -> list[int]:
    return [i for i, row in enumerate(inputs_of(problem, j)) if bool(row.any())]


def replayed(steps: list[Removal], w: Tensor) -> list[Tensor]:
    """The weights after each step, from nothing but what the steps say."""
    found, w = [], w.clone()
    for step in steps:
        assert float(w[step.index]) == pytest.approx(step.weight, rel=1e-8, abs=1e-10)
        w[step.index] = 0
        for index, change in step.changes:
            w[index] += change
        found.append(w.clone())
    return found


def test_exact_steps_are_the_best_single_removals(problem: LayerProblem, all_changes: None) -> None:
    for j in range(4):
        H, w = quadratic(problem, j)
        keep, error = live_rows(problem, j), 0.0
        dead = [i for i in range(len(w)) if i not in keep]
        steps = removals(problem, j, DAMPING, most=EVERYTHING)
        assert len(steps) == len(keep)
        for step, u in zip(steps, replayed(steps, w), strict=True):
            tried = {q: loss(H, least_squares(H, w, [k for k in keep + dead if k != q]), w) for q in keep}
            best = min(tried, key=lambda q: tried[q])
            assert step.index == best
            assert step.measured == pytest.approx(tried[best] - error, rel=1e-6, abs=1e-10)
            assert step.predicted == pytest.approx(step.measured, rel=1e-6, abs=1e-10)
            assert step.error == pytest.approx(tried[best], rel=1e-6, abs=1e-10)
            keep.remove(best)
            error = tried[best]
            torch.testing.assert_close(u, least_squares(H, w, keep + dead), rtol=1e-6, atol=1e-8)


def test_exact_steps_are_the_trace_of_exact_obs(problem: LayerProblem) -> None:
    levels: Any = ExactOBS(damping=DAMPING).rank(problem)
    for j in range(4):
        rows = live_rows(problem, j)
        order = [q for q in levels.turns[:, j].argsort().tolist() if q in rows]
        steps = removals(problem, j, DAMPING, most=EVERYTHING)
        assert [step.index for step in steps] == order
        fit = LeastSquares(problem.neuron(j), DAMPING)
        trace, losses = greedy_trace(fit.inverse(), fit.W[fit.alive])
        assert [rows[q] for q in trace[:, 0].tolist()] == order
        assert [step.predicted for step in steps] == pytest.approx(losses[:, 0].tolist(), rel=1e-7, abs=1e-12)


def test_the_inverse_of_an_exact_step_is_that_of_what_is_left() -> None:
    layer = random_layer(9, 4, 40)
    H, keep = hessian(layer, DAMPING), list(range(9))
    for step in removals(layer, 2, DAMPING, most=9):
        place = keep.index(step.index)
        inverse = torch.linalg.inv(H[keep][:, keep])
        assert step.inverse == pytest.approx(float(inverse[place, place]), rel=1e-7)
        keep.remove(step.index)


def test_classic_steps_are_the_published_recursion(problem: LayerProblem, all_changes: None) -> None:
    for j in range(4):
        H, start = quadratic(problem, j)
        rows = live_rows(problem, j)
        inverse = torch.linalg.inv(H[rows][:, rows])
        w, before, gone = start[rows].clone(), 0.0, []
        saliency = w.square() / (2 * inverse.diagonal())
        steps = removals(problem, j, DAMPING, exact=False, most=EVERYTHING)
        assert [step.index for step in steps] == [rows[q] for q in saliency.argsort().tolist()]
        for step in steps:
            q = rows.index(step.index)
            assert step.weight == pytest.approx(float(w[q]), rel=1e-7, abs=1e-9)
            assert step.inverse == pytest.approx(float(inverse[q, q]), rel=1e-7)
            assert step.predicted == pytest.approx(float(w[q] ** 2 / inverse[q, q]), rel=1e-6, abs=1e-12)
            w -= w[q] / inverse[q, q] * inverse[:, q]
            gone.append(q)
            w[gone] = 0
            error = loss(H[rows][:, rows], w, start[rows])
            assert step.error == pytest.approx(error, rel=1e-6, abs=1e-12)
            assert step.measured == pytest.approx(error - before, rel=1e-6, abs=1e-9)
            before = error


@pytest.mark.parametrize("exact", [True, False])
def test_the_weights_in_the_end_are_those_of_the_method(problem: LayerProblem, exact: bool, all_changes: None) -> None:
    method = ExactOBS(damping=DAMPING) if exact else LOBS(damping=DAMPING)
    for j in (0, 3):
        alone, (_, w), rows = problem.neuron(j), quadratic(problem, j), live_rows(problem, j)
        dead = len(w) - len(rows)
        w[[i for i in range(len(w)) if i not in rows]] = 0  # which the methods remove first
        steps = removals(problem, j, DAMPING, exact, EVERYTHING)
        for count, u in enumerate(replayed(steps, w), 1):
            U = method.at_sparsity(alone, (dead + count) / len(w)).U
            torch.testing.assert_close(u, U[:, 0], rtol=1e-6, atol=1e-8)


def test_classic_mispredicts_after_its_first_step_and_exact_never() -> None:
    layer = random_layer(12, 3, 20)
    first, *later = removals(layer, 0, DAMPING, exact=False, most=11)
    assert first.predicted == pytest.approx(first.measured, rel=1e-6)
    assert max(abs(step.predicted / step.measured - 1) for step in later) > 0.1
    exact = removals(layer, 0, DAMPING, most=11)
    assert first.index == exact[0].index
    assert max(abs(step.predicted / step.measured - 1) for step in exact) < 1e-6
    assert exact[-1].error < later[-1].error


def test_the_error_is_the_mean_squared_change_of_the_preactivation(all_changes: None) -> None:
    layer = random_layer(9, 4, 40, relu=False)
    for exact in (True, False):
        steps = removals(layer, 1, 0.0, exact, 6)
        for step, u in zip(steps, replayed(steps, layer.W[:, 1]), strict=True):
            assert step.error == pytest.approx(float(((u - layer.W[:, 1]) @ layer.X).square().mean()), rel=1e-8)
        assert sum(step.measured for step in steps) == pytest.approx(steps[-1].error)


def test_the_largest_changes_come_first_and_are_of_weights_that_are_left(problem: LayerProblem) -> None:
    for exact in (True, False):
        gone = set()
        for number, step in enumerate(removals(problem, 0, DAMPING, exact, EVERYTHING), 1):
            gone.add(step.index)
            assert step.step == number
            sizes = [abs(change) for _, change in step.changes]
            assert sizes == sorted(sizes, reverse=True)
            assert not gone & {index for index, _ in step.changes}
            assert len(step.changes) == min(LARGEST, len(live_rows(problem, 0)) - number)


def test_the_sentence_is_the_arithmetic_of_the_saliency(problem: LayerProblem) -> None:
    shape = re.compile(
        r"w_(\d+)( \(the bias\))? = (\S+), \[H\^-1\]_(\d+),(\d+) = (\S+): saliency \(?([^\s)]+)\)?\^2 / "
        r"\(2 x (\S+)\) = (\S+)"
    )
    for exact in (True, False):
        for step in removals(problem, 1, DAMPING, exact, EVERYTHING):
            told = shape.fullmatch(step.sentence)
            assert told is not None, step.sentence
            assert {int(told[1]), int(told[4]), int(told[5])} == {step.index}
            assert step.bias == (told[2] is not None) == (problem.bias and step.index == len(problem.W) - 1)
            assert told[3] == told[7]
            assert told[6] == told[8]
            assert ("(-" in step.sentence) == (step.weight < 0)
            assert step.saliency == pytest.approx(step.weight**2 / (2 * step.inverse))
            assert step.predicted == pytest.approx(2 * step.saliency)
            assert float(told[9]) == pytest.approx(float(told[3]) ** 2 / (2 * float(told[6])), rel=1e-2)
            assert json.loads(json.dumps(step.to_dict(), allow_nan=False))["sentence"] == step.sentence


def test_inputs_that_are_always_zero_are_no_steps() -> None:
    layer = random_layer(9, 4, 40, dead=3)
    alive = LayerProblem(layer.X[3:], layer.Y, layer.W[3:], True)
    for exact in (True, False):
        steps, others = (removals(p, 0, DAMPING, exact, EVERYTHING) for p in (layer, alive))
        assert [step.index for step in steps] == [step.index + 3 for step in others]
        assert [step.error for step in steps] == pytest.approx([step.error for step in others])
        blind = dataclasses.replace(layer, X=torch.zeros_like(layer.X), bias=False)
        assert removals(blind, 0, DAMPING, exact) == []


def test_most_stops_early_and_changes_nothing_before() -> None:
    layer = random_layer(9, 4, 40)
    for exact in (True, False):
        whole = removals(layer, 0, DAMPING, exact, 9)
        for most in (1, 4):
            assert removals(layer, 0, DAMPING, exact, most) == whole[:most]


def test_single_precision_weights_are_taken_in_double() -> None:
    layer = random_layer(9, 4, 40)
    single = dataclasses.replace(layer, X=layer.X.float(), Y=layer.Y.float(), W=layer.W.float())
    for step in removals(single, 0, DAMPING, most=9):
        assert step.predicted == pytest.approx(step.measured, rel=1e-6)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"neuron": -1}, r"neuron = -1 is out of range: 0 <= neuron < 4"),
        ({"neuron": 4}, r"neuron = 4 is out of range: 0 <= neuron < 4"),
        ({"damping": -1.0}, r"damping = -1.0 is out of range: 0 <= damping <= 1000"),
        ({"damping": math.nan}, r"damping = nan is out of range"),
        ({"most": 0}, r"most = 0 is out of range: 1 <= most"),
    ],
)
def test_what_is_refused(arguments: dict[str, float], says: str, exact: bool) -> None:
    given = {"neuron": 0, "damping": DAMPING, "most": 3} | arguments
    with pytest.raises(ValueError, match=says):
        removals(random_layer(9, 4, 40), exact=exact, **given)  # type: ignore[arg-type]


def test_a_singular_hessian_names_the_damping_that_would_do() -> None:
    layer = random_layer(12, 4, 5, bias=False)  # fewer samples than inputs
    for exact in (True, False):
        with pytest.raises(ValueError, match=r"damping = 0 .*use a damping of at least about"):
            removals(layer, 0, 0.0, exact)


def test_an_inverse_that_rounding_has_used_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LeastSquares, "inverse", lambda fit: torch.zeros_like(fit.H))
    with pytest.raises(ValueError, match="rounding has used up the inverse"):
        removals(random_layer(9, 4, 40), 0, DAMPING, exact=False)
