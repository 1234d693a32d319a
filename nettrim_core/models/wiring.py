"""Wiring a network step by step, as a file of another tool is read: names, weights, and what shapes come out."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nettrim_core.architecture import LAYER_TYPES, filled
from nettrim_core.wired import INPUT, OPERATIONS, Step, Wired

MOST_NUMBERS = 100_000_000  # of one sample's value: a few bytes of a file can ask for any number of them
BATCHES = (2, 3)  # what is alike for both does not depend on the batch
Shapes = tuple[torch.Size, torch.Size]


class Wiring:
    """A network in the making. Values are followed without numbers, for two sizes of the batch.

    sample_shape: of one input. batch: the size of the batch that the file is written for, None for any. weights: the
    state dict so far.
    """

    def __init__(self, sample_shape: Sequence[int], batch: int | None = None) -> None:
        self.sample_shape, self.batch = tuple(sample_shape), batch
        self.layers: dict[str, nn.Module] = {}
        self.tensors: dict[str, Tensor] = {}
        self.weights: dict[str, Tensor] = {}
        self.steps: list[Step] = []
        self._values = {INPUT: tuple(torch.empty(batch, *sample_shape, device="meta") for batch in BATCHES)}
        self._plain = nn.Module()  # its attributes cannot be names of layers

    def layer(self, path: str, kind: str, takes: str, weights: Mapping[str, Tensor], **arguments: Any) -> str:
        """Call a new layer of a type in LAYER_TYPES; returns the name of its value. path: wished for, and taken where
        it is free."""
        with torch.device("meta"):
            module = LAYER_TYPES[kind][0](**arguments).eval()
        path = self.free(path)
        for name, wanted in module.state_dict().items():
            given = weights.get(name)
            if given is None and name == "num_batches_tracked":
                given = torch.tensor(0)
            if given is None or given.shape != wanted.shape:
                got = "nothing" if given is None else f"{tuple(given.shape)}"
                raise ValueError(f"{path}: a {kind} needs {name} of shape {tuple(wanted.shape)}; got {got}")
            self.weights[f"{path}.{name}"] = given
        self.layers[path] = module
        return self.again(path, takes)

    def again(self, path: str, takes: str) -> str:
        """Call a layer that is there."""
        step = Step(self._fresh(path), (takes,), layer=path)
        return self._add(step, lambda values: self.layers[path](*values))

    def call(self, operation: str, *takes: str, name: str = "", **arguments: Any) -> str:
        """An operation of OPERATIONS."""
        step = Step(self._fresh(name or operation), takes, operation=operation, arguments=arguments)
        return self._add(step, lambda values: OPERATIONS[operation].run(*values, **arguments))

    def tensor(self, path: str, value: Tensor) -> str:
        """A tensor that the network holds."""
        path = self.free(path)
        self.tensors[path] = self.weights[path] = value
        return self._add(Step(self._fresh(path), tensor=path), lambda values: torch.empty_like(value, device="meta"))

    def reshape(self, takes: str, shapes: Sequence[Sequence[int]], name: str = "") -> str:
        """To these shapes, one for each batch. What differs between them is the batch's place; where nothing does, it
        is found by the size that the file is written for."""
        place = self.place(takes)
        if self.batch is not None and place is not None and list(shapes[0]) == list(shapes[1]):
            shapes = self._for_any(takes, place, shapes[0], name)
        reached = []
        for value, shape in zip(self._values[takes], shapes, strict=True):
            try:
                reached.append(torch.reshape(value, tuple(shape)).shape)
            except RuntimeError as error:
                raise ValueError(f"{name}: {tuple(value.shape)} cannot be given the shape {tuple(shape)}") from error
        target = [one if one == other else -1 for one, other in zip(*reached, strict=True)]
        if target.count(-1) > 1:
            raise ValueError(f"{name}: the batch reaches two dimensions of {tuple(reached[0])}")
        if target.count(-1) == 0 and reached[0].numel() != self._values[takes][1].numel():
            raise ValueError(f"{name}: {tuple(reached[0])} does not leave room for the batch")
        return self.call("reshape", takes, name=name, shape=target)

    def _for_any(self, takes: str, place: int, shape: Sequence[int], name: str) -> list[list[int]]:
        """A shape for ``batch`` samples as one for each batch: as many numbers stay before the batch as were there."""
        written = self.written(takes)
        try:
            full = torch.reshape(torch.empty(written, device="meta"), tuple(shape)).shape
        except RuntimeError as error:
            raise ValueError(f"{name}: {tuple(written)} cannot be given the shape {tuple(shape)}") from error
        for at in range(len(full)):
            scaled = [full[at] * sizes[place] for sizes in self.shapes(takes)]
            if math.prod(full[:at]) == math.prod(written[:place]) and not any(n % written[place] for n in scaled):
                return [[*full[:at], n // written[place], *full[at + 1 :]] for n in scaled]
        raise ValueError(f"{name}: the batch is lost in the shape {tuple(full)}: export it for any size of the batch")

    def written(self, name: str) -> list[int]:
        """The shape of a value for the size of the batch that the file is written for."""
        assert self.batch is not None
        one, other = self.shapes(name)
        return [a + (self.batch - BATCHES[0]) * (b - a) for a, b in zip(one, other, strict=True)]

    def place(self, name: str) -> int | None:
        """The dimension of the batch; None where a value does not depend on it."""
        one, other = self.shapes(name)
        return next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)

    def shapes(self, name: str) -> Shapes:
        """The shapes of a value, one for each batch."""
        one, other = (value.shape for value in self._values[name])
        return one, other

    def done(self, output: str) -> Wired:
        """The network, in eval mode, float32. Raises ValueError if its output is not one row a sample, or a weight is
        not finite."""
        for batch, shape in zip(BATCHES, self.shapes(output), strict=True):
            if shape[:1] != (batch,):
                raise ValueError(f"the output has the shape {tuple(shape)} for {batch} samples: a row each is needed")
        made = Wired(self.layers, {p: v.to("meta") for p, v in self.tensors.items()}, self.steps, output)
        made.sample_shape = self.sample_shape
        return filled(made, self.weights)

    def owners(self, names: Iterable[str]) -> Iterator[str]:
        """Of parameters called like those of a layer, the paths of layers that are not there yet."""
        for name in names:
            owner, _, last = name.rpartition(".")
            if owner and last in ("weight", "bias") and owner not in self.layers:
                yield owner

    def free(self, wished: str) -> str:
        """A path for a layer: the one wished for, as far as it can be had."""
        parts = [re.sub(r"\W+", "_", part, flags=re.ASCII).strip("_") for part in re.split(r"[./]", wished)]
        path = ".".join(f"{part}_" if hasattr(self._plain, part) else part for part in parts if part) or "layer"
        taken = [*self.layers, *self.tensors]
        if any(path.startswith(f"{other}.") for other in taken):  # a layer holds no others
            path = path.replace(".", "_")
        tried, number = path, 2
        while any(other == tried or other.startswith(f"{tried}.") for other in taken):
            tried, number = f"{path}_{number}", number + 1
        return tried

    def _fresh(self, name: str) -> str:
        tried, number = name, 2
        while tried in self._values:
            tried, number = f"{name}_{number}", number + 1
        return tried

    def _add(self, step: Step, run: Callable[[tuple[Tensor, ...]], Tensor]) -> str:
        try:
            both = zip(*(self._values[name] for name in step.takes), strict=True) if step.takes else ((), ())
            self._values[step.name] = tuple(run(values) for values in both)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            shapes = ", ".join(str(tuple(self.shapes(name)[0])) for name in step.takes)
            what = step.operation or type(self.layers[step.layer]).__name__
            raise ValueError(f"{step.name}: a {what} does not take {shapes}: {str(error).splitlines()[0]}") from error
        if (numbers := self._values[step.name][0].numel()) > MOST_NUMBERS * BATCHES[0]:
            raise ValueError(
                f"{step.name}: a value of {numbers // BATCHES[0]:,} numbers a sample, over {MOST_NUMBERS:,}"
            )
        self.steps.append(step)
        return step.name
