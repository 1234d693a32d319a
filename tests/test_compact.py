"""Compact files: what they give back, how small they are, and what a hostile one cannot do."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nettrim_core.formats import bitmask
from nettrim_core.formats.bitmask import DTYPES, compact, expand, load_compact

Arrays = dict[str, np.ndarray]
shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


@st.composite
def tensors(draw: st.DrawFn) -> Arrays:
    found: Arrays = {}
    for name in draw(st.lists(st.text(max_size=5), unique=True, max_size=4)):
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        array = draw(arrays.arrays(dtype, draw(shapes)))
        keep = draw(arrays.arrays(bool, array.shape))
        found[name] = np.where(keep, array, np.zeros((), dtype))
    return found


def equal(found: Arrays, wanted: Arrays) -> bool:
    return list(found) == list(wanted) and all(
        a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(found.values(), wanted.values(), strict=True)
    )


@settings(max_examples=150, deadline=None)
@given(tensors())
def test_arrays_come_back(wanted: Arrays) -> None:
    assert equal(expand(compact(wanted)), wanted)


def test_values_are_kept_bit_for_bit_but_for_the_sign_of_zero() -> None:
    values = np.array([0.0, -0.0, 1e-45, -np.inf, np.nan, 3.5] + [0.0] * 60, np.float32)
    values[4:5].view(np.uint32)[0] = 0x7FC12345  # a NaN with a payload
    found = expand(compact({"w": values}))["w"]
    wanted = values.copy()
    wanted[1] = 0.0
    assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("density", [0.5, 0.1, 0.02])
def test_its_size_is_a_bit_a_weight_and_the_weights_that_are_left(density: float) -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal((300, 784)).astype(np.float32)
    weights[generator.random(weights.shape) >= density] = 0
    part = len(compact({"w": weights})) / weights.nbytes
    assert part < 1 / 32 + density
    assert part < 0.985 * len(zlib.compress(weights.tobytes())) / weights.nbytes  # or zipping would be as good


def test_a_dense_tensor_takes_no_more_than_itself() -> None:
    noise = np.frombuffer(np.random.default_rng(0).bytes(4000), np.uint8) | 1
    assert len(compact({"w": noise})) < len(noise) + 100


def test_the_layout_is_the_one_that_is_written_down() -> None:
    sparse, dense = np.zeros((3, 5), np.float32), np.arange(1, 5, dtype=np.int64)
    sparse[0, 1], sparse[2, 4] = 1.5, -2.0
    data = compact({"a.weight": sparse, "b": dense})
    magic, checksum, length = struct.unpack("<8sII", data[:16])
    assert (magic, checksum) == (b"NETTRIM1", zlib.crc32(data[12:]))
    assert json.loads(data[16 : 16 + length]) == [
        {"name": "a.weight", "dtype": "float32", "shape": [3, 5], "kept": 2},
        {"name": "b", "dtype": "int64", "shape": [4], "kept": None},
    ]
    stream = bytes([0b01000000, 0b00000010]) + struct.pack("<2f", 1.5, -2.0) + struct.pack("<4q", 1, 2, 3, 4)
    assert zlib.decompress(data[16 + length :]) == stream


def test_the_reader_works_copied_out_of_the_project(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("reader", bitmask.__file__)
    assert spec is not None
    assert spec.loader is not None
    reader = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "reader", reader)
        spec.loader.exec_module(reader)
    (tmp_path / "model.compact").write_bytes(compact({"w": np.eye(9)}))
    assert np.array_equal(reader.load_compact(tmp_path / "model.compact")["w"], np.eye(9))


def test_a_type_that_it_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="'w' has dtype complex64; a compact file holds float32"):
        compact({"w": np.zeros(2, np.complex64)})


def file_of(header: Any, stream: bytes = b"", length: int | None = None) -> bytes:
    """A file with a right checksum, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = struct.pack("<I", len(text) if length is None else length) + text + zlib.compress(stream)
    return b"NETTRIM1" + struct.pack("<I", zlib.crc32(body)) + body


def entry(name: Any = "w", dtype: Any = "float32", shape: Any = (4,), kept: Any = None) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape, "kept": kept}


