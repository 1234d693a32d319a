"""Tasks on the workers of a Dask scheduler (https://distributed.dask.org): an executor for more than one machine.

What is shared is known by its content, lies on the workers that took it, and goes when nobody here refers to it any
more. What is asked of a worker is a function of that alone, so that when workers go, others do their tasks; and what
was shared and went with the last worker that had it is sent or made once more.

A worker does one task at a time, as the numbers of threads that its libraries use are those of the process; and by the
same sources and packages as whoever asks, as the bits would be others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

import torch

from nettrim_core import environment
from nettrim_core.ahead import Ahead
from nettrim_core.durable.address import solver
from nettrim_core.executor import LOCAL, Held
from nettrim_core.faults import first_line
from nettrim_core.sent import Sent

T = TypeVar("T")
INSTALL = "to work with a scheduler, install Dask's distributed: pip install 'nettrim-studio[cluster]'"
CARRY_ON = "what is finished is kept, and nettrim resume carries on, with --scheduler of another one, or '' for here"
CONNECT = 10.0  # seconds in which a scheduler must answer
ARRIVE = 60.0  # seconds in which there must be a worker
LOOK = 1.0  # seconds between looks at whether the scheduler is still there
CHUNKS = 4  # of neurons, for each worker: a few, as some take longer than others
LEAST = 0.1  # seconds that a chunk should take, as each costs some hundredths
AHEAD = 2  # epsilons for each worker that are asked for before they are wanted
ATTEMPTS = 20  # at what keeps being lost
SMALL = 10**6  # bytes that may go by way of the scheduler


@dataclass(frozen=True)
class Slot:
    """In place of an argument that lies on the workers."""

    number: int


@dataclass(frozen=True)
class Work:
    """What a worker is asked: the task for these items, or with none of them, once. version, versions: the sources and
    packages of whoever asks."""

    task: Callable[..., Any]
    items: Sequence[Any] | None
    arguments: Sequence[Any]
    threads: int
    version: str
    versions: tuple[tuple[str, str], ...]


def carry_out(asked: Sent, *held: Sent) -> Sent:
    """On a worker."""
    work: Work = asked.value
    admitted(work.version, work.versions)
    torch.set_num_threads(work.threads)
    given = [held[other.number].value if isinstance(other, Slot) else other for other in work.arguments]
    if work.items is None:
        return Sent(LOCAL.made(work.task, *given))
    started = time.perf_counter()
    results = LOCAL.each(work.task, work.items, *given)
    return Sent((results, (time.perf_counter() - started) / len(work.items)))


@cache
def admitted(version: str, versions: tuple[tuple[str, str], ...]) -> None:
    """On a worker: :func:`check` it, once, as one that joins later is not looked at before."""
    check(own(), version, dict(versions))


def own(dask_worker: Any = None) -> tuple[str, int, str, dict[str, str]]:
    """On a worker: its address, how many tasks it does at a time, and what it works with."""
    from distributed import get_worker

    worker = dask_worker or get_worker()
    return worker.address, worker.state.nthreads, solver(), environment.versions()


def check(theirs: tuple[str, int, str, dict[str, str]], version: str, versions: dict[str, str]) -> None:
    """Raise ValueError, one sentence, for a worker whose results would have other bits."""
    address, tasks, their_version, their_versions = theirs
    if tasks != 1:
        raise ValueError(f"the worker {address} does {tasks} tasks at a time: start workers with --nthreads 1")
    if their_version != version:
        has = {name: (other, versions.get(name, other)) for name, other in their_versions.items()}
        others = [f"{name} {other}, not {mine}" for name, (other, mine) in has.items() if other != mine]
        raise ValueError(
            f"the worker {address} has {', '.join(others) or 'other sources of nettrim-studio'}: its results would "
            "have other bits, so install on it what is installed here"
        )


class _Lost(Exception):  # noqa: N818
    """Of a future that will not have its value."""


class Remote:
    """What lies, or is to lie, on the workers. begin: has it sent or made under a key. made_from: what it takes."""

    def __init__(self, cluster: Cluster, name: str, begin: Callable[[str], Any], made_from: Sequence[Remote]) -> None:
        self.name = name
        self._cluster, self._begin, self._made_from = cluster, begin, made_from
        self.future = begin(cluster.key(name))

    def renew(self) -> None:
        """Have it again if it was lost, and before that what it takes."""
        for other in self._made_from:
            other.renew()
        if self.future.status in ("cancelled", "lost"):
            self.future = self._begin(self._cluster.key(self.name))


class Cluster:
    """The workers of a scheduler, as an executor. client: of distributed."""

    def __init__(self, client: Any, address: str) -> None:
        self.client, self.address = client, address
        self.lock = threading.RLock()
        self._known: WeakValueDictionary[str, Remote] = WeakValueDictionary()
        self._streams: WeakSet[Ahead[Any]] = WeakSet()
        self._threads: list[threading.Thread] = []
        self._pace: dict[str, float] = {}  # seconds that an item of a task took
        self._keys, self._closed = 0, False
        self._counting = threading.Lock()
        self._asked_of: Counter[str] = Counter()  # worker -> chunks that it was asked for, and that have not ended
        self._seen: tuple[float, list[str]] = (-LOOK, [])

    def share(self, value: Any) -> Held:
        sent = Sent(value)
        return self._once(f"nettrim-{sent.content()}", lambda key: self._scattered(key, sent), [])

    def made(self, task: Callable[..., Any], *given: Held) -> Held:
        content = Sent((task, [other.name if isinstance(other, Remote) else other for other in given])).content()
        return self._once(f"{_name(task)}-{content}", *self._asked(task, None, given))

    def each(self, task: Callable[..., T], items: Iterable[Any], *shared: Held) -> list[T]:
        items, name = list(items), _name(task)
        share, few = -(-len(items) // self.places), -(-len(items) // (CHUNKS * self.places))
        size = min(max(few, math.ceil(LEAST / self._pace.get(name, LEAST))), share) or 1
        asked = [self._chunk(task, items[i : i + size], shared) for i in range(0, len(items), size)]
        chunks = self._values(asked)
        self._pace[name] = max((pace for _, pace in chunks), default=LEAST)
        return [result for results, _ in chunks for result in results]

    def steps(self, task: Callable[..., T], items: Iterable[Any], *shared: Held) -> Iterator[T]:
        asked: deque[Remote] = deque()
        for item in items:
            asked.append(self._chunk(task, [item], shared))
            if len(asked) > AHEAD * self.places:
                yield self._values([asked.popleft()])[0][0][0]
        while asked:
            yield self._values([asked.popleft()])[0][0][0]

    def beside(self, streams: Sequence[Iterator[T]]) -> list[Iterator[T]]:
        begun: list[Iterator[T]] = []
        for stream in streams:
            begun.append(ahead := Ahead(stream))
            self._streams.add(ahead)
            self._threads.append(ahead.thread)
        return begun

    @property
    def places(self) -> int:
        """How many tasks are done at the same time, or were a moment ago."""
        return max(len(self._lately()), 1)

    def key(self, name: str) -> str:
        """One that was not used before, as Dask forgets what was released only after a while."""
        with self.lock:
            self._keys += 1
            return f"{name}-{self._keys}"

    def close(self) -> None:
        """Release everything, and wait for none of it."""
        self._closed = True
        for stream in list(self._streams):
            stream.close()
        with suppress(Exception):  # of a scheduler that is gone
            self.client.close(timeout=LOOK)
        for thread in self._threads:
            thread.join(LOOK)

    def _values(self, wanted: Sequence[Remote]) -> list[Any]:
        """Wait for them. Raises what their tasks raise, and ValueError, one sentence, where they will not come."""
        for _ in range(ATTEMPTS):
            with self.lock:
                for remote in wanted:
                    remote.renew()
            with suppress(_Lost):
                return [sent.value for sent in self._results([remote.future for remote in wanted])]
            time.sleep(LOOK / 4)  # until the scheduler knows who is gone
        raise ValueError(f"workers of {self.address} come and go too fast; {CARRY_ON}")

    def _results(self, futures: list[Any]) -> list[Sent]:
        """_Lost if one will have none; ValueError if the scheduler is gone, or all workers are."""
        from distributed import CancelledError, KilledWorker

        ended = threading.Semaphore(0)
        for future in futures:
            future.add_done_callback(lambda _: ended.release())
        for _ in futures:
            self._wait(lambda: ended.acquire(timeout=LOOK))

        async def gathered() -> list[Sent]:
            return await self.client.gather(futures, direct=True, asynchronous=True)

        coming = asyncio.run_coroutine_threadsafe(gathered(), self.client.loop.asyncio_loop)
        try:
            self._wait(lambda: bool(wait([coming], LOOK).done))
            return coming.result()
        except ImportError as error:
            raise ValueError(f"a worker of {self.address} has no nettrim-studio of this version ({error})") from error
        except (CancelledError, OSError):
            if any(future.status == "error" for future in futures):
                raise
            self._check()
            raise _Lost from None
        except KilledWorker as error:
            raise ValueError(
                f"workers of {self.address} ended one after the other at the same task, perhaps for lack of memory; "
                f"{CARRY_ON}"
            ) from error

    def _wait(self, ended: Callable[[], bool]) -> None:
        """Until that is so; it may take LOOK to say. Without Dask's timeouts, whose exceptions hold on to what is in
        use here."""
        seen = time.monotonic()
        while True:
            self._check()
            if ended():
                return
            if self._workers():
                seen = time.monotonic()
            elif time.monotonic() - seen > ARRIVE:
                raise ValueError(f"no worker is left at {self.address}; {CARRY_ON}")

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the work was given up")
        if self.client.status != "running":
            raise ValueError(f"the scheduler at {self.address} is gone; {CARRY_ON}")

    def _workers(self) -> list[str]:
        """Their addresses."""
        try:
            return sorted(self.client.nthreads())
        except (OSError, AttributeError, ValueError):  # the scheduler is going
            return []

    def _lately(self) -> list[str]:
        """The same, or as it was a moment ago."""
        if time.monotonic() - self._seen[0] > LOOK:
            self._seen = time.monotonic(), self._workers()
        return self._seen[1]

    def _least_asked(self) -> str | None:
        """A worker to ask next. Dask would give every task to whoever has what it takes, which is one worker at first,
        and have the others take some over little by little."""
        return min(self._lately(), key=self._asked_of.__getitem__, default=None)

    def _count(self, worker: str | None, more: int) -> None:
        with self._counting:
            self._asked_of[worker or ""] += more

    def _once(self, name: str, begin: Callable[[str], Any], made_from: Sequence[Remote]) -> Remote:
        """What has this name, which stands for its content: begun if it is not there."""
        with self.lock:
            found = self._known.get(name)
            if found is None:
                found = self._known[name] = Remote(self, name, begin, made_from)
            return found

    def _chunk(self, task: Callable[..., Any], items: Sequence[Any], shared: Sequence[Held]) -> Remote:
        return Remote(self, _name(task), *self._asked(task, items, shared))

    def _asked(
        self, task: Callable[..., Any], items: Sequence[Any] | None, given: Sequence[Held]
    ) -> tuple[Callable[[str], Any], list[Remote]]:
        """How a task is begun, and what it takes of what lies on the workers."""
        held = [other for other in given if isinstance(other, Remote)]
        slots = iter(range(len(held)))
        arguments = [Slot(next(slots)) if isinstance(other, Remote) else other for other in given]
        work = Sent(
            Work(
                task, items, arguments, torch.get_num_threads(), solver(), tuple(sorted(environment.versions().items()))
            )
        )

        def begin(key: str) -> Any:
            self._check()
            asked = work if work.size < SMALL else self._scattered(f"{key}-asked", work)
            worker = None if items is None else self._least_asked()
            self._count(worker, 1)
            future = self.client.submit(
                carry_out, asked, *[other.future for other in held], key=key, pure=False,
                workers=worker and [worker], allow_other_workers=worker is not None,  # who has nothing to do takes it
            )  # fmt: skip
            future.add_done_callback(lambda _: self._count(worker, -1))
            return future

        return begin, held

    def _scattered(self, key: str, sent: Sent) -> Any:
        """A value on one worker, from which others have it when they need it."""
        begun = time.monotonic()
        for attempt in itertools.count():
            self._check()
            if time.monotonic() - begun > ARRIVE:
                break
            with suppress(OSError, TimeoutError):  # the worker is gone
                return self.client.scatter({f"{key}-{attempt}": sent}, direct=True, timeout=CONNECT)[f"{key}-{attempt}"]
        raise ValueError(f"no worker of {self.address} can be reached from here; {CARRY_ON}")


def _name(task: Callable[..., Any]) -> str:
    return f"nettrim-{getattr(getattr(task, 'func', task), '__name__', 'task').strip('_')}"


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """The workers of the scheduler at an address, such as tcp://10.0.0.1:8786, until they are no longer needed. Raises
    ValueError, one sentence, where that cannot be or must not."""
    if not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", address):
        raise ValueError(f"scheduler = {address!r} is no address of a scheduler; one is tcp://10.0.0.1:8786")
    try:
        import dask.config
        import distributed
    except ImportError as error:
        raise ValueError(f"{address}: {INSTALL}") from error
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is said in a sentence
    with dask.config.set({"distributed.comm.timeouts.connect": f"{CONNECT:g}s"}):
        try:
            client = _soon(lambda: distributed.Client(address, timeout=CONNECT, set_as_default=False, name="nettrim"))
        except Exception as error:  # whatever it is that answers there
            raise ValueError(
                f"no scheduler answers at {address} ({first_line(error) or type(error).__name__}): start one with "
                "dask scheduler, or leave it out to solve here"
            ) from error
        cluster = Cluster(client, address)
        try:
            _admit(cluster)
            yield cluster
        finally:
            cluster.close()


def _soon(make: Callable[[], T]) -> T:
    """What is made in time. TimeoutError otherwise, after which nobody waits for it any more."""
    made: Future[T] = Future()

    def begin() -> None:
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    threading.Thread(target=begin, name="nettrim-connect", daemon=True).start()
    try:
        return made.result(1.5 * CONNECT)
    except TimeoutError as error:
        raise TimeoutError(str(error) or "it says nothing") from error


def _admit(cluster: Cluster) -> None:
    """Look at the scheduler, wait for a worker, and look at all that are there."""
    try:
        theirs = cluster.client.run_on_scheduler(solver)
    except Exception as error:
        theirs = first_line(error)
    if theirs != solver():
        raise ValueError(
            f"the scheduler at {cluster.address} has no nettrim-studio of this version: install on it what is "
            "installed here, as all tasks pass through it"
        )
    try:
        cluster.client.wait_for_workers(1, timeout=ARRIVE)
    except TimeoutError as error:
        raise ValueError(
            f"there is no worker at {cluster.address}: start some with dask worker {cluster.address} --nthreads 1"
        ) from error
    for address, found in cluster.client.run(own, on_error="return").items():
        if isinstance(found, Exception):
            raise ValueError(f"the worker {address} has no nettrim-studio of this version ({found}): install it there")
        check(found, solver(), environment.versions())
