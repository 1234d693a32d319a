"""Masked retraining keeps its zeros and gives accuracy back; a sensitivity scan prunes one layer at a time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from nettrim_core import METHODS, finetune, load_bundle, masks_of, prune, sensitivity
from nettrim_core.finetune import FineTuning, Training
from nettrim_core.network import Network
from tests.conftest import small_mlp
from tests.test_prune import normed


def pruned_digits() -> tuple[nn.Module, dict[str, Tensor]]:
    bundle = load_bundle("digits_mlp")
    network = Network(bundle.model, bundle.calibration)
    model, report = network.at(METHODS["magnitude"], {"fc1": 0.9, "fc2": 0.9})
    return model, masks_of(model, [layer.name for layer in report.layers])


@pytest.mark.parametrize("adam", [False, True])
def test_after_a_hundred_steps_every_zero_is_still_zero_and_accuracy_is_back(adam: bool) -> None:
    bundle = load_bundle("digits_mlp")
    model, masks = pruned_digits()
    before = copy.deepcopy(model.state_dict())
    how = Training(epochs=15, batch=100, rate=5e-3 if adam else 0.1, adam=adam, patience=15)
    tuning = finetune(model, masks, bundle.train, bundle.validation, how)
    epochs = list(tuning)
    assert len(epochs) == 16  # ten steps each
    for name, parameter in tuning.model.named_parameters():
        if name in masks:
            assert not bool(parameter[~masks[name]].any())
            assert torch.equal(parameter, before[name]) != bool(masks[name].any())
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    first, best = epochs[0], min(epochs, key=lambda epoch: epoch.validation_loss)
    assert first.validation_accuracy is not None
    assert best.validation_accuracy is not None
    assert best.validation_accuracy > first.validation_accuracy + 0.1
    assert not tuning.model.training


def test_whoever_stops_asking_has_the_best_so_far() -> None:
    bundle = load_bundle("digits_mlp")
    model, masks = pruned_digits()
    tuning = finetune(model, masks, bundle.train, how=Training(rate=0.1))
    seen = []
    for epoch in tuning:
        seen.append(epoch)
        if epoch.number == 2:
            break
    best = min(seen, key=lambda epoch: epoch.validation_loss)
    assert tuning._judge(tuning.model) == (best.validation_loss, best.validation_accuracy)


def test_it_ends_when_nothing_gets_better_and_repeats() -> None:
    bundle = load_bundle("digits_mlp")
    how = Training(rate=1e-9, epochs=50, patience=2, momentum=0.0)
    runs = [list(finetune(*pruned_digits(), bundle.train, bundle.validation, how)) for _ in range(2)]
    assert len(runs[0]) < 51
    assert [epoch.loss for epoch in runs[0]] == [epoch.loss for epoch in runs[1]]


def test_a_regression_is_judged_by_its_squared_error(inputs: Tensor) -> None:
    model = small_mlp()
    targets = model(inputs).detach()
    pruned, _ = prune(model, inputs, "magnitude")
    tuning = finetune(pruned, masks_of(pruned), (inputs, targets), how=Training(rate=0.05, epochs=20))
    epochs = list(tuning)
    assert epochs[0].validation_accuracy is None
    assert min(epoch.validation_loss for epoch in epochs) < epochs[0].validation_loss


@pytest.mark.parametrize(
    ("masks", "validation", "says"),
    [
        ({"fc9.weight": torch.ones(1, dtype=torch.bool)}, 0.1, "no parameter 'fc9.weight'"),
        ({"fc1.weight": torch.ones(3, dtype=torch.bool)}, 0.1, r"must be bool of shape \(20, 10\)"),
        ({"fc1.weight": torch.zeros(20, 10, dtype=torch.bool)}, 0.1, "are not zero where its mask says"),
        ({}, 1.5, "validation = 1.5 must be a fraction"),
    ],
)
def test_masks_and_data_that_do_not_fit_are_named(
    masks: dict[str, Tensor], validation: float, says: str, inputs: Tensor
) -> None:
    with pytest.raises(ValueError, match=says):
        finetune(small_mlp(), masks, (inputs, torch.zeros(80, dtype=torch.long)), validation)
    with pytest.raises(ValueError, match="80 inputs and 3 targets"):
        finetune(small_mlp(), {}, (inputs, torch.zeros(3)), 0.1)
    assert isinstance(finetune(small_mlp(), {}, (inputs, torch.zeros(80).long())), FineTuning)


@pytest.mark.parametrize("name", ["nettrim", "exactobs", "wanda"])
def test_a_scan_prunes_one_layer_at_a_time(name: str, inputs: Tensor) -> None:
    model = normed(inputs)
    labels = model(inputs).argmax(1)
    seen = list(sensitivity(model, inputs, name, [0.3, 0.8], test=(inputs, labels)))
    assert [(layer, sparsity) for layer, sparsity, _ in seen] == [(k, s) for k in ("1", "4", "7") for s in (0.3, 0.8)]
    for layer, sparsity, report in seen:
        assert [entry.name for entry in report.layers] == [layer]
        assert report.layers[0].sparsity >= sparsity - 0.1
        assert report.accuracy is not None
    for low, high in zip(seen[::2], seen[1::2], strict=True):
        assert low[2].output_error < high[2].output_error


def test_levels_of_a_network_are_those_of_its_layers(inputs: Tensor) -> None:
    network = Network(small_mlp(), inputs)
    pruned, report = network.at(METHODS["exactobs"], {"fc1": 0.5, "fc3": 0.25}, cascade=True)
    assert [layer.name for layer in report.layers] == ["fc1", "fc3"]
    counts = {layer.name: layer.weight_zeros + layer.bias_zeros for layer in report.layers}
    assert counts == {"fc1": round(0.5 * 220), "fc3": round(0.25 * 64)}
    assert torch.equal(pruned.fc2.weight, network.model.fc2.weight)
    with pytest.raises(ValueError, match="no layer 'fc9'"):
        network.at(METHODS["exactobs"], {"fc9": 0.5})
