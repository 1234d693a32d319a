"""What an ONNX graph computes from constants and from shapes alone, as exporters write sizes down: done with numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from onnx import TensorProto, helper, numpy_helper

MOST_NUMBERS = 10_000_000  # of a computed array that is larger than what it is computed from

# what initializers and constants may hold: the others are packed or quantised
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
NUMBERS = (*FLOATS, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8,
           TensorProto.BOOL)  # fmt: skip


@dataclass(frozen=True)
class Node:
    """An operator of the graph. attributes: as plain data. module: the path of the module whose code it came from,
    where the file says so."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    module: str = ""

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


Entry = TypeVar("Entry", bound=Callable[..., Any])


class Table(dict[str, Entry]):
    """Functions by the operators that they read."""

    def reads(self, *kinds: str) -> Callable[[Entry], Entry]:
        def keep(entry: Entry) -> Entry:
            self.update(dict.fromkeys(kinds, entry))
            return entry

        return keep


Arrays = Sequence[np.ndarray]
FOLDS: Table[Callable[[Node, Arrays], np.ndarray]] = Table()


def array_of(tensor: TensorProto) -> np.ndarray:
    """The numbers of a tensor in the file, floats as float32. Raises ValueError where it holds others than it says."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ValueError(
            f"{tensor.name!r} is in another file, and only this one is read: save it with its weights inside, with "
            "onnx.save(onnx.load(path), path, save_as_external_data=False)"
        )
    if tensor.data_type not in NUMBERS:
        known = TensorProto.DataType.items()
        kind = next((name for name, number in known if number == tensor.data_type), str(tensor.data_type))
        raise ValueError(f"{tensor.name!r} holds numbers of the type {kind}: export the network in float32")
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0:
        raise ValueError(f"{tensor.name!r} says it has the shape {shape}: sizes are not negative")
    held = len(tensor.raw_data) // np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    field = getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type))
    if (held if tensor.HasField("raw_data") else len(field)) != math.prod(shape):
        raise ValueError(f"{tensor.name!r} says it has the shape {shape}, and the file holds other numbers for it")
    array = numpy_helper.to_array(tensor)
    return array.astype(np.float32) if tensor.data_type in FLOATS else array


def room(shape: Sequence[int], given: Arrays = ()) -> tuple[int, ...]:
    """The shape, if an array of it may be made: a few bytes of a file can ask for any number of numbers."""
    if math.prod(shape) > max([MOST_NUMBERS, *(array.size for array in given)]):
        raise ValueError(f"a constant of the shape {tuple(shape)} is too large to compute")
    return tuple(int(size) for size in shape)


def _elementwise(kind: str, function: Callable[..., Any]) -> None:
    @FOLDS.reads(kind)
    def fold(node: Node, given: Arrays) -> np.ndarray:
        room(np.broadcast_shapes(*(array.shape for array in given)), given)
        with np.errstate(all="ignore"):
            return np.asarray(function(*given))


def _quotient(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whole numbers are divided towards zero."""
    if one.dtype.kind == "f":
        return one / other
    if not other.all():
        raise ValueError("a division by zero")
    return np.sign(one) * np.sign(other) * (np.abs(one) // np.abs(other))


for _kind, _function in {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _quotient, "Pow": np.power, "Neg": np.negative,
    "Abs": np.abs, "Sqrt": np.sqrt, "Exp": np.exp, "Floor": np.floor, "Ceil": np.ceil, "Not": np.logical_not,
    "Reciprocal": np.reciprocal, "Equal": np.equal, "Greater": np.greater, "Less": np.less, "And": np.logical_and,
    "Or": np.logical_or, "Where": np.where, "Min": lambda *a: np.minimum.reduce(np.broadcast_arrays(*a)),
    "Max": lambda *a: np.maximum.reduce(np.broadcast_arrays(*a)),
}.items():  # fmt: skip
    _elementwise(_kind, _function)


@FOLDS.reads("Constant")
def _constant(node: Node, given: Arrays) -> np.ndarray:
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64),
                        ("value_ints", np.int64)):  # fmt: skip
        if name in node.attributes:
            return np.array(node.get(name), dtype)
    if isinstance(node.get("value"), np.ndarray):
        return node.get("value")
    raise ValueError("a constant of text or of sparse numbers: write it as a dense tensor of numbers")


@FOLDS.reads("Identity", "CastLike")
def _same(node: Node, given: Arrays) -> np.ndarray:
    return given[0]


