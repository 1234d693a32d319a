"""Every format gives back the network that went in, and a file that differs is refused."""

from __future__ import annotations

import copy
import functools
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from nettrim_core import (
    FORMATS,
    Magnitude,
    Plan,
    Recipe,
    Report,
    dense_state,
    export,
    load_bundle,
    load_compact,
    load_masks,
    load_smaller,
    masks_of,
    prune,
    prune_form,
    without_dead,
)
from nettrim_core.formats import source
from nettrim_core.formats.compare import tolerance
from tests.conftest import small_cnn, small_mlp

TELLING = ("report", "html", "curves", "recipe", "script", "notebook")  # of the network; they do not hold it
WEIGHTS = [name for name in FORMATS if name not in TELLING]
NETWORKS = ("digits_mlp", "lenet_5", "mnist1d_conv", "resnet_small")
Pruned = tuple[nn.Module, Report, Tensor]


@functools.cache
def pruned(name: str) -> Pruned:
    bundle = load_bundle(name)
    inputs = bundle.calibration_sample(40)
    return *prune(bundle.model, inputs, Magnitude(epsilon=0.3), max_patches=400), inputs


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Pruned:
    return pruned(request.param)


@pytest.fixture
def mlp(inputs: Tensor) -> Pruned:
    return *prune(small_mlp(), inputs, Magnitude(epsilon=0.3)), inputs


def written(network: Pruned, name: str, folder: Path) -> tuple[Path, str]:
    model, report, inputs = network
    (check,) = export(model, report, folder, [name], inputs=inputs)
    return folder / FORMATS[name].file, check


def same(state: dict[str, Tensor], network: Pruned) -> None:
    """The same keys, types, values and numbers of zeros, and zeros without a sign."""
    model, report, _ = network
    wanted = model.state_dict()
    assert list(state) == list(wanted)
    for key, value in state.items():
        assert value.dtype == wanted[key].dtype
        assert torch.equal(value, wanted[key])
        assert not torch.signbit(value[value == 0]).any()
    for layer in report.layers:
        assert int((state[f"{layer.name}.weight"] == 0).sum()) == layer.weight_zeros > 0


READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    "safetensors": load_file,
    "state_dict": lambda path: torch.load(path, weights_only=True),
    "csr": dense_state,
    "compact": lambda path: {key: torch.from_numpy(value) for key, value in load_compact(path).items()},
}


@pytest.mark.parametrize("name", READERS)
def test_weights_come_back_bit_for_bit(network: Pruned, name: str, tmp_path: Path) -> None:
    path, check = written(network, name, tmp_path)
    state = READERS[name](path)
    same(dict(sorted(state.items())), (SortedState(network[0]), *network[1:]))
    fresh = copy.deepcopy(network[0])
    fresh.load_state_dict(state, strict=True)
    assert torch.equal(fresh(network[2]), network[0](network[2]))
    assert f"{sum(layer.weight_zeros for layer in network[1].layers):,} exact zeros" in check


