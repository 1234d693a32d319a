"""ONNX files: the same outputs as onnxruntime's and the names that they have, or a sentence that says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core import METHODS, export, load_bundle, load_model, prune, sample_names, save_bundle
from nettrim_core.architecture import build, describe
from nettrim_core.formats.quiet import quiet
from tests.onnx_models import Shape, floats, graph, read_alike, saved
from tests.test_models import Audio, Branching, moved_norms

CLEAN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 30), nn.Linear(30, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc2(functional.relu(self.fc1(x.view(x.size(0), -1))))


class Projected(nn.Module):
    """A residual network whose shortcuts are projections."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                                  nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))  # fmt: skip
        self.project = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(self.body(x) + self.project(x))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs in ((2, 6), (6, 8)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3))


def sequences() -> nn.Module:
    """Linear layers on three dimensions, which are written as products and sums; less usual activations."""
    acts = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Softplus(), nn.Softplus(2.0)]
    acts += [nn.PReLU(3), nn.ELU(0.7), nn.CELU(0.4), nn.SELU(), nn.Hardtanh(-0.5, 0.8), nn.ReLU6(), nn.LeakyReLU(0.3)]
    acts += [nn.Sigmoid(), nn.Tanh(), nn.Softsign(), nn.Hardsigmoid(), nn.LogSoftmax(-1)]
    layers = [layer for act in acts for layer in (nn.Linear(6, 6), act, nn.LayerNorm(6))]
    for norm in layers[2::3]:  # of equal weights, the exporter keeps one
        nn.init.normal_(norm.get_parameter("weight"))
        nn.init.normal_(norm.get_parameter("bias"))
    return nn.Sequential(*layers, nn.Linear(6, 2, bias=False))


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet": (LeNet, (1, 28, 28)),
    "vgg": (vgg, (2, 8, 8)),
    "projected": (Projected, (3, 8, 8)),
    "audio": (Audio, (1, 160)),
    "branching": (Branching, (2, 8, 8)),
    "sequences": (sequences, (3, 6)),
}


def written(model: nn.Module, shape: tuple[int, ...], path: Path, *, fixed: bool = False, **options: Any) -> Path:
    """By the exporter of torch, for any batch or for a batch of one."""
    batch = None if fixed else ({0: torch.export.Dim("batch")},)
    example = torch.randn(1 if fixed else 2, *shape)
    with quiet():
        torch.onnx.export(
            model.eval(), (example,), path, dynamo=True, external_data=False, dynamic_shapes=batch, **options
        )
    return path


@pytest.mark.parametrize("fixed", [False, True], ids=["any batch", "batch of one"])
@pytest.mark.parametrize("name", MODULES)
def test_what_torch_exports_gives_the_same_outputs_and_names(name: str, fixed: bool, tmp_path: Path) -> None:
    torch.manual_seed(5)
    make, shape = MODULES[name]
    model = moved_norms(make())
    path = written(model, shape, tmp_path / "model.onnx", fixed=fixed, optimize=False)
    read = read_alike(path, *shape)
    rows = torch.randn(6, *shape)
    assert torch.allclose(read(rows), model(rows), rtol=1e-5, atol=1e-5)
    unused = {"unused.weight", "unused.bias"}  # which the exporter leaves out
    assert set(model.state_dict()) - set(read.state_dict()) <= unused
    model.load_state_dict(read.state_dict(), strict=name != "branching")
    assert torch.allclose(read(rows), model(rows), rtol=1e-5, atol=1e-5)
    again = build(json.loads(json.dumps(describe(read))), "here").eval()
    again.load_state_dict(read.state_dict(), strict=True)
    assert torch.equal(again(rows), read(rows))


@pytest.mark.parametrize("name", ["projected", "sequences", "branching"])
def test_what_torch_folds_itself_is_read_too(name: str, tmp_path: Path) -> None:
    torch.manual_seed(6)
    make, shape = MODULES[name]
    model = moved_norms(make())
    read = read_alike(written(model, shape, tmp_path / "model.onnx"), *shape)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in read.modules())  # it folds them into what is before
    if name == "sequences":  # which has none, but weights that are turned round have lost their names
        model.load_state_dict(read.state_dict(), strict=True)


