"""What a model does with its layers' outputs, read from its graph, and how far an error can spread through it.

The graph is that of torch.fx or, where symbolic tracing fails, of torch.export. It is only read: what is measured is
measured on the model itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from nettrim_core.layers import is_layer

Bound = tuple[float | None, str]  # and, where there is none, why

# Operations by name: a module's class or a function's name, in lower case and without underscores.
IDENTITY = {"identity", "contiguous", "detach", "clone", "alias", "dropout", "dropout1d", "dropout2d", "dropout3d",
            "alphadropout", "featuredropout", "featurealphadropout"}  # fmt: skip
SHAPE = {
    "flip",
    "roll",
    "flatten",
    "unflatten",
    "view",
    "reshape",
    "permute",
    "transpose",
    "squeeze",
    "unsqueeze",
    "movedim",
}
MAXPOOL = {"maxpool1d", "maxpool2d", "adaptivemaxpool1d", "adaptivemaxpool2d"}  # a ReLU may as well come before them
NORM = {"batchnorm", "batchnorm1d", "batchnorm2d"}
POOL = {"maxpool1d", "maxpool2d", "avgpool1d", "avgpool2d"}
SUM = {"add", "iadd", "sub", "isub"}
SCALE = {"mul", "imul", "truediv", "itruediv", "div"}
JOIN = {"cat", "concat", "concatenate", "stack"}
# Lipschitz constants: of functions of one number, of projections onto a part
STEEPEST = {
    "relu": 1.0, "relu6": 1.0, "hardtanh": 1.0, "tanh": 1.0, "sigmoid": 0.25, "gelu": 1.13, "silu": 1.1, "mish": 1.09,
    "softplus": 1.0, "softsign": 1.0, "hardsigmoid": 1 / 6, "hardswish": 1.5, "selu": 1.76, "celu": 1.0, "mean": 1.0,
    "abs": 1.0, "softmax": 1.0, "neg": 1.0,
    "getitem": 1.0, "select": 1.0, "slice": 1.0, "narrow": 1.0, "chunk": 1.0, "split": 1.0, "unbind": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Use:
    """What follows one call of a layer.

    norm: the batch norm that alone takes its output, by name. relu: all that takes the output then is a ReLU. note:
    what stands in a ReLU's place, for the report.
    """

    norm: str | None
    relu: bool
    note: str


class Graph:
    """The graph of a model. names: which nodes call which layer or batch norm; shapes: of the tensors that nodes give
    for a few inputs."""

    def __init__(
        self, nodes: Iterable[fx.Node], model: nn.Module, names: dict[fx.Node, str], shapes: dict[fx.Node, torch.Size]
    ) -> None:
        self.nodes, self.model, self.names, self.shapes = list(nodes), model, names, shapes

    def uses(self) -> dict[str, list[Use]]:
        """Layer -> what follows each of its calls, layers and calls in the order they run."""
        found: dict[str, list[Use]] = {}
        for node in self.nodes:
            if node in self.names and is_layer(self._module(node)):
                found.setdefault(self.names[node], []).append(self._use(node))
        return found

    def _use(self, node: fx.Node) -> Use:
        norm, after = None, list(self._takers(node, IDENTITY))
        # a batch norm's channels are a layer's outputs unless the layer is linear and its samples are sequences
        by_output = not isinstance(self._module(node), nn.Linear) or len(self.shapes[node]) == 2
        if by_output and len(after) == 1 and (last := after[0]) in self.names and _foldable(self._module(last)):
            norm, node = self.names[last], last
        after = list(self._takers(node, IDENTITY | SHAPE | MAXPOOL))
        others = [taker for taker in after if taker.op != "output" and operation(taker, self.model) != "relu"]
        relu = bool(after) and all(operation(taker, self.model) == "relu" for taker in after)
        note = ""
        if others:
            label = self._label(others[0])
            besides = "besides a ReLU, " if len(others) < len(after) else ""
            note = f"treated as a linear layer: {besides}{label} follows it{'' if besides else ', not ReLU'}"
        return Use(norm, relu, note)

    def _takers(self, node: fx.Node, through: set[str]) -> Iterator[fx.Node]:
        """What takes a node's value, some operations looked through."""
        for taker in node.users:
            if operation(taker, self.model) in through:
                yield from self._takers(taker, through)
            else:
                yield taker

    def _label(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return type(self.model.get_submodule(str(node.target))).__name__
        return operation(node, self.model) or str(node.target)

    def _module(self, node: fx.Node) -> nn.Module:
        return self.model.get_submodule(self.names[node])

    def bounds(self, layer: Callable[[str, float], Bound], pruned: dict[str, str | None]) -> dict[str, Bound]:
        """Layer -> (a bound on ||Y^ - Y||_F over all its calls, or None, why there is none).

        layer: from a layer's name and a bound at its input to one at its output; for a layer in ``pruned``, at the
        output of the batch norm named there and of the ReLU after it.
        """
        at: dict[fx.Node, Bound] = {}
        found: dict[str, Bound] = {}
        for node in self.nodes:
            name = self.names.get(node)
            before = self._before(node, at)
            if name is None or before[0] is None:
                at[node] = self._through(node, before, at)
            elif is_layer(self._module(node)):
                at[node] = layer(name, before[0])
            elif name in pruned.values():
                at[node] = before  # told at the layer already
            else:
                at[node] = before[0] * float(affine(self._module(node))[0].abs().max()), ""
            if name in pruned:
                one, other = found.get(name, (0.0, ""))[0], at[node][0]
                found[name] = (None if one is None or other is None else math.hypot(one, other)), at[node][1]
        return found

    @staticmethod
    def _before(node: fx.Node, at: dict[fx.Node, Bound]) -> Bound:
        """The bound of what a node takes, all its inputs together."""
        taken = [at.get(other, (0.0, "")) for other in _taken(node)]
        missing = next((reason for bound, reason in taken if bound is None), None)
        if missing is not None:
            return None, missing
        return math.hypot(*(bound or 0.0 for bound, _ in taken)), ""

    def _through(self, node: fx.Node, before: Bound, at: dict[fx.Node, Bound]) -> Bound:
        bound, reason = before
        if bound is None or bound == 0:
            return bound, reason
        what = operation(node, self.model)
        plain = len(node.args) == 2 and not node.kwargs
        if what in SUM and plain:
            return sum((at[other][0] or 0.0) * self._repeated(other, node) for other in _taken(node)), ""
        if what in JOIN or node.op == "output":
            return bound, ""
        if what in SCALE and plain and len(_taken(node)) == 1:
            factors = [float(value) for value in node.args if isinstance(value, int | float)]
            if len(factors) == 1 and (what.endswith("mul") or isinstance(node.args[1], int | float)):
                return bound * (abs(factors[0]) if what.endswith("mul") else 1 / abs(factors[0])), ""
        factor = self._factor(node, what)
        if factor is None:
            return None, f"no bound: how far {self._label(node)!r} ({node.name}) can stretch an error is not known"
        return bound * factor, ""

    def _factor(self, node: fx.Node, what: str) -> float | None:
        """How much an operation can stretch a Frobenius distance; None if that is not known."""
        if len(_taken(node)) > 1:
            return None
        if what in IDENTITY or what in SHAPE:
            return 1.0
        if what in STEEPEST:
            return STEEPEST[what]
        module = self.model.get_submodule(str(node.target)) if node.op == "call_module" else None
        if what in POOL:
            return _pool_of(node, module, what)
        if what == "elu":
            alpha = module.alpha if isinstance(module, nn.ELU) else _argument(node, 1, "alpha")
            return max(1.0, 1.0 if alpha is None else abs(alpha))
        if what == "leakyrelu":
            slope = module.negative_slope if isinstance(module, nn.LeakyReLU) else _argument(node, 1, "negative_slope")
            return max(1.0, abs(0.01 if slope is None else slope))
        if what == "prelu" and isinstance(module, nn.PReLU):
            return max(1.0, float(module.weight.detach().abs().max()))
        if what in ("adaptiveavgpool1d", "adaptiveavgpool2d"):
            size = module.output_size if module is not None else _argument(node, 1, "output_size")
            return 1.0 if set(size if isinstance(size, tuple | list) else [size]) == {1} else None
        return None

    def _repeated(self, given: fx.Node, node: fx.Node) -> float:
        """How much broadcasting to the shape of ``node`` stretches a distance."""
        return (
            math.sqrt(self.shapes[node].numel() / max(self.shapes[given].numel(), 1)) if given in self.shapes else 1.0
        )


def _taken(node: fx.Node) -> list[fx.Node]:
    """What a node takes, as often as it takes it."""
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return found


def _pool_of(node: fx.Node, module: Any, what: str) -> float | None:
    """The factor of a pooling; None for an average that does not divide by the size of its window everywhere."""
    dimensions = 2 if "2d" in what else 1
    read = (lambda place, name: getattr(module, name, None)) if module is not None else partial(_argument, node)
    kernel, stride = read(1, "kernel_size"), read(2, "stride")
    if "avg" in what:
        places = {"ceil_mode": 4, "count_include_pad": 5, "divisor_override": 6}
        ceil, include, divisor = (read(place, name) for name, place in places.items())
        if ceil or include is False or divisor is not None:
            return None
    elif read(4, "dilation") not in (None, 1, (1, 1), [1, 1], (1,), [1]):
        stride = 1  # windows with holes lie over each other more closely
    return pool_factor(kernel, stride or kernel, dimensions, "avg" in what)


def pool_factor(kernel: Any, stride: Any, dimensions: int, average: bool) -> float:
    """How much pooling can stretch a Frobenius distance: by the number of windows over one pixel."""
    kernels, strides = (
        value if isinstance(value, tuple | list) else (value,) * dimensions for value in (kernel, stride)
    )
    covering = math.prod(math.ceil(k / s) for k, s in zip(kernels, strides, strict=True))
    return math.sqrt(covering / (math.prod(kernels) if average else 1))


def _argument(node: fx.Node, place: int, name: str) -> Any:
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)


