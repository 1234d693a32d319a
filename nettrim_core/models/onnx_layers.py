"""ONNX operators that become layers: linear layers, norms and activations."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nettrim_core.models.onnx_graph import Graph, Known, Reader, short
from nettrim_core.models.onnx_known import Node, Table

LAYERS: Table[Reader] = Table()


@LAYERS.reads("Gemm")
def _gemm(g: Graph, n: Node) -> None:
    """alpha A B + beta C: a linear layer where B and C are known."""
    alpha, beta = short(n.get("alpha", 1.0)), short(n.get("beta", 1.0))
    takes = g.value(n)
    if n.get("transA", 0):
        takes = g.wiring.call("permute", takes, name=n.name, dims=[1, 0])
    if isinstance(g.given(n, 1), Known):
        weight, bias, added = g.weight(n, 1), None, None
        if weight is None or weight.dim() != 2:
            raise ValueError("its weight does not have two dimensions")
        weight = weight if n.get("transB", 0) else weight.T
        if isinstance(g.given(n, 2), Known):
            bias = _vector(g.weight(n, 2), len(weight))
            added = None if bias is not None else g.value(n, 2)
        elif g.given(n, 2) is not None:
            added = g.value(n, 2)
        product = _linear(g, n, takes, scaled(weight, alpha), None if bias is None else scaled(bias, beta))
    else:
        other = g.value(n, 1)
        if n.get("transB", 0):
            other = g.wiring.call("permute", other, name=n.name, dims=[1, 0])
        product, added = g.call(n, "matmul", takes, other), g.value(n, 2) if g.given(n, 2) is not None else None
        product = product if alpha == 1 else g.call(n, "scale", product, by=alpha)
    if added is not None:
        g.call(n, "add", product, added if beta == 1 else g.wiring.call("scale", added, name=n.name, by=beta))


def scaled(weight: Tensor, by: float) -> Tensor:
    return weight if by == 1 else weight * by


def _vector(bias: Tensor | None, length: int) -> Tensor | None:
    """A bias as a linear layer has it; None where it is no such."""
    if bias is None or bias.numel() not in (1, length) or bias.shape[-1:] not in ((), (1,), (length,)):
        return None
    return bias.reshape(-1).expand(length)


@LAYERS.reads("MatMul")
def _matmul(g: Graph, n: Node) -> None:
    """A linear layer where the second factor is known, with the bias that is added to it and to nothing else."""
    second, takes = g.given(n, 1), g.value(n)
    if not isinstance(second, Known) or second.one.ndim != 2 or isinstance(g.given(n, 0), Known):
        g.call(n, "matmul", takes, g.value(n, 1))
        return
    weight = g.weight(n, 1)
    assert weight is not None
    after = g.takers.get(n.outputs[0], [])
    if len(after) == 1 and after[0].kind == "Add" and n.outputs[0] != g.output:
        (add,) = after
        place = 1 - add.inputs.index(n.outputs[0])
        other = g.values.get(add.inputs[place])
        if isinstance(other, Known) and other.arrays[0].dtype.kind == "f" and other.one.ndim <= g.rank(takes):
            bias = _vector(g.weight(add, place), weight.shape[1])
            if bias is not None:
                g.values[add.outputs[0]] = _linear(g, n, takes, weight.T, bias, add.inputs[place])
                return
    _linear(g, n, takes, weight.T, None)


def _linear(g: Graph, n: Node, takes: str, weight: Tensor, bias: Tensor | None, named: str = "") -> str:
    outputs, inputs = weight.shape
    names = (n.inputs[1], named or (n.inputs[2] if len(n.inputs) > 2 else ""))
    return g.layer(
        n, "Linear", takes, {"weight": weight, "bias": bias}, names if bias is not None else names[:1],
        in_features=inputs, out_features=outputs, bias=bias is not None,
    )  # fmt: skip


@LAYERS.reads("BatchNormalization")
def _batch_norm(g: Graph, n: Node) -> None:
    if n.get("training_mode", 0) or any(n.outputs[1:]):
        raise ValueError("a batch norm in training mode: call model.eval() before exporting")
    takes = g.value(n)
    weights = {name: g.weight(n, i) for i, name in enumerate(("weight", "bias", "running_mean", "running_var"), 1)}
    assert weights["weight"] is not None
    g.layer(
        n, _by_rank(g, takes, "BatchNorm"), takes, weights, n.inputs[1:3], num_features=len(weights["weight"]),
        eps=short(n.get("epsilon", 1e-5)), momentum=round(1 - n.get("momentum", 0.9), 6),
    )  # fmt: skip


def _by_rank(g: Graph, takes: str, kind: str) -> str:
    rank = g.rank(takes)
    if rank not in (2, 3, 4):
        raise ValueError(f"a {kind} of a value with {rank} dimensions: 2, 3 or 4 are read")
    return f"{kind}2d" if rank == 4 else f"{kind}1d"


@LAYERS.reads("InstanceNormalization")
def _instance_norm(g: Graph, n: Node) -> None:
    takes, weights = g.samples(n), {"weight": g.weight(n, 1), "bias": g.weight(n, 2)}
    assert weights["weight"] is not None
    if g.rank(takes) < 3:
        raise ValueError("an instance norm of a value without space")
    g.layer(
        n, _by_rank(g, takes, "InstanceNorm"), takes, weights, n.inputs[1:3], num_features=len(weights["weight"]),
        eps=short(n.get("epsilon", 1e-5)), affine=True,
    )  # fmt: skip


@LAYERS.reads("GroupNormalization")
def _group_norm(g: Graph, n: Node) -> None:
    takes, weights = g.samples(n), {"weight": g.weight(n, 1), "bias": g.weight(n, 2)}
    g.layer(
        n, "GroupNorm", takes, weights, n.inputs[1:3], num_groups=n.get("num_groups"),
        num_channels=g.wiring.shapes(takes)[0][1], eps=short(n.get("epsilon", 1e-5)),
    )  # fmt: skip


@LAYERS.reads("LayerNormalization")
def _layer_norm(g: Graph, n: Node) -> None:
    if any(n.outputs[1:]):
        raise ValueError("its mean or its deviation is used too: only the normalised value can be")
    takes, scale, bias = g.samples(n), g.weight(n, 1), g.weight(n, 2)
    shape = g.wiring.shapes(takes)[0][g.axis(takes, n.get("axis", -1)) :]
    assert scale is not None
    weights = {"weight": scale.expand(shape), "bias": None if bias is None else bias.expand(shape)}
    g.layer(
        n, "LayerNorm", takes, weights, n.inputs[1:3], normalized_shape=tuple(shape),
        eps=short(n.get("epsilon", 1e-5)), bias=bias is not None,
    )  # fmt: skip


@LAYERS.reads("LRN")
def _lrn(g: Graph, n: Node) -> None:
    size = n.get("size")
    if size % 2 == 0:
        raise ValueError(f"size {size}: the window of an LRN has a middle, so that its size is odd")
    g.layer(
        n, "LocalResponseNorm", g.samples(n), {}, size=size, alpha=short(n.get("alpha", 1e-4)),
        beta=short(n.get("beta", 0.75)), k=short(n.get("bias", 1.0)),
    )  # fmt: skip


# activations: the layer type, and its arguments with the names and the defaults that the operator has
ACTIVATIONS: dict[str, tuple[str, dict[str, tuple[str, Any]]]] = {
    "Relu": ("ReLU", {}),
    "Sigmoid": ("Sigmoid", {}),
    "Tanh": ("Tanh", {}),
    "Softplus": ("Softplus", {}),
    "Softsign": ("Softsign", {}),
    "HardSwish": ("Hardswish", {}),
    "Mish": ("Mish", {}),
    "Elu": ("ELU", {"alpha": ("alpha", 1.0)}),
    "Celu": ("CELU", {"alpha": ("alpha", 1.0)}),
    "LeakyRelu": ("LeakyReLU", {"negative_slope": ("alpha", 0.01)}),
    "Gelu": ("GELU", {"approximate": ("approximate", "none")}),
}


@LAYERS.reads(*ACTIVATIONS)
def _activation(g: Graph, n: Node) -> None:
    kind, names = ACTIVATIONS[n.kind]
    said = {name: n.get(there, default) for name, (there, default) in names.items()}
    arguments: dict[str, Any] = {name: short(v) if isinstance(v, float) else v for name, v in said.items()}
    g.layer(n, kind, g.value(n), {}, **arguments)


@LAYERS.reads("Sigmoid")
def _sigmoid(g: Graph, n: Node) -> None:
    """A SiLU where all that is done with it is a product with what it takes."""
    after = g.takers.get(n.outputs[0], [])
    if len(after) == 1 and after[0].kind == "Mul" and set(after[0].inputs) == {n.inputs[0], n.outputs[0]}:
        g.put(after[0], g.layer(after[0], "SiLU", g.value(n), {}))
    else:
        _activation(g, n)


@LAYERS.reads("Selu")
def _selu(g: Graph, n: Node) -> None:
    alpha, gamma = short(n.get("alpha", 1.67326319217681884765625)), short(n.get("gamma", 1.05070102214813232421875))
    if (alpha, gamma) == (1.6732632, 1.050701):
        g.layer(n, "SELU", g.value(n), {})
    else:
        g.call(n, "scale", g.layer(n, "ELU", g.value(n), {}, alpha=alpha), by=gamma)


@LAYERS.reads("HardSigmoid")
def _hard_sigmoid(g: Graph, n: Node) -> None:
    alpha, beta = short(n.get("alpha", 0.2)), short(n.get("beta", 0.5))
    if (alpha, beta) == (short(1 / 6), 0.5):
        g.layer(n, "Hardsigmoid", g.value(n), {})
    else:
        line = g.call(n, "shift", g.call(n, "scale", g.value(n), by=alpha), by=beta)
        g.layer(n, "Hardtanh", line, {}, min_val=0.0, max_val=1.0)


@LAYERS.reads("Clip")
def _clip(g: Graph, n: Node) -> None:
    clip(g, n, g.value(n), g.number(n, 1), g.number(n, 2))


def clip(g: Graph, n: Node, takes: str, low: float | None, high: float | None) -> None:
    if low == 0 and high in (None, 6):
        g.layer(n, "ReLU" if high is None else "ReLU6", takes, {})
    elif low is not None and high is not None and low < high:
        g.layer(n, "Hardtanh", takes, {}, min_val=low, max_val=high)
    elif low is None and high is None:
        g.put(n, takes)
    else:
        g.call(n, "clamp", takes, low=low, high=high)


@LAYERS.reads("PRelu")
def _prelu(g: Graph, n: Node) -> None:
    takes, slope = g.value(n), g.weight(n, 1)
    assert slope is not None
    channels = g.wiring.shapes(takes)[0][1] if g.rank(takes) > 1 else 1
    by_channel = [1] * (slope.dim() - g.rank(takes) + 1) + [channels] + [1] * (g.rank(takes) - 2)
    if (
        slope.numel() == 1
        or list(slope.shape) == by_channel[-slope.dim() :] == by_channel
        or (list(slope.shape) == [channels] + [1] * (g.rank(takes) - 2))
    ):
        g.layer(n, "PReLU", takes, {"weight": slope.reshape(-1)}, n.inputs[1:3], num_parameters=slope.numel())
        return
    above = g.wiring.call("clamp", takes, name=f"{n.outputs[0]}_above", low=0.0, high=None)
    below = g.wiring.call("clamp", takes, name=f"{n.outputs[0]}_below", low=None, high=0.0)
    g.call(n, "add", above, g.wiring.call("mul", below, g.value(n, 1), name=f"{n.outputs[0]}_sloped"))


@LAYERS.reads("Softmax", "LogSoftmax")
def _softmax(g: Graph, n: Node) -> None:
    takes = g.value(n)
    g.layer(n, n.kind, takes, {}, dim=g.axis(takes, n.get("axis", -1)))


@LAYERS.reads("Dropout")
def _dropout(g: Graph, n: Node) -> None:
    training = g.known(n, 2)
    if (training is not None and training.any()) or any(name in g.takers for name in n.outputs[1:]):
        raise ValueError("a dropout in training mode, or one whose mask is used: call model.eval() before exporting")
    ratio = g.number(n, 1)
    g.layer(n, "Dropout", g.value(n), {}, p=0.5 if ratio is None else ratio)
