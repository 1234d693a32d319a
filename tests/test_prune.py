"""Pruning whole networks: theorems as tests, and what the report says against what can be measured outside."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nettrim_core import LOBS, METHODS, Cascade, Magnitude, NetTrim, Report, prune, sweep
from nettrim_core.layers import weights_of
from nettrim_core.network import Network
from nettrim_core.report import wilson
from tests.conftest import small_cnn, small_mlp


def outputs_after_each(model: nn.Sequential, x: Tensor) -> dict[str, Tensor]:
    signals, names = {}, list(model._modules)
    for i, (name, module) in enumerate(model.named_children()):
        x = module(x).detach()
        follows = model[i + 1] if i + 1 < len(names) else None
        signals[name] = x.relu() if isinstance(follows, nn.ReLU) else x
    return signals


@pytest.mark.parametrize("cascade", [False, True, Cascade(gamma=1.5, kappa=0.9)], ids=str)
@pytest.mark.parametrize("name", list(METHODS))
def test_the_bound_holds_and_the_error_is_what_is_measured(name: str, cascade: bool | Cascade, inputs: Tensor) -> None:
    model = small_mlp()
    for _, _, pruned, report in sweep(model, inputs, [name], [0.3, 0.05], cascade=cascade):
        dense, after = outputs_after_each(model, inputs), outputs_after_each(pruned, inputs)
        for layer in report.layers:
            error = float((after[layer.name] - dense[layer.name]).norm())
            assert layer.error == pytest.approx(error, rel=1e-5, abs=1e-6)
            assert layer.output_norm == pytest.approx(float(dense[layer.name].norm()), rel=1e-5)
            assert layer.bound is not None
            assert error <= layer.bound * (1 + 1e-5)
            assert not layer.bound_is_estimate


@pytest.mark.parametrize("cascade", [False, True])
@pytest.mark.parametrize("name", ["nettrim", "exactobs"])
def test_the_bound_holds_through_convolution_and_pooling(name: str, cascade: bool, images: Tensor) -> None:
    _, report = prune(small_cnn(), images, name, cascade=cascade)
    assert [layer.kind for layer in report.layers] == ["Conv2d", "Conv2d", "Linear"]
    for layer in report.layers:
        assert layer.bound is not None
        assert 0 < layer.error <= layer.bound * (1 + 1e-5)


def test_theorem_1_for_a_link_normalised_network(inputs: Tensor) -> None:
    """Paper 1, Theorem 1: with every ||W_l||_1 = 1 the error of the output is at most the sum of the radii."""
    model = small_mlp()
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
            with torch.no_grad():
                module.weight /= module.weight.abs().sum()
    pruned, report = prune(model, inputs, NetTrim(epsilon=0.1, tol=1e-5))
    error = float((pruned(inputs) - model(inputs)).detach().norm())
    assert error <= sum(layer.radius for layer in report.layers) * (1 + 1e-4)


@pytest.mark.parametrize("name", ["lobs", "exactobs", "magnitude"])
def test_the_bound_is_within_theorem_3_2_of_the_l_obs_paper(name: str, inputs: Tensor) -> None:
    """||dZ_L|| <= sum_k ||dZ_k|| prod_(l > k) ||U_l||_F, dZ_k the response error of layer k alone, on dense signals."""
    model = small_mlp()
    network = Network(model, inputs)
    shares = dict.fromkeys(("fc1", "fc2", "fc3"), 0.5)
    pruned, report = network.at(METHODS[name], shares)
    theorem = 0.0
    for target, layer in zip(network.selected, report.layers, strict=True):
        problem, U = network.problem(target), weights_of(target.layer(pruned))
        alone = float((problem.response(U) - problem.response(problem.W)).norm())
        theorem = alone + float(target.layer(pruned).weight.detach().norm()) * theorem
        assert layer.bound is not None
        assert layer.error <= layer.bound <= theorem * (1 + 1e-5)


def test_parallel_layers_are_held_to_epsilon_and_counted(inputs: Tensor) -> None:
    model = small_mlp()
    pruned, report = prune(model, inputs, NetTrim(epsilon=0.2))
    weights = zeros = 0
    for layer in report.layers:
        weight, bias = pruned.get_submodule(layer.name).weight, pruned.get_submodule(layer.name).bias
        assert layer.weight_zeros == int((weight == 0).sum())
        assert layer.bias_zeros == int((bias == 0).sum())
        assert (layer.weights, layer.biases) == (weight.numel(), bias.numel())
        assert layer.sparsity == layer.weight_zeros / layer.weights
        assert layer.discrepancy <= 0.2 * (1 + 1e-3)
        assert layer.epsilon == pytest.approx(0.2)
        assert layer.gap is not None
        assert layer.gap <= 1e-3
        weights, zeros = weights + weight.numel(), zeros + int((weight == 0).sum())
    assert report.sparsity == zeros / weights
    assert report.network_sparsity == report.sparsity
    expected = ((pruned(inputs) - model(inputs)).norm() / model(inputs).norm()).detach()
    assert report.output_error == pytest.approx(float(expected), rel=1e-5)


def test_only_the_chosen_layers_change(inputs: Tensor) -> None:
    model = small_mlp()
    pruned, report = prune(model, inputs, "magnitude", layers=["fc2"])
    assert [layer.name for layer in report.layers] == ["fc2"]
    for key, value in model.state_dict().items():
        assert torch.equal(pruned.state_dict()[key], value) == (not key.startswith("fc2"))
    assert report.network_weights == 10 * 20 + 20 * 15 + 15 * 4
    assert report.network_zeros == report.layers[0].weight_zeros


def test_a_cascade_prunes_on_pruned_signals(inputs: Tensor) -> None:
    model = small_mlp()
    pruned, report = prune(model, inputs, LOBS(epsilon=0.2), cascade=True)
    first = outputs_after_each(pruned, inputs)["fc1"]
    dense = outputs_after_each(model, inputs)
    response = (model.fc2(first)).detach()
    made = float(((response - dense["fc2"]) * (dense["fc2"] > 0)).norm())
    assert report.layers[1].radius == pytest.approx(1.1**0.5 * made, rel=1e-4)
    # in a cascade a layer's own discrepancy is the error in the network
    second = report.layers[1]
    assert second.discrepancy == pytest.approx(second.error / second.output_norm, rel=1e-4)


def test_kappa_tightens_the_output_layer_alone(inputs: Tensor) -> None:
    plain = prune(small_mlp(), inputs, "nettrim", cascade=True)[1]
    tight = prune(small_mlp(), inputs, "nettrim", cascade=Cascade(kappa=0.5))[1]
    assert tight.layers[1].radius == pytest.approx(plain.layers[1].radius)
    assert tight.layers[2].radius == pytest.approx(0.5 * plain.layers[2].radius)


@pytest.mark.parametrize("name", ["nettrim", "exactobs"])
def test_the_risk_of_a_linear_output_shrinks_its_bound(name: str, inputs: Tensor) -> None:
    """||Z^ - Z|| <= kappa sqrt(gamma) ||W||_2 D for an output within its radius, D bounding the error of its inputs."""
    model = small_mlp()
    for kappa in (1.0, 0.9):  # with 0.9 the trained weights are outside
        _, report = prune(model, inputs, name, cascade=Cascade(gamma=1.1, kappa=kappa))
        before, last = report.layers[-2:]
        assert last.converged
        assert last.bound is not None
        assert before.bound is not None
        norm = float(torch.linalg.matrix_norm(model.fc3.weight.detach(), 2))
        assert last.bound == pytest.approx(kappa * 1.1**0.5 * norm * before.bound, rel=2e-3)
        assert last.error <= last.bound


def test_the_given_model_is_never_touched(inputs: Tensor) -> None:
    model = small_mlp().train()
    before = copy.deepcopy(model.state_dict())
    pruned, _ = prune(model, inputs, "exactobs")
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert pruned is not model
    assert not any(module._forward_hooks for module in model.modules())


def test_accuracy_and_its_interval() -> None:
    model, x = small_mlp(), torch.randn(200, 10, generator=torch.Generator().manual_seed(2))
    labels = model(x).argmax(1)
    labels[:50] = (labels[:50] + 1) % 4
    pruned, report = prune(model, x, Magnitude(epsilon=0.3), test=(x, labels))
    assert report.accuracy_before == pytest.approx(0.75)
    assert report.accuracy == pytest.approx(float((pruned(x).argmax(1) == labels).double().mean()))
    assert report.accuracy_before_interval == wilson(0.75, 200)
    low, high = wilson(0.75, 200)
    assert (low, high) == pytest.approx((0.6857, 0.8048), abs=1e-3)
    # the defining equation of Wilson's interval
    for end in (low, high):
        assert abs(0.75 - end) == pytest.approx(1.959964 * (end * (1 - end) / 200) ** 0.5, rel=1e-5)


def test_reports_survive_json(inputs: Tensor) -> None:
    report = prune(small_mlp(), inputs, "nettrim", cascade=True)[1]
    again = Report.from_dict(json.loads(report.to_json()))
    assert again == report
    assert json.loads(report.to_json())["layers"][0]["sparsity"] == report.layers[0].sparsity


def test_sweep_yields_methods_by_epsilons_as_prune_gives_them(inputs: Tensor) -> None:
    model = small_mlp()
    results = list(sweep(model, inputs, ["lobs", Magnitude(refit=True)], [0.3, 0.1]))
    assert [(name, epsilon) for name, epsilon, _, _ in results] == [
        ("lobs", 0.3), ("lobs", 0.1), ("magnitude_refit", 0.3), ("magnitude_refit", 0.1),
    ]  # fmt: skip
    alone, _ = prune(model, inputs, LOBS(epsilon=0.1))
    for key, value in alone.state_dict().items():
        assert torch.equal(value, results[1][2].state_dict()[key])


def test_a_sweep_stops_when_it_is_no_longer_asked(inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    ranked: list[object] = []
    rank = LOBS.rank
    monkeypatch.setattr(LOBS, "rank", lambda self, problem: (ranked.append(problem), rank(self, problem))[1])
    results = sweep(small_mlp(), inputs, ["magnitude", "lobs"], [0.3, 0.1])
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert ranked == []


def test_patches_are_sampled_with_the_seed_and_the_bound_is_then_an_estimate(images: Tensor) -> None:
    first, second, other = (prune(small_cnn(), images, "lobs", max_patches=200, seed=seed) for seed in (1, 1, 2))
    layer = first[1].layers[0]
    assert (layer.columns, layer.columns_total) == (200, 40 * 100)
    assert layer.bound_is_estimate
    assert any("200 of 4000 patches" in note for note in layer.notes)
    assert torch.equal(first[0].conv1.weight, second[0].conv1.weight)
    assert not torch.equal(first[0].conv1.weight, other[0].conv1.weight)


def test_what_is_skipped_is_listed_and_what_is_odd_is_said() -> None:
    model = nn.Sequential(nn.Linear(10, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.LayerNorm(6), nn.Linear(6, 2))
    _, report = prune(model, torch.randn(5, 10), "magnitude")
    (norm, other) = report.skipped
    assert norm[0] == "1"
    assert norm[1].startswith("batch norm: it is folded")
    assert other == ("3", "LayerNorm is not supported; supported are Linear, Conv1d and Conv2d")
    first, last = report.layers
    assert any("batch norm 1 folded in" in note for note in first.notes)
    assert any("fewer samples (5) than inputs (11)" in note for note in first.notes)
    assert last.bound is None
    assert any("how far 'LayerNorm'" in note for note in last.notes)


def test_more_memory_than_the_limit_is_refused_with_numbers(inputs: Tensor) -> None:
    columns = 80 * 4 * (11 + 20 + 21 + 15 + 16 + 4)
    with pytest.raises(ValueError, match=r"on 80 samples take 0\.0 GB, .* most of it for 'fc2'; the limit is 0\.0 GB"):
        Network(small_mlp(), inputs, memory_limit=columns - 1)
    network = Network(small_mlp(), inputs, memory_limit=columns)
    work = [NetTrim().memory(network.problem(target).size) for target in network.selected]
    with pytest.raises(ValueError, match=r"for inputs and outputs and 0\.\d GB for solving.* or raise memory_limit"):
        prune(small_mlp(), inputs, "nettrim", memory_limit=columns + max(work) - 1)
    prune(small_mlp(), inputs, "nettrim", memory_limit=columns + max(work))
    with pytest.raises(ValueError, match="for solving"):  # several tolerances: the layers' work is held at once
        next(sweep(small_mlp(), inputs, ["nettrim"], [0.1, 0.2], memory_limit=columns + sum(work) - 1))
    assert len(list(sweep(small_mlp(), inputs, ["nettrim"], [0.1, 0.2], memory_limit=columns + sum(work)))) == 2


def normed(inputs: Tensor) -> nn.Sequential:
    """Batch norms before, after and beside the layers; statistics that were gathered from the inputs."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.BatchNorm1d(10), nn.Linear(10, 20, bias=False), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 12),
        nn.ReLU(), nn.BatchNorm1d(12), nn.Linear(12, 4),
    )  # fmt: skip
    for module in model:
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = None  # type: ignore[assignment]
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    model(inputs)
    return model.eval()