class SortedState(nn.Module):
    """A model whose state dict is sorted: safetensors keeps an order of its own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.state = model.state_dict()

    def state_dict(self) -> dict[str, Tensor]:  # type: ignore[override]
        return dict(sorted(self.state.items()))


def test_masks_say_where_weights_are_left(network: Pruned, tmp_path: Path) -> None:
    model, report, _ = network
    path, check = written(network, "masks", tmp_path)
    masks, wanted = load_masks(path), masks_of(model, [layer.name for layer in report.layers])
    assert masks.keys() == wanted.keys()
    assert all(torch.equal(masks[name], mask) for name, mask in wanted.items())
    assert f"{sum(layer.weight_zeros for layer in report.layers):,} weights masked" in check
    with np.load(path, allow_pickle=False) as file:  # as the module says that numpy alone reads it
        for name, mask in wanted.items():
            shape = file[f"{name}.shape"]
            read = np.unpackbits(file[name], count=shape.prod()).reshape(shape).astype(bool)
            assert np.array_equal(read, mask.numpy())


def test_the_form_of_torch_prune_computes_the_same_and_comes_off(network: Pruned, tmp_path: Path) -> None:
    model, report, inputs = network
    path, _ = written(network, "torch_prune", tmp_path)
    masks = masks_of(model, [layer.name for layer in report.layers])
    form = prune_form(copy.deepcopy(model), {name: torch.ones_like(mask) for name, mask in masks.items()})
    form.load_state_dict(torch.load(path, weights_only=True), strict=True)
    assert torch_prune.is_pruned(form)
    assert torch.equal(form(inputs), model(inputs))
    for name in masks:
        torch_prune.remove(form.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
    state = form.state_dict()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_the_form_of_torch_prune_sets_what_a_mask_says(inputs: Tensor) -> None:
    model = small_mlp()
    mask = torch.zeros(20, 10, dtype=torch.bool)
    mask[:, :3] = True
    form = prune_form(model, {"fc1.weight": mask})
    assert torch.equal(form.fc1.weight_orig, model.fc1.weight)
    assert torch.equal(form(inputs[:, :3] @ torch.eye(3, 10)), form(inputs))
    assert not hasattr(model.fc1, "weight_orig")
    with pytest.raises(ValueError, match=r"no parameter 'fc9\.weight'"):
        prune_form(model, {"fc9.weight": mask})


@pytest.mark.parametrize("name", ["onnx", "pt2"])
def test_whole_networks_compute_the_same(
    network: Pruned, name: str, tmp_path: Path, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    path, check = written(network, name, tmp_path)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert logging.root.manager.disable == logging.NOTSET
    model, report, inputs = network
    outputs = model(inputs).detach()
    if name == "onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(str(path))
        found = torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0])
        assert session.run(None, {"input": inputs[:3].numpy()})[0].shape == (3, 10)
    else:
        found = torch.export.load(path).module()(inputs).detach()
    # float32 rounds at 1.2e-7; sums of a few hundred terms in another order differ by some dozens of it
    assert float((found - outputs).abs().max()) < 100 * torch.finfo(torch.float32).eps * float(outputs.abs().max())
    assert f"{sum(layer.weight_zeros for layer in report.layers):,} exact zeros" in check
    assert f"{tolerance(outputs):.2g} is allowed" in check


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", ["onnx", "pt2"])
def test_a_batch_of_another_size_is_tried_however_small_the_first_is(
    mlp: Pruned, rows: int, name: str, tmp_path: Path
) -> None:
    model, report, inputs = mlp
    (check,) = export(model, report, tmp_path, [name], inputs=inputs[:rows])
    assert f"on {rows} calibration samples and on a batch of {3 - rows}" in check


def test_the_smaller_network_is_smaller_and_says_the_same(network: Pruned, tmp_path: Path) -> None:
    path, check = written(network, "smaller", tmp_path)
    small, (model, _, inputs) = load_smaller(path), network
    outputs = model(inputs).detach()
    assert float((small(inputs) - outputs).detach().abs().max()) < tolerance(outputs) / 10
    numbers = [sum(value.numel() for value in net.state_dict().values()) for net in (small, model)]
    assert numbers[0] < numbers[1] or "Nothing was taken out" in check


def test_all_formats_at_once(mlp: Pruned, tmp_path: Path) -> None:
    model, report, inputs = mlp
    state = {key: value.clone() for key, value in model.state_dict().items()}
    recipe = Recipe(Plan("mine", ("fc1", "fc2", "fc3")), Magnitude(epsilon=0.3))
    checks = export(model.train(), report, tmp_path, list(FORMATS), inputs=inputs, recipe=recipe, curves=[report])
    assert model.training
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [check.split()[0] for check in checks] == [entry.file for entry in FORMATS.values()]
    assert {path.name for path in tmp_path.iterdir()} == {entry.file for entry in FORMATS.values()}


def test_every_format_is_told_apart_and_described() -> None:
    for field in ("title", "file", "about"):
        assert len({getattr(entry, field) for entry in FORMATS.values()}) == len(FORMATS)
    assert {name for name, entry in FORMATS.items() if entry.needs_inputs} == {"onnx", "pt2", "smaller"}
    assert {name for name, entry in FORMATS.items() if entry.needs_recipe} == {"recipe", "script", "notebook"}
    assert all("\n" not in entry.about and "!" not in entry.about for entry in FORMATS.values())


def test_weights_that_two_layers_share_are_written(inputs: Tensor, tmp_path: Path) -> None:
    model = small_mlp(sizes=(10, 10, 10, 4))
    pruned, report = prune(model, inputs, "magnitude", ["fc3"])
    pruned.fc2.weight = pruned.fc1.weight
    names = ["safetensors", "state_dict", "masks", "torch_prune", "csr", "compact", "pt2", "smaller"]
    checks = export(pruned, report, tmp_path, names, inputs=inputs)
    assert "two of its layers share their weights" in checks[-1]


def test_types_that_numpy_does_not_have(mlp: Pruned, tmp_path: Path) -> None:
    model = copy.deepcopy(mlp[0]).bfloat16()
    weights = [name for name in WEIGHTS if name not in ("compact", "onnx")]
    export(model, mlp[1], tmp_path, weights, inputs=mlp[2].bfloat16())
    assert load_smaller(tmp_path / "smaller.safetensors").fc1.weight.dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"a compact file cannot hold these weights .* choose safetensors"):
        export(model, mlp[1], tmp_path, ["compact"])


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (["safetensors", "gguf"], r"unknown format 'gguf'; known formats: safetensors, report, state_dict, masks"),
        (["onnx"], "the format onnx needs inputs"),
        (["pt2"], "the format pt2 needs inputs"),
        (["smaller"], "the format smaller needs inputs"),
        (["recipe"], "the format recipe needs a recipe"),
        (["script"], "the format script needs a recipe"),
        (["notebook"], "the format notebook needs a recipe"),
        (["curves"], "the format curves needs curves"),
        ("onnx", "must be a list of names"),
        ([], "at least one of safetensors"),
    ],
)
def test_formats_that_cannot_be_are_refused_before_anything_is_written(
    formats: list[str], message: str, mlp: Pruned, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export(mlp[0], mlp[1], tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_named(package: str, mlp: Pruned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"{package} is not installed: pip install onnx onnxscript onnxruntime"):
        written(mlp, "onnx", tmp_path)


class Unfollowed(nn.Module):
    """A network whose path depends on its inputs, which no exporter follows."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc1(x) if float(x.sum()) > 0 else -self.fc1(x)


