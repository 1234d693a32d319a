"""A pool of one worker process: jobs wait their turn, stream their answers, and are cancelled by killing the worker."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from nettrim_core.tally import Condition, Tally

NICENESS = 10  # of the worker, from its first moment: the page's own process goes first
HOPELESS = 3  # workers in a row that ended before they answered anything: so will the next one


class Status(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(eq=False)
class Span:
    """When something began and ended, by ``time.monotonic``; None while it has not."""

    began: float | None = None
    ended: float | None = None

    def after(self, moment: float, now: float) -> float:
        """How many seconds of it, so far, are later than a moment."""
        began, ended = (now if at is None else at for at in (self.began, self.ended))
        return max(min(ended, now) - max(began, moment), 0.0)


@dataclass(eq=False)
class Job:
    """A request to :mod:`nettrim_core.worker`; ``on_answer`` gets each answer, in the pool's thread.

    total: how many answers are expected; done: how many came; error: why it failed, one sentence; span: when it ran.
    on_change: hears of every answer, and of every status that it comes to but the first.
    """

    request: dict[str, Any]
    total: int
    on_answer: Callable[[dict[str, Any]], None]
    status: Status = Status.QUEUED
    done: int = 0
    error: str = ""
    span: Span = field(default_factory=Span)
    on_change: Callable[[Job], None] = field(default=lambda job: None, repr=False)
    _cancel: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def active(self) -> bool:
        return self.status in (Status.QUEUED, Status.RUNNING)

    def fail(self, error: str) -> None:
        """End a job that has not been submitted."""
        self.status, self.error, self.span.ended = Status.FAILED, error, time.monotonic()
        self.on_change(self)

    def cancel(self) -> None:
        """Stop now; answers that have come stay. Does nothing to a job that has ended."""
        self._cancel()


class Pool:
    """Jobs run one at a time, in the order they came. Safe to use from many threads. tally: what was done."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._futile = 0  # workers in a row that ended of themselves without an answer
        self._job: Job | None = None  # the one that a worker has
        self._lock = threading.Lock()
        self._queue: queue.Queue[Job] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, name="nettrim-pool", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Job:
        job._cancel = lambda: self._cancel(job)
        self._queue.put(job)
        return job

    def ahead_of(self, job: Job) -> int:
        """How many jobs are to end before this one starts."""
        if job.status is not Status.QUEUED:
            return 0
        with self._queue.mutex:
            waiting = list(self._queue.queue)
        return 1 + sum(other.active for other in waiting[: waiting.index(job)]) if job in waiting else 0

    def condition(self) -> Condition:
        """As it is now. Takes no lock that is held for long, and starts nothing."""
        with self._queue.mutex:
            waiting = sum(job.active for job in self._queue.queue)
        process, job = self._process, self._job
        return Condition(
            able=self._thread.is_alive() and self._futile < HOPELESS,
            workers=1,
            pids=() if process is None or process.poll() is not None else (process.pid,),
            running=int(job is not None and job.status is Status.RUNNING),
            waiting=waiting,
        )

    def close(self) -> None:
        """End the worker process."""
        with self._lock:
            self._kill()

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if not job.active:
                return
            running, job.status, job.span.ended = job.status is Status.RUNNING, Status.CANCELLED, time.monotonic()
            self.tally.end(job.status.value, job.span.began)
            if running:
                self._kill()
                self._start()  # so that the next job finds a warm worker
        job.on_change(job)

    def _start(self) -> subprocess.Popen[str]:
        """The living worker; needs the lock."""
        if self._process is None or self._process.poll() is not None:
            root = str(Path(__file__).resolve().parents[1])
            path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nettrim_core.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # waiting threads that spin take the cores from the server and the browser, and from each other
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path},
            )
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
            self.tally.started()
        return self._process

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _run(self) -> None:
        with self._lock:
            self._start()
        while True:
            job = self._queue.get()
            with self._lock:
                if job.status is Status.CANCELLED:
                    continue
                job.status, job.span.began, self._job = Status.RUNNING, time.monotonic(), job
                process = self._start()
            job.on_change(job)
            try:
                self._serve(job, process)
            except (OSError, ValueError) as error:  # a broken pipe, or a line cut off
                self._died(job)
                self._end(job, Status.FAILED, f"the worker process cannot be understood or reached: {error}")
            self._job = None

    def _serve(self, job: Job, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job.request) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            self._futile = 0
            if job.status is Status.CANCELLED:
                return
            if "error" in answer:
                self._end(job, Status.FAILED, answer["error"])
                return
            if "done" in answer:
                self._end(job, Status.DONE)
                return
            self.tally.answered()
            job.on_answer(answer)
            job.done += 1
            job.on_change(job)
        self._died(job)
        self._end(
            job, Status.FAILED, "the worker process ended unexpectedly, perhaps for lack of memory; try fewer samples"
        )

    def _died(self, job: Job) -> None:
        """The worker is gone, or cannot be understood; nobody's doing if the job was to go on."""
        if job.status is Status.RUNNING:
            self._futile += 1
            self.tally.died()

    def _end(self, job: Job, status: Status, error: str = "") -> None:
        with self._lock:
            if job.status is not Status.RUNNING:
                return
            self.tally.end(status.value, job.span.began)
            job.status, job.error, job.span.ended = status, error, time.monotonic()
        job.on_change(job)
