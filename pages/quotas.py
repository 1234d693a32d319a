"""What one visitor may use up in an hour where strangers come, so that there is something left for others. No
Streamlit."""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nettrim_core.configuration import Public
from nettrim_core.jobs import Job, Span, Status

HOUR = 3600.0
MOST_VISITORS = 10_000  # that are remembered; those who came the longest ago go first
WORDS = {"uploads": "uploads", "networks": "networks of one's own", "solving": "seconds of solving"}


@dataclass(eq=False)
class Account:
    """When a visitor brought what, and when something was solved for them."""

    uses: dict[str, deque[float]] = field(default_factory=lambda: {"uploads": deque(), "networks": deque()})
    spans: deque[Span] = field(default_factory=deque)


class Quotas:
    """Safe to use from many threads. clock: seconds, as of :func:`time.monotonic`, by which jobs go too."""

    def __init__(
        self, limits: Callable[[], Public] = Public.configured, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits, self.clock = limits, clock
        self._lock = threading.Lock()
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def use(self, visitor: str, what: str) -> None:
        """Count one of the "uploads" or "networks"; ValueError, one sentence, where there were as many as may be."""
        limits, now = self.limits(), self.clock()
        if not limits.on:
            return
        with self._lock:
            times, most = self._account(visitor).uses[what], getattr(limits, what)
            while times and times[0] <= now - HOUR:
                times.popleft()
            if len(times) >= most:
                raise ValueError(f"{_said(what, most, times[len(times) - most] + HOUR - now)}.")
            times.append(now)

    def start(self, visitor: str, job: Job, submit: Callable[[Job], object]) -> None:
        """Submit a job, or have it fail with a sentence where this visitor's jobs took as long as they may."""
        limits, now = self.limits(), self.clock()
        if not limits.on:
            submit(job)
            return
        with self._lock:
            spans = self._account(visitor).spans
            while spans and spans[0].ended and not spans[0].after(now - HOUR, now):
                spans.popleft()
            if _taken(spans, now) >= limits.solving:
                job.become(Status.FAILED, _said("solving", limits.solving, _until_free(spans, now, limits.solving)))
                return
            spans.append(job.span)
        submit(job)

    def _account(self, visitor: str) -> Account:
        """Needs the lock."""
        account = self._accounts.setdefault(visitor, Account())
        self._accounts.move_to_end(visitor)
        while len(self._accounts) > MOST_VISITORS:
            self._accounts.popitem(last=False)
        return account


def _taken(spans: Iterable[Span], now: float, ahead: float = 0.0) -> float:
    """Seconds, so far, of what will be the last hour so many seconds ahead."""
    return sum(span.after(now + ahead - HOUR, now) for span in spans)


def _until_free(spans: Iterable[Span], now: float, most: float) -> float:
    """The whole seconds until less than so many were taken in the hour before, if nothing more is."""
    return float(bisect.bisect_left(range(int(HOUR)), True, key=lambda ahead: _taken(spans, now, ahead) < most))


def _said(what: str, most: int, seconds: float) -> str:
    minutes = max(math.ceil(seconds / 60), 1)
    return (
        f"{most:,} {WORDS[what]} in an hour are the most that a visitor has here, and you had them: go on in "
        f"{minutes} minute{'s' * (minutes > 1)}"
    )