def operation(node: fx.Node, model: nn.Module) -> str:
    """The name of what a node computes, as the sets above have it."""
    if node.op == "call_module":
        name = type(model.get_submodule(str(node.target))).__name__
    elif node.op in ("call_function", "call_method"):
        target: Any = node.target
        name = target if isinstance(target, str) else getattr(target, "_opname", None) or target.__name__
    else:
        return ""
    plain = name.lower().replace("_", "")
    if "dropout" in plain and node.op == "call_function" and _argument(node, 2, "training") is not False:
        return "random dropout"
    return plain


def affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """(scale, shift), (channels,) float64 each: what a batch norm in eval mode does."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -scale * norm.running_mean.double()
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def _foldable(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m) or super().is_leaf_module(m, module_qualified_name)


class _Shapes(fx.Interpreter):
    """Runs a graph and notes the shapes of what its nodes give."""

    def __init__(self, model: fx.GraphModule) -> None:
        super().__init__(model)
        self.shapes: dict[fx.Node, torch.Size] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = value.shape
        return value


def read_graph(model: nn.Module, example: Tensor) -> Graph | str:
    """The graph of a model in eval mode, or why it cannot be read. example: a few inputs."""
    try:
        graph = _Tracer().trace(model)
        shapes = _Shapes(fx.GraphModule(model, graph))
        with torch.no_grad():
            shapes.run(example.clone())
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        return _exported(model, example, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    nodes = list(shapes.module.graph.nodes)  # type: ignore[union-attr]
    calls = {node: str(node.target) for node in nodes if node.op == "call_module"}
    named = {n: name for n, name in calls.items() if _told_apart(model.get_submodule(name))}
    return Graph(nodes, model, named, shapes.shapes)


def _told_apart(module: nn.Module) -> bool:
    return is_layer(module) or _foldable(module)


def _exported(model: nn.Module, example: Tensor, reason: str) -> Graph | str:
    try:
        program = torch.export.export(model, (example.clone(),), strict=False)
    except Exception as error:  # as above
        return f"{reason}; torch.export says {type(error).__name__}"
    signature = program.graph_signature
    holds = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names = {}
    for node in program.graph.nodes:
        what = operation(node, model)
        place = 1 if what in ("linear", "conv1d", "conv2d") else 3 if what == "batchnorm" else None
        if place is not None and isinstance(tensor := node.args[place], fx.Node) and tensor.name in holds:
            owner = holds[tensor.name].rpartition(".")[0]
            if _told_apart(model.get_submodule(owner)):
                names[node] = owner
    values = {node: node.meta.get("val") for node in program.graph.nodes}
    shapes = {node: value.shape for node, value in values.items() if isinstance(value, Tensor)}
    return Graph(program.graph.nodes, model, names, shapes)
