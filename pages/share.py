"""A link to the present state, made for others to open: for a projector, or with parts of the page left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from pages import session, words
from pages.state import HIDABLE, Choice


def popover(choice: Choice) -> None:
    """Compose a link. Nothing changes for the visitor. It is made when the popover opens, from the state then."""
    with st.popover(
        "Share", key="share", on_change="rerun", help="A link that opens this state, whole or with parts left out."
    ):
        compose(choice)


def compose(choice: Choice) -> None:
    state = st.session_state
    if "w_share_present" not in state:
        state["w_share_present"] = choice.view.present
    if "w_share_hide" not in state:
        state["w_share_hide"] = list(choice.hide)
    present = st.toggle("For a projector", key="w_share_present",
                        help="Larger type, and only the knob, the charts and the layers.")  # fmt: skip
    hide = st.multiselect(
        "Leave out", HIDABLE, format_func=words.PARTS.__getitem__, key="w_share_hide", placeholder="Nothing",
        help="What those who open the link do not see.",
    )  # fmt: skip
    st.code(address(composed(choice, present, hide)), language=None, wrap_lines=True)


def composed(choice: Choice, present: bool, hide: Sequence[str]) -> Choice:
    """The state that the link asks for."""
    return replace(choice, hide=tuple(part for part in HIDABLE if part in hide)).with_setting("present", present)


def address(choice: Choice) -> str:
    """The whole address where the browser told it, else what follows the host."""
    return f"{(st.context.url or '').rstrip('/')}/?{session.link(choice)}"
