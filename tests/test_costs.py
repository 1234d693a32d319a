"""What zeros save: counted by hand, measured by the clock."""

from __future__ import annotations

import copy
import dataclasses
import time
import zlib

import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from nettrim_core import Costs, Magnitude, costs, prune
from nettrim_core.costs import WARM_UP, multiply_adds, sparse_linear
from nettrim_core.formats.bitmask import compact
from tests.conftest import small_cnn, small_mlp

pytestmark = pytest.mark.alone


def products(model: nn.Module, inputs: Tensor) -> int:
    """Multiply-adds of one sample, one by one: an input for each weight, at each position of a filter."""
    total = 0
    x = inputs[:1]
    for module in model:  # type: ignore[attr-defined]
        y = module(x)
        if isinstance(module, nn.Conv2d):
            total += y[0].numel() * module.in_channels * 3 * 3
        elif isinstance(module, nn.Linear):
            total += y[0].numel() * module.in_features
        x = y
    return total


@torch.no_grad()
def test_multiply_adds_are_those_of_every_position(images: Tensor) -> None:
    model = small_cnn()
    dense = products(model, images)
    assert multiply_adds(model, images) == (dense, dense)
    model.conv1.weight[0] = 0  # a filter of 18 weights, at 10 x 10 positions
    model.fc.weight[0] = 0  # 32 weights, once
    assert multiply_adds(model, images) == (dense, dense - 18 * 100 - 32)


def test_bytes_are_those_of_the_files(inputs: Tensor) -> None:
    pruned, report = prune(small_mlp(), inputs, Magnitude(epsilon=0.3))
    found = costs(pruned, inputs, 8, repeats=1)
    plain = copy.deepcopy(pruned)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter[parameter == 0] = 0.0
    state = plain.state_dict()
    assert found.dense_bytes == len(save(state)) > 4 * sum(value.numel() for value in state.values())
    assert found.zipped_bytes == len(zlib.compress(save(state)))
    assert found.compact_bytes == len(compact({key: value.numpy() for key, value in state.items()}))
    assert found.multiply_adds == report.network_weights
    assert found.multiply_adds_left == report.network_weights - report.network_zeros
    assert found.zeros == report.sparsity
    assert (found.batch, found.threads, found.repeats) == (8, torch.get_num_threads(), 1)
    assert Costs(**found.to_dict()) == found


def test_a_sparse_network_computes_the_same(inputs: Tensor, images: Tensor) -> None:
    for model, rows in ((small_mlp(), inputs), (small_cnn(), images), (small_mlp(), torch.stack([inputs] * 3))):
        pruned, _ = prune(model, rows, Magnitude(epsilon=0.3))
        sparse = sparse_linear(pruned)
        assert sparse is not None
        torch.testing.assert_close(sparse(rows), pruned(rows), rtol=1e-4, atol=1e-5)
        assert not any(isinstance(module, nn.Linear) for module in sparse.modules())


SIZES: list[int] = []  # of the batches that a Slow was given


class Slow(nn.Module):
    """Takes its time."""

    def forward(self, x: Tensor) -> Tensor:
        SIZES.append(len(x))
        time.sleep(0.02)
        return x


def test_times_are_milliseconds_of_one_batch(inputs: Tensor) -> None:
    found = costs(nn.Sequential(Slow(), nn.Linear(10, 3)), inputs[:7], 20, repeats=3)
    assert found.sparse_ms is not None
    assert 20 <= found.dense_ms < 200  # a busy machine takes longer, never shorter
    assert 20 <= found.sparse_ms < 200
    assert SIZES == [1] + [20] * 2 * (WARM_UP + 3)  # one sample to count by, then both in turn


def test_a_network_without_linear_layers_has_no_sparse_time(images: Tensor) -> None:
    found = costs(nn.Sequential(nn.Conv2d(2, 3, 3)), images, repeats=1)
    assert found.sparse_ms is None
    assert not found.saves_time
    assert "no Linear layer" in found.sentence


def test_the_sentence_says_whether_zeros_pay_and_a_hair_is_not_enough() -> None:
    found = Costs(48_000, 16_000, 14_000, 100, 30, 2.0, 1.0, 1, 1, 15, 0.95)
    assert "14,000 bytes as bits and values, 16,000 zipped, 48,000 as they are" in found.sentence
    assert "With 1 thread and 1 sample at a time, the network takes 2 ms, and 1 ms with sparse" in found.sentence
    assert "95% of whose weights are zero: so zeros save time here" in found.sentence
    slower = dataclasses.replace(found, sparse_ms=1.95, batch=32, threads=2)
    assert "With 2 threads and 32 samples at a time" in slower.sentence
    assert "so zeros save no time here" in slower.sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [({"batch": 0}, "batch = 0 must be"), ({"batch": 2.5}, "batch = 2.5"), ({"repeats": 0}, "repeats = 0 must be")],
)
def test_numbers_that_are_none_are_refused(change: dict[str, int], message: str, inputs: Tensor) -> None:
    with pytest.raises(ValueError, match=message):
        costs(small_mlp(), inputs, **change)
