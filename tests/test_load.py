"""Many visitors on a real server: the load test of benchmarks/load.py in short, what it rests on, and who leaves."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import psutil
import pytest
from playwright.sync_api import Page
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.runtime.caching.ttl_cache import TTLCache

from benchmarks import load
from benchmarks.visitor import EVENTS, Visitor
from pages import leaving
from tests.browsing import KNOB, charted, settled
from tests.test_jobs import wait

pytestmark = pytest.mark.alone
LONG = "model=lenet_300_100&methods=nettrim&n=4000&seed={}"  # minutes
T = TypeVar("T")


def in_a_loop(work: Coroutine[Any, Any, T]) -> T:
    """In a thread of its own: a browser test of the same process may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def test_six_visitors_and_two_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    asked = load.Load(visitors=6, sweeps=2, seconds=25, compare=1, samples=60)
    found, other = in_a_loop(load.measured(asked))
    load.table(found, other, asked)
    said = capsys.readouterr().out
    assert found.troubles == [], said
    assert other == [], said
    assert len(found.waits) >= 30, said
    assert found.swept, said
    assert load.percentile(found.waits, 95) <= load.P95, said


def test_a_difference_is_found(server: str) -> None:
    """Of what was seen at a stop of the knob, and of a sweep."""
    found = load.Found(seen={("model=spirals", 3): {"another digest"}}, swept={load.SWEEP.format(n=20, seed=1): []})
    assert len(in_a_loop(load.alone(server, found, 1))) == 2


def test_a_release_is_what_a_browser_sends(page: Page, server: str) -> None:
    sent: list[bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(bytes(data))))
    settled(charted(page, "/?model=digits_mlp"))
    sent.clear()
    page.get_by_label(KNOB).press("ArrowRight")
    page.wait_for_timeout(1500)
    (browser,) = (message.rerun_script for message in map(BackMsg.FromString, sent) if message.HasField("rerun_script"))
    (event,) = (state for state in browser.widget_states.widgets if state.HasField("json_trigger_value"))

    async def visit() -> Any:
        async with Visitor(server, "model=digits_mlp") as visitor:
            kept: list[bytes] = []
            assert visitor._socket is not None
            send = visitor._socket.send

            async def heard(data: Any) -> None:
                kept.append(data)
                await send(data)

            visitor._socket.send = heard  # type: ignore[method-assign]
            stop = visitor.at + 1
            await visitor.release(stop)
            (message,) = map(BackMsg.FromString, kept)
            assert visitor.at == stop
            return message.rerun_script

    ours = in_a_loop(visit())
    (own,) = ours.widget_states.widgets
    assert own == event
    assert own.id == EVENTS.format(own.id.removeprefix(EVENTS.split("{}")[0]).removesuffix("__events"))
    assert (ours.fragment_id, ours.page_script_hash) == (browser.fragment_id, browser.page_script_hash)


def workers() -> list[psutil.Process]:
    """Those that are at work of this process's servers."""
    found = psutil.Process(os.getpid()).children(recursive=True)
    return [p for p in found if p.is_running() and busy(p)]


def busy(process: psutil.Process) -> bool:
    try:
        return "nettrim_core.worker" in process.cmdline() and process.cpu_percent(0.2) > 30
    except psutil.Error:
        return False


def test_who_leaves_frees_the_workers(server: str) -> None:
    """Those of jobs that run, are held, and have not begun."""

    async def visit() -> None:
        async with Visitor(server, LONG.format(1)), Visitor(server, LONG.format(2)), Visitor(server, LONG.format(3)):
            deadline = time.monotonic() + 30
            while not workers():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.5)

    in_a_loop(visit())
    wait(lambda: not workers(), 10)


def test_sessions_that_nobody_comes_back_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ended = [0.0], []
    cache: TTLCache[str, Any] = TTLCache(maxsize=10, ttl=100, timer=lambda: now[0])
    manager = SimpleNamespace(_session_storage=SimpleNamespace(_cache=cache))
    monkeypatch.setattr(leaving, "get_instance", lambda: SimpleNamespace(_session_mgr=manager))
    for name in ("early", "late"):
        cache[name] = SimpleNamespace(session=SimpleNamespace(shutdown=lambda name=name: ended.append(name)))
        now[0] += 50
    leaving.end_sessions()
    assert ended == ["early"]


def test_sessions_are_where_they_are_looked_for(server: str, tmp_path: Path) -> None:
    """Streamlit's own storage has what is asked of it: a private part, held to the installed version."""
    from streamlit.runtime.memory_session_storage import MemorySessionStorage

    assert MemorySessionStorage()._cache.expire() == []  # type: ignore[attr-defined]


def test_flatness_is_of_the_medians_at_both_ends() -> None:
    assert load.flatness([100, 900, 100, 100, 500, 120, 120, 0, 120]) == pytest.approx(0.2)
