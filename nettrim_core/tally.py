"""A pool of workers in numbers, for those who look after a server. No name of anything is in them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

BOUNDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # seconds of a job, each bin up to one of them


@dataclass(frozen=True)
class Condition:
    """A pool at a moment. able: will a job that comes now be worked on? workers: how many of them work at the same
    time at most; pids: those that live; running, waiting: jobs."""

    able: bool
    workers: int
    pids: tuple[int, ...]
    running: int
    waiting: int

    @property
    def jobs(self) -> int:
        return self.running + self.waiting


class Tally:
    """What a pool has done since it began. Safe to use from many threads.

    ended: jobs by how they ended; seconds: how many that had run took so long, by bin, the last one open; total: all
    their seconds; starts: of worker processes; deaths: of those that nobody ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.ended: Mapping[str, int] = Counter()
        self.seconds = (0,) * (len(BOUNDS) + 1)
        self.total = 0.0
        self.answers = self.starts = self.deaths = 0

    def started(self) -> None:
        with self._lock:
            self.starts += 1

    def died(self) -> None:
        with self._lock:
            self.deaths += 1

    def answered(self) -> None:
        with self._lock:
            self.answers += 1

    def end(self, how: str, took: float | None) -> None:
        """took: seconds; None for a job that never had a worker."""
        with self._lock:
            self.ended = Counter(self.ended) + Counter([how])
            if took is not None:
                place = sum(took > bound for bound in BOUNDS)
                self.seconds = tuple(n + (i == place) for i, n in enumerate(self.seconds))
                self.total += took
