"""On a GPU, where there is one: masks as on the CPU but for ties, and certificates that hold. Without one the CPU is
compared with itself alone."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.gpu import compare
from nettrim_core import METHODS, load_bundle

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
CASES = [("cpu", "nettrim"), ("cpu", "lobs"), *(pytest.param("cuda", name, marks=GPU) for name in METHODS)]
SINGLE = 1e-5  # what float32 inputs leave of a least-squares fit


@pytest.mark.parametrize(("device", "name"), CASES)
def test_a_device_gives_what_the_cpu_gives(device: str, name: str) -> None:
    method = dataclasses.replace(METHODS[name], epsilon=0.2)
    found = compare(load_bundle("digits_mlp"), method, device, samples=150)
    assert found.kept
    tol = getattr(method, "tol", None)
    if device == "cpu":
        assert (found.differ, found.objectives) == (0, 0)
    elif tol is None:
        assert found.differ < 2e-3
        assert found.objectives < SINGLE + 2e-3
    else:
        assert found.objectives <= 2 * tol
        for report in (found.here, found.there):
            assert all(max(layer.gap or 0, layer.violation or 0) <= tol for layer in report.layers)
