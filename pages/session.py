"""The visitor's choice in session and link, the choices before it, and the ones they pinned."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

import streamlit as st

from nettrim_core.bundle import sample_names, sample_titles
from pages import brought
from pages.lessons import CARDS
from pages.state import Choice, Facts, parse
from pages.store import facts_of

REMEMBERED = 100  # choices that can be undone


def current_choice() -> Choice:
    """From the link at first, then from the session. The link always says what is shown."""
    session = st.session_state
    if "choice" not in session:
        asked = {name: st.query_params.get_all(name) for name in st.query_params}
        session["choice"], session["notices"] = choice_of(asked)
        if session["choice"].model not in asked.get("model", [session["choice"].model]):
            session["awaited"] = asked
    elif session["choice"].model not in models():  # brought, and taken away or lost since
        session["choice"], session["notices"] = choice_of({"model": [session["choice"].model]})
    choice: Choice = session["choice"]
    publish(choice)
    return choice


def models() -> dict[str, str]:
    """The titles of the networks that this visitor can choose: the samples, and their own."""
    return sample_titles() | brought.titles()


def choice_of(query: dict[str, list[str]]) -> tuple[Choice, list[str]]:
    """The choice of a link, and what of it could not be followed."""
    names = [*sample_names(), *brought.titles()]
    facts: dict[str, Callable[[], Facts]] = {name: lambda name=name: facts_of(name) for name in names}
    return parse(query, facts, len(CARDS))


def bring(model: str) -> None:
    """Choose a network that was brought just now; all of what the visit's first link asked for, if that was this
    network."""
    awaited = st.session_state.pop("awaited", {})
    if model in awaited.get("model", []):
        choose(choice_of(awaited)[0])
    else:
        choose(st.session_state["choice"].with_model(model, facts_of(model)))


def choose(choice: Choice) -> None:
    """Make this the choice, in session and link; what the first link could not do has been said by now."""
    session = st.session_state
    if (before := session.get("choice")) not in (None, choice):
        leave(before, choice)
        history: list[Choice] = session.setdefault("history", [])
        history.append(before)
        del history[:-REMEMBERED]
    session["choice"] = choice
    session["notices"] = []
    publish(choice)


def leave(before: Choice, choice: Choice) -> None:
    """Remember the epsilon that is left, and when: the browser's number may still send it."""
    if before.eps != choice.eps:
        st.session_state["knob_left"] = before.eps, time.monotonic()


def change(**changes: object) -> None:
    """Choose the same with some fields changed."""
    choose(replace(st.session_state["choice"], **changes))


def undo() -> None:
    """Back to the choice before, if there is one."""
    session = st.session_state
    while session.get("history") and session["history"][-1].model not in models():
        session["history"].pop()
    if session.get("history"):
        leave(session["choice"], session["history"][-1])
        session["choice"] = session["history"].pop()
        publish(session["choice"])


def reset() -> None:
    """Everything as usual for this model."""
    model = st.session_state["choice"].model
    choose(choice_of({"model": [model]})[0])


def outdated() -> bool:
    """Do the controls on top of the page show what is no longer so? Epsilon and what is looked at are not there."""
    session = st.session_state
    elsewhere = dict.fromkeys(("eps", "knob", "grid", "layer", "method_shown", "neuron", "card"))
    return replace(session["choice"], **elsewhere) != replace(session["headed"], **elsewhere)


def publish(choice: Choice) -> None:
    wanted = choice.to_query()
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def link(choice: Choice) -> str:
    """The query string of a choice."""
    return urlencode(choice.to_query(), safe=",")
