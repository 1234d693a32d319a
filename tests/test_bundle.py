"""Bundles: round trips, refusals, and the promises the sample models make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nettrim_core import (
    AccuracyDrop,
    allocate,
    evaluate,
    finetune,
    load_bundle,
    masks_of,
    prune,
    sample_names,
    save_bundle,
)
from nettrim_core.architecture import build, describe
from nettrim_core.blocks import Residual
from nettrim_core.bundle import SAMPLE_MODELS, Bundle
from nettrim_core.data.rows import Data
from tests.conftest import small_cnn


def saved(folder: Path) -> Path:
    data = [(torch.randn(n, 2, 10, 10), torch.randint(0, 5, (n,))) for n in (6, 5, 4)]
    return save_bundle(folder / "mine", small_cnn(), train=data[0], validation=data[1], test=data[2], card="# Mine")


def test_a_bundle_comes_back_as_it_was(tmp_path: Path) -> None:
    data = [(torch.randn(n, 2, 10, 10), torch.randint(0, 5, (n,))) for n in (6, 5, 4)]
    model = small_cnn()
    path = save_bundle(tmp_path / "mine", model, train=data[0], validation=data[1], test=data[2], card="# Mine")
    bundle = load_bundle(path)
    assert (bundle.name, bundle.card) == ("mine", "# Mine")
    assert torch.equal(bundle.model(data[0][0]), model(data[0][0]))
    assert list(bundle.model.state_dict()) == list(model.state_dict())
    for loaded, given in zip((bundle.train, bundle.validation, bundle.test), data, strict=True):
        assert torch.equal(loaded[0], given[0])
        assert torch.equal(loaded[1], given[1])
    assert torch.equal(bundle.calibration, data[0][0])
    assert bundle.fingerprint == load_bundle(path).fingerprint


def test_a_bundle_needs_no_labels(tmp_path: Path) -> None:
    rows = [torch.randn(n, 2, 10, 10) for n in (6, 5, 4)]
    model = small_cnn()
    path = save_bundle(
        tmp_path / "mine", model, train=(rows[0], None), validation=(rows[1], None), test=(rows[2], None)
    )
    bundle = load_bundle(path)
    assert (bundle.train[1], bundle.validation[1], bundle.test[1]) == (None, None, None)
    assert torch.equal(bundle.test[0], rows[2])
    assert bundle.fingerprint == load_bundle(path).fingerprint
    labelled = (rows[0], torch.zeros(6).long()), (rows[1], torch.zeros(5).long()), (rows[2], torch.zeros(4).long())
    other = save_bundle(tmp_path / "other", model, **dict(zip(("train", "validation", "test"), labelled, strict=True)))
    assert load_bundle(other).fingerprint != bundle.fingerprint
    pruned, report = prune(bundle.model, bundle.calibration, "lobs", test=bundle.test)
    assert (report.accuracy, report.accuracy_before, report.test_samples) == (None, None, 0)
    assert report.sparsity > 0
    measured = evaluate(pruned, bundle.test, bundle.model)
    assert measured.accuracy is None
    assert measured.agreement is not None
    with pytest.raises(ValueError, match="data has no labels, and retraining needs something to learn"):
        finetune(pruned, masks_of(pruned), bundle.train, bundle.validation)
    with pytest.raises(ValueError, match=r"give validation rows, \(inputs, labels\)"):
        allocate(bundle.model, bundle.calibration, "lobs", AccuracyDrop(0.01), validation=bundle.validation)


def test_names_of_classes_come_back(tmp_path: Path) -> None:
    rows = {name: (torch.randn(5, 2, 10, 10), torch.randint(0, 5, (5,))) for name in ("train", "validation", "test")}
    path = save_bundle(tmp_path / "mine", small_cnn(), **rows, classes=["cat", "dog", "hen", "ant", "bee"])
    assert load_bundle(path).classes == ("cat", "dog", "hen", "ant", "bee")


@pytest.mark.parametrize(
    ("inputs", "labels", "says"),
    [
        ((5, 3, 10, 10), [0, 1, 2, 3, 4], "does not take samples of shape (3, 10, 10)"),
        ((5, 2, 10, 10), [0, 1, 2, 3, 5], "its labels go from 0 to 5"),
        ((5, 2, 10, 10), [-1, 1, 2, 3, 4], "its labels go from -1 to 4"),
        ((0, 2, 10, 10), [], "train has no samples"),
    ],
)
def test_data_that_the_network_cannot_take_is_refused(
    tmp_path: Path, inputs: tuple[int, ...], labels: list[int], says: str
) -> None:
    rows = (torch.randn(inputs), torch.tensor(labels, dtype=torch.long))
    path = save_bundle(tmp_path / "mine", small_cnn(), train=rows, validation=rows, test=rows)
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        load_bundle(path)
    assert "mine" in str(error.value)


def residual_net() -> nn.Sequential:
    """Blocks in a block, a shortcut and none, chains in chains, batch norms that have seen something."""
    torch.manual_seed(0)
    inner = Residual(nn.Sequential(nn.Conv1d(4, 4, 3, padding=1, groups=2), nn.BatchNorm1d(4)))
    outer = Residual(nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), inner), nn.Conv1d(2, 4, 1, bias=False))
    model = nn.Sequential(outer, nn.ReLU(), nn.Sequential(nn.AvgPool1d(2), nn.Flatten()), nn.Linear(20, 5))
    model(torch.randn(30, 2, 10))
    return model.eval()


def test_blocks_come_back_as_they_were(tmp_path: Path) -> None:
    data = [(torch.randn(n, 2, 10), torch.randint(0, 5, (n,))) for n in (6, 5, 4)]
    model = residual_net()
    loaded = load_bundle(save_bundle(tmp_path / "mine", model, train=data[0], validation=data[1], test=data[2])).model
    assert torch.equal(loaded(data[0][0]), model(data[0][0]))
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert describe(loaded) == describe(model)


def test_a_chain_is_described_whole_or_refused() -> None:
    relu, fc = nn.ReLU(), nn.Linear(4, 4)
    chain = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu, nn.MaxPool1d(3, ceil_mode=True))
    again = build(describe(chain), "here")
    again.load_state_dict(chain.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(again(x), chain(x))
    with pytest.raises(ValueError, match="layer '1' is a Linear that the chain holds twice"):
        describe(nn.Sequential(fc, fc))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: d[0].update(body=3), "layer '0', body: expected a type with its arguments, got 3"),
        (lambda d: d[0]["body"]["layers"][2].update(tail={}), r"layer '2' \(Residual\) has unknown arguments .'tail'"),
        (lambda d: d[0]["body"]["layers"][2]["body"]["layers"][1].update(type="os.system"), "layer '1' has type 'os"),
        (lambda d: d[2].update(colour=3), r"layer '2' \(Sequential\) has unknown arguments .'colour'"),
        (lambda d: d[1].update(type=["ReLU"]), r"has type \['ReLU'\]; known types"),
        (lambda d: d[1].update(name="a.b"), "layer 1 is named 'a.b'; names are unique, free and without dots"),
        (lambda d: d[1].update(name="0"), "layer 1 is named '0'"),
        (lambda d: d[2].update(layers="all"), "layer '2': expected a list of layers, got 'all'"),
        (lambda d: d[0].pop("body"), r"layer '0' \(Residual\) cannot be built"),
        (lambda d: d.__setitem__(1, "ReLU"), "layer '1': expected a type with its arguments, got 'ReLU'"),
    ],
)
def test_a_spoiled_block_is_refused_by_the_way_to_it(spoil: Callable[[Any], object], says: str) -> None:
    described = describe(residual_net())
    spoil(described)
    with pytest.raises(ValueError, match=f"header: .*{says}"):
        build(described, "header")


def test_the_fingerprint_sees_one_weight_and_one_pixel(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = load_bundle(path).fingerprint
    bundle = load_bundle(path)
    with torch.no_grad():
        bundle.model.fc.bias[0] += 1
    assert bundle.fingerprint != before
    bundle = load_bundle(path)
    bundle.test[0][0, 0, 0, 0] += 1
    assert bundle.fingerprint != before


def test_a_calibration_sample_is_seeded_and_without_replacement() -> None:
    bundle = load_bundle("spirals")
    first = bundle.calibration_sample(500, seed=1)
    assert torch.equal(first, bundle.calibration_sample(500, seed=1))
    assert not torch.equal(first, bundle.calibration_sample(500, seed=2))
    assert len(torch.unique(first, dim=0)) == 500
    for wrong in (0, 1001):
        with pytest.raises(ValueError, match="n must be between 1 and 1000"):
            bundle.calibration_sample(wrong)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: (p / "bundle.json").unlink(), "no bundle at"),
        (lambda p: (p / "bundle.json").write_text("{"), "not a bundle header"),
        (lambda p: (p / "bundle.json").write_text('{"title": "x"}'), "not a bundle header"),
        (lambda p: (p / "model.safetensors").write_bytes(b"\x80\x04junk"), "weights cannot be read"),
        (lambda p: (p / "model.safetensors").unlink(), "weights cannot be read"),
        (lambda p: (p / "data.npz").write_bytes(b"PK\x03\x04"), "cannot be used as bundle data"),
        (lambda p: np.savez(p / "data.npz", train_inputs=np.zeros((2, 3))), "cannot be used as bundle data"),
        (lambda p: np.savez(p / "data.npz", train_inputs=np.array([{}], object)), "cannot be used as bundle data"),
    ],
)
def test_a_spoiled_bundle_is_refused_with_the_file_and_the_reason(tmp_path: Path, spoil, says: str) -> None:
    path = saved(tmp_path)
    spoil(path)
    with pytest.raises(ValueError, match=says):
        load_bundle(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "os.system"}, "has type 'os.system'; known types: Linear, Conv1d"),
        ({"colour": 3}, "unknown arguments .'colour'."),
        ({"in_channels": -1}, "cannot be built"),
        ({"out_channels": 7}, "weights do not fit the architecture"),
    ],
)
def test_a_spoiled_architecture_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = saved(tmp_path)
    header = json.loads((path / "bundle.json").read_text())
    header["architecture"][0] |= change
    (path / "bundle.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match=says):
        load_bundle(path)


def test_a_layer_that_cannot_be_described_is_named(tmp_path: Path) -> None:
    data = (torch.randn(3, 4), torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match="layer '0' is a Threshold"):
        save_bundle(tmp_path / "x", nn.Sequential(nn.Threshold(0.1, 0.0)), train=data, validation=data, test=data)


def accuracy(bundle: Bundle) -> float:
    with torch.no_grad():
        right = [(bundle.model(x).argmax(1) == y) for x, y in zip(*(t.split(1000) for t in bundle.test), strict=True)]
    return float(torch.cat(right).double().mean())


@pytest.mark.parametrize(
    ("name", "rows", "least"),
    [
        ("spirals", (1000, 1000, 2000), 0.99),
        ("digits_mlp", (1000, 297, 500), 0.95),
        ("lenet_300_100", (10_000, 5_000, 10_000), 0.98),
        ("lenet_5", (10_000, 5_000, 10_000), 0.988),
        pytest.param("resnet_small", (10_000, 5_000, 10_000), 0.99, marks=pytest.mark.long),
        ("mnist1d_conv", (3500, 500, 1000), 0.92),
    ],
)
def test_the_sample_models_keep_their_promises(name: str, rows: tuple[int, ...], least: float) -> None:
    bundle = load_bundle(name)
    splits = (bundle.train, bundle.validation, bundle.test)
    assert tuple(len(labels) for _, labels in splits) == rows
    assert accuracy(bundle) >= least
    assert "accuracy" in bundle.card
    seen = [row.tobytes() for inputs, _ in splits for row in inputs.flatten(1).numpy()]
    assert len(seen) - len(set(seen)) <= (0 if name == "spirals" else 2)  # no row of one split in another


def test_all_bundles_together_are_small() -> None:
    assert len(sample_names()) == 6
    assert sum(path.stat().st_size for path in SAMPLE_MODELS.rglob("*") if path.is_file()) < 20e6


def test_a_network_of_ones_own_is_no_sample_by_its_name(tmp_path: Path) -> None:
    """Its architecture counts, whatever its file or its folder is called."""
    sample = load_bundle("digits_mlp")
    again = load_bundle(SAMPLE_MODELS / "digits_mlp")
    assert (sample.sample, again.fingerprint) == (True, sample.fingerprint)
    sizes = [tuple(layer.weight.shape) for layer in sample.model.modules() if isinstance(layer, nn.Linear)]
    found = {sample.fingerprint}
    for kind in (nn.ReLU, nn.Tanh):
        first, second, third = (nn.Linear(inputs, outputs) for outputs, inputs in sizes)
        model = nn.Sequential(first, kind(), second, kind(), third)
        with torch.no_grad():
            for value, known in zip(model.parameters(), sample.model.parameters(), strict=True):
                value.copy_(known)
        splits = {name: getattr(sample, name) for name in ("train", "validation", "test")}
        path = save_bundle(tmp_path / kind.__name__ / "digits_mlp", model, **splits)
        mine = load_bundle(path)
        found |= {mine.fingerprint, Bundle.of(mine.model, Data.of(*sample.test), "digits_mlp").fingerprint}
    assert len(found) == 5


@pytest.mark.parametrize("name", ["../b/data.npz", "/etc/data.npz", "..", "", 3, None, ["data.npz"]])
def test_the_header_names_no_file_elsewhere(tmp_path: Path, name: object) -> None:
    folder = saved(tmp_path / "a")
    saved(tmp_path / "b")
    header = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(header | {"data": name}))
    with pytest.raises(ValueError, match=r"bundle.json: data = .* is no .npz file beside it: name one in the folder"):
        load_bundle(folder)
