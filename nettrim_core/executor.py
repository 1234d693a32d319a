"""Where the work is done: here, on threads, or by another executor elsewhere (:mod:`nettrim_core.cluster`).

What takes long is cut into tasks, functions of a module that take values and give values. A task is carried out by the
same code wherever it is, with BLAS at one thread and torch at as many as whoever asks has, so that its bits do not
depend on where, nor on how the work was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from nettrim_core import threads

T = TypeVar("T")
Held = Any  # a value that tasks take, as the executor that gave it has it


class Executor(Protocol):
    """Carries out tasks. Values that many of them take are shared with it first."""

    def share(self, value: Any) -> Held:
        """A value, to be put once where tasks take it."""
        ...

    def made(self, task: Callable[..., Any], *given: Held) -> Held:
        """What a task makes of values, shared or not: to be taken by other tasks, and to stay where they are."""
        ...

    def each(self, task: Callable[..., T], items: Iterable[Any], *shared: Held) -> list[T]:
        """task(item, *shared) for every item, in order. For what is much alike and short, such as neurons."""
        ...

    def steps(self, task: Callable[..., T], items: Iterable[Any], *shared: Held) -> Iterator[T]:
        """The same one by one, each with all threads for itself. For what is long, such as epsilons."""
        ...

    def beside(self, streams: Sequence[Iterator[T]]) -> list[Iterator[T]]:
        """Streams that do not depend on each other, which may be carried on before they are asked for more."""
        ...


class Local:
    """Here: neurons on as many threads as torch has, everything else in turn and when it is asked for."""

    def share(self, value: Any) -> Held:
        return value

    def made(self, task: Callable[..., Any], *given: Held) -> Held:
        with threads.alone():
            return task(*given)

    def each(self, task: Callable[..., T], items: Iterable[Any], *shared: Held) -> list[T]:
        return threads.each(lambda item: task(item, *shared), items)

    def steps(self, task: Callable[..., T], items: Iterable[Any], *shared: Held) -> Iterator[T]:
        for item in items:
            yield self.made(task, item, *shared)

    def beside(self, streams: Sequence[Iterator[T]]) -> list[Iterator[T]]:
        return list(streams)


LOCAL = Local()
_current: ContextVar[Executor] = ContextVar("executor", default=LOCAL)


def current() -> Executor:
    """Who carries out what is asked for here."""
    return _current.get()


def stepwise(executor: Executor, stream: Iterator[T]) -> Iterator[T]:
    """A stream whose tasks this one carries out, and nothing that is done in between."""
    while True:
        with carried_out_by(executor):
            try:
                value = next(stream)
            except StopIteration:
                return
        yield value


@contextmanager
def carried_out_by(executor: Executor) -> Iterator[None]:
    """Meanwhile, have tasks carried out by this one."""
    before = _current.set(executor)
    try:
        yield
    finally:
        _current.reset(before)
