"""Programs of torch.export (.pt2), read without torch's own loader, which unpickles.

The archive's graph is JSON and its weights are raw bytes; both are read as data, and every operation is looked up in
the table below. Layers keep the paths that they have in the program, so that a state dict fits the original class.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from nettrim_core.models.wiring import BATCHES, Wiring
from nettrim_core.wired import INPUT, Wired

MOST_BYTES = 2_000_000_000
# the numbers of the archive's schema
DTYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
          7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16}  # fmt: skip


@dataclass(frozen=True)
class Ref:
    """A value of the graph."""

    name: str


@dataclass(frozen=True)
class Call:
    """A node: what it gives, its arguments by name, and the path of the module whose code it came from."""

    name: str
    target: str
    arguments: dict[str, Any]
    module: str

    def get(self, name: str, default: Any = None) -> Any:
        value = self.arguments.get(name)
        return default if value is None else value


def read(path: Path) -> Wired:
    """The network of a program with one tensor in and one out. Raises ValueError naming the file and the reason."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Program(path, archive).wired()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ValueError(f"{path}: not a whole .pt2 archive ({error}): save it again with torch.export.save") from error
    except (KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: its graph is not laid out as torch.export.save of torch 2.9 or later does ({error!r}): "
            "save it again with that"
        ) from error
    except RecursionError:
        raise ValueError(f"{path}: its graph is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


class _Program:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        sizes = sum(info.file_size for info in archive.infolist())
        if sizes > MOST_BYTES or sizes > 50 * max(path.stat().st_size, 1):
            raise ValueError(f"the archive unpacks to {sizes:,} bytes, over 50 times its own or over {MOST_BYTES:,}")
        self.members = {str(PurePosixPath(*PurePosixPath(name).parts[1:])): name for name in archive.namelist()}
        program = self._json("models/model.json")
        self.graph = program["graph_module"]["graph"]
        self.signature = program["graph_module"]["signature"]
        self.held = self._held()
        self.paths: dict[str, str] = {}  # of what the network holds, by the names that the graph has for it
        self.values: dict[str, str] = {}  # names in the wiring, by those in the graph
        self.shapes: dict[str, tuple[int, int]] = {}  # numbers that depend on the batch, one for each
        self.called: dict[str, str] = {}  # layers that are there already

    def _json(self, member: str) -> Any:
        if member not in self.members:
            raise ValueError(f"the archive has no {member}")
        return json.loads(self.archive.read(self.members[member]))

    def _held(self) -> dict[str, Tensor]:
        """Parameters, buffers and constants by their paths."""
        held = {}
        for folder, config in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
            for name, payload in self._json(f"data/{folder}/{config}.json")["config"].items():
                if payload["use_pickle"]:
                    raise ValueError(f"{name} is stored as a pickle, which is never loaded")
                held[name] = self._tensor(name, f"data/{folder}/{payload['path_name']}", payload["tensor_meta"])
        return held

    def _tensor(self, name: str, member: str, meta: Any) -> Tensor:
        if meta["dtype"] not in DTYPES or member not in self.members:
            raise ValueError(f"{name} has a kind of number that is not known, or no data")
        sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
        offset, dtype = int(meta["storage_offset"]["as_int"]), DTYPES[meta["dtype"]]
        data = bytearray(self.archive.read(self.members[member]))
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        room = len(data) // dtype.itemsize
        if min([*sizes, *strides, offset, 0]) < 0 or (0 not in sizes and last >= room) or math.prod(sizes) > room:
            raise ValueError(f"{name} says it has the shape {sizes}, and the file holds {room} numbers for it")
        if 0 in sizes:
            return torch.empty(sizes, dtype=dtype)
        return torch.frombuffer(data, dtype=dtype).as_strided(sizes, strides, offset)

    def wired(self) -> Wired:
        """The whole graph as wired steps."""
        inputs = self.signature["input_specs"]
        for spec in inputs:
            (kind, said), *_ = spec.items()
            if kind != "user_input":
                self.paths[said["arg"]["name"]] = said[f"{kind}_name"]
        given = [spec["user_input"]["arg"]["as_tensor"]["name"] for spec in inputs if "user_input" in spec]
        outputs = self.graph["outputs"]
        if len(given) != 1 or len(outputs) != 1:
            raise ValueError(f"it takes {len(given)} inputs and gives {len(outputs)} outputs; one of each is needed")
        sizes = [size.get("as_int") for size in self.graph["tensor_values"][given[0]]["sizes"]]
        if None in sizes[1:]:
            raise ValueError("only the first dimension of the input may be dynamic: export it with the others fixed")
        self.wiring = Wiring(sizes[1:])
        self.values[given[0]] = INPUT
        calls = [self._call(node) for node in self.graph["nodes"]]
        unknown = {f"{call.target} ({call.name})": None for call in calls if call.target not in TARGETS}
        if unknown:
            raise ValueError(f"operations that are not known: {', '.join(list(unknown)[:6])}")
        for call in calls:
            TARGETS[call.target](self, call)
        for path, value in self.held.items():  # what nothing calls stays in the state dict
            if path not in self.wiring.weights and self.wiring.free(path) == path:
                self.wiring.tensors[path] = self.wiring.weights[path] = value
        return self.wiring.done(self.value(Ref(outputs[0]["as_tensor"]["name"])))

    def _call(self, node: Any) -> Call:
        arguments = {said["name"]: _argument(said["arg"]) for said in node["inputs"]}
        stack = [entry.split(",") for entry in node["metadata"].get("nn_module_stack", "").split(";")]
        module = stack[-1][1] if len(stack[-1]) > 1 else ""
        (output, *_) = node["outputs"] or [{}]
        (said, *_) = output.values() or [{}]
        name = said.get("name") or said.get("as_name") if isinstance(said, dict) else None
        target = str(node["target"]).removeprefix("torch.ops.")
        return Call(str(name or node.get("name") or ""), target, arguments, module)

    def value(self, given: Any) -> str:
        """The name of a value in the wiring; a tensor that the network holds becomes one."""
        if not isinstance(given, Ref):
            raise ValueError(f"a tensor is expected, got {given!r}")
        if given.name not in self.values:
            path = self.paths[given.name]
            self.values[given.name] = self.wiring.tensor(path, self.held[path])
        return self.values[given.name]

    def weight(self, given: Any) -> Tensor | None:
        if given is None:
            return None
        if not isinstance(given, Ref) or given.name not in self.paths:
            raise ValueError("a layer whose weights are computed cannot be read")
        return self.held[self.paths[given.name]]

    def numbers(self, given: Any) -> tuple[list[int], list[int]]:
        """A list that may depend on the batch, for each of the two batches."""
        one, other = (
            [self.shapes[n.name][batch] if isinstance(n, Ref) else int(n) for n in given]
            for batch in range(len(BATCHES))
        )
        return one, other

    def layer(self, call: Call, kind: str, takes: str, weights: dict[str, Tensor | None], **arguments: Any) -> None:
        """A layer with weights, or a further call of one that is there."""
        owner = call.get("weight") if "weight" in call.arguments else None
        path = self.paths[owner.name] if isinstance(owner, Ref) else ""
        path = path.removesuffix(".weight") if path.endswith(".weight") else call.module or call.name
        key = f"{path} {kind} {arguments}"
        if weights and key in self.called:
            self.values[call.name] = self.wiring.again(self.called[key], takes)
            return
        held = {name: value for name, value in weights.items() if value is not None}
        name = self.wiring.layer(path, kind, takes, held, **arguments)
        self.values[call.name], self.called[key] = name, self.wiring.steps[-1].layer

    def rank(self, name: str) -> int:
        return len(self.wiring.shapes(name)[0])


def _argument(said: dict[str, Any]) -> Any:
    """An argument of a node as plain data; values of the graph as Ref."""
    (kind, value), *_ = said.items()
    if kind in ("as_tensor", "as_sym_int", "as_symint"):
        return _ref(value)
    if kind in ("as_tensors", "as_sym_ints", "as_symints"):
        return [_ref(entry) for entry in value]
    return None if kind == "as_none" else value


def _ref(value: dict[str, Any]) -> Any:
    if "name" in value:
        return Ref(str(value["name"]))
    (kind, inner), *_ = value.items()
    return Ref(str(inner)) if kind == "as_name" else inner


Reader = Callable[[_Program, Call], None]
TARGETS: dict[str, Reader] = {}


def _reads(*targets: str) -> Callable[[Reader], Reader]:
    def keep(reader: Reader) -> Reader:
        TARGETS.update(dict.fromkeys(targets, reader))
        return reader

    return keep


@_reads("aten.linear.default")
def _linear(p: _Program, c: Call) -> None:
    weight, bias = p.weight(c.get("weight")), p.weight(c.get("bias"))
    assert weight is not None
    outputs, inputs = weight.shape
    p.layer(
        c, "Linear", p.value(c.get("input")), {"weight": weight, "bias": bias},
        in_features=inputs, out_features=outputs, bias=bias is not None,
    )  # fmt: skip


@_reads("aten.conv1d.default", "aten.conv2d.default", "aten.conv1d.padding", "aten.conv2d.padding")
def _convolution(p: _Program, c: Call) -> None:
    weight, bias = p.weight(c.get("weight")), p.weight(c.get("bias"))
    assert weight is not None
    groups, padding = int(c.get("groups", 1)), c.get("padding", 0)
    p.layer(
        c, "Conv1d" if weight.dim() == 3 else "Conv2d", p.value(c.get("input")), {"weight": weight, "bias": bias},
        in_channels=weight.shape[1] * groups, out_channels=weight.shape[0], kernel_size=tuple(weight.shape[2:]),
        stride=_sizes(c.get("stride", 1)), padding=padding if isinstance(padding, str) else _sizes(padding),
        dilation=_sizes(c.get("dilation", 1)), groups=groups, bias=bias is not None,
    )  # fmt: skip


@_reads("aten.batch_norm.default")
def _batch_norm(p: _Program, c: Call) -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {name: p.weight(c.get(name)) for name in names}
    mean, takes = weights["running_mean"], p.value(c.get("input"))
    if mean is None or c.get("training"):
        raise ValueError(f"{c.name}: a batch norm in training mode: call model.eval() before exporting")
    path = p.paths[c.get("running_mean").name].removesuffix("running_mean")
    weights["num_batches_tracked"] = p.held.get(f"{path}num_batches_tracked")
    p.layer(
        c, "BatchNorm1d" if p.rank(takes) < 4 else "BatchNorm2d", takes, weights,
        num_features=len(mean), eps=c.get("eps", 1e-5), momentum=c.get("momentum", 0.1),
        affine=weights["weight"] is not None,
    )  # fmt: skip


@_reads("aten.layer_norm.default")
def _layer_norm(p: _Program, c: Call) -> None:
    weights = {name: p.weight(c.get(name)) for name in ("weight", "bias")}
    p.layer(
        c, "LayerNorm", p.value(c.get("input")), weights, normalized_shape=tuple(c.get("normalized_shape")),
        eps=c.get("eps", 1e-5), elementwise_affine=weights["weight"] is not None, bias=weights["bias"] is not None,
    )  # fmt: skip


@_reads("aten.max_pool1d.default", "aten.max_pool2d.default")
def _max_pool(p: _Program, c: Call) -> None:
    kernel = _sizes(c.get("kernel_size"))
    p.layer(
        c, "MaxPool1d" if "1d" in c.target else "MaxPool2d", p.value(c.get("self")), {}, kernel_size=kernel,
        stride=_sizes(c.get("stride") or kernel), padding=_sizes(c.get("padding", 0)),
        dilation=_sizes(c.get("dilation", 1)), ceil_mode=bool(c.get("ceil_mode", False)),
    )  # fmt: skip


@_reads("aten.avg_pool1d.default", "aten.avg_pool2d.default")
def _avg_pool(p: _Program, c: Call) -> None:
    kernel = _sizes(c.get("kernel_size"))
    p.layer(
        c, "AvgPool1d" if "1d" in c.target else "AvgPool2d", p.value(c.get("self")), {}, kernel_size=kernel,
        stride=_sizes(c.get("stride") or kernel), padding=_sizes(c.get("padding", 0)),
        ceil_mode=bool(c.get("ceil_mode", False)), count_include_pad=bool(c.get("count_include_pad", True)),
        **({} if c.get("divisor_override") is None else {"divisor_override": c.get("divisor_override")}),
    )  # fmt: skip


@_reads("aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default")
def _adaptive_pool(p: _Program, c: Call) -> None:
    kind = "AdaptiveAvgPool1d" if "1d" in c.target else "AdaptiveAvgPool2d"
    p.layer(c, kind, p.value(c.get("self")), {}, output_size=_sizes(c.get("output_size")))


# activations: the layer type, and its arguments with the names and the defaults that the operation has
ACTIVATIONS: dict[str, tuple[str, dict[str, tuple[str, Any]]]] = {
    "aten.relu.default": ("ReLU", {}),
    "aten.relu_.default": ("ReLU", {}),
    "aten.relu6.default": ("ReLU6", {}),
    "aten.relu6_.default": ("ReLU6", {}),
    "aten.sigmoid.default": ("Sigmoid", {}),
    "aten.tanh.default": ("Tanh", {}),
    "aten.silu.default": ("SiLU", {}),
    "aten.silu_.default": ("SiLU", {}),
    "aten.mish.default": ("Mish", {}),
    "aten.selu.default": ("SELU", {}),
    "aten.hardsigmoid.default": ("Hardsigmoid", {}),
    "aten.hardswish.default": ("Hardswish", {}),
    "aten.hardswish_.default": ("Hardswish", {}),
    "aten.gelu.default": ("GELU", {"approximate": ("approximate", "none")}),
    "aten.elu.default": ("ELU", {"alpha": ("alpha", 1.0)}),
    "aten.leaky_relu.default": ("LeakyReLU", {"negative_slope": ("negative_slope", 0.01)}),
    "aten.leaky_relu_.default": ("LeakyReLU", {"negative_slope": ("negative_slope", 0.01)}),
    "aten.hardtanh.default": ("Hardtanh", {"min_val": ("min_val", -1.0), "max_val": ("max_val", 1.0)}),
    "aten.hardtanh_.default": ("Hardtanh", {"min_val": ("min_val", -1.0), "max_val": ("max_val", 1.0)}),
    "aten.softmax.int": ("Softmax", {"dim": ("dim", -1)}),
    "aten.log_softmax.int": ("LogSoftmax", {"dim": ("dim", -1)}),
}  # fmt: skip


@_reads(*ACTIVATIONS)
def _activation(p: _Program, c: Call) -> None:
    kind, names = ACTIVATIONS[c.target]
    arguments = {name: c.get(said, default) for name, (said, default) in names.items()}
    p.layer(c, kind, p.value(c.get("self")), {}, **arguments)


@_reads("aten.dropout.default", "aten.feature_dropout.default")
def _dropout(p: _Program, c: Call) -> None:
    if c.get("train"):
        raise ValueError(f"{c.name}: a dropout in training mode: call model.eval() before exporting")
    kind = "Dropout" if c.target.startswith("aten.dropout") else "Dropout2d"
    p.layer(c, kind, p.value(c.get("input")), {}, p=c.get("p"))


@_reads("aten.clone.default", "aten.contiguous.default", "aten.alias.default", "aten.detach.default",
        "aten.detach_.default", "aten.lift_fresh_copy.default")  # fmt: skip
def _same(p: _Program, c: Call) -> None:
    p.values[c.name] = p.value(c.get("self"))


@_reads("aten._assert_tensor_metadata.default", "aten._assert_scalar.default")
def _nothing(p: _Program, c: Call) -> None:
    """A check of the exporter's."""


@_reads("aten.sym_size.int")
def _size(p: _Program, c: Call) -> None:
    one, other = (shape[int(c.get("dim"))] for shape in p.wiring.shapes(p.value(c.get("self"))))
    p.shapes[c.name] = one, other


@_reads("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default")
def _reshape(p: _Program, c: Call) -> None:
    shapes = p.numbers(c.get("size", c.get("shape")))
    p.values[c.name] = p.wiring.reshape(p.value(c.get("self")), shapes, c.name)


@_reads("aten.flatten.using_ints")
def _flatten(p: _Program, c: Call) -> None:
    takes, start = p.value(c.get("self")), int(c.get("start_dim", 0))
    if start % p.rank(takes) == 0:
        raise ValueError(f"{c.name}: the batch is merged with other dimensions, so that no output is one sample's")
    p.layer(c, "Flatten", takes, {}, start_dim=start, end_dim=int(c.get("end_dim", -1)))


def _operation(target: str, name: str, **names: tuple[str, Any]) -> None:
    """An operation on one tensor; names: our argument -> the argument there and its default."""

    @_reads(target)
    def read(p: _Program, c: Call) -> None:
        arguments = {ours: c.get(theirs, default) for ours, (theirs, default) in names.items()}
        p.values[c.name] = p.wiring.call(name, p.value(c.get("self")), name=c.name, **arguments)


_operation("aten.permute.default", "permute", dims=("dims", None))
_operation("aten.squeeze.dim", "squeeze", dim=("dim", None))
_operation("aten.unsqueeze.default", "unsqueeze", dim=("dim", None))
_operation("aten.mean.dim", "mean", dim=("dim", None), keepdim=("keepdim", False))
_operation("aten.sum.dim_IntList", "sum", dim=("dim", None), keepdim=("keepdim", False))
_operation("aten.amax.default", "amax", dim=("dim", None), keepdim=("keepdim", False))
_operation("aten.select.int", "select", dim=("dim", None), index=("index", None))
_operation("aten.pad.default", "pad", pad=("pad", None), mode=("mode", "constant"), value=("value", None))
_operation("aten.clamp.default", "clamp", low=("min", None), high=("max", None))
_operation("aten.pow.Tensor_Scalar", "power", by=("exponent", None))
for _name in ("abs", "neg", "exp", "log", "sqrt"):
    _operation(f"aten.{_name}.default", _name)


@_reads("aten.transpose.int")
def _transpose(p: _Program, c: Call) -> None:
    takes = p.value(c.get("self"))
    dims = list(range(p.rank(takes)))
    one, other = int(c.get("dim0")), int(c.get("dim1"))
    dims[one], dims[other] = dims[other], dims[one]
    p.values[c.name] = p.wiring.call("permute", takes, name=c.name, dims=dims)


@_reads("aten.slice.Tensor")
def _slice(p: _Program, c: Call) -> None:
    end = c.get("end")
    p.values[c.name] = p.wiring.call(
        "slice", p.value(c.get("self")), name=c.name, dim=int(c.get("dim", 0)), start=c.get("start"),
        end=None if end is None or end >= 2**62 else end, step=int(c.get("step", 1)),
    )  # fmt: skip


@_reads("aten.cat.default")
def _cat(p: _Program, c: Call) -> None:
    takes = [p.value(entry) for entry in c.get("tensors")]
    p.values[c.name] = p.wiring.call("cat", *takes, name=c.name, dim=int(c.get("dim", 0)))


@_reads(*(f"aten.{name}{ending}" for name in ("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_")
          for ending in (".Tensor", ".Scalar")))  # fmt: skip
def _arithmetic(p: _Program, c: Call) -> None:
    operation = c.target.split(".")[1].removesuffix("_")
    other, takes = c.get("other"), p.value(c.get("self"))
    if c.get("alpha", 1) != 1:
        raise ValueError(f"{c.name}: {c.target} with alpha cannot be read")
    if isinstance(other, Ref):
        p.values[c.name] = p.wiring.call(operation, takes, p.value(other), name=c.name)
        return
    by = {"add": other, "sub": -other, "mul": other, "div": 1 / other if other else math.inf}[operation]
    p.values[c.name] = p.wiring.call("shift" if operation in ("add", "sub") else "scale", takes, name=c.name, by=by)


@_reads("aten.matmul.default", "aten.maximum.default", "aten.minimum.default")
def _two(p: _Program, c: Call) -> None:
    p.values[c.name] = p.wiring.call(
        c.target.split(".")[1], p.value(c.get("self")), p.value(c.get("other")), name=c.name
    )


def _sizes(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