GOOD = struct.pack("<4f", 1, 2, 3, 4)
HOSTILE = {
    "empty": (b"", "bytes 0 to 7: a compact file begins with"),
    "another kind": (b"PK\x03\x04" + bytes(40), "bytes 0 to 7"),
    "long header": (file_of([], length=2**32 - 1), "bytes 12 to 15: a header of 4,294,967,295 bytes"),
    "header beyond the limit": (file_of(b" " * 2**21), "of which 1,048,576 are allowed"),
    "not JSON": (file_of(b"{]"), "header: not JSON"),
    "not text": (file_of(b"\xff\xff"), "header: not JSON"),
    "deep": (file_of(b"[" * 100_000), "header: not JSON"),
    "endless number": (file_of(b"[" + b"9" * 100_000 + b"]"), "header: not JSON"),
    "no list": (file_of({"w": 1}), "header: not a list"),
    "no tensor": (file_of([1]), "header, tensor 0: not made of name, dtype, shape and kept"),
    "more fields": (file_of([entry() | {"x": 1}], GOOD), "not made of"),
    "name": (file_of([entry(name=3)], GOOD), "a name that is no text"),
    "same name": (file_of([entry(), entry()], GOOD * 2), "header, tensor 1: a second one of the name 'w'"),
    "unknown dtype": (file_of([entry(dtype="object")], GOOD), "unknown dtype 'object'; known are float32"),
    "dtype no text": (file_of([entry(dtype=[1])], GOOD), "unknown dtype"),
    "negative side": (file_of([entry(shape=[-4])], GOOD), "not a shape"),
    "side no whole number": (file_of([entry(shape=[4.0])], GOOD), "not a shape"),
    "side a bool": (file_of([entry(shape=[True])], GOOD), "not a shape"),
    "absurd side": (file_of([entry(shape=[2**60])]), "not a shape"),
    "many sides": (file_of([entry(shape=[1] * 17)], GOOD[:4]), "not a shape"),
    "overflow": (file_of([entry(shape=[2**32, 2**32])], GOOD), "more than max_bytes = 1,073,741,824"),
    "overflow beside zero": (file_of([entry(shape=[0] + [2**47] * 15)]), "more than max_bytes"),
    "too much together": (file_of([entry(str(i), shape=[2**26]) for i in range(5)]), "header, tensor 4: with it"),
    "kept no number": (file_of([entry(kept="4")], GOOD), "kept must be null or a number of its 4 values"),
    "kept too many": (file_of([entry(kept=5)], GOOD), "kept must be"),
    "kept negative": (file_of([entry(kept=-1)], GOOD), "kept must be"),
    "stream short": (file_of([entry()], GOOD[:-1]), "the tensors take 16 bytes, and the stream there has more, fewer"),
    "stream long": (file_of([entry()], GOOD + b"x"), "the tensors take 16 bytes"),
    "stream bomb": (file_of([entry()], bytes(10**7)), "the tensors take 16 bytes"),
    "declared more than is there": (file_of([entry(shape=[2**27])], GOOD), "the tensors take 536,870,912 bytes"),
    "fewer bits": (file_of([entry(kept=2)], b"\x80" + GOOD[:8]), "bits of 'w': 1 are set"),
    "more bits": (file_of([entry(kept=1)], b"\xc0" + GOOD[:4]), "bits of 'w': 2 are set"),
    "bits beyond": (file_of([entry(kept=1)], b"\x01" + GOOD[:4]), "bits of 'w': 1 are set, within its size or beyond"),
    "bool of 2": (file_of([entry(dtype="bool")], b"\x00\x01\x02\x00"), "a bool that is neither 0 nor 1"),
}


def raw(header: Any, stream: bytes) -> bytes:
    """The same with the bytes of the stream themselves."""
    front = file_of(header)[12 : -len(zlib.compress(b""))] + stream
    return b"NETTRIM1" + struct.pack("<I", zlib.crc32(front)) + front