@pytest.mark.parametrize("name", sample_names())
def test_what_this_project_exports_it_reads_back(name: str, tmp_path: Path) -> None:
    bundle = load_bundle(name)
    layers = [name for name, module in bundle.model.named_modules() if isinstance(module, nn.Linear)][-1:]
    pruned, report = prune(bundle.model, bundle.calibration[:40], METHODS["magnitude"], layers)
    export(pruned, report, tmp_path, ("onnx",), inputs=bundle.calibration[:40])
    (path,) = tmp_path.glob("*.onnx")
    read = read_alike(path, *bundle.calibration.shape[1:])
    pruned.load_state_dict(read.state_dict(), strict=True)


def test_a_read_network_is_pruned_and_kept_as_a_bundle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = moved_norms(Projected())
    read = load_model(written(model, (3, 8, 8), tmp_path / "model.onnx", optimize=False))
    rows = torch.randn(40, 3, 8, 8), torch.randint(5, (40,))
    save_bundle(tmp_path / "mine", read, train=rows, validation=rows, test=rows)
    kept = load_bundle(tmp_path / "mine").model
    assert torch.equal(kept(rows[0]), read(rows[0]))
    pruned, report = prune(kept, rows[0], METHODS["nettrim"])
    straight, expected = prune(model, rows[0], METHODS["nettrim"])
    assert [layer.name for layer in report.layers] == ["stem", "body.0", "body.3", "project.0", "head"]
    for mine, theirs in zip(report.layers, expected.layers, strict=True):
        assert (mine.name, mine.weight_zeros) == (theirs.name, theirs.weight_zeros)
        assert mine.discrepancy == pytest.approx(theirs.discrepancy, rel=1e-3)
    model.load_state_dict(pruned.state_dict(), strict=True)  # into the original class
    assert torch.allclose(model(rows[0]), straight(rows[0]), rtol=1e-3, atol=1e-4)


