"""ONNX files that cannot be read: each is refused in a sentence that says where and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from nettrim_core import load_model
from nettrim_core.wired import Wired
from tests.onnx_models import floats, graph, read_alike, saved

WHOLE = "Conv x conv.weight; Relu v0; Flatten v1; Gemm v2 w"
LONGER = (
    "Conv x conv.weight pads=[1,1,0,0]; MaxPool v0 kernel_shape=[2,2]; Shape v1; Reshape v1 v2; Flatten v3; Gemm v4 w"
)
Change = Callable[[ModelProto], object]


def changed(change: Change, nodes: str = WHOLE) -> ModelProto:
    model = graph(nodes, ["N", 2, 3, 3], {"conv.weight": floats(4, 2, 3, 3), "w": floats(4, 5)})
    change(model)
    return model


def also(*changes: Change) -> Change:
    return lambda m: [change(m) for change in changes]


def node(kind: str, *inputs: str, at: int = 1, name: str = "odd one", **more: Any) -> Change:
    """Another node in the place of one of the four."""
    taken = inputs or [f"v{at - 1}"]
    return lambda m: m.graph.node[at].CopyFrom(helper.make_node(kind, taken, [f"v{at}"], name=name, **more))


def first(kind: str, *inputs: str, **more: Any) -> Change:
    """One more node, before the others, which gives c."""
    return lambda m: m.graph.node.insert(0, helper.make_node(kind, inputs, ["c"], name="first", **more))


def held(**values: Any) -> Change:
    """Initializers, new ones or in the place of those of the same name."""

    def change(model: ModelProto) -> None:
        kept = [tensor for tensor in model.graph.initializer if tensor.name not in values]
        new = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
        del model.graph.initializer[:]
        model.graph.initializer.extend([*kept, *new])

    return change


def weight(**said: Any) -> Change:
    """What the initializer w says of itself."""
    return lambda m: [setattr(m.graph.initializer[1], name, value) for name, value in said.items()]


def sizes(*more: int) -> Change:
    return lambda m: m.graph.initializer[1].dims.extend(more)


def attribute(name: str, value: Any) -> Change:
    return lambda m: m.graph.node[0].attribute.extend([helper.make_attribute(name, value)])


def elsewhere(tensor: TensorProto) -> TensorProto:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def dimension(place: int, **said: Any) -> Change:
    def change(model: ModelProto) -> None:
        dim = model.graph.input[0].type.tensor_type.shape.dim[place]
        dim.Clear()
        for name, value in said.items():
            setattr(dim, name, value)

    return change


BODY = helper.make_graph([], "inner", [], [])
FAR = elsewhere(numpy_helper.from_array(floats(4), "far"))
NORM = {name: floats(4) for name in "abcd"}
REFUSED: dict[str, tuple[Change, str]] = {
    "weights elsewhere": (lambda m: elsewhere(m.graph.initializer[0]), "'conv.weight' is in another file, and only"),
    "constant elsewhere": (
        also(node("Add", "v0", "c"), first("Constant", value=FAR)), "node 'first' (Constant): 'far' is in another"),
    "dynamic height": (dimension(2, dim_param="height"), "dimension 2 of its input 'x' is dynamic (height); only the"),
    "unnamed height": (dimension(3), "dimension 3 of its input 'x' is dynamic (unnamed)"),
    "two inputs": (lambda m: m.graph.input.append(m.graph.output[0]), "takes 2 inputs and gives 1 outputs; one of"),
    "two outputs": (lambda m: m.graph.output.add(name="v1"), "gives 2 outputs; one of each is needed"),
    "no shape": (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), "'x' has no shape with a batch"),
    "whole numbers": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 7), "does not hold floats"),
    "unknown": (
        also(node("Einsum", equation="ij->i"), node("Celery", at=3, name="", domain="com.shop")),
        "operators that are not known: Einsum (odd one), com.shop.Celery (v3): export"),
    "own domain": (node("Relu", domain="org.mine"), "not known: org.mine.Relu (odd one)"),
    "old": (lambda m: setattr(m.opset_import[0], "version", 12), "opset 12; 13 to 28 are read: export it with opset"),
    "to come": (lambda m: setattr(m.opset_import[0], "version", 99), "opset 99; 13 to 28"),
    "no opset": (lambda m: m.ClearField("opset_import"), "opset None"),
    "subgraph": (node("If", then_branch=BODY, else_branch=BODY), "graphs inside its graph (If (odd one)) are not read"),
    "functions": (lambda m: m.functions.add(name="Mine"), "functions of its own (Mine): replace them"),
    "quantised": (node("DequantizeLinear", "v0", "w"), "is quantised (DequantizeLinear (odd one)), so that"),
    "quantised too": (node("MatMulInteger", "v2", "w", at=3), "is quantised (MatMulInteger (odd one)), so that"),
    "whole weights": (held(w=np.ones((4, 5), np.int64)), "node 'n3' (Gemm): its weight 'w' holds whole numbers:"),
    "whole operand": (
        also(node("Add", "v0", "i"), held(i=[1, 2, 3])), "node 'odd one' (Add): whole numbers where a network"),
    "packed weights": (weight(data_type=TensorProto.FLOAT8E4M3FN), "'w' holds numbers of the type FLOAT8E4M3FN:"),
    "no type": (weight(data_type=0), "of the type UNDEFINED"),
    "short weights": (weight(raw_data=b"0" * 40), "'w' says it has the shape (4, 5), and the file holds other numbers"),
    "vast weights": (sizes(10**12), "says it has the shape (4, 5, 1000000000000)"),
    "negative weights": (sizes(-1, -1), "says it has the shape (4, 5, -1, -1)"),
    "not finite": (held(w=np.full((4, 5), np.nan, np.float32)), "n3.weight contains NaN"),
    "sparse weights": (lambda m: m.graph.sparse_initializer.add(), "sparse weights: write them dense"),
    "training norm": (
        also(node("BatchNormalization", "v0", *NORM, training_mode=1), held(**NORM)),
        "node 'odd one' (BatchNormalization): a batch norm in training mode: call model.eval()"),
    "training dropout": (also(node("Dropout", "v0", "", "t"), held(t=True)), "a dropout in training mode"),
    "cycle": (node("Add", "v0", "v2"), "node 'odd one' (Add) takes 'v2' before it is computed (a cycle"),
    "itself": (node("Add", "v0", "v1"), "node 'odd one' (Add) takes 'v1' before it is computed (a cycle"),
    "dangling": (node("Add", "v0", "nowhere"), "node 'odd one' (Add) takes 'nowhere', which nothing gives"),
    "given twice": (lambda m: m.graph.node[1].output.append("v0"), "node 'n1' (Relu) gives 'v0' again"),
    "no such output": (lambda m: setattr(m.graph.output[0], "name", "lost"), "nothing gives its output 'lost'"),
    "constant output": (node("Neg", "w", at=3), "does not depend on its input"),
    "empty": (lambda m: m.ClearField("graph"), "it holds no graph"),
    "odd attribute": (attribute("colour", 3), "node 'n0' (Conv): Unrecognized attribute: colour"),
    "odd kernel": (attribute("kernel_shape", [2, 2]), "node 'n0' (Conv): its weight does not have the dimensions"),
    "odd strides": (attribute("strides", 2.5), "node 'n0' (Conv): "),
    "few strides": (attribute("strides", [2]), "node 'n0' (Conv): strides, dilations and pads for 2 dimensions"),
    "no strides": (attribute("strides", [0, 1]), "node 'n0' (Conv): strides and dilations must be at least 1"),
    "odd shape": (held(w=floats(7, 5)), "node 'n3' (Gemm): n3: a Linear does not take (2, 4)"),
    "absurd padding": (also(node("Pad", "v0", "p"), held(p=[0, 0, 10**6, 0, 0, 0, 0, 10**6])), "numbers a sample,"),
    "absurd constant": (
        also(node("Add", "v0", "c"), first("ConstantOfShape", "s"), held(s=[10**6, 10**6])),
        "node 'first' (ConstantOfShape): a constant of the shape (1000000, 1000000) is too large"),
    "absurd range": (
        also(node("Add", "v0", "c"), first("Range", "z", "m", "e"), held(z=0, m=10**12, e=1)),
        "node 'first' (Range): a constant of the shape (1000000000000,) is too large"),
    "mixed samples": (node("Softmax", axis=0), "node 'odd one' (Softmax): axis 0 is that of the batch, so that"),
    "mean of all": (node("ReduceMean", "v0", keepdims=0), "axis 0 is that of the batch"),
    "computed weight": (node("PRelu", "v2", "v2", at=3), "(PRelu): its input 'v2' is computed from the network's"),
    "choice": (
        also(node("Where", "c", "v0", "v0"), first("Less", "z", "z"), held(z=np.float32(1))),
        "a choice between values (Where) is read in a Softplus only"),
    "cast": (node("Cast", to=TensorProto.INT64), "a cast of what the network computes to whole numbers is not read"),
    "constants only": (node("Floor"), "node 'odd one' (Floor): it is read for constants only"),
    "lookup": (also(node("Gather", "v0", "i", axis=1), held(i=[0, 9])), "indices into an axis of 4"),
    "backwards": (
        also(node("Slice", "v0", "e", "s", "a", "t"), held(s=[-9], e=[3], a=[1], t=[-1])), "a slice with the step -1"),
    "no number": (node("Elu", alpha=float("nan")), "node 'odd one' (Elu): an attribute is nan"),
    "odd letters": (node("Relu\n", name="\0"), "operators that are not known: Relu? (?): export"),
    "even LRN": (node("LRN", size=4), "size 4: the window of an LRN has a middle"),
    "axis too far": (node("Softmax", axis=9), "axis 9 of a value with 4 dimensions"),
    "batch behind": (
        also(node("Transpose", perm=[1, 0, 2, 3]), node("GlobalMaxPool", at=2)), "dimension 1 of what it takes is"),
    "batch of one lost": (
        also(dimension(0, dim_value=1), node("Squeeze"), node("Unsqueeze", "v1", "z", at=2), held(z=[0])),
        "node 'odd one' (Squeeze): axis 0 is that of the batch"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(fault: str, tmp_path: Path) -> None:
    change, says = REFUSED[fault]
    path = saved(changed(change), tmp_path / "odd.onnx")
    with pytest.raises(ValueError, match=r"odd\.onnx: ") as refused:
        load_model(path)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_file_that_is_spoiled_above_is_read_when_it_is_not(tmp_path: Path) -> None:
    read = read_alike(saved(changed(lambda m: None), tmp_path / "whole.onnx"), 2, 3, 3)
    assert set(read.state_dict()) == {"conv.weight", "n3.weight"}


def test_initializers_that_old_files_list_as_inputs_do_not_count(tmp_path: Path) -> None:
    model = changed(lambda m: setattr(m, "ir_version", 3))
    for tensor in model.graph.initializer:
        model.graph.input.add().CopyFrom(helper.make_tensor_value_info(tensor.name, 1, tensor.dims))
    read_alike(saved(model, tmp_path / "old.onnx"), 2, 3, 3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4), cut=st.integers(0, 10**6))
def test_a_damaged_file_is_read_or_refused(places: list[tuple[int, int]], cut: int, tmp_path: Path) -> None:
    model = changed(lambda m: None, LONGER)
    data = bytearray(model.SerializeToString())
    for place, byte in places:
        data[place % len(data)] = byte
    if not places:
        data = data[: cut % len(data)]
    path = tmp_path / "spoiled.onnx"
    path.write_bytes(bytes(data))
    read, refused = None, ""
    try:
        read = load_model(path)
    except ValueError as error:
        refused = str(error)
    assert isinstance(read, Wired) or "spoiled.onnx" in refused


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    for number, data in enumerate([b"", b"junk", b"\x80" * 500, b"PK\x03\x04"]):
        path = tmp_path / f"junk{number}.onnx"
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"junk{number}\.onnx: .*export the network again"):
            load_model(path)