HOSTILE |= {
    "behind the stream": (raw([entry()], zlib.compress(GOOD) + b"x"), "more, fewer, or no end"),
    "no end": (raw([entry()], zlib.compress(GOOD)[:-2]), "more, fewer, or no end"),
    "no stream": (raw([entry()], b"\x00" + GOOD), "after the header: no zlib stream"),
}
_plain = file_of([entry()], GOOD)
HOSTILE |= {
    "cut": (_plain[:-3], "bytes 8 to 11: the checksum is not that of the file"),
    "more behind": (_plain + b"x", "checksum"),
    "bit flipped": (_plain[:-1] + bytes([_plain[-1] ^ 1]), "checksum"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_the_file_the_place_and_the_reason(name: str, tmp_path: Path) -> None:
    data, reason = HOSTILE[name]
    path = tmp_path / "hostile.compact"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"hostile\.compact: ") as caught:
            load_compact(path)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert reason in text
    assert any(text.endswith(end) for end in ("again", "another file", "if you trust the file"))
    assert len(text) < 400 + len(str(path))


def test_the_plain_file_of_these_is_good() -> None:
    assert np.array_equal(expand(_plain)["w"], np.array([1, 2, 3, 4], np.float32))


def test_max_bytes_is_the_readers_to_choose(tmp_path: Path) -> None:
    path = tmp_path / "w.compact"
    path.write_bytes(compact({"w": np.zeros(10_000)}))
    assert load_compact(path, 80_000)["w"].nbytes == 80_000
    with pytest.raises(ValueError, match=r"header, tensor 0: with it .* max_bytes = 79,999"):
        load_compact(path, 79_999)
    with pytest.raises(ValueError, match=r"the file has \d+ bytes, and max_bytes = 50\. Raise max_bytes"):
        load_compact(path, 50)
    with pytest.raises(ValueError, match=r"none\.compact: cannot be read: No such file"):
        load_compact(tmp_path / "none.compact")


def sample() -> Arrays:
    generator = np.random.default_rng(1)
    weights = generator.standard_normal((7, 9)).astype(np.float32)
    weights[generator.random(weights.shape) < 0.8] = 0
    return {"fc.weight": weights, "fc.bias": np.ones(7, np.float32), "n": np.array(3), "on": np.eye(3, dtype=bool)}


SAMPLE = compact(sample())
edits = st.lists(
    st.tuples(st.sampled_from("xdi"), st.integers(0, len(SAMPLE)), st.binary(min_size=1, max_size=4)),
    min_size=1, max_size=4,
)  # fmt: skip


def edited(data: bytes, how: list[tuple[str, int, bytes]]) -> bytes:
    """Overwritten, cut or filled in at some places."""
    for kind, place, new in how:
        after = {"x": place + len(new), "d": place + 3 * len(new), "i": place}[kind]
        data = data[:place] + (b"" if kind == "d" else new) + data[after:]
    return data


@settings(max_examples=300, deadline=None)
@given(edits)
def test_a_damaged_file_is_equal_or_refused(how: list[tuple[str, int, bytes]]) -> None:
    try:
        found = expand(edited(SAMPLE, how), 10**6)
    except ValueError:
        return
    assert equal(found, sample())


def refused_or_within(data: bytes, most: int) -> None:
    found: Arrays = {}
    tracemalloc.start()
    try:
        with contextlib.suppress(ValueError):
            found = expand(data, most)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(array.nbytes for array in found.values()) <= most
    assert peak < 8 * most + 100 * len(data) + 10**5


@settings(max_examples=300, deadline=None)
@given(edits)
def test_a_damaged_file_with_a_right_checksum_does_no_harm(how: list[tuple[str, int, bytes]]) -> None:
    data = edited(SAMPLE, how)
    refused_or_within(data[:8] + struct.pack("<I", zlib.crc32(data[12:])) + data[12:], 10**5)


odd = st.one_of(st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(), st.text(max_size=3), st.just([]))
declared = st.fixed_dictionaries(
    {
        "name": st.one_of(st.sampled_from(["a", "b"]), odd),
        "dtype": st.one_of(st.sampled_from(DTYPES), odd),
        "shape": st.one_of(st.lists(st.one_of(st.integers(0, 9), odd), max_size=4), odd),
        "kept": st.one_of(st.none(), st.integers(0, 20), odd),
    }
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(declared, odd), max_size=3), st.binary(max_size=80))
def test_a_header_of_anything_does_no_harm(header: list[Any], stream: bytes) -> None:
    refused_or_within(file_of(header, stream), 10**5)
