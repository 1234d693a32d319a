"""What the operations of a torch.export program become: layers and operations of wired steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nettrim_core.models.program import Call, Program, Ref

Reader = Callable[[Program, Call], None]
TARGETS: dict[str, Reader] = {}


def _reads(*targets: str) -> Callable[[Reader], Reader]:
    def keep(reader: Reader) -> Reader:
        TARGETS.update(dict.fromkeys(targets, reader))
        return reader

    return keep


@_reads("aten.linear.default")
def _linear(p: Program, c: Call) -> None:
    weight, bias = p.weight(c, "weight"), p.maybe(c, "bias")
    outputs, inputs = weight.shape
    p.layer(
        c, "Linear", p.value(c.get("input")), {"weight": weight, "bias": bias},
        in_features=inputs, out_features=outputs, bias=bias is not None,
    )  # fmt: skip


@_reads("aten.conv1d.default", "aten.conv2d.default", "aten.conv1d.padding", "aten.conv2d.padding")
def _convolution(p: Program, c: Call) -> None:
    weight, bias = p.weight(c, "weight"), p.maybe(c, "bias")
    groups, padding = int(c.get("groups", 1)), c.get("padding", 0)
    p.layer(
        c, "Conv1d" if weight.dim() == 3 else "Conv2d", p.value(c.get("input")), {"weight": weight, "bias": bias},
        in_channels=weight.shape[1] * groups, out_channels=weight.shape[0], kernel_size=tuple(weight.shape[2:]),
        stride=_sizes(c.get("stride", 1)), padding=padding if isinstance(padding, str) else _sizes(padding),
        dilation=_sizes(c.get("dilation", 1)), groups=groups, bias=bias is not None,
    )  # fmt: skip


@_reads("aten.batch_norm.default")
def _batch_norm(p: Program, c: Call) -> None:
    names = ("weight", "bias", "running_mean", "running_var")
    weights = {name: p.maybe(c, name) for name in names}
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
def _layer_norm(p: Program, c: Call) -> None:
    weights = {name: p.maybe(c, name) for name in ("weight", "bias")}
    p.layer(
        c, "LayerNorm", p.value(c.get("input")), weights, normalized_shape=tuple(c.get("normalized_shape")),
        eps=c.get("eps", 1e-5), elementwise_affine=weights["weight"] is not None, bias=weights["bias"] is not None,
    )  # fmt: skip


@_reads("aten.max_pool1d.default", "aten.max_pool2d.default")
def _max_pool(p: Program, c: Call) -> None:
    _pool(p, c, "MaxPool", dilation=_sizes(c.get("dilation", 1)))


@_reads("aten.avg_pool1d.default", "aten.avg_pool2d.default")
def _avg_pool(p: Program, c: Call) -> None:
    divisor = {} if c.get("divisor_override") is None else {"divisor_override": c.get("divisor_override")}
    _pool(p, c, "AvgPool", count_include_pad=bool(c.get("count_include_pad", True)), **divisor)


def _pool(p: Program, c: Call, kind: str, **arguments: Any) -> None:
    kernel = _sizes(c.get("kernel_size"))
    p.layer(
        c, f"{kind}{'1d' if '1d' in c.target else '2d'}", p.value(c.get("self")), {}, kernel_size=kernel,
        stride=_sizes(c.get("stride") or kernel), padding=_sizes(c.get("padding", 0)),
        ceil_mode=bool(c.get("ceil_mode", False)), **arguments,
    )  # fmt: skip


@_reads("aten.adaptive_avg_pool1d.default", "aten.adaptive_avg_pool2d.default")
def _adaptive_pool(p: Program, c: Call) -> None:
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
def _activation(p: Program, c: Call) -> None:
    kind, names = ACTIVATIONS[c.target]
    arguments = {name: c.get(said, default) for name, (said, default) in names.items()}
    p.layer(c, kind, p.value(c.get("self")), {}, **arguments)


@_reads("aten.dropout.default", "aten.feature_dropout.default")
def _dropout(p: Program, c: Call) -> None:
    if c.get("train"):
        raise ValueError(f"{c.name}: a dropout in training mode: call model.eval() before exporting")
    kind = "Dropout" if c.target.startswith("aten.dropout") else "Dropout2d"
    p.layer(c, kind, p.value(c.get("input")), {}, p=c.get("p"))


@_reads("aten.clone.default", "aten.contiguous.default", "aten.alias.default", "aten.detach.default",
        "aten.detach_.default", "aten.lift_fresh_copy.default")  # fmt: skip
def _same(p: Program, c: Call) -> None:
    given = c.get("self")
    if isinstance(given, Ref) and given.name in p.constants:
        p.constants.add(c.name)
        p.paths[c.name] = p.paths[given.name]
    else:
        p.values[c.name] = p.value(given)


@_reads("aten._assert_tensor_metadata.default", "aten._assert_scalar.default")
def _nothing(p: Program, c: Call) -> None:
    """A check of the exporter's."""


