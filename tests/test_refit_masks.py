"""A refit of any mask, against NumPy's least squares, and rounds of pruning and retraining."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nettrim_core import (
    AccuracyDrop,
    MultiplyAdds,
    Training,
    finetune,
    load_bundle,
    masks_of,
    prune,
    prune_rounds,
    refit_masks,
)
from nettrim_core.capture import run
from tests.conftest import small_cnn, small_mlp


def random_masks(model: nn.Module, *names: str, share: float = 0.5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.rand(model.get_parameter(name).shape, generator=generator) > share for name in names}


def least_squares(X: np.ndarray, Z: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """argmin ||U'X - Z||_F over U that is zero off ``keep``, neuron by neuron."""
    U = np.zeros(keep.shape)
    for m in range(keep.shape[1]):
        rows = keep[:, m]
        U[rows, m] = np.linalg.lstsq(X[rows].T, Z[m], rcond=None)[0]
    return U


def test_each_layer_is_the_least_squares_solution_on_its_mask(inputs: Tensor) -> None:
    model = small_mlp().double()
    masks = random_masks(model, "fc1.weight", "fc2.weight", "fc2.bias")
    refitted, report = refit_masks(model, inputs.double(), masks, damping=1e-12)
    hidden = inputs.double()
    for name in ("fc1", "fc2"):
        layer = model.get_submodule(name)
        X = np.concatenate([hidden.numpy().T, np.ones((1, len(inputs)))])
        keep = np.concatenate([masks[f"{name}.weight"].numpy().T, np.ones((1, len(layer.weight)), bool)])
        if f"{name}.bias" in masks:
            keep[-1] = masks[f"{name}.bias"].numpy()
        with torch.no_grad():
            Z = layer(hidden).numpy().T
            hidden = layer(hidden).relu()
        U = least_squares(X, Z, keep)
        found = refitted.get_submodule(name)
        np.testing.assert_allclose(found.weight.detach().numpy(), U[:-1].T, atol=1e-6)
        np.testing.assert_allclose(found.bias.detach().numpy(), U[-1], atol=1e-6)
    assert torch.equal(refitted.fc3.weight, model.fc3.weight)
    assert (report.method, report.settings) == ("refit", {"damping": 1e-12})
    assert [layer.name for layer in report.layers] == ["fc1", "fc2"]
    for layer in report.layers:
        assert layer.weight_zeros == int((~masks[f"{layer.name}.weight"]).sum())


def test_in_a_cascade_the_later_layer_aims_at_the_dense_responses_on_pruned_signals(inputs: Tensor) -> None:
    model = small_mlp().double()
    masks = random_masks(model, "fc1.weight", "fc2.weight", share=0.8)
    refitted, _ = refit_masks(model, inputs.double(), masks, cascade=True, damping=1e-12)
    with torch.no_grad():
        Z = model.fc2(model.fc1(inputs.double()).relu()).numpy().T
        X = refitted.fc1(inputs.double()).relu().numpy().T
    keep = np.concatenate([masks["fc2.weight"].numpy().T, np.ones((1, 15), bool)])
    X = np.concatenate([X, np.ones((1, 80))])  # with dead inputs: the responses are unique, the weights are not
    U = torch.cat([refitted.fc2.weight.T, refitted.fc2.bias[None]]).detach().numpy()
    assert not U[~keep].any()
    np.testing.assert_allclose(U.T @ X, least_squares(X, Z, keep).T @ X, atol=1e-6)


def test_the_refit_of_a_methods_own_mask_gives_that_method(inputs: Tensor, images: Tensor) -> None:
    for model, rows in ((small_mlp(), inputs), (small_cnn(), images)):
        pruned, _ = prune(model, rows, "magnitude_refit")
        again, _ = refit_masks(model, rows, masks_of(pruned))
        for mine, theirs in zip(again.parameters(), pruned.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_groups_and_batch_norms_are_refitted_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU()).eval()
    model[1].running_mean.normal_()
    images = torch.randn(30, 4, 6, 6)
    masks = random_masks(model, "0.weight")
    refitted, _ = refit_masks(model, images, masks, batchnorm="keep")
    columns = nn.functional.unfold(images, 3).transpose(0, 1).flatten(1).double().numpy()
    keep = masks["0.weight"].flatten(1).T.numpy()
    for group in range(2):
        X, own = columns[18 * group : 18 * group + 18], slice(3 * group, 3 * group + 3)
        Z = model[0].weight.detach().flatten(1)[own].double().numpy() @ X
        U = least_squares(X, Z, keep[:, own])
        np.testing.assert_allclose(refitted[0].weight.detach().flatten(1)[own].numpy(), U.T, atol=1e-4)


def test_masks_are_of_layers_and_of_a_shared_parameter_once(inputs: Tensor) -> None:
    model = nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 10)).eval()
    assert set(masks_of(model)) == {"0.weight", "0.bias", "3.weight", "3.bias"}  # not the norm's bias, which is zero
    refit_masks(model, inputs, masks_of(model))
    model[3].weight = model[0].weight
    assert set(masks_of(model)) == {"0.weight", "0.bias", "3.bias"}
    next(iter(finetune(model, masks_of(model), (inputs, torch.zeros(80, dtype=torch.long)))))


