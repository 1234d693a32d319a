"""Exported files load in plain torch; a file that differs is not offered."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nettrim_core import Report, export, prune
from tests.conftest import small_cnn, small_mlp


@pytest.mark.parametrize("name", ["nettrim", "exactobs"])
def test_weights_load_strictly_into_the_original_class_with_exact_zeros(
    tmp_path: Path, name: str, images: Tensor
) -> None:
    pruned, report = prune(small_cnn(), images, name)
    checks = export(pruned, report, tmp_path / "out")
    assert len(checks) == 2
    plain = small_cnn(seed=9)
    plain.load_state_dict(load_file(tmp_path / "out" / "model.safetensors"), strict=True)
    assert torch.equal(plain(images), pruned(images))
    for layer in report.layers:
        assert int((plain.get_submodule(layer.name).weight == 0).sum()) == layer.weight_zeros > 0
    assert Report.from_dict(json.loads((tmp_path / "out" / "report.json").read_text())) == report


def test_a_file_that_differs_is_refused(tmp_path: Path, inputs: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    pruned, report = prune(small_mlp(), inputs, "magnitude")

    def careless(tensors: dict[str, Tensor], path: Path) -> None:
        save_file(tensors | {"fc2.weight": tensors["fc2.weight"] + 1e-6}, path)

    monkeypatch.setattr(sys.modules["nettrim_core.formats.weights"], "save_file", careless)
    with pytest.raises(ValueError, match=r"fc2\.weight differs"):
        export(pruned, report, tmp_path)


def test_a_report_of_another_network_is_refused(tmp_path: Path, inputs: Tensor) -> None:
    pruned, _ = prune(small_mlp(), inputs, "magnitude")
    _, other = prune(small_mlp(), inputs, "exactobs")
    with pytest.raises(ValueError, match=r"fc1 has .* zeros after loading; the report says"):
        export(pruned, other, tmp_path)
