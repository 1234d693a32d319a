"""The visitor's choice in session and link, the choices before it, and the ones they pinned."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlencode

import streamlit as st

from nettrim_core.bundle import sample_names, sample_titles
from pages import brought
from pages.lessons import CARDS
from pages.state import Choice, Facts, parse
from pages.store import facts_of

REMEMBERED = 100  # choices that can be undone
STALE = 2.0  # seconds in which a browser may still send what its controls showed before


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


def of_link(link: str) -> tuple[Choice, list[str]]:
    """The same for a link as it is written down: its query."""
    return choice_of(parse_qs(link, keep_blank_values=True))


def follow(link: str) -> None:
    """Make the state of a link the visitor's choice, and let the page say what of it could not be followed."""
    choice, notices = of_link(link)
    choose(choice)
    st.session_state["notices"] = notices


def bring(model: str) -> None:
    """Choose a network that was brought just now; all of what the visit's first link asked for, if that was this
    network."""
    awaited = st.session_state.pop("awaited", {})
    if model in awaited.get("model", []):
        choose(choice_of(awaited)[0])
    else:
        choose(st.session_state["choice"].with_model(model, facts_of(model)))


def choose(choice: Choice, control: str = "") -> None:
    """Make this the choice, in session and link; what the first link could not do has been said by now. control: which
    one says so, if one does."""
    session = st.session_state
    if (before := session.get("choice")) not in (None, choice):
        leave(before, control)
        history: list[Choice] = session.setdefault("history", [])
        history.append(before)
        del history[:-REMEMBERED]
    session["choice"] = choice
    session["notices"] = []
    publish(choice)


def leave(before: Choice, control: str = "") -> None:
    """Remember for a moment what is left, and which control changed it."""
    now = time.monotonic()
    held = [entry for entry in st.session_state.get("left", []) if now - entry[1] < STALE]
    st.session_state["left"] = [*held, (before, now, control)]


def picked(choice: Choice, control: str) -> None:
    """Choose what a control says. Not where it says what the knob, a preset or a pin left a moment ago: a page that
    looks again by itself sends what its controls showed, and they follow only later."""
    session, now = st.session_state, time.monotonic()
    left = [before for before, when, by in session.get("left", []) if by != control and now - when < STALE]
    if not any(returns(session["choice"], choice, before) for before in left):
        choose(choice, control)


def returns(now: Choice, wanted: Choice, before: Choice) -> bool:
    """Is all that would change what it was before?"""
    here, there, then = (choice.to_query() for choice in (now, wanted, before))
    return all(there.get(name) == then.get(name) for name in here | there if here.get(name) != there.get(name))


def change(**changes: object) -> None:
    """Choose the same with some fields changed."""
    choose(replace(st.session_state["choice"], **changes))


def undo() -> None:
    """Back to the choice before, if there is one."""
    session = st.session_state
    while session.get("history") and session["history"][-1].model not in models():
        session["history"].pop()
    if session.get("history"):
        leave(session["choice"])
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
