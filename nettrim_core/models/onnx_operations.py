"""ONNX operators that become operations: arithmetic, shapes, and choices of parts."""

from __future__ import annotations

import math

import torch
from torch import nn

from nettrim_core.models.onnx_graph import Compared, Graph, Known, Reader
from nettrim_core.models.onnx_known import FLOATS, Node, Table, cuts
from nettrim_core.models.onnx_layers import clip

OPERATIONS: Table[Reader] = Table()


@OPERATIONS.reads("Add", "Sub", "Mul", "Div")
def _arithmetic(g: Graph, n: Node) -> None:
    operation, first, second = n.kind.lower(), g.scalar(n, 0), g.scalar(n, 1)
    if second is not None:
        if second == (0 if operation in ("add", "sub") else 1):
            g.put(n, g.value(n))
            return
        by = {"add": second, "sub": -second, "mul": second, "div": 1 / second if second else math.inf}[operation]
        g.call(n, "shift" if operation in ("add", "sub") else "scale", g.value(n), by=by)
    elif first is not None:
        other = g.value(n, 1)
        if operation == "sub":
            other = g.call(n, "neg", other)
        elif operation == "div":
            other = g.call(n, "power", other, by=-1)
        g.call(n, "shift" if operation in ("add", "sub") else "scale", other, by=first)
    else:
        g.call(n, operation, g.value(n), g.value(n, 1))


@OPERATIONS.reads("Sum")
def _sum(g: Graph, n: Node) -> None:
    _all(g, n, "add")


@OPERATIONS.reads("Min", "Max")
def _extreme(g: Graph, n: Node) -> None:
    if len(n.inputs) == 2:
        for place in (0, 1):
            bound = g.scalar(n, place)
            if bound is not None:
                low, high = (bound, None) if n.kind == "Max" else (None, bound)
                clip(g, n, g.value(n, 1 - place), low, high)
                return
    _all(g, n, "maximum" if n.kind == "Max" else "minimum")


def _all(g: Graph, n: Node, operation: str) -> None:
    value = g.put(n, g.value(n))
    for place in range(1, len(n.inputs)):
        value = g.call(n, operation, value, g.value(n, place))


@OPERATIONS.reads("Pow")
def _pow(g: Graph, n: Node) -> None:
    by = g.known(n, 1)
    if by is None or by.size != 1 or by.ndim > g.rank(g.value(n)):
        raise ValueError("an exponent of more than one number is not read")
    g.call(n, "power", g.value(n), by=float(by.item()))


@OPERATIONS.reads("Reciprocal")
def _reciprocal(g: Graph, n: Node) -> None:
    g.call(n, "power", g.value(n), by=-1)


@OPERATIONS.reads("Sqrt", "Exp", "Log", "Abs", "Neg", "Erf")
def _function(g: Graph, n: Node) -> None:
    g.call(n, n.kind.lower(), g.value(n))


@OPERATIONS.reads("Identity", "CastLike")
def _same(g: Graph, n: Node) -> None:
    g.put(n, g.value(n))


@OPERATIONS.reads("Cast")
def _cast(g: Graph, n: Node) -> None:
    if n.get("to") not in FLOATS:
        raise ValueError("a cast of what the network computes to whole numbers is not read")
    g.put(n, g.value(n))


@OPERATIONS.reads("Greater")
def _greater(g: Graph, n: Node) -> None:
    threshold = g.scalar(n, 1)
    if threshold is None:
        raise ValueError("a comparison with more than one number is not read")
    g.values[n.outputs[0]] = Compared(g.value(n), threshold)


