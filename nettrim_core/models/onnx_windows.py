"""ONNX operators with a window that moves: convolutions and pooling, and their padding where a layer has none such."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrim_core.models.onnx_graph import Graph, Known, Reader
from nettrim_core.models.onnx_known import Node, Table

WINDOWS: Table[Reader] = Table()
LOWEST = float(np.finfo(np.float32).min)


def _sides(g: Graph, n: Node, takes: str, dimensions: int) -> tuple[list[int], list[int], list[int], list[int]]:
    """(sizes, strides, dilations, pads) of a window over the last dimensions; pads as ONNX has them, and as auto_pad
    asks for them where it knows the kernel already."""
    if dimensions not in (1, 2) or g.rank(takes) != dimensions + 2:
        raise ValueError(f"a window of {dimensions} dimensions over a value with {g.rank(takes)}: 1 or 2 are read")
    sizes = list(g.wiring.shapes(takes)[0][2:])
    strides, dilations = n.get("strides", [1] * dimensions), n.get("dilations", [1] * dimensions)
    pads = n.get("pads", [0] * 2 * dimensions)
    if [len(strides), len(dilations), len(pads)] != [dimensions, dimensions, 2 * dimensions]:
        raise ValueError(f"strides, dilations and pads for {dimensions} dimensions are needed")
    if min(strides) < 1 or min(dilations) < 1 or min(pads) < 0:
        raise ValueError("strides and dilations must be at least 1 and pads at least 0")
    return sizes, strides, dilations, pads


def _around(n: Node, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int], pads: list[int]) -> list[int]:
    """The pads, at the begin of every dimension and then at the end of each, after auto_pad. reach: of a window."""
    auto = n.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        return pads if auto == "NOTSET" else [0] * len(pads)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad {auto!r} is not known")
    total = [
        max((math.ceil(size / stride) - 1) * stride + over - size, 0)
        for size, over, stride in zip(sizes, reach, strides, strict=True)
    ]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return less + more if auto == "SAME_UPPER" else more + less


def _reach(kernel: Sequence[int], dilations: Sequence[int]) -> list[int]:
    return [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]


def _pad(g: Graph, n: Node, takes: str, before: Sequence[int], after: Sequence[int], value: float) -> str:
    if not any(before) and not any(after):
        return takes
    pairs = [size for pair in zip(reversed(before), reversed(after), strict=True) for size in pair]
    return g.wiring.call("pad", takes, name=f"{n.outputs[0]}_pad", pad=pairs, mode="constant", value=value)


def _convolution(g: Graph, n: Node) -> tuple[Tensor, dict[str, Tensor | None]]:
    """The weight, and all weights by name."""
    weight = g.weight(n, 1)
    if weight is None or weight.dim() < 3 or list(n.get("kernel_shape", weight.shape[2:])) != list(weight.shape[2:]):
        raise ValueError("its weight does not have the dimensions of its kernel")
    given = g.given(n, 2)
    none = isinstance(given, Known) and not given.name and not given.one.any()  # written for a layer without a bias
    return weight, {"weight": weight, "bias": None if none else g.weight(n, 2)}


@WINDOWS.reads("Conv")
def _conv(g: Graph, n: Node) -> None:
    weight, weights = _convolution(g, n)
    kernel, groups, takes = list(weight.shape[2:]), n.get("group", 1), g.samples(n)
    sizes, strides, dilations, pads = _sides(g, n, takes, len(kernel))
    pads = _around(n, sizes, _reach(kernel, dilations), strides, pads)
    before, after = pads[: len(kernel)], pads[len(kernel) :]
    if before != after:
        takes, before = _pad(g, n, takes, before, after, 0.0), [0] * len(kernel)
    g.layer(
        n, f"Conv{len(kernel)}d", takes, weights, n.inputs[1:3], in_channels=weight.shape[1] * groups,
        out_channels=len(weight), kernel_size=tuple(kernel), stride=tuple(strides), padding=tuple(before),
        dilation=tuple(dilations), groups=groups, bias=weights["bias"] is not None,
    )  # fmt: skip


@WINDOWS.reads("ConvTranspose")
def _conv_transpose(g: Graph, n: Node) -> None:
    """What its pads cut off at both ends alike, the layer does; the rest is cut off after it."""
    weight, weights = _convolution(g, n)
    kernel, groups, takes = list(weight.shape[2:]), n.get("group", 1), g.samples(n)
    sizes, strides, dilations, pads = _sides(g, n, takes, len(kernel))
    extra = list(n.get("output_padding", [0] * len(kernel)))
    full = [(i - 1) * s + r for i, s, r in zip(sizes, strides, _reach(kernel, dilations), strict=True)]
    wanted, auto = n.get("output_shape"), n.get("auto_pad", "NOTSET")
    if wanted is not None or auto.startswith("SAME"):
        same = [i * s for i, s in zip(sizes, strides, strict=True)]
        wanted = same if wanted is None else list(wanted)[-len(kernel) :]
        total = [f + e - w for f, e, w in zip(full, extra, wanted, strict=True)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        pads = less + more if auto == "SAME_UPPER" else more + less
    elif auto == "VALID":
        pads = [0] * len(pads)
    before, after = pads[: len(kernel)], pads[len(kernel) :]
    alike = before == after and min(before) >= 0
    value = g.layer(
        n, f"ConvTranspose{len(kernel)}d", takes, weights, n.inputs[1:3], in_channels=len(weight),
        out_channels=weight.shape[1] * groups, kernel_size=tuple(kernel), stride=tuple(strides),
        padding=tuple(before if alike else [0] * len(kernel)), output_padding=tuple(extra),
        dilation=tuple(dilations), groups=groups, bias=weights["bias"] is not None,
    )  # fmt: skip
    if not alike:
        g.put(n, _pad(g, n, value, [-size for size in before], [-size for size in after], 0.0))


@WINDOWS.reads("MaxPool")
def _max_pool(g: Graph, n: Node) -> None:
    if any(n.outputs[1:]):
        raise ValueError("the places of its maxima are used too: only the maxima can be")
    _pool(g, n, LOWEST)


@WINDOWS.reads("AveragePool")
def _average_pool(g: Graph, n: Node) -> None:
    if set(n.get("dilations", [1])) != {1}:
        raise ValueError("an average over a window with holes (dilations) is not read")
    _pool(g, n, 0.0)


def _pool(g: Graph, n: Node, outside: float) -> None:
    """outside: what padding holds; 0 for an average, of which the divisor may be that of the numbers inside."""
    takes, kernel, average = g.samples(n), list(n.get("kernel_shape")), n.kind == "AveragePool"
    sizes, strides, dilations, pads = _sides(g, n, takes, len(kernel))
    reach = _reach(kernel, dilations)
    pads = _around(n, sizes, reach, strides, pads)
    before, after = pads[: len(kernel)], pads[len(kernel) :]
    holes: dict[str, Any] = {} if average else {"dilation": tuple(dilations)}
    ceil, inside = bool(n.get("ceil_mode", 0)), average and not n.get("count_include_pad", 0)
    layer = f"{'Avg' if average else 'Max'}Pool{len(kernel)}d"
    if before == after and all(2 * b <= k for b, k in zip(before, kernel, strict=True)):
        counting: dict[str, Any] = {"count_include_pad": not inside} if average else {}
        g.layer(
            n, layer, takes, {}, kernel_size=tuple(kernel), stride=tuple(strides), padding=tuple(before),
            ceil_mode=ceil, **counting, **holes,
        )  # fmt: skip
        return
    counts = [_windows(*side, ceil) for side in zip(sizes, reach, strides, before, after, strict=True)]
    to_end = [(c - 1) * s + r - i - b for c, s, r, i, b in zip(counts, strides, reach, sizes, before, strict=True)]
    padded = _pad(g, n, takes, before, to_end, outside)
    value = g.layer(n, layer, padded, {}, kernel_size=tuple(kernel), stride=tuple(strides), **holes)
    if average:
        parts = [
            _share(c, s, k, b, i if inside else i + a, 0 if inside else -b)
            for c, s, k, b, i, a in zip(counts, strides, kernel, before, sizes, after, strict=True)
        ]
        factor = parts[0] if len(parts) == 1 else parts[0][:, None] * parts[1]
        if not bool((factor == 1).all()):
            g.call(n, "mul", value, g.wiring.tensor(f"{n.name or n.outputs[0]}_factor", factor.float()))


def _windows(size: int, reach: int, stride: int, before: int, after: int, ceil: bool) -> int:
    """How many windows there are; those that would begin in the padding behind are none."""
    room = size + before + after - reach
    count = (-(-room // stride) if ceil else room // stride) + 1
    return count - 1 if ceil and (count - 1) * stride >= size + before else count


def _share(count: int, stride: int, kernel: int, before: int, end: int, start: int) -> Tensor:
    """(count,) the kernel's size over how many of its numbers lie from start to end."""
    first = torch.arange(count) * stride - before
    return kernel / ((first + kernel).clamp(max=end) - first.clamp(min=start)).double()


@WINDOWS.reads("GlobalAveragePool")
def _global_average(g: Graph, n: Node) -> None:
    _global(g, n, "AdaptiveAvgPool")


@WINDOWS.reads("GlobalMaxPool")
def _global_max(g: Graph, n: Node) -> None:
    _global(g, n, "AdaptiveMaxPool")


def _global(g: Graph, n: Node, kind: str) -> None:
    takes = g.samples(n)
    if g.rank(takes) not in (3, 4):
        raise ValueError(f"pooling of a value with {g.rank(takes)} dimensions: 3 or 4 are read")
    g.layer(n, f"{kind}{g.rank(takes) - 2}d", takes, {}, output_size=1)