@pytest.mark.parametrize(
    ("name", "tool"), [("onnx", "torch.onnx"), ("pt2", "torch.export"), ("smaller", "only a chain")]
)
def test_networks_that_a_format_cannot_hold_are_refused(
    name: str, tool: str, inputs: Tensor, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    model, report = prune(Unfollowed(), inputs, "magnitude")
    capfd.readouterr()
    with pytest.raises(ValueError, match=rf"{FORMATS[name].file}: {tool}.{{20,400}}$"):
        export(model, report, tmp_path, [name], inputs=inputs)
    assert capfd.readouterr() == ("", "")


@torch.no_grad()
def nudged(weight: Tensor) -> None:
    place = tuple(weight.nonzero()[0])
    weight[place] = torch.nextafter(weight[place], torch.tensor(9.0))


@torch.no_grad()
def filled(weight: Tensor) -> None:
    weight[tuple((weight == 0).nonzero()[0])] = 1e-30


@torch.no_grad()
def emptied(weight: Tensor) -> None:
    weight[tuple(weight.nonzero()[0])] = 0


@torch.no_grad()
def moved(weight: Tensor) -> None:
    place = tuple(weight.nonzero()[0])
    weight[tuple((weight == 0).nonzero()[0])] = weight[place].clone()
    weight[place] = 0


# masks do not hold weights, and what the smaller network computes is compared within a tolerance
UNSEEN = {("masks", nudged), ("smaller", nudged), ("smaller", filled)}
TAMPERED = [
    pytest.param(name, tamper, id=f"{name}-{tamper.__name__}")
    for name in WEIGHTS
    for tamper in (nudged, filled, emptied, moved)
    if (name, tamper) not in UNSEEN
]


@pytest.mark.parametrize(("name", "tamper"), TAMPERED)
def test_a_file_of_another_network_is_refused(
    name: str, tamper: Callable[[Tensor], None], mlp: Pruned, tmp_path: Path
) -> None:
    model, report, inputs = mlp
    other, entry = copy.deepcopy(model), FORMATS[name]
    tamper(other.get_parameter("fc2.weight"))
    entry.write(source(other, report, inputs), tmp_path / entry.file)
    with pytest.raises(ValueError, match=rf"{entry.file}: .*(fc2|outputs)"):
        entry.check(source(model, report, inputs), tmp_path / entry.file)


def test_masks_beside_the_right_weights_must_be_right_too(mlp: Pruned, tmp_path: Path) -> None:
    path, _ = written(mlp, "torch_prune", tmp_path)
    state = torch.load(path, weights_only=True)
    state["fc2.weight_mask"].fill_(1)
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"torch_prune\.pt: the mask of fc2\.weight differs"):
        FORMATS["torch_prune"].check(source(*mlp), path)


