"""A worker that has what others wait for is not held meanwhile: they would wait for its next turn."""

from __future__ import annotations

import fcntl
import threading
from types import TracebackType
from typing import IO


class Unheld:
    """A context in which this process is not held by the one that has the other end of the file's lock. It may be
    entered again within itself."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._depth = file, 0
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._depth -= 1
        if self._depth == 0:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        self._lock.release()
