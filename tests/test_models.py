"""Networks from files: the same outputs and the same names as where they came from, or a sentence that says why not."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core import METHODS, load_bundle, load_model, prune, save_bundle
from nettrim_core.architecture import build, describe
from nettrim_core.formats.quiet import quiet
from nettrim_core.models.wiring import Wiring
from nettrim_core.wired import INPUT, Step, Wired
from tests.conftest import small_cnn, small_mlp


class Branching(nn.Module):
    """What a chain cannot say: branches, sums, a shared layer, a tensor of its own, shapes that depend on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.left, self.right = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding="same", groups=2, bias=False)
        self.twice = nn.Linear(12, 12)
        self.offset = nn.Parameter(torch.randn(12))
        self.unused = nn.Linear(3, 2)
        self.norm, self.drop, self.head = nn.LayerNorm(12), nn.Dropout(0.3), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = functional.max_pool2d(torch.cat([self.left(x), self.right(x) * 0.5, x - 1], 1), 2)
        x = functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        x = functional.relu(self.twice(functional.relu(self.twice(x)))) + self.offset
        return self.head(self.drop(self.norm(x))).log_softmax(1)


class Audio(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(1, 8, 9, stride=4), nn.BatchNorm1d(8)
        self.conv2, self.fc = nn.Conv1d(8, 6, 3), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool1d(functional.relu(self.bn1(self.conv1(x))), 4)
        x = functional.leaky_relu(self.conv2(x), 0.2)
        x = functional.avg_pool1d(x, x.shape[-1]).permute(0, 2, 1)
        return self.fc(x).squeeze(1).softmax(-1)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "mlp": lambda: (small_mlp(), torch.randn(3, 10)),
    "cnn": lambda: (small_cnn(), torch.randn(3, *CNN_SHAPE)),
    "branching": lambda: (Branching(), torch.randn(3, 2, 8, 8)),
    "audio": lambda: (Audio(), torch.randn(3, 1, 160)),
    "resnet_small": lambda: (load_bundle("resnet_small").model, load_bundle("resnet_small").calibration[:3]),
}
CNN_SHAPE = (2, 10, 10)


def exported(model: nn.Module, example: Tensor, path: Path) -> Path:
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(model, (example,), dynamic_shapes=({0: batch},)), path)
    return path