@OPERATIONS.reads("Where")
def _where(g: Graph, n: Node) -> None:
    """As torch writes a Softplus, log(1 + exp(beta x)) / beta, which is x where beta x is large: equal to it in float32
    from 16 on."""
    made, compared = {step.name: step for step in g.wiring.steps}, g.given(n, 0)
    if isinstance(compared, Compared) and compared.threshold >= 16:
        large, value, factor = g.value(n, 1), g.value(n, 2), 1.0
        if large != compared.name and made[compared.name].operation == "scale":
            large, factor = compared.name, factor * made[compared.name].arguments["by"]
            value, factor = made[value].takes[0], factor * made[value].arguments["by"]
        step = made[value]
        layer = g.wiring.layers.get(step.layer)
        if large == compared.name and step.takes == (large,) and isinstance(layer, nn.Softplus) and factor == 1:
            g.put(n, g.value(n, 2))
            return
    raise ValueError("a choice between values (Where) is read in a Softplus only")


@OPERATIONS.reads("Flatten")
def _flatten(g: Graph, n: Node) -> None:
    takes, axis = g.value(n), n.get("axis", 1)
    axis = axis + g.rank(takes) if axis < 0 else axis
    if axis == 1 and g.wiring.place(takes) == 0:
        g.layer(n, "Flatten", takes, {})
        return
    shaped = [[math.prod(shape[:axis]), math.prod(shape[axis:])] for shape in g.wiring.shapes(takes)]
    g.put(n, g.wiring.reshape(takes, shaped, n.name))


@OPERATIONS.reads("Reshape")
def _reshape(g: Graph, n: Node) -> None:
    shape = g.given(n, 1)
    if not isinstance(shape, Known) or shape.arrays[0].dtype.kind != "i":
        raise ValueError("a shape that depends on numbers of the input is not read")
    g.put(n, g.reshape(n, g.value(n), shape))


@OPERATIONS.reads("Transpose")
def _transpose(g: Graph, n: Node) -> None:
    takes = g.value(n)
    g.call(n, "permute", takes, dims=list(n.get("perm", range(g.rank(takes))[::-1])))


@OPERATIONS.reads("Squeeze")
def _squeeze(g: Graph, n: Node) -> None:
    value, axes = g.value(n), g.axes(n, 1)
    if axes is None:
        batch = g.wiring.place(value) if g.wiring.batch == 1 else None  # which would go too
        axes = [i for i, size in enumerate(g.wiring.shapes(value)[0]) if size == 1 or i == batch]
    g.put(n, value)
    for axis in sorted((g.axis(value, axis) for axis in axes), reverse=True):
        if g.wiring.shapes(value)[0][axis] != 1:
            raise ValueError(f"axis {axis} is squeezed, and has {g.wiring.shapes(value)[0][axis]} entries")
        value = g.call(n, "squeeze", value, dim=axis)


@OPERATIONS.reads("Unsqueeze")
def _unsqueeze(g: Graph, n: Node) -> None:
    value, axes = g.value(n), g.axes(n, 1) or []
    rank = g.rank(value) + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        value = g.call(n, "unsqueeze", value, dim=axis)


@OPERATIONS.reads("Expand")
def _expand(g: Graph, n: Node) -> None:
    takes, shape = g.value(n), g.given(n, 1)
    alike = isinstance(shape, Known) and all(
        torch.broadcast_shapes(has, to.tolist()) == has
        for has, to in zip(g.wiring.shapes(takes), shape.arrays, strict=True)
    )
    if not alike:
        raise ValueError("an Expand of what the network computes to another shape is not read")
    g.put(n, takes)


@OPERATIONS.reads("Concat")
def _concat(g: Graph, n: Node) -> None:
    values = [g.value(n, place) for place in range(len(n.inputs))]
    g.call(n, "cat", *values, dim=g.axis(values[0], n.get("axis")))