@pytest.mark.parametrize("name", ["nettrim", "exactobs", "wanda"])
def test_batch_norms_are_estimated_again_and_both_sides_are_told(name: str, inputs: Tensor) -> None:
    model = normed(inputs)
    labels = model(inputs).argmax(1)
    method = dataclasses.replace(METHODS[name], epsilon=0.5)
    kept, old = prune(model, inputs, method, test=(inputs, labels), batchnorm="keep")
    again, new = prune(model, inputs, method, test=(inputs, labels))
    assert (old.batchnorm, new.batchnorm) == ("keep", "reestimate")
    assert (old.accuracy_kept, old.output_error_kept) == (None, None)
    assert (new.accuracy_kept, new.output_error_kept) == (old.accuracy, old.output_error)
    for key, value in kept.state_dict().items():
        stale = key.split(".")[0] in ("2", "6") and "running" in key
        assert torch.equal(value, again.state_dict()[key]) != stale, key
        if key.split(".")[0] not in ("1", "4", "7"):
            assert torch.equal(value, model.state_dict()[key])
    with torch.no_grad():
        for pruned, report in ((kept, old), (again, new)):
            apart = float((pruned(inputs) - model(inputs)).norm() / model(inputs).norm())
            assert report.output_error == pytest.approx(apart, rel=1e-5)
            assert report.accuracy == float((pruned(inputs).argmax(1) == labels).double().mean())
        # what a batch norm's statistics are: those of the signal before it
        signal = again[1](again[0](inputs))
        torch.testing.assert_close(again[2].running_mean, signal.mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(again[2].running_var, signal.var(0), rtol=1e-4, atol=1e-5)
        first = again[:4](inputs)
        dense = model[:4](inputs)
        assert new.layers[0].discrepancy == pytest.approx(float((first - dense).norm() / dense.norm()), rel=1e-4)
    for before, after in zip(old.layers, new.layers, strict=True):
        assert after.discrepancy_kept == before.discrepancy
        assert (after.error, after.bound) == (before.error, before.bound)
        assert after.bound is not None
        assert after.error <= after.bound * (1 + 1e-5)


def test_one_sample_has_no_statistics_and_other_words_are_refused(inputs: Tensor) -> None:
    _, report = prune(normed(inputs), inputs[:1], "magnitude")
    assert report.batchnorm == "keep"
    with pytest.raises(ValueError, match="batchnorm = 'again' must be"):
        prune(normed(inputs), inputs, "magnitude", batchnorm="again")


POISONED = torch.randn(80, 10)
POISONED[3, 4] = torch.nan


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "netrim"}, "unknown method 'netrim'; known methods: nettrim, lobs"),
        ({"layers": ["fc9"]}, "no module 'fc9'; layers that can be pruned: fc1, fc2, fc3"),
        ({"layers": ["relu1"]}, "'relu1' cannot be pruned: has no weights of its own"),
        ({"layers": []}, "layers is empty"),
        ({"layers": "fc1"}, "got the string 'fc1'"),
        ({"inputs": torch.randn(0, 10)}, "inputs has no samples"),
        ({"inputs": torch.randn(80, 11)}, r"inputs do not fit the model, each of shape \(11,\): layer 'fc1'"),
        ({"inputs": torch.zeros(80, 10, dtype=torch.long)}, "inputs must be a float tensor"),
        ({"inputs": POISONED}, "inputs has 1 NaN or infinite"),
        ({"test": (torch.randn(5, 10), torch.zeros(4, dtype=torch.long))}, "each of the 5 test inputs"),
        ({"test": (torch.randn(5, 10), torch.zeros(5))}, "must be class indices"),
        ({"model": nn.Softmax(1)}, "no layer that can be pruned"),
        ({"model": nn.Sequential(nn.ReLU())}, "no layer that can be pruned"),
        ({"max_patches": 0}, "max_patches = 0"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], says: str, inputs: Tensor) -> None:
    given = {"model": small_mlp(), "inputs": inputs, "method": "magnitude"} | arguments
    with pytest.raises(ValueError, match=says):
        prune(**given)


