"""Every way in with every way out: a network arrives in one form, is pruned, leaves in another and is read again."""

from __future__ import annotations

import copy
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from nettrim_core import (
    Magnitude,
    Report,
    apply_masks,
    dense_state,
    export,
    from_module,
    from_sklearn,
    load_compact,
    load_masks,
    load_model,
    load_smaller,
    masks_of,
    prune,
    prune_form,
    save_bundle,
)
from nettrim_core.architecture import describe
from nettrim_core.formats.compare import tolerance
from nettrim_core.formats.quiet import quiet
from tests.conftest import small_cnn, small_mlp
from tests.test_models import Branching

LISTED = "input 10\nfc1: linear 20\nrelu\nfc2: linear 15\nrelu\nfc3: linear 4\n"


def images() -> Tensor:
    return torch.randn(30, 2, 10, 10, generator=torch.Generator().manual_seed(3))


def numbers() -> Tensor:
    return torch.randn(30, 10, generator=torch.Generator().manual_seed(3))


def of_bundle(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    model, rows = small_cnn().eval(), (images(), torch.arange(30) % 5)
    save_bundle(folder / "net", model, train=rows, validation=rows, test=rows)
    return model, load_model(folder / "net"), images()


def of_onnx(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    model = small_cnn().eval()
    with quiet():
        torch.onnx.export(
            model, (images()[:2],), folder / "net.onnx", dynamo=True, external_data=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    return model, load_model(folder / "net.onnx"), images()


def of_program(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    model = Branching().eval()
    example = torch.randn(30, 2, 8, 8, generator=torch.Generator().manual_seed(3))
    with quiet():
        program = torch.export.export(model, (example[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, folder / "net.pt2")
    return model, load_model(folder / "net.pt2"), example


def of_state_dict(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    model = small_cnn().eval()
    torch.save(model.state_dict(), folder / "net.pt")
    return model, load_model(folder / "net.pt", architecture=describe(model)), images()


def of_safetensors(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    model = small_mlp(sizes=(10, 20, 15, 4)).eval()
    save_file(model.state_dict(), folder / "net.safetensors")
    return model, load_model(folder / "net.safetensors", architecture=LISTED), numbers()


def of_class(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    model = Branching().eval()
    example = torch.randn(30, 2, 8, 8, generator=torch.Generator().manual_seed(4))
    return model, from_module(model, example), example


def of_sklearn(folder: Path) -> tuple[nn.Module, nn.Module, Tensor]:
    fitted = MLPClassifier((12, 8), max_iter=30, random_state=0).fit(numbers().numpy(), [k % 3 for k in range(30)])
    model = from_sklearn(fitted)
    return model, model, numbers()


IN = {
    "bundle": of_bundle, "onnx": of_onnx, "pt2": of_program, "state_dict": of_state_dict,
    "safetensors": of_safetensors, "class": of_class, "sklearn": of_sklearn,
}  # fmt: skip


@functools.cache
def pruned(way: str) -> tuple[nn.Module, nn.Module, Report, Tensor]:
    """The original, its pruned form after it came in this way, the report and inputs."""
    with tempfile.TemporaryDirectory() as folder:
        original, model, inputs = IN[way](Path(folder))
    found, report = prune(model, inputs, Magnitude(epsilon=0.4))
    return original, found, report, inputs


def weights(read: Callable[[Path], dict[str, Tensor]]) -> Callable[[str, Path], None]:
    """A way out that holds a state dict: into the original class with strict=True."""

    def check(way: str, file: Path) -> None:
        original, *_ = pruned(way)
        fresh = copy.deepcopy(original)
        fresh.load_state_dict(read(file), strict=True)
        same(fresh, way)

    return check


def same(found: nn.Module, way: str) -> None:
    """Outputs, zeros layer by layer and counts of the pruned network."""
    _, model, report, inputs = pruned(way)
    with torch.no_grad():
        wanted, outputs = model(inputs), found(inputs)
    assert float((outputs - wanted).abs().max()) <= tolerance(wanted) / 10
    for layer in report.layers:  # an exporter may fold a batch norm into a layer, which keeps its name and its zeros
        weight = found.get_parameter(f"{layer.name}.weight")
        assert weight.numel() == layer.weights
        assert int((weight == 0).sum()) == layer.weight_zeros > 0


def out_masks(way: str, file: Path) -> None:
    original, model, report, _ = pruned(way)
    masks, trained = load_masks(file), copy.deepcopy(original)
    apply_masks(trained, masks)
    for layer in report.layers:
        weight = trained.get_parameter(f"{layer.name}.weight")
        assert torch.equal(weight == 0, model.get_parameter(f"{layer.name}.weight") == 0)


def out_torch_prune(way: str, file: Path) -> None:
    original, model, report, _ = pruned(way)
    ones = {n: torch.ones_like(m) for n, m in masks_of(model, [layer.name for layer in report.layers]).items()}
    form = prune_form(copy.deepcopy(original), ones)
    form.load_state_dict(torch.load(file, weights_only=True), strict=True)
    for name in ones:
        torch_prune.remove(form.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])
    same(form, way)


def out_smaller(way: str, file: Path) -> None:
    _, model, _, inputs = pruned(way)
    small = load_smaller(file)
    with torch.no_grad():
        wanted = model(inputs)
        assert float((small(inputs) - wanted).abs().max()) <= tolerance(wanted) / 10
    assert sum(p.numel() for p in small.parameters()) <= sum(p.numel() for p in model.parameters())


OUT: dict[str, Callable[[str, Path], None]] = {
    "safetensors": weights(load_file),
    "state_dict": weights(lambda path: torch.load(path, weights_only=True)),
    "csr": weights(dense_state),
    "compact": weights(lambda path: {key: torch.from_numpy(value) for key, value in load_compact(path).items()}),
    "masks": out_masks,
    "torch_prune": out_torch_prune,
    "smaller": out_smaller,
    "onnx": lambda way, file: same(load_model(file), way),
    "pt2": lambda way, file: same(load_model(file), way),
}
# a network with branches is not made smaller: neurons that meet in a sum would have to go together
NOT = {("pt2", "smaller"), ("class", "smaller")}


@pytest.mark.parametrize("out", OUT)
@pytest.mark.parametrize("way", IN)
def test_there_and_back(way: str, out: str, tmp_path: Path) -> None:
    _, model, report, inputs = pruned(way)
    if (way, out) in NOT:
        with pytest.raises(ValueError, match="chain"):
            export(model, report, tmp_path, [out], inputs=inputs)
        return
    export(model, report, tmp_path, [out], inputs=inputs)
    (file,) = tmp_path.iterdir()
    OUT[out](way, file)
