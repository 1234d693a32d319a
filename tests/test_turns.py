"""Turns: who is next, a newcomer's wait, what is held and goes on, what is asked twice, and who asks too much."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nettrim_core.configuration import Work
from nettrim_core.flight import Flight, in_turn
from nettrim_core.forks import Worker
from nettrim_core.jobs import TURN, Job, Pool, Status
from nettrim_core.plan import Plan
from nettrim_core.record import Point
from nettrim_core.tally import Tally
from tests.test_jobs import ROOT, sweep_job, wait

pytestmark = pytest.mark.alone
SHORT = [{"method": "magnitude", "settings": {}, "epsilons": [0.3, 0.1]}]
LONG = [{"method": "nettrim", "settings": {}, "epsilons": [0.5, 0.2, 0.1, 0.05, 0.02, 0.01]}]


@contextmanager
def working(limits: Work) -> Iterator[Pool]:
    pool = Pool(limits)
    first = pool.submit(short("nobody", 99))
    wait(lambda: not first.active)  # it is warm
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with working(Work(workers=1)) as pool:
        yield pool


def long(owner: Hashable, seed: int) -> Job:
    """Minutes."""
    return owned(owner, Plan("lenet_300_100", ("fc1", "fc2", "fc3"), samples=4000, seed=seed), LONG)


def short(owner: Hashable, seed: int) -> Job:
    """A moment."""
    return owned(owner, Plan("digits_mlp", ("fc3",), samples=100, seed=seed), SHORT)


def owned(owner: Hashable, plan: Plan, curves: list[dict[str, Any]]) -> Job:
    job = sweep_job([], plan, curves)
    job.owner = owner
    return job


def answers_of(job: Job) -> list[dict[str, Any]]:
    return job.on_answer.__self__  # type: ignore[attr-defined]  # the list that they are appended to


@contextmanager
def under_way(pool: Pool, *jobs: Job) -> Iterator[None]:
    for job in jobs:
        pool.submit(job)
    wait(lambda: jobs[0].status is Status.RUNNING)
    try:
        yield
    finally:
        for job in jobs:
            job.cancel()


def flight(owner: Hashable, last: int) -> Flight:
    return Flight({}, "", Tally(), [Job({}, 1, lambda _: None, owner=owner)], last=last)


def test_turns_go_round_the_owners() -> None:
    a, b, c, d = flight("a", 4), flight("b", 2), flight("a", 0), flight("c", 0)
    assert in_turn([a, b, c, d], {"a": 4, "b": 2}) == [d, b, c, a]


def test_what_two_want_is_due_when_either_is() -> None:
    both, other = flight("a", 7), flight("c", 5)
    both.jobs.append(Job({}, 1, lambda _: None, owner="b"))
    assert in_turn([other, both], {"a": 7, "b": 1, "c": 5}) == [both, other]


def test_a_newcomer_is_served_while_somebody_has_many_long_jobs(pool: Pool) -> None:
    with under_way(pool, *(long("greedy", seed) for seed in range(3))):
        for seed in range(3):
            began = time.monotonic()
            job = pool.submit(short(f"newcomer {seed}", seed))
            wait(lambda job=job: not job.active, 2 * TURN)
            assert job.status is Status.DONE
            assert time.monotonic() - began < TURN + 1.5  # what is left of a turn, and the job itself


def test_what_was_held_goes_on_and_comes_out_the_same(pool: Pool) -> None:
    plan = Plan("digits_mlp", ("fc1", "fc2", "fc3"), samples=1000, seed=5)
    curves = [{"method": "nettrim", "settings": {}, "epsilons": [0.3, 0.1, 0.03, 0.01]}]
    job, other = owned("one", plan, curves), long("other", 7)
    with under_way(pool, other):
        pool.submit(job)
        wait(lambda: not job.active, 240)
        assert job.status is Status.DONE
        assert other.active
        assert pool._at  # the other one's worker was never given up
    undisturbed = owned("one", plan, curves)
    pool.forget()
    pool.submit(undisturbed)
    wait(lambda: not undisturbed.active, 240)
    assert [without_clock(answer) for answer in answers_of(job)] == [
        without_clock(answer) for answer in answers_of(undisturbed)
    ]


def without_clock(answer: Any) -> Any:
    """An answer, bit for bit, but for the seconds that it took."""
    if isinstance(answer, dict):
        return {key: without_clock(value) for key, value in answer.items() if key != "seconds"}
    return [without_clock(value) for value in answer] if isinstance(answer, list) else answer


def test_who_has_what_others_wait_for_is_not_held() -> None:
    program = """
import sys
from nettrim_core.unheld import Unheld
here = Unheld(open(int(sys.argv[1]), "r+b"))
with here, here:
    print("within", flush=True)
    sys.stdin.readline()
print("without", flush=True)
while True:
    with here:
        pass
