"""ONNX files, read as data and wired anew: equal outputs as an engine's, and names as far as the file has them.

Converters to torch exist (onnx2torch, onnx2pytorch); they need torchvision, give networks that cannot be written down
as plain data, and are hardly kept up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from nettrim_core.models.onnx_graph import Graph
from nettrim_core.models.onnx_known import FLOATS, FOLDS, Node, array_of
from nettrim_core.models.onnx_layers import LAYERS
from nettrim_core.models.onnx_operations import OPERATIONS
from nettrim_core.models.onnx_windows import WINDOWS
from nettrim_core.models.wiring import Wired

MOST_BYTES = 2_000_000_000
OPSETS = 13, 28  # the first in which softmax has one axis, and the last whose operators were compared
OPERATORS = {**LAYERS, **WINDOWS, **OPERATIONS}
KNOWN = {*OPERATORS, *FOLDS, "Shape", "Size"}
SCOPES = "pkg.torch.onnx.name_scopes"
AGAIN = "export the network again"
# what is laid out otherwise than ONNX says shows itself by
ODD = (KeyError, IndexError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError, MemoryError)


def read(path: Path) -> Wired:
    """The network of an ONNX file with one tensor of floats in and one out. Raises ValueError naming the file, the
    reason and what to do."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        model = onnx.load_model_from_string(path.read_bytes())
        return _wired(model)
    except (DecodeError, OSError) as error:
        raise ValueError(f"{path}: not a whole ONNX file ({_line(error)}): {AGAIN}") from error
    except ODD as error:
        raise ValueError(f"{path}: its graph is not laid out as ONNX says ({_line(error)}): {AGAIN}") from error
    except ValueError as error:
        said = "".join(letter if letter.isprintable() else "?" for letter in str(error))  # names may hold anything
        raise ValueError(f"{path}: {said}") from error


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _wired(model: ModelProto) -> Wired:
    version = _version(model)
    nodes = _needed(model.graph)
    _check_operators(nodes)
    _check_order(model.graph, nodes)
    if model.graph.sparse_initializer:
        raise ValueError("it holds sparse weights: write them dense")
    held = {tensor.name: array_of(tensor) for tensor in model.graph.initializer}
    given, shape = _input(model.graph)
    graph = Graph([_node(node, version) for node in nodes], held, given, shape, model.graph.output[0].name)
    for node in graph.nodes:
        _explained(node, graph.fold, node)  # biases and shapes that stand behind the layer they belong to
    for node in graph.nodes:
        if node.outputs[0] not in graph.values and not _explained(node, graph.fold, node):
            _explained(node, OPERATORS.get(node.kind, _only_known), graph, node)
    return graph.wired()


def _only_known(graph: Graph, node: Node) -> None:
    raise ValueError("it is read for constants only, and takes what depends on the network's input")


def _explained(node: Node, call: Callable[..., Any], *arguments: object) -> Any:
    """Call, and name the node in what is wrong."""
    try:
        return call(*arguments)
    except ValueError as error:
        raise ValueError(f"node {node.name or node.outputs[0]!r} ({node.kind}): {error}") from error
    except ODD as error:
        raise ValueError(
            f"node {node.name or node.outputs[0]!r} ({node.kind}): its inputs or attributes are not as ONNX says "
            f"({_line(error)}): {AGAIN}"
        ) from error


def _version(model: ModelProto) -> int:
    if not model.graph.node:
        raise ValueError(f"it holds no graph: {AGAIN}")
    versions = {opset.domain: opset.version for opset in model.opset_import}
    version = versions.get("", versions.get("ai.onnx"))
    if version is None or not OPSETS[0] <= version <= OPSETS[1]:
        raise ValueError(
            f"it is written for the operators of opset {version}; {OPSETS[0]} to {OPSETS[1]} are read: export it with "
            "opset_version=18, or convert it with onnx.version_converter"
        )
    if model.functions:
        raise ValueError(
            f"it defines functions of its own ({model.functions[0].name}): replace them by what they do with "
            "onnx.inliner.inline_local_functions"
        )
    return version