def test_nan_weights_are_named_with_their_layer(inputs: Tensor) -> None:
    model = small_mlp()
    with torch.no_grad():
        model.fc2.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"layer 'fc2': .* NaN or infinite"):
        prune(model, inputs, "nettrim")


def test_sweep_refuses_before_the_first_result(inputs: Tensor) -> None:
    with pytest.raises(ValueError, match="epsilon = 2"):
        sweep(small_mlp(), inputs, ["lobs"], [0.1, 2])


def test_an_answer_takes_shape_over_the_whole_network(inputs: Tensor) -> None:
    """Rough points come first, each is followed by a certified one, and those are what ``points`` gives."""
    network = Network(small_mlp(), inputs)
    epsilons = [0.4, 0.05, 0.2]
    seen = list(network.refined(NetTrim(), epsilons))
    rough = [epsilon for epsilon, _, report in seen if report.rough]
    final = {epsilon: report for epsilon, _, report in seen if not report.rough}
    assert rough == [0.4, 0.05, 0.2]  # the ends of the range first
    assert [epsilon for epsilon, _, report in seen[3:]] == [0.4, 0.2, 0.05]
    for epsilon, (_, report) in zip(epsilons, network.points(NetTrim(), epsilons), strict=True):
        assert report.converged
        assert final[epsilon].sparsity == pytest.approx(report.sparsity, abs=1e-3)
        assert Report.from_dict(json.loads(report.to_json())).rough is False
    assert Report.from_dict(seen[0][2].to_dict()).rough
    assert not any(report.rough for _, _, report in network.refined(NetTrim(), epsilons, cascade=True))
