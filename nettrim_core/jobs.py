"""A pool of worker processes for many: jobs take turns, stream their answers, and are cancelled by killing a worker.

Turns go round the owners, not the jobs. A job that is not done when its turn is over, while somebody else waits, is
held where it is, in the middle of a solve (SIGSTOP), and goes on in its next turn (SIGCONT); nothing is solved twice.
So a newcomer waits for no longer than the turns of others who are new as well, whatever all the rest are at. Where as
many jobs have begun as there is room for, a first turn is a trial: a short question ends in it, and what is longer
begins anew when there is room.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Hashable
from functools import partial
from typing import Any

from nettrim_core.configuration import Work
from nettrim_core.flight import Flight, Job, Span, Status, in_turn
from nettrim_core.forks import Worker, Workers
from nettrim_core.tally import Condition, Tally

__all__ = ["Job", "Pool", "Span", "Status"]

TURN = 2.0  # seconds
LOOK = 0.1  # seconds between looks at whose turn is over, while somebody waits
HOPELESS = 3  # workers in a row that ended before they answered anything: so will the next one
GONE = "the worker process ended unexpectedly, perhaps for lack of memory; try fewer samples"


class Pool:
    """Safe to use from many threads. limits: None for what is configured. tally: what was done."""

    def __init__(self, limits: Work | None = None) -> None:
        self.limits = limits or Work.configured()
        self.tally = Tally()
        self._workers = Workers(self.limits)
        self._changed = threading.Condition()
        self._running: list[Flight] = []
        self._waiting: list[Flight] = []
        self._at: dict[Worker, Flight] = {}
        self._idle: list[Worker] = []  # what they hold from the last question may answer the next
        self._seen: dict[Worker, set[str]] = {}  # of all that live, the networks that somebody brought
        self._leaving: set[Worker] = set()  # after what they are at
        self._served: dict[Hashable, int] = {}
        self._numbers = itertools.count(1)
        self._futile = 0  # workers in a row that ended of themselves without an answer
        self._closed = False
        self._workers.warm_up()
        self._clock = threading.Thread(target=self._keep_time, name="nettrim-turns", daemon=True)
        self._clock.start()

    def submit(self, job: Job) -> Job:
        """Have it done, with any other job that asks the same at this time. Who has too many already is refused."""
        # which record is kept of it is no part of what is asked
        key = json.dumps({**job.request, "run": "run" in job.request}, sort_keys=True)
        while (flight := self._flight(key, job)) is not None:
            job._cancel = partial(self._cancel, flight, job)
            if flight.join(job):
                self._dispatch()
                return job
        self.tally.end(Status.FAILED.value, None)
        job.become(Status.FAILED, f"you have {self.limits.waiting} jobs here already, and this server takes no more of "
                   "one visitor; let one end, or stop one")  # fmt: skip
        return job

    def ahead_of(self, job: Job) -> int:
        """How many have their turn before this one has its next; 0 for one that has it now, or has ended."""
        with self._changed:
            for place, flight in enumerate(in_turn(self._waiting, self._served)):
                if job in flight.jobs:
                    return place if self._may(flight) else max(place, 1)
        return 0

    def forget(self, name: str = "") -> None:
        """Have no worker that knows of this network, or where none is named of anything, once it has nothing to do."""
        with self._changed:
            for worker in [worker for worker, names in self._seen.items() if not name or name in names]:
                if worker in self._at:
                    self._leaving.add(worker)
                else:
                    self._retire(worker)

    def condition(self) -> Condition:
        """As it is now; starts nothing."""
        with self._changed:
            return Condition(
                able=self._clock.is_alive() and not self._closed and self._futile < HOPELESS,
                workers=self.limits.places,
                pids=tuple(worker.pid for worker in self._seen if worker.pid),
                running=sum(len(flight.jobs) for flight in self._running),
                waiting=sum(len(flight.jobs) for flight in self._waiting),
            )

    def close(self) -> None:
        """End all workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._workers.close()

    def _flight(self, key: str, job: Job) -> Flight | None:
        """What is under way for this request, or else a new one; None for an owner who has too many."""
        with self._changed:
            flights = [*self._running, *self._waiting]
            flight = next((each for each in flights if each.key == key and not each.ended), None)
            if flight is None and sum(job.owner in each.owners for each in flights) < self.limits.waiting:
                flight = Flight(job.request, key, self.tally)
                self._waiting.append(flight)
            return flight

    def _may(self, flight: Flight) -> bool:
        """May it have a turn? Not before there is room, if it did not end in its first one."""
        return flight.worker is not None or flight.last == 0 or self._begun() < self.limits.room

    def _begun(self) -> int:
        return sum(flight.worker is not None for flight in [*self._running, *self._waiting])

    def _dispatch(self) -> None:
        """Give the places that are free to those whose turn it is."""
        begun: list[tuple[Flight, Worker, bool]] = []
        with self._changed:
            while len(self._running) < self.limits.places and not self._closed:
                flight = next(filter(self._may, in_turn(self._waiting, self._served)), None)
                if flight is None:
                    break
                self._waiting.remove(flight)
                flight.last = next(self._numbers)
                self._served |= dict.fromkeys(flight.owners, flight.last)
                fresh = flight.worker is None
                if flight.worker is None:
                    flight.trial = self._begun() >= self.limits.room
                    flight.worker = self._idle.pop() if self._idle else self._fork()
                    self._seen[flight.worker] |= set(flight.request.get("folders", ()))
                    self._at[flight.worker] = flight
                self._running.append(flight)
                begun.append((flight, flight.worker, fresh))
            if not self._waiting:  # nobody is to be remembered but for those who wait, and may yet
                owners = {owner for flight in self._running for owner in flight.owners}
                self._served = {owner: last for owner, last in self._served.items() if owner in owners}
            self._changed.notify_all()
        for flight, worker, fresh in begun:
            if fresh:
                with contextlib.suppress(OSError):  # it is gone, as its listener finds
                    worker.ask(flight.request)
            worker.go_on()
            if worker.pid:
                flight.since = time.monotonic()
            flight.begin()

    def _fork(self) -> Worker:
        worker = self._workers.fork()
        self._seen[worker] = set()
        self.tally.started()
        threading.Thread(target=self._listen, args=(worker,), name="nettrim-worker", daemon=True).start()
        return worker

    def _listen(self, worker: Worker) -> None:
        """Take what a worker says, as long as it lives."""
        why = GONE
        try:
            worker.arrive()
            with self._changed:
                if worker in self._at:
                    self._at[worker].since = time.monotonic()
            for answer in worker.answers():
                self._heard(worker, answer)
        except ConnectionResetError:  # it ended before it read what it was asked
            pass
        except (OSError, ValueError) as error:  # a line cut off
            why = f"the worker process cannot be understood or reached: {error}"
        finally:
            with self._changed:
                flight = self._at.get(worker)
                if worker in self._seen and not self._closed:  # nobody ended it
                    self._futile += 1
                    self.tally.died()
            self._finish(worker, flight, Status.FAILED, why)

    def _heard(self, worker: Worker, answer: dict[str, Any]) -> None:
        with self._changed:
            flight = self._at.get(worker)
        if flight is None:
            return
        self._futile = 0
        if "error" in answer:
            self._finish(worker, flight, Status.FAILED, answer["error"])
        elif "done" in answer:
            self._finish(worker, flight, Status.DONE)
        else:
            flight.hear(worker, answer)

    def _finish(self, worker: Worker, flight: Flight | None, status: Status, error: str = "") -> None:
        """A worker has come to an end with what it was at. It is not asked again if it failed, after which nobody knows
        its state, nor while somebody waits, for whom what it holds of the last job would take memory."""
        if flight is not None:
            flight.end(worker, status, error)
        with self._changed:
            if flight is not None and flight.worker is worker:
                self._take_out(flight)
            self._at.pop(worker, None)
            if status is Status.FAILED or worker in self._leaving or self._waiting:
                self._retire(worker)
            elif worker in self._seen:
                worker.go_on()
                self._idle.append(worker)
                for other in self._idle[: -self.limits.places]:
                    self._retire(other)
        self._dispatch()

    def _cancel(self, flight: Flight, job: Job) -> None:
        if flight.leave(job):
            with self._changed:
                self._take_out(flight)
                if flight.worker is not None:
                    self._at.pop(flight.worker, None)
                    self._retire(flight.worker)
            self._dispatch()

    def _take_out(self, flight: Flight) -> None:
        for flights in (self._running, self._waiting):
            if flight in flights:
                flights.remove(flight)

    def _retire(self, worker: Worker) -> None:
        worker.kill()
        self._seen.pop(worker, None)
        self._leaving.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)

    def _keep_time(self) -> None:
        """See to it that turns end where somebody waits."""
        while not self._closed:
            passed: list[Flight] = []
            failed: list[Flight] = []
            with self._changed:
                undecided = bool(self._waiting) or any(flight.trial for flight in self._running)
                self._changed.wait(LOOK if undecided else None)
                room = self._begun() <= self.limits.room
                for flight in list(self._running):
                    if flight.trial and room:
                        passed.append(flight)
                    if time.monotonic() - flight.since < TURN or self._is_next(flight):
                        continue
                    assert flight.worker is not None
                    if flight.trial and not room:
                        self._take_out(flight)
                        self._at.pop(flight.worker)
                        self._retire(flight.worker)
                        failed.append(flight)
                    elif flight.worker.hold():
                        self._take_out(flight)
                        flight.pause()
                        self._waiting.append(flight)
            for flight in passed:
                flight.pass_trial()
            for flight in failed:
                flight.fail_trial()
            with self._changed:
                self._waiting += [flight for flight in failed if not flight.ended]
            self._dispatch()

    def _is_next(self, flight: Flight) -> bool:
        """Would a running flight have the next turn as well?"""
        return in_turn([flight, *filter(self._may, self._waiting)], self._served)[0] is flight
