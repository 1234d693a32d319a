"""What a visitor may use up in an hour, by a clock that the test turns."""

from __future__ import annotations

import time

import pytest
from streamlit.testing.v1 import AppTest

from nettrim_core.configuration import Public
from nettrim_core.jobs import Job, Status
from pages import brought
from pages.quotas import HOUR, Quotas
from tests.test_page_bring import errors, give, opened, text

LIMITS = Public(on=True, uploads=3, networks=1, solving=100)


class Hour:
    """Quotas, and jobs that take as long as is said."""

    def __init__(self, limits: Public = LIMITS) -> None:
        self.now = 10_000.0
        self.quotas = Quotas(lambda: limits, lambda: self.now)
        self.submitted: list[Job] = []

    def job(self, visitor: str = "a") -> Job:
        job = Job({}, 1, lambda _: None)
        self.quotas.start(visitor, job, self.submitted.append)
        return job

    def run(self, seconds: float, visitor: str = "a") -> Job:
        job = self.job(visitor)
        assert job in self.submitted
        job.span.turns.append((self.now, self.now + seconds))
        self.now += seconds
        job.span.ended, job.status = True, Status.DONE
        return job


def test_uploads_are_counted_by_the_hour_and_by_the_visitor() -> None:
    here = Hour()
    for minutes in (0, 10, 10):
        here.now += 60 * minutes
        here.quotas.use("a", "uploads")
    with pytest.raises(ValueError, match=r"3 uploads in an hour are the most .*: go on in 40 minutes\.$"):
        here.quotas.use("a", "uploads")
    here.quotas.use("b", "uploads")
    here.quotas.use("a", "networks")
    with pytest.raises(ValueError, match="1 networks of one's own"):
        here.quotas.use("a", "networks")
    here.now += 40 * 60 - 1
    with pytest.raises(ValueError, match=r"go on in 1 minute\.$"):
        here.quotas.use("a", "uploads")
    here.now += 1
    here.quotas.use("a", "uploads")
    with pytest.raises(ValueError, match="go on in 10 minutes"):
        here.quotas.use("a", "uploads")


def test_solving_is_counted_as_long_as_it_lies_in_the_last_hour() -> None:
    here = Hour()
    here.run(60)
    here.now += 600
    here.run(39)
    here.run(11, "b")
    here.run(2)  # begun within the limit
    refused = here.job()
    assert (refused.status, refused in here.submitted) == (Status.FAILED, False)
    # 101 seconds were taken, two of the first job's have to be more than an hour ago: 3600 - 712 + 1.x
    assert refused.error.startswith("100 seconds of solving in an hour are the most")
    assert refused.error.endswith("go on in 49 minutes")
    here.now += HOUR - 712 + 1
    assert here.job().status is Status.FAILED
    here.now += 1
    assert here.job().status is Status.QUEUED


def test_what_waits_costs_nothing_and_what_runs_costs_as_it_runs() -> None:
    here = Hour()
    waiting, running = here.job(), here.job()
    running.span.turns.append((here.now, None))
    here.now += 99
    here.run(0)
    waiting.span.ended, waiting.status = True, Status.CANCELLED
    here.now += 1
    assert here.job().status is Status.FAILED
    here.now += 2 * HOUR
    assert here.job().status is Status.FAILED  # it still runs
    running.span.turns[0] = here.now - 2 * HOUR, here.now
    running.span.ended = True
    here.now += HOUR
    assert here.job().status is Status.QUEUED


def test_nothing_is_counted_where_no_strangers_come() -> None:
    here = Hour(Public(uploads=1, networks=1, solving=1))
    for _ in range(3):
        here.quotas.use("a", "uploads")
        here.run(50)


def test_the_page_says_that_no_more_files_can_come(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETTRIM_PUBLIC_ON", "1")
    monkeypatch.setenv("NETTRIM_PUBLIC_UPLOADS", "2")
    opened(app, methods="magnitude")
    for name in ("a.csv", "b.csv"):
        give(app, 1, name, b"a,b,label\n" + b"1,2,0\n2,1,1\n" * 20)
        assert "uploads in an hour" not in errors(app)
    give(app, 1, "c.csv", b"a,b,label\n")
    assert "2 uploads in an hour are the most that a visitor has here, and you had them: go on in 60" in errors(app)
    assert "b.csv" in text(app)  # what was there stays


def test_a_page_says_that_no_more_is_solved(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETTRIM_PUBLIC_ON", "1")
    monkeypatch.setenv("NETTRIM_PUBLIC_SOLVING", "5")
    app.query_params.update({"model": "spirals", "methods": "magnitude"})
    app.run()
    job = Job({}, 1, lambda _: None)
    brought.quotas().start(app.session_state["visitor"], job, lambda _: None)
    job.span.turns.append((time.monotonic() - 6, time.monotonic()))
    app.number_input(key="w_n").set_value(77).run()  # other samples: nothing is known of them
    assert not app.exception
    assert "This stopped: 5 seconds of solving in an hour are the most that a visitor has here" in errors(app)
    assert brought.quotas().limits().solving == 5
