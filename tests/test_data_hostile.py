"""No file, however bad, gives anything but data or one sentence that says what to do."""

from __future__ import annotations

import re
import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nettrim_core import Data, DataOptions, load_data
from nettrim_core.data import KINDS
from nettrim_core.data.source import shown
from tests.hostile_data import HOSTILE
from tests.mutations import DATA as VALID
from tests.mutations import HOWS, mutated


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    bad = HOSTILE[what]
    path = tmp_path / bad.name
    bad.write(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="a") as refused:
            load_data(path, bad.options)
    sentence = str(refused.value)
    assert bad.word in sentence
    others = ["t-labels-idx1-ubyte"]  # a fault of the labels' file is told by that file's name
    assert sentence.startswith((shown(bad.name), *others))
    assert_is_advice(sentence)


def assert_is_advice(sentence: str) -> None:
    """One line, one sentence, short, and after what is wrong what to do."""
    assert "\n" not in sentence
    assert sentence.isprintable()
    assert len(sentence) < 300
    assert sentence.endswith(".")
    assert ". " not in re.sub("'.*'", "", sentence)  # what is quoted from the file is not ours
    where, _, rest = sentence.partition(": ")
    reason, _, remedy = rest.rpartition("; ")
    assert where
    assert reason
    assert len(remedy.split()) > 1


def test_there_are_hostile_files_of_all_kinds() -> None:
    assert len(HOSTILE) >= 40
    suffixes = [suffix for kind in KINDS.values() for suffix in kind.suffixes[:1]]
    for suffix in (*suffixes, "a"):  # a folder has no suffix
        assert any(bad.name.removesuffix(".gz").endswith(suffix) for bad in HOSTILE.values())


@pytest.mark.parametrize("name", VALID)
def test_the_files_that_are_mutated_are_good_ones(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(VALID[name])
    data = load_data(tmp_path / name)
    assert sum(len(part[0]) for part in (data.train, data.validation, data.test)) in (12, 20)


@pytest.mark.parametrize("name", VALID)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(seed=st.integers(0, 2**32), how=st.sampled_from(HOWS))
def test_a_mutated_file_gives_data_or_a_sentence(tmp_path_factory, name: str, seed: int, how: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"mutated-{name}"
    path.write_bytes(mutated(VALID[name], seed, how))
    try:
        data = load_data(path, DataOptions(limit_mb=50))
    except ValueError as refused:
        assert_is_advice(str(refused) if type(refused) is ValueError else "")
    else:
        assert isinstance(data, Data)
        for inputs, labels in (data.train, data.validation, data.test):
            assert bool(inputs.isfinite().all())
            assert labels is None or (len(labels) == len(inputs) and int(labels.min()) >= 0)
            assert labels is None or int(labels.max()) < len(data.classes)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(text=st.text(st.sampled_from("01.,;\t\"\n\r -+einfaxé|'"), max_size=120), header=st.sampled_from(["yes", "no"]))
def test_any_text_gives_data_or_a_sentence(tmp_path_factory, text: str, header: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text(text, newline="")
    try:
        load_data(path, DataOptions(header=header))
    except ValueError as refused:
        assert_is_advice(str(refused))


def test_declared_sizes_are_never_allocated(tmp_path: Path) -> None:
    """With a bounded address space an allocation by a header's word would end in a MemoryError."""
    names = ("absurd shape", "absurd IDX shape", "bomb by declared size", "vast image", "gz bomb", "Parquet bomb")
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 200_000_000, before[1]))
    try:
        for name in names:
            bad = HOSTILE[name]
            bad.write(tmp_path / f"{names.index(name)}{bad.name}")
            with pytest.raises(ValueError, match=bad.word):
                load_data(tmp_path / f"{names.index(name)}{bad.name}", bad.options)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    for name in ("a.zip", "a.npz", "a.csv.gz"):
        (tmp_path / name).write_bytes(VALID[name])
        load_data(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz", "a.npz", "a.zip"]
    assert np.array_equal(load_data(tmp_path / "a.npz").calibration, load_data(tmp_path / "a.npz").calibration)
