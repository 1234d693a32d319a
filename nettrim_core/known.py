"""Layer results that are kept: a layer pruned in parallel comes out the same whatever other layers are pruned."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from nettrim_core.problem import LayerResult, Method

LIMIT = 512e6  # bytes

Key = tuple[str, str, Method]


class Shelf(Protocol):
    """Where results of one context are kept for longer."""

    def get(self, layer: str, method: Method, epsilon: float) -> LayerResult | None: ...

    def put(self, layer: str, method: Method, epsilon: float, result: LayerResult) -> None: ...


@dataclass(eq=False)
class Known:
    """Results by what made them, those that were not asked for the longest going first beyond ``limit`` bytes."""

    limit: float = LIMIT
    _results: OrderedDict[Key, LayerResult] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def within(self, context: str, shelf: Shelf | None = None) -> Within:
        """The results of one context: all that a layer's problem depends on (weights, data, calibration samples).
        shelf: where what is not known is looked for."""
        return Within(self, context, shelf)

    def get(self, key: Key) -> LayerResult | None:
        if key in self._results:
            self._results.move_to_end(key)
        return self._results.get(key)

    def put(self, key: Key, result: LayerResult) -> None:
        if key in self._results:
            self._bytes -= _bytes(self._results.pop(key))
        self._results[key] = result
        self._bytes += _bytes(result)
        while self._bytes > self.limit:
            self._bytes -= _bytes(self._results.popitem(last=False)[1])


@dataclass(frozen=True, eq=False)
class Within:
    """Known results of one context, by layer and method, which has its epsilon."""

    known: Known
    context: str
    shelf: Shelf | None = None

    def get(self, layer: str, method: Method, epsilon: float) -> LayerResult | None:
        key = self.context, layer, replace(method, epsilon=epsilon)
        found = self.known.get(key)
        if found is None and self.shelf is not None:
            found = self.shelf.get(layer, method, epsilon)
            if found is not None:
                self.known.put(key, found)
        return found

    def put(self, layer: str, method: Method, epsilon: float, result: LayerResult) -> None:
        self.known.put((self.context, layer, replace(method, epsilon=epsilon)), result)
        if self.shelf is not None:
            self.shelf.put(layer, method, epsilon, result)


def _bytes(result: LayerResult) -> int:
    tensors: list[Tensor] = [result.U, *result.neurons.values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
