"""What this visitor brought: a room for it, which is theirs as long as they are here."""

from __future__ import annotations

import atexit
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from nettrim_core.configuration import Public
from nettrim_core.intake import Door
from pages import signing
from pages.quotas import Quotas
from pages.rooms import House, Room, sweep
from pages.state import OWN
from pages.watch import SERVER

COOKIE = "nettrim_visit"  # by which a page that is loaded anew finds the room again


@st.cache_resource(show_spinner=False, on_release=lambda house: house.close())
def house() -> House:
    sweep()
    SERVER.door = Door()
    made = House(SERVER.door)
    atexit.register(made.close)
    return made


@st.cache_resource(show_spinner=False)
def quotas() -> Quotas:
    return Quotas()


@dataclass(frozen=True, eq=False)
class Stay:
    """A session's hold on its room."""

    house: House
    key: str
    room: Room

    def leave(self) -> None:
        self.house.leave(self.key)


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda stay: stay.leave())
def _stay() -> Stay:
    here, key = house(), visitor()
    return Stay(here, key, here.enter(key))


def visitor() -> str:
    """What tells this visitor from others: their account where they signed in, else what only they know, the browser's
    cookie, or where there is none a secret of the session."""
    if Public.configured().sign_in:
        account = signing.account()
        assert account is not None  # no page is shown without
        return account
    cookie = str(st.context.cookies.get(COOKIE, ""))
    if re.fullmatch("[0-9a-f]{32}", cookie):
        return cookie
    return st.session_state.setdefault("visitor", secrets.token_hex(16))


def room() -> Room:
    return _stay().room


def titles() -> dict[str, str]:
    """The titles of this visitor's networks by their ids; none outside of a visit."""
    return {} if get_script_run_ctx(suppress_warning=True) is None else dict(room().networks)


def folders(request: str) -> dict[str, str]:
    """Where the networks lie that a request names."""
    if "own-" not in request:
        return {}
    here = room()
    return {name: str(here.folder / name) for name in here.networks if name in request}


def at_end(model: str, about: str, act: Callable[[], object]) -> None:
    """Have this done when the network is taken away or the visitor who brought it is gone, once for what it is about;
    nothing for a sample."""
    if is_own(model):
        room().at_end.setdefault(model, {})[about] = act


def is_own(model: str) -> bool:
    """Is this the id of a network that somebody brought?"""
    return OWN.fullmatch(model) is not None