@_reads("aten.sym_size.int")
def _size(p: Program, c: Call) -> None:
    one, other = (shape[int(c.get("dim"))] for shape in p.wiring.shapes(p.value(c.get("self"))))
    p.shapes[c.name] = one, other


@_reads("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default")
def _reshape(p: Program, c: Call) -> None:
    shapes = p.numbers(c.get("size", c.get("shape")))
    p.values[c.name] = p.wiring.reshape(p.value(c.get("self")), shapes, c.name)


@_reads("aten.flatten.using_ints")
def _flatten(p: Program, c: Call) -> None:
    takes, start = p.value(c.get("self")), int(c.get("start_dim", 0))
    if start % p.rank(takes) == 0:
        raise ValueError(f"{c.name}: the batch is merged with other dimensions, so that no output is one sample's")
    p.layer(c, "Flatten", takes, {}, start_dim=start, end_dim=int(c.get("end_dim", -1)))


def _operation(target: str, name: str, **names: tuple[str, Any]) -> None:
    """An operation on one tensor; names: our argument -> the argument there and its default."""

    @_reads(target)
    def read(p: Program, c: Call) -> None:
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
def _transpose(p: Program, c: Call) -> None:
    takes = p.value(c.get("self"))
    dims = list(range(p.rank(takes)))
    one, other = int(c.get("dim0")), int(c.get("dim1"))
    dims[one], dims[other] = dims[other], dims[one]
    p.values[c.name] = p.wiring.call("permute", takes, name=c.name, dims=dims)


@_reads("aten.slice.Tensor")
def _slice(p: Program, c: Call) -> None:
    end = c.get("end")
    p.values[c.name] = p.wiring.call(
        "slice", p.value(c.get("self")), name=c.name, dim=int(c.get("dim", 0)), start=c.get("start"),
        end=None if end is None or end >= 2**62 else end, step=int(c.get("step", 1)),
    )  # fmt: skip


@_reads("aten.cat.default")
def _cat(p: Program, c: Call) -> None:
    takes = [p.value(entry) for entry in c.get("tensors")]
    p.values[c.name] = p.wiring.call("cat", *takes, name=c.name, dim=int(c.get("dim", 0)))


@_reads(*(f"aten.{name}{ending}" for name in ("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_")
          for ending in (".Tensor", ".Scalar")))  # fmt: skip
def _arithmetic(p: Program, c: Call) -> None:
    operation = c.target.split(".")[1].removesuffix("_")
    other, takes = p.number(c.get("other")), p.value(c.get("self"))
    if c.get("alpha", 1) != 1:
        raise ValueError(f"{c.name}: {c.target} with alpha cannot be read")
    if isinstance(other, Ref):
        p.values[c.name] = p.wiring.call(operation, takes, p.value(other), name=c.name)
        return
    by = {"add": other, "sub": -other, "mul": other, "div": 1 / other if other else math.inf}[operation]
    p.values[c.name] = p.wiring.call("shift" if operation in ("add", "sub") else "scale", takes, name=c.name, by=by)


@_reads("aten.matmul.default", "aten.maximum.default", "aten.minimum.default")
def _two(p: Program, c: Call) -> None:
    p.values[c.name] = p.wiring.call(
        c.target.split(".")[1], p.value(c.get("self")), p.value(c.get("other")), name=c.name
    )


def _sizes(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