def test_zeros_that_a_sparse_file_stores_are_refused(mlp: Pruned, tmp_path: Path) -> None:
    path, _ = written(mlp, "csr", tmp_path)
    stored = torch.load(path, weights_only=True)
    full = torch.ones(15, 20).to_sparse_csr()
    rows = full.crow_indices(), full.col_indices()
    stored["tensors"]["fc2.weight"] = torch.sparse_csr_tensor(*rows, mlp[0].fc2.weight.detach().flatten(), (15, 20))
    torch.save(stored, path)
    assert torch.equal(dense_state(path)["fc2.weight"], mlp[0].fc2.weight)
    with pytest.raises(ValueError, match=r"fc2 has 300 stored weights; the report says"):
        FORMATS["csr"].check(source(*mlp), path)


def test_a_network_that_was_not_made_smaller_is_refused(
    mlp: Pruned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mlp[0]
    with torch.no_grad():
        model.fc1.weight[0] = 0
    made, path = source(*mlp), tmp_path / "smaller.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("nettrim_core.formats.smaller.without_dead", lambda model, _: (model, None))
        FORMATS["smaller"].write(made, path)
    fewer = without_dead(model, mlp[2])[1].numbers
    with pytest.raises(ValueError, match=rf"holds 599 numbers after loading; {fewer} were written"):
        FORMATS["smaller"].check(made, path)


@pytest.mark.parametrize("name", [name for name in WEIGHTS if name != "smaller"])
def test_a_report_of_another_network_is_refused(name: str, mlp: Pruned, tmp_path: Path) -> None:
    model, _, inputs = mlp
    other = prune(small_mlp(), inputs, Magnitude(epsilon=0.1))[1]
    with pytest.raises(ValueError, match="the report says"):
        export(model, other, tmp_path, [name], inputs=inputs)


@pytest.mark.parametrize(("name", "load"), [("masks", load_masks), ("csr", dense_state), ("smaller", load_smaller)])
@pytest.mark.parametrize("damage", ["cut", "other", "missing"])
def test_damaged_files_are_refused_by_name(
    name: str, load: Callable[[Path], object], damage: str, mlp: Pruned, tmp_path: Path
) -> None:
    path, _ = written(mlp, name, tmp_path)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-40] if damage == "cut" else b"something else")
    with pytest.raises(ValueError, match=f"{path.name}: not a"):
        load(path)


def test_masks_that_do_not_fit_their_shape_or_unpack_to_too_much_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "masks.npz"
    bits = np.zeros(3, np.uint8)
    for arrays in (
        {"w": bits, "w.shape": np.array([5, 5])},
        {"w": bits, "w.shape": np.array([-4, -6])},
        {"w": bits.astype(float), "w.shape": np.array([24])},
        {"w": bits},
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=r"masks\.npz: not a file of masks"):
            load_masks(path)
    monkeypatch.setattr("nettrim_core.formats.packed_masks.LARGEST", 2000)
    np.savez_compressed(path, **{"w": np.zeros(2001, np.uint8), "w.shape": np.array([16_008])})
    with pytest.raises(ValueError, match="unpacks to more than"):
        load_masks(path)


def test_a_convolution_is_sparse_as_a_matrix(images: Tensor, tmp_path: Path) -> None:
    model, report = prune(small_cnn(), images, Magnitude(epsilon=0.3))
    path, _ = written((model, report, images), "csr", tmp_path)
    stored = torch.load(path, weights_only=True)
    kernel = stored["tensors"]["conv2.weight"]
    assert kernel.layout == torch.sparse_csr
    assert kernel.shape == (8, 54)
    assert stored["shapes"]["conv2.weight"] == [8, 6, 3, 3]
    assert len(kernel.values()) == int((model.conv2.weight != 0).sum())
