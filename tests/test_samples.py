"""The sample networks, layer by layer and method by method: what the studio offers is pruned, bounded or explained."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from nettrim_core import METHODS, NetTrim, load_bundle, prune

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", ["resnet_small", "lenet_5", "mnist1d_conv"])
@pytest.mark.parametrize("method", METHODS)
def test_every_layer_is_pruned_by_every_method_with_a_bound_or_a_reason(name: str, method: str) -> None:
    bundle = load_bundle(name)
    chosen = dataclasses.replace(METHODS[method], epsilon=0.4)
    if isinstance(chosen, NetTrim):
        chosen = dataclasses.replace(chosen, tol=1e-2)
    pruned, report = prune(bundle.model, bundle.calibration_sample(60), chosen, test=bundle.validation, max_patches=300)
    layers = {
        n for n, m in bundle.model.named_modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d)
    }
    assert {layer.name for layer in report.layers} == layers
    assert {name for name, _ in report.skipped} == {
        n for n, m in bundle.model.named_modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)
    }
    assert all(reason for _, reason in report.skipped)
    for layer in report.layers:
        weights = pruned.get_submodule(layer.name).weight
        assert layer.weight_zeros == int((weights == 0).sum()) > 0
        assert layer.held <= 0.4 * (1 + 1e-2)
        if isinstance(chosen, NetTrim):
            assert layer.converged
        if layer.bound is None:
            assert any(note.startswith("no bound") for note in layer.notes)
        else:
            assert math.isfinite(layer.bound)
            assert layer.bound_is_estimate or layer.error <= layer.bound * (1 + 1e-6)
    assert (report.batchnorm is None) == (name == "lenet_5")
    assert report.accuracy is not None
