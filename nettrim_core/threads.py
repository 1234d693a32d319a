"""Neurons side by side: compiled tasks without the GIL, on as many threads as torch uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
S = TypeVar("S")


def each(task: Callable[[S], T], items: Iterable[S], stop: NDArray[np.bool_] | None = None) -> list[T]:
    """The task for every item, in order, BLAS at one thread meanwhile.

    stop: (1,); set when this ends, so that after an error or an interrupt tasks that look at it end as well.
    """
    with _blas().limit(limits=1), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        try:
            return list(threads.map(task, items))
        finally:
            if stop is not None:
                stop[0] = True
            threads.shutdown(cancel_futures=True)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")
