"""A result as it lies on the disk: arrays and plain data in a safetensors file, with a seal that shows any damage.

The file's metadata is ``about``, JSON, and ``seal``, a hash of it and of every array's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save


@dataclass(frozen=True, eq=False)
class Sealed:
    """about: plain data that JSON can carry."""

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]


def seal(content: Sealed) -> bytes:
    """The bytes of the file."""
    arrays = {name: np.ascontiguousarray(array) for name, array in content.arrays.items()}
    about = json.dumps(content.about, sort_keys=True, allow_nan=False)
    return save(arrays, {"about": about, "seal": _hash(about, arrays)})


def unseal(data: bytes) -> Sealed:
    """What :func:`seal` was given. Raises ValueError, a part of a sentence, for anything that is not just that."""
    try:
        arrays = load(data)
        length = int.from_bytes(data[:8], "little")
        said = json.loads(data[8 : 8 + length])["__metadata__"]
        about, found = said["about"], said["seal"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"it cannot be read as a result ({error})") from error
    if _hash(about, arrays) != found:
        raise ValueError("its content is not what was sealed")
    return Sealed(json.loads(about), arrays)


def _hash(about: str, arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.blake2b(about.encode(), digest_size=20)
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(array.tobytes())
    return found.hexdigest()
