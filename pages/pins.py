"""Pins: states that a visitor put aside, recalled with the keys 1 to 9 and compared on their own page."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from nettrim_core.methods import titled
from pages import foreign, session, store
from pages.state import Choice

MOST = 9
LONGEST = 60  # characters of a name


@dataclass(frozen=True)
class Pin:
    choice: Choice
    name: str


def all_pins() -> list[Pin]:
    """The pins, but for those of a network that was brought and is gone."""
    held, known = st.session_state.setdefault("pins", []), session.models()
    if any(pin.choice.model not in known for pin in held):
        st.session_state["pins"] = [pin for pin in held if pin.choice.model in known]
    return st.session_state["pins"]


def name_of(choice: Choice) -> str:
    what = "" if choice.mode == "parallel" else ", cascade"
    return f"{store.name_of(choice.model)} ε {choice.eps:g}{what}"


def pin(choice: Choice) -> None:
    """Put this state aside; the oldest goes when there are too many, and a state that is pinned is not pinned again."""
    held = all_pins()
    if all(other.choice != choice for other in held):
        st.session_state["pins"] = [*held, Pin(choice, name_of(choice))][-MOST:]


def rename(place: int, name: str) -> None:
    """Give a pin another name; without one, the name that it would have had."""
    held = list(all_pins())
    held[place] = replace(held[place], name=" ".join(name.split())[:LONGEST] or name_of(held[place].choice))
    st.session_state["pins"] = held


def remove(place: int) -> None:
    """Take a pin away; the last one that was can be put back."""
    held = list(all_pins())
    st.session_state["removed"] = place, held.pop(place)
    st.session_state["pins"] = held


def removed() -> Pin | None:
    """The pin that can be put back."""
    return st.session_state.get("removed", (0, None))[1]


def put_back() -> None:
    place, held = st.session_state.pop("removed")
    st.session_state["pins"] = [*all_pins()[:place], held, *all_pins()[place:]][-MOST:]


def button(choice: Choice) -> None:
    """Pin this state, and the pins there are, each with its key."""
    st.button("Pin", key="pin", shortcut="P", on_click=pin, args=(choice,),
              help="Put this state aside: come back with its number, or compare pins on their page.")  # fmt: skip
    for i, held in enumerate(all_pins()):
        st.button(foreign.shown(held.name), key=f"recall_{i}", shortcut=str(i + 1), on_click=session.choose,
                  args=(held.choice,), help=f"Back to this state ({methods_of(held)}).")  # fmt: skip
    if all_pins():
        with st.popover("Names", help="Give the pins names of your own, or take one away."):
            names()


def names() -> None:
    """A field for the name of each pin, and a way to take it away."""
    state = st.session_state
    for i, held in enumerate(all_pins()):
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            state[f"w_pin_{i}"] = held.name
            st.text_input(f"Pin {i + 1}: {methods_of(held)}", key=f"w_pin_{i}", max_chars=LONGEST, on_change=renamed,
                          args=(i,))  # fmt: skip
            st.button("Remove", key=f"unpin_{i}", on_click=remove, args=(i,), help=f"Take pin {i + 1} away.")


def renamed(place: int) -> None:
    rename(place, st.session_state[f"w_pin_{place}"])


def methods_of(held: Pin) -> str:
    return ", ".join(map(titled, held.choice.methods))
