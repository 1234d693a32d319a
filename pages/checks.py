"""Net-Trim on a small layer beside the same program solved by a second solver: shared by pages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import streamlit as st

from pages import curves, words, work
from pages.state import Choice


def key(choice: Choice) -> str:
    return repr(("check", choice.plan().key(), curves.curve_key(choice, "nettrim"), choice.eps))


def start(choice: Choice, layer: str) -> None:
    settings = dataclasses.asdict(choice.solving("nettrim"))
    request = {"task": "check", "plan": choice.plan().to_dict(), "layer": layer, "settings": settings}
    work.visit().start(key(choice), request, 1)


def show(choice: Choice, small: Sequence[str]) -> None:
    """A button for each layer that is small enough, and what came of the last one."""
    with st.container(horizontal=True):
        for layer in small:
            st.button(f"Check {layer} with CVXPY", key=f"check_{layer}", on_click=start, args=(choice, layer),
                      help="Solve the layer's Net-Trim program once more, by an interior-point method.")  # fmt: skip
    errand = work.visit().errands.get(key(choice))
    if errand is not None:
        st.markdown(words.check(errand.job, errand.answers, choice.eps))