def moved_norms(model: nn.Module) -> nn.Module:
    """With batch norms that do something."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_program_gives_the_same_outputs_and_the_same_names(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model, example = NETWORKS[name]()
    moved_norms(model)
    read = load_model(exported(model, example, tmp_path / "program.pt2"))
    others = torch.randn(7, *example.shape[1:])  # another batch than it was exported with
    assert torch.equal(read(others), model(others))
    model.load_state_dict(read.state_dict(), strict=True)
    again = build(json.loads(json.dumps(describe(read))), "here").eval()
    again.load_state_dict(read.state_dict(), strict=True)
    assert torch.equal(again(others), read(others))


def test_a_program_can_be_pruned_and_kept_as_a_bundle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = moved_norms(Branching())
    read = load_model(exported(model, torch.randn(3, 2, 8, 8), tmp_path / "program.pt2"))
    rows = torch.randn(40, 2, 8, 8), torch.randint(5, (40,))
    save_bundle(tmp_path / "mine", read, train=rows, validation=rows, test=rows)
    kept = load_bundle(tmp_path / "mine").model
    assert torch.equal(kept(rows[0]), model(rows[0]))
    method = METHODS["nettrim"]
    pruned, report = prune(kept, rows[0], method)
    straight, expected = prune(model, rows[0], method)
    assert {e.name for e in report.layers} == {"stem.0", "left", "right", "twice", "head"}
    for mine, theirs in zip(report.layers, expected.layers, strict=True):
        assert (mine.name, mine.weight_zeros, mine.discrepancy) == (
            theirs.name,
            theirs.weight_zeros,
            theirs.discrepancy,
        )
        assert theirs.bound in (None, mine.bound)  # the steps may be easier to follow than the code
    model.load_state_dict(pruned.state_dict(), strict=True)  # into the original class
    assert torch.equal(model(rows[0]), straight(rows[0]))


def archive(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """The program of a small network with its members changed; None leaves one out."""
    exported(small_mlp().eval(), torch.randn(3, 10), path)
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as spoiled:
        for name, data in members.items():
            changed = change(name, data)
            if changed is not None:
                spoiled.writestr(name, changed)
    return path


def replaced(member: str, old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, data: data.replace(old, new) if name.endswith(member) else data


SPOILED: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "pickle": (replaced("weights_config.json", b'"use_pickle": false', b'"use_pickle": true'), "stored as a pickle"),
    "no weights": (lambda name, data: None if name.endswith("weight_0") else data, "no data"),
    "short weights": (lambda name, data: data[:40] if name.endswith("weight_0") else data, "holds 10 numbers"),
    "vast shape": (replaced("weights_config.json", b'"as_int": 20', b'"as_int": 99999999999'), "holds 200 numbers"),
    "negative": (replaced("weights_config.json", b'"as_int": 10', b'"as_int": -10'), "numbers for it"),
    "not finite": (
        lambda name, data: b"\x00\x00\xc0\x7f" * (len(data) // 4) if name.endswith("weight_0") else data,
        "contains NaN",
    ),
    "no weight": (replaced("model.json", b'"name": "weight"', b'"name": "mass"'), "has no weight"),
    "no graph": (lambda name, data: None if name.endswith("model.json") else data, "has no models/model.json"),
    "not JSON": (lambda name, data: data[:-9] if name.endswith("model.json") else data, "not laid out"),
    "operation": (replaced("model.json", b"aten.relu.default", b"aten.erfinv.default"), "aten.erfinv.default (relu"),
    "foreign": (replaced("model.json", b"torch.ops.aten.relu.default", b"os.system"), "not known: os.system"),
    "training": (replaced("model.json", b"aten.relu.default", b"aten.dropout.default"), "a tensor is expected"),
    "nested": (lambda name, data: b"[" * 100_000 if name.endswith("model.json") else data, "too deeply"),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_spoiled_program_is_refused_in_a_sentence(fault: str, tmp_path: Path) -> None:
    change, says = SPOILED[fault]
    path = archive(tmp_path / "program.pt2", change)
    with pytest.raises(ValueError, match=r"program\.pt2") as refused:
        load_model(path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_program_is_read_or_refused(place: int, byte: int, cut: bool, tmp_path: Path) -> None:
    path = tmp_path / "whole.pt2"
    if not path.exists():
        exported(small_mlp().eval(), torch.randn(3, 10), path)
    data = bytearray(path.read_bytes())
    at = place % len(data)
    spoiled = tmp_path / "spoiled.pt2"
    if cut:
        data = data[:at]
    else:
        data[at] = byte
    spoiled.write_bytes(bytes(data))
    read, refused = None, ""
    try:
        read = load_model(spoiled)
    except ValueError as error:
        refused = str(error)
    assert isinstance(read, nn.Module) or "spoiled.pt2" in refused


def test_several_inputs_are_refused(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    path = tmp_path / "two.pt2"
    torch.export.save(torch.export.export(Two(), (torch.randn(2, 3), torch.randn(2, 3))), path)
    with pytest.raises(ValueError, match="takes 2 inputs and gives 1 outputs"):
        load_model(path)


@pytest.mark.parametrize("ending", ["pt2", "onnx", "safetensors", "pt", "pth"])
def test_endings_may_be_in_capitals(ending: str, tmp_path: Path) -> None:
    model, x = small_mlp().eval(), torch.randn(5, 10)
    path = tmp_path / f"net.{ending}"
    if ending == "pt2":
        torch.export.save(torch.export.export(model, (x,)), path)
    elif ending == "onnx":
        with quiet():
            torch.onnx.export(model, (x,), path, dynamo=True, external_data=False)
    elif ending == "safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    known = load_model(path, architecture=None if ending in ("pt2", "onnx") else describe(model))
    path = path.rename(path.with_name(path.name.upper()))
    read = load_model(path, architecture=None if ending in ("pt2", "onnx") else describe(model))
    assert torch.equal(read(x), known(x))


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize("name", ["digits_mlp", "lenet_5", "resnet_small"])
def test_the_state_dict_of_a_sample_family_is_recognised(name: str, ending: str, tmp_path: Path) -> None:
    bundle = load_bundle(name)
    torch.manual_seed(1)
    weights = {
        key: torch.randn_like(value) if value.is_floating_point() and "var" not in key else value
        for key, value in bundle.model.state_dict().items()
    }
    path = tmp_path / f"mine.{ending}"
    save_file(weights, path) if ending == "safetensors" else torch.save({"state_dict": weights, "epoch": 3}, path)
    read, x = load_model(path), bundle.calibration[:20]
    bundle.model.load_state_dict(weights)
    assert torch.equal(read(x), bundle.model(x))


def test_a_plain_perceptron_is_recognised_in_the_order_of_its_names(tmp_path: Path) -> None:
    sizes = [7, *([6] * 10), 3]  # more than nine layers: 10 comes after 9
    layers = OrderedDict[str, nn.Module]()
    for i in range(len(sizes) - 1):
        layers[f"fc{i + 1}"] = nn.Linear(sizes[i], sizes[i + 1], bias=i != 4)
        if i < len(sizes) - 2:
            layers[f"act{i + 1}"] = nn.ReLU()
    model = nn.Sequential(OrderedDict(net=nn.Sequential(layers))).eval()
    save_file(model.state_dict(), tmp_path / "mlp.safetensors")
    read, x = load_model(tmp_path / "mlp.safetensors"), torch.randn(9, 7)
    assert torch.equal(read(x), model(x))
    assert set(read.state_dict()) == set(model.state_dict())


def test_weights_with_their_architecture(tmp_path: Path) -> None:
    model = small_cnn().eval()
    torch.save(model.state_dict(), tmp_path / "cnn.pth")
    with pytest.raises(ValueError, match=r"cnn\.pth: weights alone do not say how they are joined"):
        load_model(tmp_path / "cnn.pth")
    read, x = load_model(tmp_path / "cnn.pth", architecture=describe(model)), torch.randn(4, *CNN_SHAPE)
    assert torch.equal(read(x), model(x))


class Evil:
    """Whose pickle leaves a file behind when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_pickles_are_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "was-here"
    pickle.loads(pickle.dumps(Evil(mark)))
    assert mark.exists()  # it would
    mark.unlink()
    for number, data in enumerate([pickle.dumps(Evil(mark)), pickle.dumps({"weight": Evil(mark)}), b"junk", b""]):
        path = tmp_path / f"evil{number}.pt"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"evil{number}\.pt"):
            load_model(path)
    whole = io.BytesIO()
    torch.save(small_mlp(), whole)  # a whole model is a pickle too
    (tmp_path / "whole.pt").write_bytes(whole.getvalue())
    with pytest.raises(ValueError, match=r"save model.state_dict\(\)"):
        load_model(tmp_path / "whole.pt")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([1, 2], "holds no state dict but a list"),
        ({"a": "text"}, "'a' is a str, not a tensor"),
        ({}, "holds no state dict"),
        ({"fc.weight": torch.full((2, 2), torch.nan)}, "contains NaN"),
        ({"fc1.weight": torch.ones(3, 2), "fc2.weight": torch.ones(2, 4)}, "a Linear does not take (2, 3)"),
        ({"weight": torch.ones(3, 2).to_sparse()}, "sparse"),
    ],
)
def test_odd_state_dicts_are_refused(found: object, says: str, tmp_path: Path) -> None:
    torch.save(found, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=r"odd\.pt") as refused:
        load_model(tmp_path / "odd.pt")
    assert says in str(refused.value)