@OPERATIONS.reads("Pad")
def _pad(g: Graph, n: Node) -> None:
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    takes, pads, axes = g.value(n), g.known(n, 1), g.known(n, 3)
    rank, mode, value = g.rank(takes), modes[n.get("mode", "constant")], g.number(n, 2)
    assert pads is not None
    dims = list(range(rank)) if axes is None else [axis % rank for axis in axes.tolist()]
    if pads.size != 2 * len(dims):
        raise ValueError(f"{pads.size} pads for {len(dims)} dimensions")
    around = {dim: (int(pads[i]), int(pads[i + len(dims)])) for i, dim in enumerate(dims)}
    padded = [g.axis(takes, dim) for dim, sizes in around.items() if any(sizes)]
    first = min(padded, default=rank - 1) if mode == "constant" else min([2, *padded])
    pairs = [size for dim in reversed(range(first, rank)) for size in around.get(dim, (0, 0))]
    g.call(n, "pad", takes, pad=pairs, mode=mode, value=(value or 0.0) if mode == "constant" else None)


@OPERATIONS.reads("ReduceMean", "ReduceSum", "ReduceMax")
def _reduce(g: Graph, n: Node) -> None:
    takes, axes, keep = g.value(n), g.axes(n, 1), bool(n.get("keepdims", 1))
    if axes is None and n.get("noop_with_empty_axes", 0) == 1:
        g.put(n, takes)
        return
    dims = [g.axis(takes, axis) for axis in (range(g.rank(takes)) if axes is None else axes)]
    operation = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "amax"}[n.kind]
    g.call(n, operation, takes, dim=dims, keepdim=keep)


@OPERATIONS.reads("Slice")
def _slice(g: Graph, n: Node) -> None:
    value = g.put(n, g.value(n))
    parts = [g.known(n, place) for place in range(1, 5)]
    starts, ends, axes, steps = ([] if part is None else part.tolist() for part in parts)
    for axis, start, end, step in cuts(g.rank(value), starts, ends, axes, steps):
        if step < 1:
            raise ValueError(f"a slice with the step {step} is not read: only forward ones are")
        if axis == g.wiring.place(value) and start == 0 and step == 1 and end >= 2**31 - 1:
            continue  # all samples
        size = g.wiring.shapes(value)[0][g.axis(value, axis)]
        start, end, _ = slice(start, end).indices(size)
        value = g.call(n, "slice", value, dim=axis, start=start, end=end, step=step)


@OPERATIONS.reads("Split")
def _split(g: Graph, n: Node) -> None:
    value, sizes = g.value(n), g.known(n, 1)
    axis = g.axis(value, n.get("axis", 0))
    whole, parts = g.wiring.shapes(value)[0][axis], len(n.outputs)
    each = -(-whole // parts)  # the last one may be smaller
    ends = [min(whole, each * (i + 1)) for i in range(parts)] if sizes is None else sizes.cumsum().tolist()
    if len(ends) != parts or ends[-1] != whole:
        raise ValueError(f"{whole} entries are not split into {parts} parts")
    for output, start, end in zip(n.outputs, [0, *ends], ends, strict=False):
        g.values[output] = g.wiring.call("slice", value, name=output, dim=axis, start=start, end=end, step=1)


@OPERATIONS.reads("Gather")
def _gather(g: Graph, n: Node) -> None:
    value, index = g.value(n), g.known(n, 1)
    assert index is not None
    axis = g.axis(value, n.get("axis", 0))
    size = g.wiring.shapes(value)[0][axis]
    at = [int(i) + size if i < 0 else int(i) for i in index.reshape(-1)]
    if index.dtype.kind != "i" or index.ndim > 1 or not at or not all(0 <= i < size for i in at):
        raise ValueError(f"indices into an axis of {size} must be a list of whole numbers from 0 to {size - 1}")
    if index.ndim == 0:
        g.call(n, "select", value, dim=axis, index=at[0])
        return
    step = at[1] - at[0] if len(at) > 1 else 1
    if step < 1 or at != list(range(at[0], at[-1] + 1, step)):
        raise ValueError("indices that are not evenly spaced and ascending are not read")
    g.call(n, "slice", value, dim=axis, start=at[0], end=at[-1] + 1, step=step)
