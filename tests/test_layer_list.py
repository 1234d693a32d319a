"""Layer lists: the shape after each line, the sentence for a wrong one, and names that follow a state dict's."""

from __future__ import annotations

import json
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from nettrim_core import layer_list, load_bundle, load_model
from nettrim_core.architecture import build, describe
from nettrim_core.models.chain import MOST_PARTS, renamed
from nettrim_core.models.layer_list import KINDS
from tests.test_onnx import LeNet, vgg

LENET = """input 1 28 28
conv1: conv 6 kernel=5 padding=2   # six filters
relu
maxpool 2

conv2: conv 16 kernel=5
relu
maxpool 2
flatten
fc1: linear 30
relu
fc2: linear 10"""


def test_a_text_gives_shapes_line_by_line_and_an_architecture() -> None:
    listing = layer_list(LENET)
    assert [line.text for line in listing.lines] == LENET.splitlines()
    assert [line.shape for line in listing.lines] == [
        (1, 28, 28), (6, 28, 28), (6, 28, 28), (6, 14, 14), None, (16, 10, 10), (16, 10, 10), (16, 5, 5), (400,), (30,),
        (30,), (10,),
    ]  # fmt: skip
    assert not any(line.problem for line in listing.lines)
    model = build(json.loads(json.dumps(listing.architecture)), "here")
    model.load_state_dict(LeNet().state_dict(), strict=True)
    assert describe(model) == listing.architecture


def test_every_option_reaches_its_layer() -> None:
    text = """input 4 12 10
    a: conv 6 kernel=3x2 stride=2x1 padding=1x0 dilation=1 groups=2 bias=no
    b: batchnorm eps=0.01 momentum=0.2
    c: avgpool 2 stride=1 padding=1 ceil=yes
    d: maxpool 2x1 dilation=2
    e: leakyrelu 0.3
    f: hardtanh min_val=-0.5 max_val=2
    g: gelu tanh
    h: adaptivemaxpool 3x2
    i: dropout 0.25
    j: globalpool
    k: flatten
    l: linear 7 bias=no
    m: logsoftmax"""
    modules: dict[str, nn.Module] = {
        "a": nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), groups=2, bias=False), "b": nn.BatchNorm2d(6, 0.01, 0.2),
        "c": nn.AvgPool2d(2, 1, 1, ceil_mode=True), "d": nn.MaxPool2d((2, 1), dilation=2), "e": nn.LeakyReLU(0.3),
        "f": nn.Hardtanh(-0.5, 2.0), "g": nn.GELU("tanh"), "h": nn.AdaptiveMaxPool2d((3, 2)), "i": nn.Dropout(0.25),
        "j": nn.AdaptiveAvgPool2d(1), "k": nn.Flatten(), "l": nn.Linear(6, 7, bias=False), "m": nn.LogSoftmax(1),
    }  # fmt: skip
    assert layer_list(text).architecture == describe(nn.Sequential(OrderedDict(modules)))


def test_every_word_makes_a_layer() -> None:
    numbers = {"linear": " 3", "conv": " 3 kernel=2", "maxpool": " 2", "avgpool": " 2", "adaptiveavgpool": " 2",
               "adaptivemaxpool": " 2"}  # fmt: skip
    for word in KINDS:
        for shape in ("6",) if word == "linear" else ("2 6", "2 6 6"):
            listing = layer_list(f"input {shape}\n{word}{numbers.get(word, '')}")
            assert not listing.problem
            model = build(listing.architecture, "here").eval()
            shapes = tuple(model(torch.zeros(3, *map(int, shape.split()))).shape)
            assert shapes == (3, *(listing.lines[-1].shape or ()))