def test_an_architecture_larger_than_its_weights_allocates_nothing(tmp_path: Path) -> None:
    save_file({"0.weight": torch.ones(1, 1), "0.bias": torch.ones(1)}, tmp_path / "small.safetensors")
    vast = [{"type": "Linear", "in_features": 10**7, "out_features": 10**7}]
    with pytest.raises(ValueError, match="do not fit"):
        load_model(tmp_path / "small.safetensors", architecture=vast)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([Step("a", ("b",), operation="abs")], "takes 'b', which no earlier step gives"),
        ([Step("a", (INPUT,), operation="eval")], "unknown operation 'eval'"),
        ([Step("a", (INPUT,), operation="scale")], "needs the arguments by"),
        ([Step("a", (INPUT,), operation="add")], "takes 1 values"),
        ([Step("a", (INPUT,), layer="fc")], "layer 'fc' is not there"),
        ([Step("a", (INPUT,))], "needs one of layer, operation and tensor"),
        ([Step(INPUT, (INPUT,), operation="abs")], "names are unique"),
        ([], "the output 'a' is no step"),
    ],
)
def test_steps_that_cannot_be_wired_are_refused(steps: list[Step], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Wired({}, {}, steps, "a")


def test_names_of_layers_are_had_as_far_as_they_can(tmp_path: Path) -> None:
    wiring = Wiring([4])
    value = INPUT
    for wished in ("fc", "fc", "fc.inner", "forward", "a/b-c.d", ""):
        value = wiring.layer(wished, "ReLU", value, {})
    assert list(wiring.layers) == ["fc", "fc_2", "fc_inner", "forward_", "a.b_c.d", "layer"]
    with pytest.raises(ValueError, match="two dimensions"):
        Wiring([2, 2]).reshape(INPUT, [(4, 2), (3, 4)], "fold")
