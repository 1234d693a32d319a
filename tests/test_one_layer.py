"""One layer of a network by itself: as the whole network's pruning has it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nettrim_core import (
    METHODS,
    Cascade,
    ExactOBS,
    LayerProblem,
    LayerResult,
    Magnitude,
    NetTrim,
    conditioning,
    example_samples,
    layer_problem,
    outliers,
    prune,
    prune_layer,
    response_sum,
)
from nettrim_core.patches import Patches
from nettrim_core.sums import LARGEST
from tests.conftest import random_layer, small_cnn, small_mlp
from tests.test_groups import grouped

F64 = torch.float64


def test_a_layers_problem_is_made_of_the_networks_signals(inputs: Tensor) -> None:
    model = small_mlp()
    problem = layer_problem(model, inputs, "fc2")
    with torch.no_grad():
        before = model[:2](inputs)
        after = model[:4](inputs)
    torch.testing.assert_close(problem.X, torch.cat([before.T, torch.ones(1, len(inputs))]))
    torch.testing.assert_close(problem.Y, after.T)
    torch.testing.assert_close(problem.W[:-1], model.fc2.weight.T)  # type: ignore[union-attr]
    assert problem.relu


def test_a_convolutions_samples_are_patches_as_many_as_are_asked_for(images: Tensor) -> None:
    problem = layer_problem(small_cnn(), images, "conv1", max_patches=70, seed=3)
    assert problem.X.shape == (2 * 9 + 1, 70)
    other = layer_problem(small_cnn(), images, "conv1", max_patches=70, seed=4)
    assert not torch.equal(problem.Y, other.Y)


@pytest.mark.parametrize("cascade", [False, True, Cascade(gamma=1.5)], ids=str)
@pytest.mark.parametrize("name", ["nettrim", "exactobs", "magnitude_global"])
def test_a_pruned_layer_is_that_of_the_pruned_network(inputs: Tensor, name: str, cascade: bool | Cascade) -> None:
    model, method, scale = small_mlp(), METHODS[name], {"fc1": 2.0}
    pruned, _ = prune(model, inputs, method, ["fc1", "fc2"], cascade, scale=scale)
    for layer in ("fc1", "fc2"):
        problem, result = prune_layer(model, inputs, method, layer, ["fc1", "fc2"], cascade, scale=scale)
        weight = pruned.get_parameter(f"{layer}.weight").detach()
        torch.testing.assert_close(result.U[:-1].T, weight)
        assert problem.pruned_inputs == (layer == "fc2" and bool(cascade))


def test_a_layer_that_is_not_pruned_is_named(inputs: Tensor) -> None:
    with pytest.raises(ValueError, match="no layer 'fc3' among those to prune: fc1, fc2"):
        prune_layer(small_mlp(), inputs, "lobs", "fc3", ["fc1", "fc2"])
    with pytest.raises(ValueError, match="there is no module 'fc9'"):
        layer_problem(small_mlp(), inputs, "fc9")


# sums


SUMS = {"many": random_layer(12, 5, 40), "few, no bias": random_layer(5, 3, 20, bias=False), "groups": grouped(3)}


@pytest.mark.parametrize("layer", SUMS.values(), ids=SUMS)
def test_a_sum_adds_up(layer: LayerProblem) -> None:
    U = Magnitude().at_sparsity(layer, 0.5).U
    for j in range(len(layer.Y)):
        for sample in (0, layer.X.shape[1] - 1):
            told = response_sum(layer, U, j, sample)
            trained, pruned = (layer.response(weights)[j, sample] for weights in (layer.W, U))
            shift = float(layer.constant[j])
            assert told.before == pytest.approx(float(trained) + shift)
            assert told.after == pytest.approx(float(pruned) + shift)
            parts = [sum(t.w * t.x for t in told.largest), sum(t.u * t.x for t in told.largest)]
            biases = told.bias or (0.0, 0.0)
            assert parts[0] + told.others_before + biases[0] + told.shift == pytest.approx(told.before)
            assert parts[1] + told.others_after + biases[1] + told.shift == pytest.approx(told.after)
            sizes = [max(abs(t.w * t.x), abs(t.u * t.x)) for t in told.largest]
            assert sizes == sorted(sizes, reverse=True)
            alone = layer.neuron(j)
            terms = int((alone.X[: len(U) - layer.bias, sample] != 0).sum())  # type: ignore[index]
            assert len(sizes) + told.others == terms
            assert len(sizes) == min(LARGEST, terms)


def test_terms_without_an_input_are_none() -> None:
    layer = random_layer(12, 3, 30, dead=8)
    told = response_sum(layer, layer.W, 1, 5)
    assert sorted(term.row for term in told.largest) == [8, 9, 10]
    assert told.others == 0


def test_a_sum_of_images_is_that_of_their_columns() -> None:
    g = torch.Generator().manual_seed(0)
    X = Patches([torch.randn(3, 2, 5, 5, generator=g, dtype=F64), torch.randn(2, 2, 5, 5, generator=g, dtype=F64)],
                (3, 3), ones=1.0)  # fmt: skip
    W = torch.randn(19, 4, generator=g, dtype=F64)
    layer = LayerProblem(X, torch.ones(4, 45, dtype=F64), W, False)
    for sample in (0, 26, 27, 44):  # the ends of either call
        assert response_sum(layer, W, 2, sample).before == pytest.approx(float(layer.response(W)[2, sample]))


@pytest.mark.parametrize("sample", [-1, 40])
def test_a_sample_that_is_not_there_is_named(sample: int) -> None:
    layer = random_layer(12, 5, 40)
    with pytest.raises(ValueError, match=rf"sample = {sample} is out of range: 0 <= sample < 40"):
        response_sum(layer, layer.W, 0, sample)


def test_examples_are_what_they_are_called() -> None:
    layer = random_layer(12, 5, 41)
    U = Magnitude().at_sparsity(layer, 0.5).U
    for j in range(5):
        found = example_samples(layer, U, j)
        trained, pruned = layer.response(layer.W)[j], layer.response(U)[j]
        output = (pruned.relu() - trained.relu()).abs()
        assert output[found["changed most"]] == output.max()
        assert trained[found["strongest"]] == trained.max()
        change = (pruned - trained).abs()
        assert int((change < change[found["typical"]]).sum()) == 20


# outliers


def test_the_neuron_that_changed_most_and_the_one_with_fewest_weights_are_found() -> None:
    layer = random_layer(12, 5, 60)
    U = layer.W.clone()
    U[:9, 2] = 0
    U[-1, 2] = 0
    U[:-1, 4] *= 1.5
    found = outliers(layer, LayerResult(U, True, {}))
    change = [float(((U[:, j] @ layer.X).relu() - layer.Y[j]).square().sum()) for j in range(5)]
    best = int(np.argmax(change))
    assert found.changed == (best, pytest.approx(change[best] / sum(change)))
    assert best in (2, 4)
    assert found.sparsest == (2, 2)
    assert found.gap is None
    assert found.violation is None
    assert outliers(layer, LayerResult(layer.W, True, {})).changed[1] == 0


def test_the_neuron_furthest_from_its_certificate_is_found() -> None:
    layer = random_layer(12, 5, 60)
    told = {"gap": torch.tensor([0.0, 1e-4, 3e-4, 0.0, 0.0]), "violation": torch.tensor([0.0, 0.0, 0.0, 0.2, 0.1])}
    found = outliers(layer, LayerResult(layer.W, False, {}, told))
    assert found.gap == (2, pytest.approx(3e-4))
    assert found.violation == (3, pytest.approx(0.2))
    assert outliers(layer, NetTrim(epsilon=0.2).prune(layer)).gap is not None


# conditioning


def test_the_condition_is_that_of_the_matrix() -> None:
    layer = random_layer(8, 3, 60, dead=2)
    found = conditioning(layer, 1, 0.5)
    X = layer.X[2:].numpy()
    H = X @ X.T / 60
    assert (found.live, found.dead) == (6, 2)
    assert found.condition == pytest.approx(np.linalg.cond(H + 0.5 * np.eye(6)))
    assert (found.smallest, found.largest) == pytest.approx((np.linalg.eigvalsh(H)[0], np.linalg.eigvalsh(H)[-1]))
    assert not found.singular


@pytest.mark.parametrize("singular", ["few samples", "a sum of others"])
def test_a_singular_hessian_is_told(singular: str) -> None:
    layer = random_layer(20, 3, 12) if singular == "few samples" else random_layer(20, 3, 60)
    if singular != "few samples":
        X = layer.X.clone()
        X[3] = X[1] + X[2]
        layer = LayerProblem(X, (layer.W.T @ X).relu(), layer.W, True)
    found = conditioning(layer, 0, 1e-6)
    assert found.singular
    assert 1e3 < found.condition < 1e9
    assert ExactOBS(damping=1e-6).prune(layer).converged
    undamped = conditioning(layer, 0, 0.0)
    assert undamped.condition > 1e12 or math.isinf(undamped.condition)


def test_inputs_of_a_neurons_own_group_count() -> None:
    layer = grouped(3)  # the second input of the first group is zero on every sample
    assert [conditioning(layer, j, 1e-6).dead for j in (0, 2, 4)] == [1, 0, 0]


def test_a_negative_damping_is_refused() -> None:
    with pytest.raises(ValueError, match=r"damping = -1.0 is out of range: 0 <= damping"):
        conditioning(random_layer(), 0, -1.0)
    with pytest.raises(ValueError, match="neuron = 9 is out of range"):
        conditioning(random_layer(), 9, 0.0)
