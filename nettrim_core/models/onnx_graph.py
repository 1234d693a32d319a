"""The graph of an ONNX file as its operators see it: values that are known, values that are wired, names of layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nettrim_core.models.onnx_known import FOLDS, Node, sizes
from nettrim_core.models.wiring import BATCHES, Wiring
from nettrim_core.wired import INPUT, Wired

KEEP_NAMES = ("Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Cast", "CastLike")  # of the same numbers


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers that do not depend on the input: an array for each size of the batch. name: of the initializer that they
    are, if they are one."""

    arrays: tuple[np.ndarray, np.ndarray]
    name: str = ""

    @property
    def one(self) -> np.ndarray:
        """The array, where it does not depend on the batch."""
        first, second = self.arrays
        if first is not second and not np.array_equal(first, second):
            raise ValueError("a constant that depends on the size of the batch: export it for any size of the batch")
        return first


@dataclass(frozen=True)
class Compared:
    """Where the value ``name`` is above ``threshold``."""

    name: str
    threshold: float


Value = Known | Compared | str  # a name is that of a value in the wiring


class Graph:
    """The operators that an output needs, and the network that is wired from them. shape: of the input; a batch of any
    size is None."""

    def __init__(
        self,
        nodes: Sequence[Node],
        held: Mapping[str, np.ndarray],
        given: str,
        shape: Sequence[int | None],
        output: str,
    ) -> None:
        self.nodes, self.output = nodes, output
        self.wiring = Wiring([int(size or 0) for size in shape[1:]], shape[0])
        self.held = held
        self.values: dict[str, Value] = {name: Known((array, array), name) for name, array in held.items()}
        self.values[given] = INPUT
        self.takers: dict[str, list[Node]] = {}
        for node in nodes:
            for name in dict.fromkeys(node.inputs):
                self.takers.setdefault(name, []).append(node)
        self._called: dict[str, str] = {}  # layers that are there already
        self._tensors: dict[int, str] = {}  # and tensors

    def wired(self) -> Wired:
        """The network, after all operators were wired. Parameters that nothing calls stay in its state dict."""
        for name, array in self.held.items():
            loose = name.endswith((".weight", ".bias")) and array.dtype.kind == "f" and name not in self.wiring.weights
            if loose and self.wiring.free(name) == name:
                self.wiring.tensors[name] = self.wiring.weights[name] = _tensor(array)
        result = self.values[self.output]
        if not isinstance(result, str) or result == INPUT:
            raise ValueError("its output does not depend on its input through any layer: choose another output")
        return self.wiring.done(result)

    # what operators take

    def given(self, node: Node, place: int) -> Value | None:
        """An input of an operator; None where there is none."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        return self.values[name] if name else None

    def value(self, node: Node, place: int = 0) -> str:
        """An input in the wiring; a constant becomes a tensor that the network holds."""
        given = self.given(node, place)
        if isinstance(given, Known):
            array = given.one
            if id(given) not in self._tensors:
                if array.dtype.kind != "f":
                    raise ValueError(f"whole numbers where a network computes: {node.inputs[place]!r}")
                self._tensors[id(given)] = self.wiring.tensor(given.name or path_of(node), _tensor(array))
            return self._tensors[id(given)]
        if not isinstance(given, str):
            raise ValueError(f"input {place} is missing, or a comparison")
        return given

    def samples(self, node: Node) -> str:
        """The first input, which has the batch in front, as layers that look at the other dimensions need it."""
        name = self.value(node)
        if self.wiring.place(name) not in (0, None):
            raise ValueError(
                f"dimension {self.wiring.place(name)} of what it takes is that of the batch, which must be the first"
            )
        return name

    def known(self, node: Node, place: int) -> np.ndarray | None:
        """An input that does not depend on the network's; None where there is none."""
        given = self.given(node, place)
        if given is None:
            return None
        if not isinstance(given, Known):
            raise ValueError(
                f"its input {node.inputs[place]!r} is computed from the network's input: it must be constant"
            )
        return given.one

    def weight(self, node: Node, place: int) -> Tensor | None:
        """The same as a tensor of floats."""
        array = self.known(node, place)
        if array is not None and array.dtype.kind != "f":
            raise ValueError(f"its weight {node.inputs[place]!r} holds whole numbers: export the network in float32")
        return None if array is None else _tensor(array)

    def number(self, node: Node, place: int) -> float | None:
        """A constant input of one number, infinite ones and the least and largest floats as None."""
        array = self.known(node, place)
        if array is None or array.size != 1:
            if array is not None and array.size:
                raise ValueError(f"its input {node.inputs[place]!r} must be one number")
            return None
        found = short(array.item())
        return found if abs(found) < float(np.finfo(np.float32).max) else None

    def scalar(self, node: Node, place: int) -> float | None:
        """An input that is one constant number, which no dimension of the other values hangs on."""
        given = self.given(node, place)
        if isinstance(given, Known) and given.arrays[0].size == 1 and given.arrays[0].dtype.kind == "f":
            others = [v for v in (self.values[name] for name in node.inputs if name) if isinstance(v, str)]
            if others and given.one.ndim <= max(self.rank(name) for name in others):
                return short(given.one.item())
        return None

    def axes(self, node: Node, place: int) -> list[int] | None:
        """Axes as an attribute or, as of later versions, as an input."""
        found = node.get("axes")
        if found is None and (array := self.known(node, place)) is not None:
            found = array.tolist()
        return found or None

    # shapes

    def rank(self, name: str) -> int:
        return len(self.wiring.shapes(name)[0])

    def axis(self, name: str, axis: int) -> int:
        """An axis counted from the front, which is not the batch's."""
        rank = self.rank(name)
        if not -rank <= axis < rank:
            raise ValueError(f"axis {axis} of a value with {rank} dimensions")
        if axis % rank == self.wiring.place(name):
            raise ValueError(f"axis {axis} is that of the batch, so that samples would be mixed: work on other axes")
        return axis % rank

    def reshape(self, node: Node, name: str, shape: Known) -> str:
        """To a shape that may depend on the batch, or that is written for one size of the batch alone."""
        allow_zero, targets = bool(node.get("allowzero", 0)), [array.tolist() for array in shape.arrays]
        shapes = self.wiring.shapes(name)
        if self.wiring.batch is not None and targets[0] == targets[1]:
            shapes = [self.wiring.written(name)] * 2
        shaped = [sizes(before, to, allow_zero) for before, to in zip(shapes, targets, strict=True)]
        return self.wiring.reshape(name, shaped, path_of(node))

    # what operators give

    def fold(self, node: Node) -> bool:
        """Compute an operator whose inputs are known, or of which only the shape counts; was it one?"""
        given = [self.values.get(name) for name in node.inputs if name]
        if node.kind in ("Shape", "Size") and given[0] is not None:
            ends = slice(node.get("start", 0), node.get("end"))
            shapes = [tuple(array.shape) for array in given[0].arrays] if isinstance(given[0], Known) else None
            if shapes is None and isinstance(given[0], str):
                shapes = self.wiring.shapes(given[0])
            assert shapes is not None
            whole = [np.array(shape, np.int64) for shape in shapes]
            first, second = (np.prod(s) if node.kind == "Size" else s[ends] for s in whole)
            self.values[node.outputs[0]] = Known((np.asarray(first), np.asarray(second)))
            return True
        taken = given[:1] if node.kind == "CastLike" else given
        if node.kind not in FOLDS or not all(isinstance(value, Known) for value in taken):
            return False
        values = [value for value in taken if isinstance(value, Known)]
        first, second = (FOLDS[node.kind](node, [value.arrays[i] for value in values]) for i in range(len(BATCHES)))
        if all(value.arrays[0] is value.arrays[1] for value in values):
            second = first
        name = values[0].name if values and node.kind in KEEP_NAMES else ""
        self.values[node.outputs[0]] = Known((first, second), name)
        return True

    def call(self, node: Node, operation: str, *takes: str, **arguments: Any) -> str:
        """An operation of the wiring; the operator's value is that of its last one."""
        return self.put(node, self.wiring.call(operation, *takes, name=path_of(node), **arguments))

    def put(self, node: Node, name: str) -> str:
        self.values[node.outputs[0]] = name
        return name

    def layer(
        self, node: Node, kind: str, takes: str, weights: Mapping[str, Tensor | None], names: Sequence[str] = (),
        **arguments: Any,
    ) -> str:  # fmt: skip
        """A layer, or a further call of one that has the same weights. names: of the values that its weights are."""
        given = [self.values[name] for name in names if name]
        initializers = [value.name for value in given if isinstance(value, Known) and value.name]
        held = {name: value for name, value in weights.items() if value is not None}
        key = f"{initializers} {kind} {arguments}"
        called = self._called.get(key)
        if called and initializers and self._holds(called, held):
            return self.put(node, self.wiring.again(called, takes))
        inner = any(name.startswith(f"{node.module}.") for name in self.held)  # of other layers in the same module
        path = next(self.wiring.owners(initializers), node.module if held and not inner else "") or path_of(node)
        name = self.wiring.layer(path, kind, takes, held, **arguments)
        self._called[key] = self.wiring.steps[-1].layer
        return self.put(node, name)

    def _holds(self, path: str, weights: Mapping[str, Tensor]) -> bool:
        """Does this layer have these weights? They may be one initializer twice, and turned round or scaled once."""
        return all(torch.equal(self.wiring.weights[f"{path}.{name}"], value) for name, value in weights.items())


Reader = Callable[[Graph, Node], Any]


def path_of(node: Node) -> str:
    """The path of a layer by its node's name: of /block/block.0/Conv, as torch once wrote it, block.0."""
    *above, last = (node.name or node.outputs[0]).removeprefix("node_").strip("/").split("/")
    if not above or not re.fullmatch(rf"{re.escape(node.kind)}(_\d+)?", last):
        above.append(last)
    repeated = [after.startswith(f"{part}.") for part, after in pairwise(above)]
    return ".".join(part for part, again in zip(above, [*repeated, False], strict=True) if not again)


def short(number: float) -> float:
    """The shortest number that is the same float32."""
    return float(str(np.float32(number)))


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32, order="C"))  # its own memory, not the file's
