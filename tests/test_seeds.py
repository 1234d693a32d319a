"""Bars over seeds are Student's, and every seed draws calibration inputs of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nettrim_core import load_bundle, over_seeds, prune, prune_seeds, spread
from tests.conftest import small_cnn, small_mlp


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_the_interval_is_students(values: list[float]) -> None:
    found = spread(values)
    assert found.values == tuple(values)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert found.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-9)
    if (error := scipy.stats.sem(values)) > 0:
        low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    found = [spread(rng.normal(3, 2, 4)) for _ in range(2000)]
    covered = sum(s.low is not None and s.high is not None and s.low <= 3 <= s.high for s in found)
    assert 0.93 < covered / 2000 < 0.97


def test_one_run_and_equal_runs() -> None:
    one, equal = spread([0.25]), spread(np.full(3, 0.1, dtype=np.float32))
    assert one.to_dict() == {"values": [0.25], "mean": 0.25, "deviation": None, "low": None, "high": None}
    assert equal.deviation == 0
    assert equal.low == equal.high == equal.mean == pytest.approx(0.1)
    assert json.loads(json.dumps(equal.to_dict(), allow_nan=False))["values"] == [equal.mean] * 3


def test_every_seed_is_run_once_and_every_figure_is_kept_apart() -> None:
    seen = []

    def run(seed: int) -> dict[str, float]:
        seen.append(seed)
        return {"square": seed**2, "fixed": 1.0}

    found = over_seeds(run, iter([3, 1, 2]))
    assert seen == [3, 1, 2]
    assert found == {"square": spread([9, 1, 4]), "fixed": spread([1, 1, 1])}


def test_figures_and_seeds_that_do_not_fit_are_named() -> None:
    for values in ([], [1.0, float("nan")], [1.0, None], ["1"]):
        with pytest.raises(ValueError, match="must be finite numbers, at least 1"):
            spread(values)
    with pytest.raises(ValueError, match=r"run's 'accuracy': values = \[1.0, None\] must be finite"):
        over_seeds(lambda seed: {"accuracy": [1.0, None][seed]}, range(2))  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"same figures for every seed, \['0'\]; for 1 it gave \['1'\]"):
        over_seeds(lambda seed: {str(seed): 1.0}, range(2))
    for seeds in ([], [1, 2, 1]):
        with pytest.raises(ValueError, match="must hold at least one seed, and none twice"):
            over_seeds(lambda seed: {"x": 1.0}, seeds)


def test_a_seed_draws_its_own_rows_and_is_passed_on() -> None:
    bundle = load_bundle("digits_mlp")
    found = dict(prune_seeds(bundle.model, bundle.calibration, "magnitude", [0, 5], 60, bundle.test, layers=["fc2"]))
    for seed, report in found.items():
        rows = bundle.calibration_sample(60, seed)
        _, expected = prune(bundle.model, rows, "magnitude", ["fc2"], test=bundle.test, seed=seed)
        assert (report.samples, report.seed, [layer.name for layer in report.layers]) == (60, seed, ["fc2"])
        assert (report.accuracy, report.output_error) == (expected.accuracy, expected.output_error)
    assert found[0].output_error != found[5].output_error


def test_a_seed_draws_patches_too(images: Tensor) -> None:
    drawn = prune_seeds(small_cnn(), images, "magnitude", range(2), len(images), layers=["conv1"], max_patches=50)
    errors = [report.output_error for _, report in drawn]  # the same images, other patches of them
    assert errors[0] != errors[1]


def test_reports_come_as_they_finish_and_bad_arguments_at_once(inputs: Tensor) -> None:
    model = small_mlp()
    drawn = prune_seeds(model, inputs, "magnitude", range(1000), 30)
    assert [next(drawn)[0] for _ in range(2)] == [0, 1]
    for samples in (0, 81, 2.5):
        with pytest.raises(ValueError, match=rf"samples = {samples} must be a whole number between 1 and 80"):
            prune_seeds(model, inputs, "magnitude", [0], samples)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown method 'guess'"):
        prune_seeds(model, inputs, "guess", [0], 30)
    with pytest.raises(ValueError, match="seeds = "):
        prune_seeds(model, inputs, "magnitude", [0, 0], 30)
    with pytest.raises(ValueError, match="pool has 10 NaN"):
        prune_seeds(model, torch.full((1, 10), torch.nan), "magnitude", [0], 1)
