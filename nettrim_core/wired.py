"""A network as wired steps: layers and operations that take the values of earlier steps. Networks of other tools become
one of these, so that they can be written down as plain data whatever branches they have.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT = "input"  # the name of what the network is given


@dataclass(frozen=True)
class Operation:
    """run(*tensors, **arguments). takes: how many tensors, None for any number. arguments: their names."""

    run: Callable[..., Tensor]
    takes: int | None
    arguments: tuple[str, ...] = ()


def _slice(x: Tensor, dim: int, start: int | None, end: int | None, step: int) -> Tensor:
    return x[(slice(None),) * dim + (slice(start, end, step),)]


OPERATIONS: dict[str, Operation] = {
    "add": Operation(operator.add, 2),
    "sub": Operation(operator.sub, 2),
    "mul": Operation(operator.mul, 2),
    "div": Operation(operator.truediv, 2),
    "matmul": Operation(torch.matmul, 2),
    "maximum": Operation(torch.maximum, 2),
    "minimum": Operation(torch.minimum, 2),
    "shift": Operation(lambda x, by: x + by, 1, ("by",)),
    "scale": Operation(lambda x, by: x * by, 1, ("by",)),
    "power": Operation(lambda x, by: x**by, 1, ("by",)),
    "clamp": Operation(lambda x, low, high: torch.clamp(x, low, high), 1, ("low", "high")),
    "abs": Operation(torch.abs, 1),
    "neg": Operation(torch.neg, 1),
    "exp": Operation(torch.exp, 1),
    "log": Operation(torch.log, 1),
    "sqrt": Operation(torch.sqrt, 1),
    "erf": Operation(torch.erf, 1),
    "cat": Operation(lambda *xs, dim: torch.cat(xs, dim), None, ("dim",)),
    "flatten": Operation(lambda x, start: torch.flatten(x, start), 1, ("start",)),
    "reshape": Operation(lambda x, shape: torch.reshape(x, tuple(shape)), 1, ("shape",)),
    "permute": Operation(lambda x, dims: torch.permute(x, tuple(dims)), 1, ("dims",)),
    "squeeze": Operation(lambda x, dim: torch.squeeze(x, dim), 1, ("dim",)),
    "unsqueeze": Operation(lambda x, dim: torch.unsqueeze(x, dim), 1, ("dim",)),
    "slice": Operation(_slice, 1, ("dim", "start", "end", "step")),
    "select": Operation(lambda x, dim, index: torch.select(x, dim, index), 1, ("dim", "index")),
    "pad": Operation(lambda x, pad, mode, value: functional.pad(x, pad, mode, value), 1, ("pad", "mode", "value")),
    "mean": Operation(lambda x, dim, keepdim: torch.mean(x, dim, keepdim), 1, ("dim", "keepdim")),
    "sum": Operation(lambda x, dim, keepdim: torch.sum(x, dim, keepdim), 1, ("dim", "keepdim")),
    "amax": Operation(lambda x, dim, keepdim: torch.amax(x, dim, keepdim), 1, ("dim", "keepdim")),
}


@dataclass(frozen=True)
class Step:
    """One value and how it is made, by one of three: a layer, called on what ``takes`` names; an operation, likewise;
    or a tensor that the network holds.

    name: of the value. layer, tensor: a path in the state dict. operation: a name in OPERATIONS.
    """

    name: str
    takes: tuple[str, ...] = ()
    layer: str = ""
    operation: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tensor: str = ""


class Wired(nn.Module):
    """The network of these steps; its output is the value named ``output``, of any sizes but a batch in front.

    layers, tensors: by their paths. sample_shape: of one input, where the file that the network was read from says it,
    else None; nothing is computed with it, and it is not written down. Raises ValueError where a path cannot be had or
    a step takes what is not there.
    """

    sample_shape: tuple[int, ...] | None = None

    def __init__(
        self, layers: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], steps: Sequence[Step], output: str
    ) -> None:
        super().__init__()
        for path, module in layers.items():
            parent, name = self._place(path)
            parent.add_module(name, module)
        for path, value in tensors.items():
            parent, name = self._place(path)
            parent.register_buffer(name, value)
        _check(layers, tensors, steps, output)
        self._layers, self._tensors = tuple(layers), tuple(tensors)
        self._steps, self._result = tuple(steps), output
        self._needless = _last_uses(steps, output)

    def _place(self, path: str) -> tuple[nn.Module, str]:
        """The module that is to hold this path, with plain modules on the way, and the name there."""
        *above, name = path.split(".")
        parent: nn.Module = self
        for part in above:
            if part not in parent._modules:
                _free(parent, part, path)
                parent.add_module(part, nn.Module())
            parent = parent.get_submodule(part)
        if type(parent) is not nn.Module and parent is not self:
            raise ValueError(f"{path!r} lies inside a {type(parent).__name__}, which holds nothing else")
        _free(parent, name, path)
        return parent, name

    def forward(self, x: Tensor) -> Tensor:
        values = {INPUT: x}
        for step, needless in zip(self._steps, self._needless, strict=True):
            taken = [values[name] for name in step.takes]
            if step.layer:
                values[step.name] = self.get_submodule(step.layer)(*taken)
            elif step.operation:
                values[step.name] = OPERATIONS[step.operation].run(*taken, **step.arguments)
            else:
                values[step.name] = self.get_buffer(step.tensor)
            for name in needless:
                del values[name]
        return values[self._result]

    def wiring(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Step, ...], str]:
        """The paths of the layers and of the tensors, the steps, and the name of the output."""
        return self._layers, self._tensors, self._steps, self._result


def _free(parent: nn.Module, name: str, path: str) -> None:
    if not name or hasattr(parent, name):
        raise ValueError(f"{path!r} cannot be the name of a layer: {name!r} is taken or empty")


def _check(layers: Mapping[str, nn.Module], tensors: Mapping[str, Tensor], steps: Sequence[Step], output: str) -> None:
    known = {INPUT}
    for step in steps:
        if step.name in known or not step.name:
            raise ValueError(f"step {step.name!r}: names are unique, not empty and not {INPUT!r}")
        if missing := [name for name in step.takes if name not in known]:
            raise ValueError(f"step {step.name!r} takes {missing[0]!r}, which no earlier step gives")
        ways = [bool(way) for way in (step.layer, step.operation, step.tensor)]
        if sum(ways) != 1:
            raise ValueError(f"step {step.name!r} needs one of layer, operation and tensor")
        if step.operation:
            _check_operation(step)
        elif step.layer and (step.layer not in layers or len(step.takes) != 1):
            raise ValueError(f"step {step.name!r}: layer {step.layer!r} is not there, or takes not one value")
        elif step.tensor and (step.tensor not in tensors or step.takes):
            raise ValueError(f"step {step.name!r}: tensor {step.tensor!r} is not there, or takes a value")
        known.add(step.name)
    if output not in known:
        raise ValueError(f"the output {output!r} is no step")


def _check_operation(step: Step) -> None:
    if step.operation not in OPERATIONS:
        raise ValueError(
            f"step {step.name!r}: unknown operation {step.operation!r}; known operations: {', '.join(OPERATIONS)}"
        )
    known = OPERATIONS[step.operation]
    if set(step.arguments) != set(known.arguments):
        raise ValueError(f"step {step.name!r} ({step.operation}) needs the arguments {', '.join(known.arguments)}")
    if known.takes not in (None, len(step.takes)) or not step.takes:
        raise ValueError(f"step {step.name!r} ({step.operation}) takes {len(step.takes)} values")


def _last_uses(steps: Sequence[Step], output: str) -> list[list[str]]:
    """After each step, the values that nothing needs any more."""
    last = {name: index for index, step in enumerate(steps) for name in (step.name, *step.takes)}
    last[output] = len(steps)
    return [[name for name in last if last[name] == index] for index in range(len(steps))]