FEW = st.integers(1, 4)
POOLS, YES = st.sampled_from(["maxpool", "avgpool"]), st.sampled_from(["yes", "no"])
LINES = st.one_of(
    st.builds("conv {} kernel={} stride={} padding={}".format, FEW, FEW, FEW, st.integers(0, 2)),
    st.builds("{} {} stride={} ceil={}".format, POOLS, FEW, FEW, YES),
    st.sampled_from(["relu", "tanh", "batchnorm", "flatten", "linear 5", "globalpool", "dropout", "adaptiveavgpool 2"]),
)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3), lines=st.lists(LINES, max_size=6))
def test_the_shapes_are_those_that_the_layers_give(sizes: list[int], lines: list[str]) -> None:
    listing = layer_list("\n".join([f"input {' '.join(map(str, sizes))}", *lines]))
    good = [line for line in listing.lines if line.shape is not None]
    known = layer_list("\n".join(line.text for line in good))
    if len(good) < 2:
        return
    model = build(known.architecture, "here").eval()
    value = torch.zeros(2, *sizes)
    for line, layer in zip(good[1:], model.children(), strict=True):
        value = layer(value)
        assert tuple(value.shape[1:]) == line.shape


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("linear 5", 1, "first comes the shape of one sample: 'input 784'"),
        ("input 1 2 3 4", 1, "first comes the shape"),
        ("input 0 5", 1, "'0' is not a whole number from 1 to 999,999,999"),
        ("input 1 28 28\nlinear 10", 2, "gets 1 x 28 x 28: put flatten before it"),
        ("input 1 28 28\n\n# more\nconv 20", 4, "conv needs its kernel size, as in 'conv 20 kernel=5'"),
        ("input 1 28 28\nconv kernel=5", 2, "conv needs its out channels, as in 'conv 20 kernel=5'"),
        ("input 5\nlinear", 2, "linear needs its out features, as in 'linear 10'"),
        ("input 1 28\nmaxpool", 2, "maxpool needs its kernel size, as in 'maxpool 2'"),
        ("input 5\nrelu\nlinaer 3", 3, "'linaer' is no layer; is linear meant: known are linear, conv, "),
        ("input 5\nxyzzy 3", 2, "'xyzzy' is no layer: known are"),
        ("input 5\nname:", 2, "'' is no layer"),
        ("input 5\nconv 2 kernel=3", 2, "takes channels with a length or a height and width, and gets 5"),
        ("input 1 4 4\nconv 3 kernel=7", 2, "a conv cannot take 1 x 4 x 4: "),
        ("input 1 4 4\nconv 3 kernel=3x3x3", 2, "'kernel=3x3x3': 3 sizes for 2 dimensions"),
        ("input 1 4\nconv 3 kernel=3x3", 2, "'kernel=3x3': 2 sizes for 1 dimension"),
        ("input 4 8 8\nconv 6 kernel=3 groups=3", 2, "divisible by groups"),
        ("input 4 8 8\nconv 6 kernel=3 colour=3", 2, "'colour=3': conv takes a number and these options: stride="),
        ("input 5\nrelu 3", 2, "'3': relu takes these options: none"),
        ("input 5\nlinear 5 6", 2, "'6': linear has its out features already"),
        ("input 5\nlinear 5 bias=maybe", 2, "'bias=maybe': one of yes, no is meant"),
        ("input 5\nlinear 2.5", 2, "'2.5' is not a whole number"),
        ("input 5\nlinear " + "9" * 5000, 2, "is not a whole number"),
        ("input 5\ndropout x", 2, "'x' is not a number"),
        ("input 5\ndropout nan", 2, "'nan' is not a number"),
        ("input 5\ndropout 2", 2, "between 0 and 1"),
        ("input 5\nforward: relu", 2, "'forward' cannot be the name of a layer"),
        ("input 5\na-b: relu", 2, "'a-b' cannot be the name of a layer"),
        ("input 5\na: relu\na: tanh", 3, "'a' cannot be the name of a layer: 'a' is taken"),
        ("input 5\na.x: relu\nb: relu\na.y: relu", 4, "the layers of 'a' must follow each other"),
        ("input 5\na: relu\na.y: relu", 3, "the layers of 'a' must follow each other, and hold only layers"),
        ("input 5", 1, "there are no layers yet: write one a line"),
        ("", 1, "there are no layers yet"),
        ("input 99999 99999", 1, "9,999,800,001 numbers a sample; at most 100,000,000"),
        ("input 9000 9000\nconv 9000 kernel=1 padding=90000", 2, "numbers a sample; at most"),
        ("input 5\nlinear 99999999\nlinear 99999999", 3, "weights so far; at most 1,000,000,000"),
        ("input 5\n" + "relu\n" * 300, 201, "more than 200 lines"),
        (
            "input 5\n" + "a." * 1500 + "a: relu\nrelu",
            2,
            "'a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.'… has 1,501 parts with dots between them",
        ),
    ],
)
def test_a_wrong_line_says_what_is_wrong(text: str, line: int, says: str) -> None:
    layer_list("input 1 9 9\nconv 2 kernel=3\nflatten\nlinear 3")  # what torch loads at first use is not the text's
    tracemalloc.start()
    listing = layer_list(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    problems = {place: found.problem for place, found in enumerate(listing.lines, 1) if found.problem}
    assert set(problems) == {line}
    assert says in problems[line]
    assert listing.architecture is None
    assert listing.problem == f"line {line}: {problems[line]}"
    assert peak < 30e6
    assert all(other.shape is None for other in listing.lines[line:])


def test_a_long_text_is_not_looked_at_to_its_end() -> None:
    listing = layer_list("input 5\nrelu\n" + "# no layer\n" * 1000)
    assert len(listing.lines) == 201
    assert listing.problem == "line 201: the text has more than 200 lines"


def test_names_have_so_many_parts_and_no_more() -> None:
    deepest = ".".join("a" * MOST_PARTS)
    assert layer_list(f"input 5\n{deepest}: relu\nrelu").architecture is not None
    assert layer_list(f"input 5\n{deepest}.a: relu").problem.startswith("line 2: ")


# ---------------------------------------------------------------- names


def saved(weights: dict[str, Tensor], path: Path) -> Path:
    save_file(weights, path) if path.suffix == ".safetensors" else torch.save(weights, path)
    return path


UNNAMED = LENET.replace("conv1: ", "").replace("conv2: ", "").replace("fc1: ", "").replace("fc2: ", "")


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_layers_without_names_are_called_as_the_weights_are(ending: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, rows = LeNet().eval(), torch.randn(5, 1, 28, 28)
    path = saved(model.state_dict(), tmp_path / f"lenet.{ending}")
    for said in (UNNAMED, LENET, layer_list(UNNAMED), layer_list(UNNAMED).architecture):
        read = load_model(path, architecture=said)
        assert torch.allclose(read(rows), model(rows), atol=1e-6)
        model.load_state_dict(read.state_dict(), strict=True)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_layers_of_inner_chains_are_called_as_the_weights_are(ending: str, tmp_path: Path) -> None:
    torch.manual_seed(1)

    class Vgg(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = list(vgg().children())
            self.features, self.classifier = nn.Sequential(*layers[:8]), nn.Sequential(*layers[9:])

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.features(x).flatten(1))

    text = """input 2 8 8
    conv 6 kernel=3 padding=1
    batchnorm
    relu
    maxpool 2
    conv 8 kernel=3 padding=1
    batchnorm
    relu
    maxpool 2
    flatten
    linear 12
    relu
    dropout
    linear 3"""
    model, rows = Vgg().eval(), torch.randn(5, 2, 8, 8)
    read = load_model(saved(model.state_dict(), tmp_path / f"vgg.{ending}"), architecture=text)
    assert torch.allclose(read(rows), model(rows), atol=1e-6)
    model.load_state_dict(read.state_dict(), strict=True)


def test_ten_layers_follow_nine() -> None:
    layers = OrderedDict((f"fc{i}", nn.Linear(4, 4)) for i in range(1, 12))
    weights = nn.Sequential(layers).state_dict()
    text = "input 4\n" + "linear 4\n" * 11
    architecture = layer_list(text).architecture
    assert architecture is not None
    for shuffled in (weights, dict(sorted(weights.items()))):  # as safetensors writes them
        found = build(renamed(architecture, shuffled), "here")
        assert [name for name, _ in found.named_children()] == list(layers)


def test_layers_that_only_an_order_tells_apart_are_told_by_one_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(OrderedDict(inner=nn.Linear(4, 4), act=nn.ReLU(), final=nn.Linear(4, 4)))
    text, rows = "input 4\nlinear 4\nrelu\nlinear 4", torch.randn(5, 4)
    read = load_model(saved(model.state_dict(), tmp_path / "mine.pt"), architecture=text)
    assert torch.equal(read(rows), model(rows))
    path = saved(model.state_dict(), tmp_path / "mine.safetensors")  # which holds final before inner
    with pytest.raises(ValueError, match="do not fit the architecture"):
        load_model(path, architecture=text)
    read = load_model(path, architecture="input 4\ninner: linear 4\nrelu\nfinal: linear 4")
    assert torch.equal(read(rows), model(rows))


def test_what_does_not_fit_stays_as_it_is_and_is_refused(tmp_path: Path) -> None:
    path = saved({"a.weight": torch.ones(3, 4), "a.bias": torch.ones(3)}, tmp_path / "one.safetensors")
    for text in ("input 4\nlinear 4", "input 4\nlinear 3 bias=no", "input 4\nlinear 3\nlinear 3"):
        architecture = layer_list(text).architecture
        assert architecture is not None
        assert renamed(architecture, load_model(path, architecture="input 4\nlinear 3").state_dict()) is architecture
        with pytest.raises(ValueError, match=r"one\.safetensors: weights do not fit the architecture"):
            load_model(path, architecture=text)
    with pytest.raises(ValueError, match=r"architecture, line 2: 'linaer' is no layer; is linear meant"):
        load_model(path, architecture="input 4\nlinaer 3")


def test_a_sample_model_is_had_from_its_text(tmp_path: Path) -> None:
    bundle = load_bundle("lenet_300_100")
    path = saved({f"net.{k}": v for k, v in bundle.model.state_dict().items()}, tmp_path / "mine.safetensors")
    read = load_model(path, architecture="input 1 28 28\nflatten\nlinear 300\nrelu\nlinear 100\nrelu\nlinear 10")
    rows = bundle.calibration[:20]
    assert torch.equal(read(rows), bundle.model(rows))
    assert all(key.startswith("net.fc") for key in read.state_dict())