def _needed(graph: GraphProto) -> list[NodeProto]:
    """The nodes that the output depends on, in their order."""
    held = {tensor.name for tensor in graph.initializer}  # which old files list as inputs too
    inputs = [value.name for value in graph.input if value.name not in held]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ValueError(
            f"it takes {len(inputs)} inputs and gives {len(graph.output)} outputs; one of each is needed: export the "
            "part of the network that has these"
        )
    givers = {name: node for node in graph.node for name in node.output if name}
    needed, asked = set[str](), [graph.output[0].name]
    while asked:
        name = asked.pop()
        if name not in needed and name in givers:
            asked.extend(givers[name].input)
        needed.add(name)
    return [node for node in graph.node if needed.intersection(node.output)]


def _check_operators(nodes: list[NodeProto]) -> None:
    quantised = [n for n in nodes if re.search("[qQ]uantize|^QLinear|Integer$", n.op_type)]
    if quantised:
        raise ValueError(
            f"it is quantised ({_said(quantised)}), so that its weights are whole numbers: take the network in float32 "
            "that it was made from"
        )
    inner = [n for n in nodes if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in n.attribute)]
    if inner:
        raise ValueError(f"graphs inside its graph ({_said(inner)}) are not read: export it without branches and loops")
    unknown = [n for n in nodes if n.domain not in ("", "ai.onnx") or n.op_type not in KNOWN]
    if unknown:
        raise ValueError(f"operators that are not known: {_said(unknown)}: export the network without them")


def _said(nodes: list[NodeProto]) -> str:
    """Operators with their nodes' names, all of them."""
    named = (f"{n.domain + '.' if n.domain else ''}{n.op_type} ({n.name or ', '.join(n.output)})" for n in nodes)
    return ", ".join(dict.fromkeys(named))


def _check_order(graph: GraphProto, nodes: list[NodeProto]) -> None:
    """Every value is given once, before it is taken."""
    known = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    later = {name for node in nodes for name in node.output}
    for node in nodes:
        for name in node.input:
            if name not in known:
                late = " before it is computed (a cycle, or nodes out of order)"
                how = late if name in later else ", which nothing gives"
                raise ValueError(f"node {node.name or node.op_type!r} ({node.op_type}) takes {name!r}{how}: {AGAIN}")
        for name in node.output:
            if name in known and name:
                raise ValueError(f"node {node.name or node.op_type!r} ({node.op_type}) gives {name!r} again: {AGAIN}")
            known.add(name)
    if graph.output[0].name not in later:
        raise ValueError(f"nothing gives its output {graph.output[0].name!r}: {AGAIN}")


def _input(graph: GraphProto) -> tuple[str, list[int | None]]:
    """The name of the input, and its shape with None for a batch of any size."""
    held = {tensor.name for tensor in graph.initializer}
    (value,) = (value for value in graph.input if value.name not in held)
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS:
        raise ValueError(f"its input {value.name!r} does not hold floats: only networks of real numbers are read")
    if not kind.HasField("shape") or not kind.shape.dim:
        raise ValueError(f"its input {value.name!r} has no shape with a batch in front: {AGAIN} with one")
    shape = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in kind.shape.dim]
    for place, (size, dim) in enumerate(zip(shape[1:], kind.shape.dim[1:], strict=True), 1):
        if size is None:
            raise ValueError(
                f"dimension {place} of its input {value.name!r} is dynamic ({dim.dim_param or 'unnamed'}); only the "
                "batch, dimension 0, may be: export it with the others fixed"
            )
    return value.name, shape


def _node(node: NodeProto, version: int) -> Node:
    """As plain data, after it was compared with what the operator takes."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": version}
    try:
        attributes = {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}
        onnx.checker.check_node(node, context)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise ValueError(f"node {node.name or node.output[0]!r} ({node.op_type}): {_line(error)}") from error
    said = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
    _, *scopes = re.findall(r"'([^']*)'", said) or [""]  # of the network, of modules inside each other, of the operator
    module = scopes[-2] if len(scopes) > 1 else ""
    return Node(node.name, node.op_type, tuple(node.input), tuple(node.output), attributes, module)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"an attribute is {value}")
    if isinstance(value, TensorProto):
        return array_of(value)
    return [_plain(entry) for entry in value] if isinstance(value, Iterable) else value