@FOLDS.reads("Cast")
def _cast(node: Node, given: Arrays) -> np.ndarray:
    if node.get("to") not in NUMBERS:
        raise ValueError("a cast to a type that is not read: export the network in float32")
    to = np.float32 if node.get("to") in FLOATS else helper.tensor_dtype_to_np_dtype(node.get("to"))
    with np.errstate(all="ignore"):
        return given[0].astype(to)


@FOLDS.reads("ConstantOfShape")
def _full(node: Node, given: Arrays) -> np.ndarray:
    value = node.get("value", np.zeros(1, np.float32))
    return np.broadcast_to(value.reshape(()), room(given[0].tolist()))


@FOLDS.reads("Expand")
def _expand(node: Node, given: Arrays) -> np.ndarray:
    return np.broadcast_to(given[0], room(np.broadcast_shapes(given[0].shape, tuple(given[1].tolist()))))


@FOLDS.reads("Range")
def _range(node: Node, given: Arrays) -> np.ndarray:
    start, limit, step = (array.item() for array in given)
    room([max(0, math.ceil((limit - start) / step))])
    return np.arange(start, limit, step).astype(given[0].dtype)


@FOLDS.reads("Concat")
def _concat(node: Node, given: Arrays) -> np.ndarray:
    room([sum(array.size for array in given)])
    return np.concatenate(given, node.get("axis"))


@FOLDS.reads("Gather")
def _gather(node: Node, given: Arrays) -> np.ndarray:
    data, index = given
    axis = node.get("axis", 0) % data.ndim
    room([*data.shape[:axis], *index.shape, *data.shape[axis + 1 :]])
    return np.take(data, index, axis)


@FOLDS.reads("Reshape")
def _reshape(node: Node, given: Arrays) -> np.ndarray:
    return given[0].reshape(sizes(given[0].shape, given[1].tolist(), bool(node.get("allowzero", 0))))


@FOLDS.reads("Transpose")
def _transpose(node: Node, given: Arrays) -> np.ndarray:
    return given[0].transpose(node.get("perm"))


@FOLDS.reads("Squeeze")
def _squeeze(node: Node, given: Arrays) -> np.ndarray:
    return given[0].squeeze(tuple(given[1].tolist()) if len(given) > 1 else None)


@FOLDS.reads("Unsqueeze")
def _unsqueeze(node: Node, given: Arrays) -> np.ndarray:
    return np.expand_dims(given[0], tuple(given[1].tolist()))


@FOLDS.reads("Slice")
def _slice(node: Node, given: Arrays) -> np.ndarray:
    at = [slice(None)] * given[0].ndim
    for axis, start, end, step in cuts(given[0].ndim, *(array.tolist() for array in given[1:])):
        at[axis] = slice(start, None if step < 0 and end < -given[0].shape[axis] else end, step)
    return given[0][tuple(at)]


@FOLDS.reads("ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin")
def _reduce(node: Node, given: Arrays) -> np.ndarray:
    function = {"ReduceProd": np.prod, "ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min}[node.kind]
    axes = node.get("axes", given[1].tolist() if len(given) > 1 else [])
    if not axes and node.get("noop_with_empty_axes", 0):
        return given[0]
    found = function(given[0], axis=tuple(axes) or None, keepdims=bool(node.get("keepdims", 1)))
    return np.asarray(found, given[0].dtype)


def sizes(shape: Sequence[int], target: Sequence[int], allow_zero: bool) -> list[int]:
    """What a Reshape of ``shape`` to ``target`` gives: 0 copies a size, -1 is what is left."""
    full = [shape[i] if size == 0 and not allow_zero else int(size) for i, size in enumerate(target)]
    rest = math.prod(size for size in full if size != -1)
    if full.count(-1) == 1 and rest:
        full[full.index(-1)] = math.prod(shape) // rest
    if min(full, default=0) < 0 or math.prod(full) != math.prod(shape):
        raise ValueError(f"{tuple(shape)} cannot be given the shape {tuple(target)}")
    return full


def cuts(rank: int, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] = (), steps: Sequence[int] = ()):
    """(axis, start, end, step) of a Slice, one for each axis."""
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = axes[i] if axes else i
        if not -rank <= axis < rank:
            raise ValueError(f"axis {axis} of a value with {rank} dimensions")
        yield axis % rank, start, end, steps[i] if steps else 1