# graphs that the exporter does not write
W, V, IMAGE = floats(4, 5), floats(5), ["N", 2, 7, 6]
GRAPHS: dict[str, tuple[str, Shape, dict[str, Any]]] = {
    "product and sum": ("MatMul x w; Add b v0; Relu v1", ["N", 4], {"w": W, "b": V}),
    "product of sequences": ("MatMul x w; Add v0 b", ["N", 3, 4], {"w": W, "b": V[None]}),
    "product used twice": ("MatMul x w; Add v0 b; Mul v0 v1", ["N", 4], {"w": W, "b": V}),
    "sum of another shape": ("MatMul x w; Add v0 b", ["N", 3, 4], {"w": W, "b": floats(3, 1)}),
    "Gemm scaled": ("Gemm x w b alpha=0.5 beta=2.0", ["N", 4], {"w": W, "b": V}),
    "Gemm one number": ("Gemm x w b transB=1", ["N", 5], {"w": W, "b": np.float32([0.7])}),
    "Gemm of values": ("MatMul x w; Gemm v0 w x transB=1 alpha=3.0 beta=0.5", ["N", 4], {"w": W}),
    "one weight turned round": (
        "Gemm x k transB=1; Gemm v0 k x alpha=2.0; Gemm v1 k transB=1",
        ["N", 4], {"k": floats(4, 4)},
    ),
    "product of values": ("MatMul w x; Transpose v0 perm=[0,2,1]; MatMul v1 v0", ["N", 4, 3], {"w": floats(2, 4)}),
    "instance norm": ("InstanceNormalization x s b epsilon=0.01", IMAGE, {"s": floats(2), "b": floats(2, seed=1)}),
    "instance norm 1d": ("InstanceNormalization x s b", ["N", 2, 7], {"s": floats(2), "b": floats(2, seed=1)}),
    "layer norm": ("LayerNormalization x s axis=2 epsilon=0.1", IMAGE, {"s": floats(6)}),
    "batch norm of rows": ("BatchNormalization x s b m v epsilon=0.01", ["N", 3],
                           {"s": floats(3), "b": floats(3, seed=1), "m": floats(3, seed=2), "v": floats(3) ** 2}),
    "LRN": ("LRN x size=3 alpha=0.5 beta=0.6 bias=1.5", ["N", 5, 4, 3], {}),
    "global pools": ("GlobalAveragePool x; GlobalMaxPool x; Concat v0 v1 axis=-3", IMAGE, {}),
    "global pools 1d": ("GlobalAveragePool x; GlobalMaxPool x; Sub v0 v1", ["N", 2, 7], {}),
    "Elu": ("Elu x alpha=0.3", ["N", 4], {}),
    "Celu": ("Celu x alpha=0.3", ["N", 4], {}),
    "Selu": ("Selu x", ["N", 4], {}),
    "Selu otherwise": ("Selu x alpha=1.1 gamma=2.0", ["N", 4], {}),
    "LeakyRelu": ("LeakyRelu x", ["N", 4], {}),
    "HardSigmoid": ("HardSigmoid x", ["N", 4], {}),
    "HardSigmoid of torch": ("HardSigmoid x alpha=0.16666667", ["N", 4], {}),
    "HardSwish": ("HardSwish x", ["N", 4], {}),
    "PRelu one": ("PRelu x s", ["N", 4], {"s": np.float32([0.2])}),
    "PRelu channels": ("PRelu x s", IMAGE, {"s": floats(2, 1, 1)}),
    "PRelu columns": ("PRelu x s", IMAGE, {"s": floats(6)}),
    "PRelu square": ("PRelu x s", ["N", 3, 3, 3], {"s": floats(3)}),
    "PRelu of rows": ("PRelu x s", ["N", 4], {"s": floats(1, 4)}),
    "Clip above": ("Clip x _ b", ["N", 4], {"b": np.float32(0.4)}),
    "Clip below": ("Clip x a", ["N", 4], {"a": np.float32(0.1)}),
    "Clip to the largest": ("Clip x a b", ["N", 4], {"a": np.float32(0), "b": np.finfo(np.float32).max}),
    "Clip both": ("Clip x a b", ["N", 4], {"a": np.float32(-0.3), "b": np.float32(0.4)}),
    "Clip to six": ("Mul x t; Clip v0 a b", ["N", 4], {"a": np.float32(0), "b": np.float32(6), "t": np.float32(9)}),
    "Clip turned": ("Clip x a b", ["N", 4], {"a": np.float32(0.5), "b": np.float32(-0.4)}),
    "Clip not": ("Clip x; Neg v0", ["N", 4], {}),
    "Max of numbers": ("Max x a; Min b v0", ["N", 4], {"a": np.float32(0), "b": np.float32([0.7])}),
    "Max of values": ("Neg x; Max x v0 w; Min v1 v0 x; Sum v2 v1 x", ["N", 5], {"w": V}),
    "numbers on the left": ("Sub a x; Exp v0; Div a v1; Mul a v2; Add a v3", ["N", 4], {"a": np.float32(0.3)}),
    "numbers on the right": ("Sub x a; Div v0 a; Mul v1 a; Add v2 a", ["N", 4], {"a": np.float32(0.3)}),
    "nothing done": ("Sub x z; Div v0 e; Abs v1", ["N", 4], {"z": np.float32(0), "e": np.float32(1)}),
    "tensors": ("Sub w x; Exp v0; Div v1 w; Mul w v2; Add v3 w", ["N", 5], {"w": V}),
    "a number of more dimensions": ("Add x a; Squeeze v0 i", ["N", 4], {"a": np.float32([[[2]]]), "i": [0]}),
    "functions": ("Abs x; Sqrt v0; Exp v1; Log v2; Neg v3; Erf v4; Reciprocal v5", ["N", 4], {}),
    "Pow": ("Pow x a; Pow v0 b", ["N", 4], {"a": np.float32(2), "b": np.float32([0.5])}),
    "Pow of whole numbers": ("Pow x a", ["N", 4], {"a": np.int64(3)}),
    "Softmax over channels": ("Softmax x axis=1; LogSoftmax v0 axis=-2", IMAGE, {}),
    "pad zeros": ("Pad x p c", IMAGE, {"p": [0, 0, 1, 2, 0, 1, 3, 0], "c": np.float32(0.5)}),
    "pad off": ("Pad x p", IMAGE, {"p": [0, 0, -1, 2, 0, 0, 3, -2]}),
    "pad reflected": ("Pad x p mode=reflect", IMAGE, {"p": [0, 0, 1, 2, 0, 0, 3, 0]}),
    "pad the edge": ("Pad x p _ a mode=edge", IMAGE, {"p": [1, 3], "a": [-1]}),
    "pad the edge 1d": ("Pad x p mode=edge", ["N", 2, 7], {"p": [0, 0, 1, 0, 0, 2]}),
    "reductions": ("ReduceMean x a keepdims=0; ReduceSum v0 b keepdims=0; ReduceMax x c; Squeeze v2 d; Add v1 v3",
                   IMAGE, {"a": [-1], "b": [1], "c": [1, 2, 3], "d": [1, 2]}),
    "reduce nothing": ("ReduceSum x noop_with_empty_axes=1; Neg v0", ["N", 4], {}),
    "slices": ("Slice x s e a t", IMAGE, {"s": [1, -5], "e": [9, 2**62], "a": [1, -2], "t": [1, 2]}),
    "slice of all": ("Slice x s e; Neg v0", IMAGE, {"s": [0, 1, -3], "e": [2**62, 2, -1]}),
    "select": ("Gather x i axis=2; Gather v0 j axis=-1", IMAGE, {"i": np.int64(-2), "j": [1, 3, 5]}),
    "select one": ("Gather x i axis=1", IMAGE, {"i": [1]}),
    "squeezes": ("Unsqueeze x a; Unsqueeze v0 b; Squeeze v1", [4, 4], {"a": [1, -1], "b": [2]}),
    "squeeze chosen": ("Unsqueeze x a; Squeeze v0 b", ["N", 4], {"a": [1, -1], "b": [-3]}),
    "flatten late": ("Flatten x axis=2; Reshape v0 s", ["N", 2, 3, 4], {"s": [-1, 2, 12]}),
    "flatten from behind": ("Flatten x axis=-3", ["N", 2, 3, 4], {}),
    "reshape with zero": ("Reshape x s", ["N", 2, 3, 4], {"s": [0, 0, -1]}),
    "casts": ("Cast x to=1; Identity v0; CastLike v1 x; Dropout v2 r", ["N", 4], {"r": np.float32(0.3)}),
    "SiLU": ("Sigmoid x; Mul x v0", ["N", 4], {}),
    "a gate": ("Sigmoid x; Mul v0 v0; Add v1 x", ["N", 4], {}),
    "expand to itself": ("Shape x; Neg x; Expand v1 v0", ["N", 4], {}),
    "folded weights": (
        "Transpose w perm=[1,0]; Mul v0 a; Reshape v1 s; MatMul x v2; Constant value_floats=[.1,.2,.3,.4]; Add v3 v4",
        ["N", 5], {"w": W, "a": np.float32(2), "s": [5, 4]},
    ),
    "a shape put together": (
        "Shape x; Gather v0 z; Unsqueeze v1 u; Constant value_ints=[-1]; Concat v2 v3 axis=0; Cast v4 to=7; "
        "Reshape x v5",
        IMAGE, {"z": np.int64(0), "u": [0]},
    ),
    "a shape computed": (
        "Shape x; Slice v0 a b; ReduceProd v1 keepdims=1; Slice v0 z a; Concat v3 v2 axis=0; Reshape x v4; Size v5; "
        "Shape v5 start=-1; Div v6 v7; Concat v8 o axis=0; Mul v9 e; Reshape v5 v10",
        IMAGE, {"z": [0], "a": [1], "b": [9], "o": [-1], "e": [1, 1]},
    ),
    "a constant of a shape": ("Shape w; ConstantOfShape v0; Exp v1; Range a b c; Sub v2 v3; Add x v4", ["N", 5],
                              {"w": V, "a": np.float32(0), "b": np.float32(2.5), "c": np.float32(0.5)}),
    "window behind the end": ("MaxPool x kernel_shape=[2] strides=[3] pads=[0,1] ceil_mode=1", ["N", 2, 6], {}),
    "mean behind the end": ("AveragePool x kernel_shape=[2] strides=[3] pads=[0,1] ceil_mode=1", ["N", 2, 6], {}),
    "same, lower": ("MaxPool x kernel_shape=[2,3] auto_pad=SAME_LOWER; Conv v0 w auto_pad=SAME_LOWER",
                    IMAGE, {"w": floats(3, 2, 2, 4)}),
    "same, upper": ("AveragePool x kernel_shape=[2,3] auto_pad=SAME_UPPER; Conv v0 w auto_pad=SAME_UPPER strides=[2,1]",
                    IMAGE, {"w": floats(3, 2, 2, 4)}),
    "parts": ("Slice x s e a; Slice x e f a; Sub v0 v1", IMAGE, {"s": [0], "e": [3], "f": [6], "a": [2]}),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_gives_what_the_engine_gives(name: str, tmp_path: Path) -> None:
    nodes, shape, held = GRAPHS[name]
    read_alike(saved(graph(nodes, shape, held), tmp_path / "graph.onnx"), *[int(size) for size in shape[1:]])


def test_a_group_norm_of_later_versions(tmp_path: Path) -> None:
    held = {"norm.weight": floats(6), "norm.bias": floats(6, seed=1)}
    node = "GroupNormalization x norm.weight norm.bias num_groups=2 epsilon=0.1"
    read = read_alike(saved(graph(node, ["N", 6, 4, 3], held, opset=21), tmp_path / "norm.onnx"), 6, 4, 3)
    assert set(read.state_dict()) == set(held)


TWO, HIGH = {"b": np.float32(2)}, {"t": np.float32(20)}
SOFTPLUS = {
    "plain": ("Softplus x; Greater x t; Where v1 x v0", HIGH, True),
    "scaled": ("Mul x b; Softplus v0; Div v1 b; Greater v0 t; Where v3 x v2", TWO | HIGH, True),
    "scaled otherwise": ("Mul x b; Softplus v0; Div v1 t; Greater v0 t; Where v3 x v2", TWO | HIGH, False),
    "too soon": ("Softplus x; Greater x b; Where v1 x v0", TWO, False),
    "of another": ("Neg x; Softplus v0; Greater x t; Where v2 x v1", HIGH, False),
    "another function": ("Mul x b; Tanh v0; Div v1 b; Greater v0 t; Where v3 x v2", TWO | HIGH, False),
}


@pytest.mark.parametrize("name", SOFTPLUS)
def test_a_choice_is_read_where_it_is_a_softplus(name: str, tmp_path: Path) -> None:
    nodes, held, good = SOFTPLUS[name]
    path = saved(graph(nodes, ["N", 40], held), tmp_path / "choice.onnx")
    if good:
        read_alike(path, 40, scale=15.0)
        return
    with pytest.raises(ValueError, match=r"\(Where\): a choice between values"):
        load_model(path)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/conv1/Conv", "conv1"), ("/body/body.0/Conv", "body.0"), ("/a/a.1/a.1.b/Conv_3", "a.1.b"), ("", "v0"),
        ("Conv_7", "Conv_7"), ("node_conv2d_1", "conv2d_1"), ("/Conv", "Conv"), ("stem/act", "stem.act"),
    ],
)  # fmt: skip
def test_layers_without_named_weights_are_called_as_their_nodes(name: str, path: str, tmp_path: Path) -> None:
    model = graph("Conv x w", IMAGE, {"w": floats(4, 2, 3, 3)})
    model.graph.node[0].name = name
    assert list(load_model(saved(model, tmp_path / "named.onnx")).state_dict()) == [f"{path}.weight"]


