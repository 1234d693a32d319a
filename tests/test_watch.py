"""Health: a pool is told as it is, what cannot work is said, and to look names nothing and begins nothing."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.responses import Response

from nettrim_core.configuration import Storage
from nettrim_core.jobs import HOPELESS, Job, Pool, Status
from nettrim_core.plan import Plan
from pages import watch
from pages.watch import DEGRADED, DOWN, OK, Server, health
from tests.test_jobs import wait

NONE = {"task": "none"}
SLOW = {"plan": Plan("lenet_300_100", ("fc1", "fc2"), samples=4000).to_dict(),
        "curves": [{"method": "nettrim", "settings": {}, "epsilons": [0.5, 0.1, 0.05]}]}  # fmt: skip
SWEEP = {"plan": Plan("digits_mlp", ("fc3",), samples=100).to_dict(),
         "curves": [{"method": "lobs", "settings": {}, "epsilons": [0.4, 0.1]}]}  # fmt: skip
OFF = Storage(on=False)


def job(request: dict[str, Any]) -> Job:
    return Job(request, 1, lambda _: None)


def sweep(entry: dict[str, Any]) -> dict[str, Any]:
    return {"task": "sweep", "sweeps": [entry]}


def served(serve: Callable[[Any], Coroutine[Any, Any, Response]] = watch.serve) -> Response:
    """In a thread of its own: a browser test of the same process may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(serve(None))).result()


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool()
    yield pool
    pool.close()


def test_to_look_begins_nothing() -> None:
    before = threading.active_count()
    server = Server()
    assert health(server, OFF) == {
        "status": OK, "because": [], "workers": {"wanted": 0, "alive": 0}, "jobs": {"running": 0, "waiting": 0},
        "store": "off",
    }  # fmt: skip
    assert (server, threading.active_count()) == (Server(), before)


def test_a_pool_is_told_as_it_is(pool: Pool) -> None:
    slow, _ = (pool.submit(job(request)) for request in (sweep(SLOW), NONE))
    wait(lambda: slow.status is Status.RUNNING and bool(pool.condition().pids))
    told = health(Server(pool), OFF)
    assert (told["status"], told["workers"]) == (OK, {"wanted": 1, "alive": 1})
    assert told["jobs"] == {"running": 1, "waiting": 1}


def test_workers_that_do_not_come_up_are_down_until_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    good = sys.executable
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pool = Pool()
    server = Server(pool)
    for number in range(HOPELESS):
        assert health(server, OFF)["status"] == OK, number
        failed = pool.submit(job(NONE))
        wait(lambda failed=failed: not failed.active)
        assert failed.status is Status.FAILED
    told = health(server, OFF)
    assert told["status"] == DOWN
    assert told["because"]
    assert pool.tally.deaths == HOPELESS
    monkeypatch.setattr(watch, "SERVER", server)
    answer = served()
    assert (answer.status_code, json.loads(answer.body)["status"]) == (503, DOWN)
    monkeypatch.setattr(sys, "executable", good)
    well = pool.submit(job(NONE))
    wait(lambda: not well.active)
    assert health(server, OFF)["status"] == OK
    assert served().status_code == 200
    pool.close()
    assert health(server, OFF)["status"] == DOWN


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_where_an_answer_is_taken_is_one_jobs_end(pool: Pool) -> None:
    bad = pool.submit(Job(sweep(SWEEP), 1, lambda _: 1 / 0))  # type: ignore[arg-type, return-value]
    wait(lambda: not bad.active)
    assert bad.status is Status.FAILED
    assert health(Server(pool), OFF)["status"] == OK
    good = pool.submit(job(sweep(SWEEP)))
    wait(lambda: not good.active)
    assert (good.status, health(Server(pool), OFF)["status"]) == (Status.DONE, OK)


def test_a_store_that_cannot_be_written_is_said_without_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(folder=str(tmp_path / "not" / "yet"))
    assert health(Server(), storage)["store"] == "writable"
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").write_text("")
    told = health(Server(), Storage(folder=str(tmp_path / "file")))
    assert (told["status"], told["store"]) == (DEGRADED, "the folder cannot be written")
    assert str(tmp_path) not in json.dumps(told)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        assert health(Server(), storage)["status"] == DEGRADED
    full = SimpleNamespace(f_bavail=1000, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    assert health(Server(), storage)["store"] == "the disk has 4 MB left"


def test_health_takes_no_time(pool: Pool, tmp_path: Path) -> None:
    server, storage = Server(pool), Storage(folder=str(tmp_path / "a" / "b"))
    for _ in range(50):
        pool.submit(job(sweep(SLOW)))
    started = time.perf_counter()
    for _ in range(200):
        health(server, storage)
    assert (time.perf_counter() - started) / 200 < 2e-3
