"""A request under way: once for all who asked the same, and held while others have their turn."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nettrim_core.forks import Worker
from nettrim_core.tally import Tally


class Status(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(eq=False)
class Span:
    """When something was worked on, by ``time.monotonic``.

    turns: from when to when each, the last one perhaps still open (None); ended: is there no other to come?
    """

    turns: list[tuple[float, float | None]] = field(default_factory=list)
    ended: bool = False

    @property
    def seconds(self) -> float:
        """All of them so far."""
        return self.after(0.0, time.monotonic())

    def after(self, moment: float, now: float) -> float:
        """How many seconds, so far, are later than a moment."""
        return sum(max((now if end is None else min(end, now)) - max(begin, moment), 0.0) for begin, end in self.turns)

    def begin(self) -> None:
        self.end()
        self.turns.append((time.monotonic(), None))

    def end(self) -> None:
        if self.turns and self.turns[-1][1] is None:
            self.turns[-1] = self.turns[-1][0], time.monotonic()


@dataclass(eq=False)
class Job:
    """What somebody asked of :mod:`nettrim_core.worker`; ``on_answer`` gets each answer, ``on_change`` the job after
    each answer and whenever its status is another, both in some thread of the pool's.

    total: how many answers are expected; owner: who asked, None for somebody else every time; done: how many came;
    error: why it failed, one sentence; span: when it was worked on.
    """

    request: dict[str, Any]
    total: int
    on_answer: Callable[[dict[str, Any]], None]
    on_change: Callable[[Job], None] = lambda job: None
    owner: Hashable = None
    status: Status = Status.QUEUED
    done: int = 0
    error: str = ""
    span: Span = field(default_factory=Span)
    _cancel: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def active(self) -> bool:
        return self.status in (Status.QUEUED, Status.RUNNING)

    def cancel(self) -> None:
        """Stop now; answers that have come stay. Does nothing to a job that has ended."""
        self._cancel()

    def take(self, answer: dict[str, Any]) -> None:
        self.on_answer(answer)
        self.done += 1
        self.on_change(self)

    def become(self, status: Status, error: str = "") -> None:
        if status is self.status:
            return
        self.status, self.error = status, error
        if not self.active:
            self.span.end()
            self.span.ended = True
        self.on_change(self)


@dataclass(eq=False)
class Flight:
    """The jobs of one request, in a worker that is theirs from the first turn to the last.

    answers: those that have come, for whoever asks the same later. last: the number of its last turn, 0 before the
    first; since: when that began, infinity while it has none and before its worker is there. trial: is this turn only
    to see whether it ends in it, its answers kept back meanwhile? tally: where ends and answers are counted.
    """

    request: dict[str, Any]
    key: str
    tally: Tally
    jobs: list[Job] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    worker: Worker | None = None
    last: int = 0
    since: float = math.inf
    trial: bool = False
    ended: bool = False
    _lock: threading.RLock = field(default_factory=threading.RLock)  # taken before the pool's, never after it

    @property
    def owners(self) -> list[Hashable]:
        return [job if job.owner is None else job.owner for job in list(self.jobs)]

    def join(self, job: Job) -> bool:
        """Let this job have all that has come and will come, its request being the one that is carried out from now on;
        False where it ended meanwhile."""
        with self._lock:
            if self.ended:
                return False
            job.request = self.request
            if self.since < math.inf:
                job.span.begin()
            if any(other.status is Status.RUNNING for other in self.jobs):
                job.become(Status.RUNNING)
                for answer in self.answers:
                    job.take(answer)
            self.jobs.append(job)
            return True

    def leave(self, job: Job) -> bool:
        """A job is cancelled; was it the last that wanted this?"""
        with self._lock:
            if not job.active:
                return False
            self.jobs.remove(job)
            self.ended = not self.jobs
            self._end(job, Status.CANCELLED)
            return self.ended

    def begin(self) -> None:
        """A turn begins, unless its worker was gone before it could."""
        with self._lock:
            if self.ended:
                return
            self._all(lambda job: job.span.begin())
            if not self.trial:
                self._all(lambda job: job.become(Status.RUNNING))

    def pause(self) -> None:
        """A turn is over. Called where nobody else begins one."""
        self.since = math.inf
        self._all(lambda job: job.span.end())

    def hear(self, worker: Worker, answer: dict[str, Any]) -> None:
        """An answer of this worker's, if it is still at work for this."""
        with self._lock:
            if worker is self.worker:
                self.answers.append(answer)
                self.tally.answered()
                if not self.trial:
                    self._all(lambda job: job.take(answer))

    def pass_trial(self) -> None:
        """What was kept back goes out, and it goes on as others do."""
        with self._lock:
            if self.trial:
                self.trial = False
                self._all(lambda job: job.become(Status.RUNNING))
                for answer in self.answers:
                    self._all(lambda job, answer=answer: job.take(answer))

    def fail_trial(self) -> None:
        """It does not end in one turn: another time it begins anew."""
        with self._lock:
            self.trial, self.worker = False, None
            self.answers.clear()
            self.pause()

    def end(self, worker: Worker, status: Status, error: str = "") -> None:
        """This worker, if it is still at work for this, has come to an end with it."""
        with self._lock:
            if worker is self.worker and not self.ended:
                self.pass_trial()
                self.ended = True
                self._all(lambda job: self._end(job, status, error))

    def _end(self, job: Job, status: Status, error: str = "") -> None:
        job.become(status, error)
        self.tally.end(status.value, job.span.seconds if job.span.turns else None)

    def _all(self, act: Callable[[Job], None]) -> None:
        for job in list(self.jobs):
            act(job)


def in_turn(flights: Iterable[Flight], served: Mapping[Hashable, int]) -> list[Flight]:
    """Who is next: whose owner's last turn is the longest ago, of one owner's the one whose own is, and then what came
    first.

    served: owner -> the number of their last turn; who is not in it had none.
    """

    def place(flight: Flight) -> tuple[int, int]:
        return min((served.get(owner, 0) for owner in flight.owners), default=0), flight.last

    return sorted(flights, key=place)