"""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as busy, theirs:
        command = [sys.executable, "-c", program, str(busy.fileno())]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              pass_fds=[busy.fileno()], cwd=ROOT) as child:  # fmt: skip
            assert child.stdin is not None
            assert child.stdout is not None
            worker = Worker(ours, busy)
            worker.pid = child.pid
            assert child.stdout.readline() == "within\n"
            assert not worker.hold()
            assert state_of(child.pid) != "T"
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "without\n"
            wait(worker.hold, 10)
            wait(lambda: state_of(child.pid) == "T", 10)
            worker.go_on()
            wait(lambda: state_of(child.pid) != "T", 10)
            wait(worker.hold, 10)
            worker.kill()
            assert child.wait(10) == -signal.SIGKILL


def state_of(pid: int) -> str:
    """As the system says it: T for one that is held."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_all_who_wait_have_their_turns(pool: Pool) -> None:
    jobs = [long(owner, seed) for seed, owner in enumerate(("a", "b", "c"))]
    with under_way(pool, *jobs):
        wait(lambda: all(job.status is Status.RUNNING for job in jobs), 4 * TURN)
        wait(lambda: len(pool.condition().pids) == 3, 1)
        assert sorted(pool.ahead_of(job) for job in jobs) == [0, 0, 1]  # one has its turn, two are in line


def test_the_place_in_line_is_told(pool: Pool) -> None:
    jobs = [long(owner, seed) for seed, owner in enumerate("abcd")]
    with under_way(pool, *jobs):
        assert [pool.ahead_of(job) for job in jobs[1:]] == [0, 1, 2]
        jobs[1].cancel()
        assert [pool.ahead_of(job) for job in jobs[2:]] in ([0, 1], [1, 0])


def test_where_there_is_no_room_a_short_job_is_done_and_a_long_one_begins_anew() -> None:
    with working(Work(workers=1, begun=1)) as pool:
        first, second = long("a", 1), owned("b", Plan("lenet_300_100", ("fc1", "fc2"), samples=1000, seed=3), [
            {"method": "nettrim", "settings": {}, "epsilons": [0.3, 0.1, 0.03]}
        ])  # fmt: skip
        with under_way(pool, first, second):
            quick = pool.submit(short("c", 1))
            wait(lambda: not quick.active, 3 * TURN)
            assert quick.status is Status.DONE
            assert len(answers_of(quick)) == 2
            wait(lambda: all(flight.last for flight in [*pool._running, *pool._waiting]), 3 * TURN)
            time.sleep(2 * TURN)
            assert first.status is Status.RUNNING
            assert second.status is Status.QUEUED
            assert pool.ahead_of(second) >= 1
            assert answers_of(second) == []
            assert len(pool.condition().pids) <= 2
            first.cancel()
            wait(lambda: not second.active, 240)
            assert second.status is Status.DONE
            assert second.done == len(answers_of(second))
            points = [Point.from_dict(answer["point"]) for answer in answers_of(second)]
            assert len({(point.epsilon, point.report.rough) for point in points}) == second.done


def test_the_same_request_is_solved_once_for_all(pool: Pool) -> None:
    plan = Plan("digits_mlp", ("fc1", "fc2"), samples=1000, seed=11)
    curves = [{"method": "nettrim", "settings": {}, "epsilons": [0.3, 0.1, 0.03, 0.01]}]
    first, second, third = (owned(owner, plan, curves) for owner in "abc")
    pool.submit(first)
    pool.submit(second)
    assert len(pool._running) + len(pool._waiting) == 1
    wait(lambda: first.done >= 1)
    pool.submit(third)  # comes late, and has all of it
    first.cancel()  # is nobody else's business
    assert first.status is Status.CANCELLED
    wait(lambda: not second.active and not third.active, 120)
    assert second.status is third.status is Status.DONE
    assert answers_of(second) == answers_of(third)
    assert len(answers_of(second)) == second.done == third.done > len(answers_of(first))


def test_when_all_who_asked_have_left_it_ends(pool: Pool) -> None:
    jobs = [long(owner, 20) for owner in "ab"]
    for job in jobs:
        pool.submit(job)
    wait(lambda: jobs[1].status is Status.RUNNING)
    for job in jobs:
        job.cancel()
    assert pool._running == pool._waiting == []
    wait(lambda: not pool.condition().pids, 1)


def test_nobody_has_too_many_jobs(pool: Pool) -> None:
    jobs = [long("a", seed) for seed in range(pool.limits.waiting + 1)]
    with under_way(pool, *jobs):
        assert jobs[-1].status is Status.FAILED
        assert "you have 4 jobs here already" in jobs[-1].error
        other = pool.submit(short("b", 1))
        assert other.active
        shared = pool.submit(long("a", 0))
        assert shared.active  # with one that is under way
        shared.cancel()
        other.cancel()


def test_workers_times_threads_are_no_more_than_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores in (1, 2, 3, 8, 64):
        monkeypatch.setattr("nettrim_core.environment.cores", lambda cores=cores: cores)
        for workers in (0, 1, 2, 5):
            for threads in (0, 1, 4):
                limits = Work(workers=workers, threads=threads)
                assert limits.places * limits.threads_each <= max(cores, limits.places)
                assert limits.threads_each >= 1


def test_a_bench_is_not_left_to_others_who_may_not_know(pool: Pool, tmp_path: Any) -> None:
    """A worker that read what a visitor brought is gone when they are."""
    job = short("a", 1)
    job.request = {**job.request, "folders": {"own-1": str(tmp_path)}}
    pool.submit(job)
    wait(lambda: not job.active)
    (worker,) = pool.condition().pids
    pool.forget("own-2")
    assert pool.condition().pids == (worker,)
    pool.forget("own-1")
    wait(lambda: worker not in pool.condition().pids, 1)