# a batch of one, or of three, that is written into the shapes
FIXED: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    "flatten": ("Reshape x s; MatMul v0 w", [1, 2, 2], {"s": [1, 4], "w": W}),
    "flatten from one": ("Reshape x s; MatMul v0 w", [1, 2, 2], {"s": [1, -1], "w": W}),
    "flatten the rest": ("Reshape x s; MatMul v0 w", [1, 2, 2], {"s": [-1, 4], "w": W}),
    "of three": ("Reshape x s; MatMul v0 w", [3, 2, 2], {"s": [3, 4], "w": W}),
    "of three, one by one": ("Reshape x s; MatMul v0 w; Reshape v1 t; Neg v2", [3, 4, 2],
                             {"s": [6, 4], "t": [3, 10], "w": W}),
    "with more ones": ("Reshape x s; Neg v0; Reshape v1 t", [1, 1, 6], {"s": [1, 1, 1, 6], "t": [1, 3, 2]}),
    "rows apart and together": ("Reshape x s; MatMul v0 w; Reshape v1 t", [1, 3, 4],
                                {"s": [3, 4], "t": [1, 3, 5], "w": W}),
    "behind": ("Transpose x perm=[1,0,2]; Reshape v0 s; Transpose v1 perm=[1,0,2,3]", [1, 3, 4], {"s": [3, 1, 2, 2]}),
    "sizes of the input": ("Shape x; Gather v0 z; Unsqueeze v1 u; Concat v2 u2 axis=0; Reshape x v3", [1, 2, 2],
                           {"z": np.int64(0), "u": [0], "u2": [4]}),
    "no axes": ("Unsqueeze x a; Squeeze v0 a", [1, 4], {"a": [2]}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIXED)