def test_a_refit_is_refused_where_solving_takes_more_than_the_limit(inputs: Tensor) -> None:
    model = small_mlp()
    with pytest.raises(ValueError, match=r"for solving.* or raise memory_limit"):
        refit_masks(model, inputs, random_masks(model, "fc1.weight"), memory_limit=80 * 4 * (11 + 20))


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ({"fc9.weight": torch.ones(20, 10, dtype=torch.bool)}, "no parameter 'fc9.weight'"),
        ({"fc1.weight": torch.ones(10, 20, dtype=torch.bool)}, "'fc1.weight' must be bool of shape .20, 10."),
        ({"fc1.weight": torch.ones(20, 10)}, "got torch.float32"),
        ({}, "layers is empty"),
    ],
)
def test_masks_that_do_not_fit_are_refused(masks: dict[str, Tensor], says: str, inputs: Tensor) -> None:
    with pytest.raises(ValueError, match=says):
        refit_masks(small_mlp(), inputs, masks)


def test_rounds_prune_what_the_round_before_left_and_give_accuracy_back() -> None:
    bundle = load_bundle("digits_mlp")
    how = Training(epochs=3, rate=0.05, batch=100)
    targets = (0.5, 0.8, 0.9)
    total = sum(p.numel() for p in bundle.model.parameters())
    steps = list(prune_rounds(bundle.model, bundle.calibration, "lobs", targets, bundle.train, bundle.validation, how))
    assert [s.round for s in steps if s.epoch is None] == [1, 2, 3]
    before: dict[str, Tensor] = {}
    for number, target in enumerate(targets, 1):
        first, *trained = [s for s in steps if s.round == number]
        assert [s.epoch.number for s in trained if s.epoch is not None] == [0, 1, 2, 3]
        left = masks_of(first.model)
        assert sum(int((~mask).sum()) for mask in left.values()) == pytest.approx(target * total, abs=3)
        assert all(not bool((left[name] & ~mask).any()) for name, mask in before.items())  # zeros of before stay
        for step in trained:
            held = masks_of(step.model)
            assert all(not bool((held[name] & ~left[name]).any()) for name in left)
        losses = [s.epoch.validation_loss for s in trained if s.epoch is not None]
        assert min(losses) <= losses[0]
        before = left
    accuracy = {s.round: _accuracy(s.model) for s in steps}  # the last of each round
    once = next(prune_rounds(bundle.model, bundle.calibration, "lobs", [0.9], bundle.train, bundle.validation, how))
    assert accuracy[3] > _accuracy(once.model) + 0.2


def _accuracy(model: nn.Module) -> float:
    rows, labels = load_bundle("digits_mlp").validation
    return float((run(model, rows).argmax(1) == labels).double().mean())


def test_rounds_share_budgets_and_stop_when_not_asked(inputs: Tensor) -> None:
    model = small_mlp()
    labels = torch.randint(0, 4, (80,), generator=torch.Generator().manual_seed(0))
    how = Training(epochs=2)
    options = {"how": how, "rule": "lamp", "locked": {"fc3": 0.0}}
    steps = prune_rounds(model, inputs, "magnitude", [MultiplyAdds(0.6), 0.7], (inputs, labels), **options)
    first = next(steps)
    assert first.report.allocation is not None
    assert first.report.allocation.rule == "lamp"
    assert torch.equal(first.model.fc3.weight, model.fc3.weight)
    assert [(s.round, s.epoch is None) for s in steps] == [(1, False)] * 3 + [(2, True)] + [(2, False)] * 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"targets": []}, "targets is empty"),
        ({"targets": [1.2]}, "sparsity = 1.2 is out of range"),
        ({"targets": ["all"]}, "target = 'all' must be a fraction of zeros"),
        ({"targets": [True]}, "target = True must be"),
        ({"targets": [AccuracyDrop(0.1)]}, "must be a fraction of zeros or MultiplyAdds"),
        ({"targets": [0.3, 0.9], "locked": {"fc2": 0.0}}, "cannot be reached"),
        ({"rule": "fair"}, "rule = 'fair' is not one of"),
        ({"layers": ["fc9"]}, "no module 'fc9'"),
        ({"inputs": torch.full((8, 10), torch.nan)}, "NaN"),
        ({"data": (torch.zeros(3, 10), torch.zeros(2))}, "3 inputs and 2 targets"),
        ({"method": "lobotomy"}, "unknown method 'lobotomy'"),
    ],
)
def test_rounds_refuse_before_the_first_step(changes: dict[str, Any], says: str, inputs: Tensor) -> None:
    arguments = {"model": small_mlp(), "inputs": inputs, "method": "lobs", "targets": [0.5]}
    arguments |= {"data": (inputs, torch.zeros(80, dtype=torch.long))} | changes
    with pytest.raises(ValueError, match=says):
        prune_rounds(**arguments)
