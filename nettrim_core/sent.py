"""Values as they are sent to other processes: as bytes that are the same for the same content, arrays and tensors among
them, and that become arrays which may be written to, as those are that were never sent."""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Sent:
    """A value with its size in bytes, as far as arrays and tensors take them."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.size = _measured(value)

    def __sizeof__(self) -> int:
        return self.size

    def __reduce_ex__(self, protocol: Any) -> Any:
        file = io.BytesIO()
        _pickler()(file).dump(self.value)
        return _received, (pickle.PickleBuffer(file.getbuffer()) if int(protocol) >= 5 else file.getvalue(),)

    def content(self) -> str:
        """A hash of the value."""
        found = hashlib.blake2b(digest_size=16)
        _pickler()(_Into(found.update)).dump(self.value)
        return found.hexdigest()


def _received(data: Any) -> Sent:
    return Sent(pickle.loads(data))  # noqa: S301  (from a worker or a client of the scheduler, which are trusted)


class _Into:
    """A file that hands on what is written."""

    def __init__(self, write: Any) -> None:
        self.write = write


def _pickler() -> Any:
    """Of functions as well that no module has, as rankings hold them."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        def __init__(self, file: Any) -> None:
            super().__init__(file, protocol=4)  # arrays among the other bytes

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is Tensor:
                if obj.device.type != "cpu":
                    raise ValueError(f"what lies on {obj.device} is solved here: give no scheduler, or device = 'cpu'")
                return _tensor, (obj.detach().numpy(),)
            return super().reducer_override(obj)

    return Pickler


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).clone()


def _measured(value: Any) -> int:
    """The bytes of its arrays and tensors, and of the rest as it is sent."""
    total = 0

    def count(size: int) -> None:
        nonlocal total
        total += size

    class Counting(_pickler()):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is Tensor or type(obj) is np.ndarray:
                count(obj.nbytes)
                return int, ()
            return super().reducer_override(obj)

    Counting(_Into(lambda data: count(len(data)))).dump(value)
    return total