def test_a_batch_of_one_size_is_read_as_any(name: str, tmp_path: Path) -> None:
    nodes, shape, held = FIXED[name]
    read = read_alike(saved(graph(nodes, [*shape], held), tmp_path / "fixed.onnx"), *shape[1:])
    rows = torch.randn(5, *shape[1:])
    assert torch.allclose(read(rows)[2:4], read(rows[2:4]), atol=1e-6)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, list[int], dict[str, Any]]:
    """A convolution or a pooling, in one or two dimensions, and its input: of those that onnxruntime can run."""
    kind = draw(st.sampled_from(["Conv", "ConvTranspose", "MaxPool", "AveragePool"]))
    dims = draw(st.integers(1, 2))
    several = st.lists(st.integers(1, 3), min_size=dims, max_size=dims)
    sizes = draw(st.lists(st.integers(4, 9), min_size=dims, max_size=dims))
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    kernel, strides, dilations = draw(several), draw(several), draw(several)
    if kind == "AveragePool" or (auto.startswith("SAME") and kind != "ConvTranspose"):
        dilations = [1] * dims
        kernel = [max(pair) for pair in zip(kernel, strides, strict=True)]
    groups, channels = (draw(st.integers(1, 2)), 4) if "Conv" in kind else (1, 3)
    said: dict[str, Any] = {"strides": strides, "kernel_shape": kernel}
    if kind != "AveragePool":
        said["dilations"] = dilations
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if auto == "NOTSET":
        said["pads"] = [draw(st.integers(0, k - 1 if "Pool" in kind else 3)) for _ in range(2) for k in kernel]
        room = [s + a + b for s, a, b in zip(sizes, said["pads"][:dims], said["pads"][dims:], strict=True)]
        assume(kind == "ConvTranspose" or all(r <= s for r, s in zip(reach, room, strict=True)))
    else:
        said["auto_pad"] = auto
        assume(auto != "VALID" or all(r <= s for r, s in zip(reach, sizes, strict=True)))
    if kind == "ConvTranspose":
        full = [(n - 1) * s + r for n, s, r in zip(sizes, strides, reach, strict=True)]
        if auto == "NOTSET":
            said["output_padding"] = [draw(st.integers(0, s - 1)) for s in strides]
            cut = [a + b for a, b in zip(said["pads"][:dims], said["pads"][dims:], strict=True)]
            assume(all(c < f for c, f in zip(cut, full, strict=True)))
        else:
            assume(auto == "VALID" or all(n * s <= f for n, s, f in zip(sizes, strides, full, strict=True)))
    if "Pool" in kind and auto == "NOTSET":
        said["ceil_mode"] = draw(st.integers(0, 1))
    if kind == "AveragePool":
        said["count_include_pad"] = draw(st.integers(0, 1))
    held: dict[str, Any] = {}
    if "Conv" in kind:
        said["group"] = groups
        held["layer.weight"] = floats(channels, channels // groups, *kernel, seed=draw(st.integers(0, 9)))
        if draw(st.booleans()):
            held["layer.bias"] = floats(channels)
    words = [f"{key}={value}".replace(" ", "") for key, value in said.items()]
    return " ".join([kind, "x", *held, *words]), [channels, *sizes], held


@settings(max_examples=200, deadline=None, suppress_health_check=[*HealthCheck])
@given(windows())
def test_a_window_of_any_kind_gives_what_the_engine_gives(
    tmp_path: Path, window: tuple[str, list[int], dict[str, Any]]
) -> None:
    node, shape, held = window
    path = saved(graph(node, ["N", *shape], held, opset=22), tmp_path / "window.onnx")
    read = read_alike(path, *shape)
    assert set(held) <= set(read.state_dict())
