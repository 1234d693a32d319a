"""What is kept of the work that visitors ask for: a record of each run, in the store of this server."""

from __future__ import annotations

from typing import Any

import streamlit as st

from nettrim_core.configuration import Public, Work
from nettrim_core.durable import Recording, Run, Runs, State, Store
from nettrim_core.jobs import Job, Status
from nettrim_core.methods import titled
from pages import brought, session, store

LASTING = ("sweep", "budget", "tune", "rounds", "recipe")  # tasks that are worth a record
PASSING = ("folders", "offers")  # of a request: what is not the same when it is asked again
ENDS = {Status.DONE: State.DONE, Status.CANCELLED: State.STOPPED, Status.FAILED: State.FAILED}


@st.cache_resource(show_spinner=False)
def runs() -> Runs | None:
    """The runs of this server, without those that were deleted long ago; None where the settings say that nothing is
    kept."""
    here = Store.configured()
    if here is None:
        return None
    found = Runs(here)
    found.purge()
    return found


def owner() -> str:
    """Whose runs this visitor begins and sees: where strangers come, only their own."""
    return brought.visitor() if Public.configured().on else ""


def trouble() -> str:
    """Why something cannot be kept; "" if all is well."""
    here = runs()
    return "" if here is None else here.store.trouble


def begin(key: str, request: dict[str, Any], total: int) -> Recording | None:
    """Write down that this is under way. None for what is not kept: short work, and what is about a network that a
    visitor brought, which goes when they do."""
    here = runs()
    if here is None or request["task"] not in LASTING or "folders" in request:
        return None
    asked = {name: value for name, value in request.items() if name not in PASSING}
    choice = st.session_state["choice"]
    return here.begin(
        asked, total, name_of(request), key=key, owner=owner(), fingerprint=store.bundle_of(choice.model).fingerprint,
        subject={"link": session.link(choice), "device": Work.configured().device},
    )  # fmt: skip


def again(run: Run) -> Recording | None:
    """Write down that a run is gone on with."""
    here = runs()
    return None if here is None else here.again(run)


def follow(recording: Recording | None, job: Job) -> None:
    """Write down what became of a job."""
    if recording is not None and not job.active:
        carried = job.request["run"]  # another visitor's, who asked the same at that time
        if carried != recording.id:
            recording.store.adopt(recording.id, carried)
        recording.ended(ENDS[job.status], job.error)


def name_of(request: dict[str, Any]) -> str:
    """What a run is called at first: the network, the methods, and what they do."""
    plans = request["sweeps"] if request["task"] == "sweep" else [request]
    if request["task"] == "sweep":
        methods = [curve["method"] for sweep in plans for curve in sweep["curves"]]
    elif request["task"] == "tune":
        methods = [name for name, _ in request["methods"]]
    else:
        methods = [request["method"]]
    doing = {"sweep": "curves of", "budget": "one budget for", "tune": "retraining after", "rounds": "rounds of"}
    named = ", ".join(map(titled, dict.fromkeys(methods)))
    return f"{plans[0]['plan']['bundle']}: {doing[request['task']]} {named}"
