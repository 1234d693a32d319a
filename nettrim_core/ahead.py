"""A stream that is carried on before it is asked for more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")
MOST = 2  # values that wait to be asked for
LOOK = 0.2  # seconds between looks at whether they still may be


class Ahead(Iterator[T], Generic[T]):
    """The same values, made by a thread of its own, in the context of whoever begins it."""

    def __init__(self, stream: Iterator[T]) -> None:
        self._values: queue.Queue[tuple[bool, Any]] = queue.Queue(MOST)
        self._over = threading.Event()
        self.thread = threading.Thread(
            target=copy_context().run, args=(_make, stream, self._values, self._over), name="nettrim-ahead", daemon=True
        )
        self.thread.start()

    def __next__(self) -> T:
        if self._over.is_set():
            raise StopIteration
        good, value = self._values.get()
        if not good:
            self.close()
            raise value
        return value

    def close(self) -> None:
        """Make no more of them."""
        self._over.set()

    __del__ = close


def _make(stream: Iterator[Any], values: queue.Queue[tuple[bool, Any]], over: threading.Event) -> None:
    def put(good: bool, value: Any) -> bool:
        while not over.is_set():
            try:
                values.put((good, value), timeout=LOOK)
                return True
            except queue.Full:
                pass
        return False

    try:
        for value in stream:
            if not put(True, value):
                return
        put(False, StopIteration())
    except BaseException as error:  # it is raised where the value is asked for
        put(False, error)
