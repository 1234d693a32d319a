"""Damaged networks and notebooks: whatever is changed in a good file, a reader gives something sound or a sentence."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import fuzz
from tests.mutations import HOWS, NOTEBOOK, mutated, networks

NAMES = ("a.pt2", "a.pt", "b.pt", "a.safetensors", "a.onnx", "a.zip")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
valid = functools.cache(networks)


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_that_are_mutated_are_good_ones(tmp_path: Path, name: str) -> None:
    model = fuzz.network(tmp_path / name, valid()[name])
    assert model is not None
    assert not model.training
    assert set(valid()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@QUICK
@given(seed=st.integers(0, 2**32), how=st.sampled_from(HOWS))
def test_a_mutated_network_is_sound_or_refused_in_a_line(tmp_path_factory, name: str, seed: int, how: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"mutated-{name}"
    model = fuzz.network(path, mutated(valid()[name], seed, how))
    if model is not None:
        for value in model.state_dict().values():
            assert bool(torch.isfinite(value).all())


@QUICK
@given(seed=st.integers(0, 2**32), how=st.sampled_from(HOWS))
def test_a_mutated_notebook_is_read_or_refused(seed: int, how: str) -> None:
    fuzz.notebook(mutated(NOTEBOOK, seed, how))


@pytest.mark.long
def test_the_fuzzer_runs_for_its_time_and_finds_what_is_not_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["2"]) == 0
    assert "damaged files" in capsys.readouterr().out
    assert fuzz.main(["2", "--break"]) == 1
    assert "KeyError" in capsys.readouterr().out
