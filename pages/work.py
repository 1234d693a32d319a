"""A visitor's work in the worker process: one job at a time, its progress, its answers, and a page that looks again."""

from __future__ import annotations

import functools
import json
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from nettrim_core.durable import Recording, Run
from nettrim_core.jobs import Job, Pool, Status
from pages import brought, ledger
from pages.session import outdated
from pages.watch import SERVER

HERE = Path(__file__).resolve().parent
POLL = 0.5  # seconds between looks at running work
LOOKS = 4  # a second at most, of all visitors together: each draws a page
KEPT = 40  # errands whose answers a visitor keeps
# Pages are drawn one at a time: of threads that share an interpreter, each waits for all others at every message it
# sends, and all of them are late.
DRAWING = threading.RLock()


@st.cache_resource(show_spinner=False, on_release=lambda pool: pool.close())
def pool() -> Pool:
    SERVER.pool = Pool()
    return SERVER.pool


@dataclass(frozen=True, eq=False)
class Errand:
    """A job and the answers that have come. made: what was made of them, which goes with them."""

    job: Job
    answers: list[dict[str, Any]]
    made: dict[str, bytes] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.job.status is Status.DONE

    def once(self, name: str, make: Callable[[], bytes]) -> bytes:
        """What is made of the answers, which are all there, under this name: made once."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]


@dataclass
class Visit:
    """One visitor's errands by key, the oldest going first. stopped: what they cancelled, which is not started again by
    itself."""

    errands: OrderedDict[str, Errand] = field(default_factory=OrderedDict)
    stopped: set[str] = field(default_factory=set)
    key: str = ""  # of the last one that was started

    def start(
        self, key: str, request: dict[str, Any], total: int, take: Callable[[Any], None] | None = None,
        run: Run | None = None,
    ) -> None:  # fmt: skip
        """Send the worker on an errand, in place of what it was doing for this visitor. take: gets each answer, which
        is otherwise kept. run: the one that this goes on with, if it is not a new one."""
        self.stop()
        self.stopped.discard(key)
        if folders := brought.folders(key_of(request)):
            request = request | {"folders": folders}
            for name in folders:
                brought.at_end(name, "worker", functools.partial(pool().forget, name))
        answers: list[dict[str, Any]] = []
        job = Job(request, total, take or answers.append, owner=brought.visitor())
        recording = ledger.begin(key, request, total) if run is None else ledger.again(run)
        if recording is not None:
            job = recorded(job, recording)
        brought.quotas().start(brought.visitor(), job, pool().submit)
        self.key, self.errands[key] = key, Errand(job, answers)
        self.errands.move_to_end(key)
        while len(self.errands) > KEPT:
            self.errands.popitem(last=False)

    def job(self, key: str) -> Job | None:
        return self.errands[key].job if key in self.errands else None

    @property
    def busy(self) -> bool:
        job = self.job(self.key)
        return job is not None and job.active

    def stop(self) -> None:
        if (job := self.job(self.key)) is not None:
            job.cancel()

    def cancel(self) -> None:
        """Stop by hand."""
        self.stopped.add(self.key)
        self.stop()

    def forget(self, model: str) -> None:
        """Stop and drop all errands about a network that was brought."""
        for key, errand in list(self.errands.items()):
            if model in errand.job.request.get("folders", {}):
                errand.job.cancel()
                del self.errands[key]

    def wants(self, key: str) -> bool:
        """Is this to be started by itself: not under way, not stopped by hand, not failed?"""
        job = self.job(key)
        held = job is not None and (job.active or job.status is Status.FAILED)
        return not held and key not in self.stopped


def recorded(job: Job, recording: Recording) -> Job:
    """The same job, as a run that is written down."""
    take = job.on_answer

    def hear(answer: dict[str, Any]) -> None:
        recording.heard(answer)
        take(answer)

    request = {**job.request, "run": recording.id}
    return Job(request, job.total, hear, lambda changed: ledger.follow(recording, changed), job.owner)


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda visit: visit.stop())
def visit() -> Visit:
    return Visit()


def live(show: Callable[[], None]) -> None:
    """Show this part of the page, and again every so often while there is work under way. Where something in it changed
    what the controls on top of the page show, the whole page is drawn."""
    session = st.session_state
    session["polling"] = visit().busy

    def look() -> None:
        if outdated():
            st.rerun()
        with DRAWING:
            show()
        if visit().busy != session["polling"]:
            st.rerun()  # the page starts or stops looking again

    pace = max(POLL, pool().condition().jobs / LOOKS) if session["polling"] else None
    st.fragment(look, run_every=pace)()


def go(page: str) -> None:
    """Switch to another page, by the name of its file.

    A look of this one that is on its way then has nothing left to look at: it would be carried out after the switch, as
    of this page, and the browser would clear away the other.
    """
    if (context := get_script_run_ctx()) is not None:
        context.fragment_storage.clear()
    st.switch_page(HERE / f"{page}.py")


def key_of(request: dict[str, Any]) -> str:
    return json.dumps(request, sort_keys=True)


def ask(request: dict[str, Any], total: int = 1) -> Errand | None:
    """The errand of this request, which is started if it was never made. None if it was stopped before an answer."""
    key, here = key_of(request), visit()
    errand = here.errands.get(key)
    if (errand is None or errand.job.status is Status.CANCELLED) and here.wants(key):
        here.start(key, request, total)
    return here.errands.get(key)


def asked(request: dict[str, Any]) -> Errand | None:
    """The errand of this request, if it was made."""
    return visit().errands.get(key_of(request))


def restart(request: dict[str, Any], total: int = 1) -> None:
    visit().start(key_of(request), request, total)


def show_progress(key: str, doing: str, again: Callable[[], None], part: float | None = None) -> None:
    """The state of an errand that is not done: how far it is and a way to stop it, or why it ended and a way on.

    doing: what it does, as the beginning of a sentence. again: starts it anew. part: how much of it is done.
    """
    here = visit()
    job = here.job(key)
    if job is not None and job.active:
        ahead = pool().ahead_of(job)
        if ahead and job.status is Status.QUEUED:
            doing = f"In line: {ahead} {'others have their turn' if ahead > 1 else 'other has its turn'} first"
        elif ahead:
            doing += f". It takes turns with {ahead} other{'s' * (ahead > 1)} on this server"
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.progress(min(max(job.done / job.total if part is None else part, 0.0), 1.0), text=doing)
        right.button("Cancel", key="cancel", on_click=here.cancel, width="stretch")
    elif key in here.stopped:
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.markdown("Stopped. What was solved stays.")
        right.button("Resume", key="resume", on_click=again, width="stretch")
    elif job is not None and job.status is Status.FAILED:
        st.error(f"This stopped: {job.error}. What was solved stays. Change a setting, or try again.")
        st.button("Try again", key="resume", on_click=again)
