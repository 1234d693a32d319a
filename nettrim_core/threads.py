"""Neurons side by side: compiled tasks without the GIL, on as many threads as torch uses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
S = TypeVar("S")
_here = threading.local()


def each(task: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """The task for every item, in order, BLAS at one thread meanwhile.

    After an error or an interrupt the tasks that look at :func:`stop` end as well.
    """
    over = np.zeros(1, np.bool_)
    with alone(), ThreadPoolExecutor(torch.get_num_threads(), initializer=_begin, initargs=(over,)) as threads:
        try:
            return list(threads.map(task, items))
        finally:
            over[0] = True
            threads.shutdown(cancel_futures=True)


def stop() -> NDArray[np.bool_]:
    """(1,): set when a task that runs here is no longer wanted."""
    return getattr(_here, "over", np.zeros(1, np.bool_))


def alone() -> AbstractContextManager[Any]:
    """Meanwhile, BLAS is at one thread."""
    return _blas().limit(limits=1)


def _begin(over: NDArray[np.bool_]) -> None:
    _here.over = over


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
