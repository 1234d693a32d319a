"""The compact file: for each tensor a bit a number for where it is not zero, and the numbers that are not.

    magic       8 bytes, b"NETTRIM1"
    checksum    4 bytes, CRC-32 of everything after it, little-endian like all that follows
    length      4 bytes, of the header
    header      UTF-8 JSON: a list of {"name", "dtype", "shape", "kept"}, one for each tensor; dtype as in numpy
    tensors     to the end, one zlib stream of all tensors in the header's order, no gaps. kept is a number: ceil(size
                / 8) bytes of bits in C order, the highest bit of a byte first, unused ones zero, then that many
                values. kept is null: all values in C order

A tensor is stored in the shorter way. In float32, the first takes 1/32 + d of the dense tensor for a part d of
numbers that are not zero, and zlib makes about a sixth less of it: weights hardly compress, but bits that are mostly
zero do. What the stream unpacks to follows from the header, and no more than that is unpacked. -0.0 is stored as 0.0.

This module needs numpy and the standard library alone: copied out, it reads these files without torch.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MAGIC = b"NETTRIM1"
FRONT = struct.Struct("<8sII")
DTYPES = ("float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "bool")
LONGEST = 2**20  # bytes of a header, enough for some ten thousand tensors
SIDES = 16  # of a shape, at most
LARGEST = 2**30  # bytes of all tensors together, unless the reader says otherwise


@dataclass(frozen=True)
class Entry:
    """A tensor as the header has it. kept: how many values are stored beside the bits; None for all, without bits."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    kept: int | None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def bits(self) -> int:
        """Bytes of its bits."""
        return 0 if self.kept is None else -(-self.size // 8)

    @property
    def stored(self) -> int:
        """Bytes in the stream."""
        return self.bits + self.dtype.itemsize * (self.size if self.kept is None else self.kept)


def compact(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of a compact file of these arrays. Raises ValueError for a dtype that it cannot hold."""
    header, parts = [], []
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise ValueError(f"{name!r} has dtype {array.dtype}; a compact file holds {', '.join(DTYPES)}")
        values = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
        left = values != 0
        entry = Entry(name, values.dtype, array.shape, int(left.sum()))
        if entry.stored >= values.nbytes:
            entry = Entry(name, values.dtype, array.shape, None)
            parts.append(values.tobytes())
        else:
            parts += [np.packbits(left).tobytes(), values[left].tobytes()]
        header.append({"name": name, "dtype": array.dtype.name, "shape": list(entry.shape), "kept": entry.kept})
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > LONGEST:
        raise ValueError(
            f"the names and shapes of {len(header):,} arrays take {len(text):,} bytes, {LONGEST:,} at most"
        )
    body = struct.pack("<I", len(text)) + text + zlib.compress(b"".join(parts))
    return MAGIC + struct.pack("<I", zlib.crc32(body)) + body


def load_compact(path: str | Path, max_bytes: int = LARGEST) -> dict[str, np.ndarray]:
    """Name -> array, as they were packed.

    max_bytes: of the file, and of all its arrays together once unpacked. Raises ValueError naming the file, the place
    in it, the reason and what to do, for a file that is damaged, not of this kind, or larger than that.
    """
    try:
        size = Path(path).stat().st_size
        if size > max_bytes:
            raise ValueError(f"the file has {size:,} bytes, and max_bytes = {max_bytes:,}. Raise max_bytes to read it")
        return expand(Path(path).read_bytes(), max_bytes)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def expand(data: bytes, max_bytes: int = LARGEST) -> dict[str, np.ndarray]:
    """Name -> array from the bytes that :func:`compact` gave. Raises ValueError as :func:`load_compact` does."""
    entries, start = _entries(data, max_bytes)
    if zlib.crc32(memoryview(data)[12:]) != FRONT.unpack_from(data)[1]:
        raise ValueError("bytes 8 to 11: the checksum is not that of the file. It is cut or damaged: fetch it again")
    stream = _stream(data[start:], sum(entry.stored for entry in entries))
    arrays, start = {}, 0
    for entry in entries:
        arrays[entry.name] = _array(entry, stream[start : start + entry.stored])
        start += entry.stored
    return arrays


def _stream(data: bytes, size: int) -> memoryview:
    """The bytes of all tensors, ``size`` of them."""
    inflater = zlib.decompressobj()
    try:
        stream = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"after the header: no zlib stream ({error}). Write the file again") from error
    if len(stream) != size or not inflater.eof or inflater.unused_data:
        raise ValueError(
            f"after the header: the tensors take {size:,} bytes, and the stream there has more, fewer, or no end. "
            "Write the file again"
        )
    return memoryview(stream)


def _entries(data: bytes, max_bytes: int) -> tuple[list[Entry], int]:
    """(the tensors that the header declares, all of them legal; where their bytes begin)."""
    if len(data) < FRONT.size or data[:8] != MAGIC:
        raise ValueError(f"bytes 0 to 7: a compact file begins with {MAGIC!r}, this one does not. Choose another file")
    length = FRONT.unpack_from(data)[2]
    if length > min(LONGEST, len(data) - FRONT.size):
        raise ValueError(
            f"bytes 12 to 15: a header of {length:,} bytes, and the file can hold {len(data) - FRONT.size:,}, of which "
            f"{LONGEST:,} are allowed. The file is cut or damaged: fetch or write it again"
        )
    start = FRONT.size + length
    try:
        header = json.loads(data[FRONT.size : start].decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"header: not JSON ({type(error).__name__}). The file is damaged: write it again") from error
    if not isinstance(header, list):
        raise ValueError("header: not a list of tensors. The file is damaged: write it again")
    entries: list[Entry] = []
    names: set[str] = set()
    room = max_bytes
    for i, declared in enumerate(header):
        where = f"header, tensor {i}"
        entry = _entry(declared, where)
        if entry.name in names:
            raise ValueError(f"{where}: a second one of the name {entry.name!r:.60}. Write the file again")
        room -= entry.dtype.itemsize * math.prod(max(side, 1) for side in entry.shape)
        if room < 0:
            raise ValueError(
                f"{where}: with it the tensors take more than max_bytes = {max_bytes:,} once unpacked. Raise max_bytes "
                "if you trust the file"
            )
        names.add(entry.name)
        entries.append(entry)
    return entries, start


def _entry(declared: object, where: str) -> Entry:
    if not isinstance(declared, dict) or set(declared) != {"name", "dtype", "shape", "kept"}:
        raise ValueError(f"{where}: not made of name, dtype, shape and kept. Write the file again")
    name, dtype, shape, kept = (declared[key] for key in ("name", "dtype", "shape", "kept"))
    if not isinstance(name, str):
        raise ValueError(f"{where}: a name that is no text. Write the file again")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"{where}: unknown dtype {dtype!r:.60}; known are {', '.join(DTYPES)}. Write the file again")
    if not isinstance(shape, list) or len(shape) > SIDES or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ValueError(
            f"{where}: not a shape: at most {SIDES} whole numbers, none negative or beyond reason. Write the file again"
        )
    entry = Entry(name, np.dtype(dtype).newbyteorder("<"), tuple(shape), kept)
    if kept is not None and (type(kept) is not int or not 0 <= kept <= entry.size):
        raise ValueError(f"{where}: kept must be null or a number of its {entry.size:,} values. Write the file again")
    return entry


def _array(entry: Entry, data: memoryview) -> np.ndarray:
    values = np.frombuffer(data[entry.bits :], entry.dtype)
    if entry.dtype == bool and bool((values.view(np.uint8) > 1).any()):
        raise ValueError(f"values of {entry.name!r:.60}: a bool that is neither 0 nor 1. Write the file again")
    if entry.kept is not None:
        bits = np.unpackbits(np.frombuffer(data[: entry.bits], np.uint8)).view(bool)
        if int(bits.sum()) != entry.kept or bool(bits[entry.size :].any()):
            raise ValueError(
                f"bits of {entry.name!r:.60}: {int(bits.sum()):,} are set, within its size or beyond, and "
                f"{entry.kept:,} values are stored. Write the file again"
            )
        kept, values = values, np.zeros(entry.size, entry.dtype)
        values[bits[: entry.size]] = kept
    return values.reshape(entry.shape).astype(entry.dtype.newbyteorder("="))
