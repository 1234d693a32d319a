"""What the zeros of a network save, measured: bytes, multiply-adds and time."""

from __future__ import annotations

import copy
import statistics
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors.torch import save
from torch import Tensor, nn

from nettrim_core.capture import probe
from nettrim_core.dense import checked_inputs
from nettrim_core.formats.compact import compact_state
from nettrim_core.formats.csr import compressed_rows
from nettrim_core.layers import is_layer
from nettrim_core.report import Plain
from nettrim_core.state import own_copy, state_of

WARM_UP = 3  # forwards that are not timed
WAVER = 0.1  # part of a median that may be chance


@dataclass(frozen=True)
class Costs(Plain):
    """dense_bytes, zipped_bytes, compact_bytes: of the state dict in model.safetensors, of that file deflated, and of
    model.compact, all tensors of the network included.

    multiply_adds, multiply_adds_left: of one sample in the layers, of all weights and of those that are not zero.
    dense_ms, sparse_ms: milliseconds of one forward of ``batch`` samples on the CPU with ``threads`` threads, the
    median of ``repeats``; sparse: with the weights of Linear layers as compressed sparse rows, and None where there is
    no such layer. zeros: the part of the weights of the Linear layers that is zero.
    """

    dense_bytes: int
    zipped_bytes: int
    compact_bytes: int
    multiply_adds: int
    multiply_adds_left: int
    dense_ms: float
    sparse_ms: float | None
    batch: int
    threads: int
    repeats: int
    zeros: float

    @property
    def sentence(self) -> str:
        """When zeros pay, in words."""
        size = (
            f"Zeros save space only in a file that leaves them out: {self.compact_bytes:,} bytes as bits and values, "
            f"{self.zipped_bytes:,} zipped, {self.dense_bytes:,} as they are."
        )
        if self.sparse_ms is None:
            return f"{size} They save no time here: the network has no Linear layer to multiply sparsely."
        here = (
            f"With {self.threads} thread{'s' if self.threads > 1 else ''} and {self.batch:,} "
            f"sample{'s' if self.batch > 1 else ''} at a time, the network takes {self.dense_ms:.3g} ms, and "
            f"{self.sparse_ms:.3g} ms with sparse Linear layers, {self.zeros:.0%} of whose weights are zero"
        )
        verdict = "so zeros save time here" if self.saves_time else "so zeros save no time here"
        return f"{size} {here}: {verdict}. That depends on the layers, the machine and the samples at a time."

    @property
    def saves_time(self) -> bool:
        """Is the sparse forward faster by more than such a measurement wavers?"""
        return self.sparse_ms is not None and self.sparse_ms < (1 - WAVER) * self.dense_ms


class SparseLinear(nn.Module):
    """A Linear layer whose weight is stored as compressed sparse rows."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = compressed_rows(layer.weight)
        self.bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        y = (self.weight @ x.reshape(-1, x.shape[-1]).T).T
        return (y if self.bias is None else y + self.bias).reshape(*x.shape[:-1], -1)


@torch.no_grad()
def costs(model: nn.Module, inputs: Tensor, batch: int = 1, *, repeats: int = 15) -> Costs:
    """What ``model`` takes as it is, and what its zeros can save.

    inputs: (samples, ...), used over again until they make a batch. The forwards are timed in turn, dense and sparse,
    after a few that are not; nothing else should run meanwhile. Raises ValueError for inputs, a batch or repeats that
    are none, and for weights of a type that a compact file cannot hold.
    """
    for name, value in (("batch", batch), ("repeats", repeats)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} = {value!r} must be a whole number of at least 1")
    inputs = checked_inputs(inputs, "inputs").cpu()
    dense = own_copy(model)
    adds, left = multiply_adds(dense, inputs)
    sparse = sparse_linear(dense)
    rows = inputs[torch.arange(batch) % len(inputs)]
    times = _medians([dense] if sparse is None else [dense, sparse], rows, repeats)
    linear = [module.weight for module in dense.modules() if isinstance(module, nn.Linear)]
    state = state_of(dense)
    data = save(state)
    return Costs(
        len(data), len(zlib.compress(data)), len(compact_state(state)),
        adds, left, times[0], times[1] if sparse is not None else None, batch, torch.get_num_threads(), repeats,
        sum(int((w == 0).sum()) for w in linear) / sum(w.numel() for w in linear) if linear else 0.0,
    )  # fmt: skip


def multiply_adds(model: nn.Module, inputs: Tensor) -> tuple[int, int]:
    """(of all weights, of those that are not zero): multiply-adds of one sample in Linear layers and convolutions, the
    bias left out: each weight has one for each position of its layer's output, and at each call."""
    total = left = 0
    for name, calls in probe(model, inputs[:1]).calls.items():
        weight = model.get_parameter(f"{name}.weight")
        positions = sum(call.positions for call in calls)
        total += positions * weight.numel()
        left += positions * int((weight != 0).sum())
    return total, left


def sparse_linear(model: nn.Module) -> nn.Module | None:
    """A copy with sparse weights in its Linear layers; None where there are none."""
    sparse = copy.deepcopy(model)
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and is_layer(module)]
    for name in names:
        layer = sparse.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        sparse.set_submodule(name, SparseLinear(layer))
    return sparse if names else None


def _medians(models: list[nn.Module], rows: Tensor, repeats: int) -> list[float]:
    """Milliseconds of a forward of each."""
    times: list[list[float]] = [[] for _ in models]
    for turn in range(WARM_UP + repeats):
        for model, taken in zip(models, times, strict=True):
            seconds = _seconds(lambda model=model: model(rows))
            if turn >= WARM_UP:
                taken.append(1e3 * seconds)
    return [statistics.median(taken) for taken in times]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
