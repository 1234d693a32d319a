"""The layers' shares of a budget, and beside them the locks, which can be changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages import locks, session, store
from pages.state import Choice

TALL = 12  # rows that are seen at once
state = st.session_state


@dataclass(frozen=True)
class Table:
    """A table of locks as it was drawn. begun: the locks that it began with."""

    number: int
    layers: tuple[str, ...]
    begun: dict[str, float]

    @property
    def key(self) -> str:
        return f"locks_{self.number}"


def show(choice: Choice, given: dict[str, float]) -> None:
    """What each layer gives, and beside it where it is locked."""
    model, layers = store.bundle_of(choice.model).model, choice.layers
    sizes = [sum(p.numel() for p in model.get_submodule(name).parameters()) for name in layers]
    parts = [locks.percent(given.get(name, math.nan)) for name in layers]
    height = 38 + 35 * TALL if len(layers) > TALL else "content"
    left, right = st.columns(2)
    left.dataframe(
        {"layer": list(layers), "weights": sizes, "given": parts}, key="given", hide_index=True, height=height,
        column_config=given_columns(), placeholder="", alt="The layers, their weights, and the zeros that each gives.",
    )  # fmt: skip
    with right:
        lock_table(choice, given, height)
        st.button(
            "Unlock all", key="unlock", disabled=not choice.locked, on_click=unlock,
            help="Share the budget among all layers.",
        )  # fmt: skip


def given_columns() -> dict[str, Any]:
    return {
        "layer": st.column_config.TextColumn("Layer", pinned=True),
        "weights": st.column_config.NumberColumn(
            "Weights", format="localized", help="Weights and biases of the layer."
        ),
        "given": st.column_config.ProgressColumn(
            "Gives", min_value=0, max_value=100, format="%.1f %%", help="Zeros, of its weights and biases."
        ),
    }


def lock_table(choice: Choice, given: dict[str, float], height: Any) -> None:
    """The locks, to be changed. A table that no longer shows them, as they were changed elsewhere, gives way to a new
    one."""
    drawn = state.setdefault("budget_table", Table(0, choice.layers, choice.locked))
    if drawn.layers != choice.layers or not locks.agree(choice, drawn.begun, edits_of(drawn)):
        drawn = state["budget_table"] = Table(drawn.number + 1, choice.layers, choice.locked)
    state["budget_given"] = given
    st.data_editor(
        locks.rows(choice.layers, drawn.begun), key=drawn.key, num_rows="fixed", hide_index=True, height=height,
        column_config=lock_columns(), on_change=picked_cells, placeholder="", alt="Where each layer is locked.",
    )  # fmt: skip


def lock_columns() -> dict[str, Any]:
    return {
        "layer": st.column_config.TextColumn("Layer", disabled=True, pinned=True),
        "lock": st.column_config.CheckboxColumn("Lock", width=70, help="Hold the layer at what it gives now."),
        "own": st.column_config.NumberColumn(
            "Lock at, %", width=110, min_value=0.0, max_value=100.0, step=0.0001, format="%.4g",
            help="Hold the layer at this share of zeros, in % of its weights and biases. Empty: the budget decides.",
        ),
    }  # fmt: skip


def edits_of(table: Table) -> locks.Edits:
    return state.get(table.key, {}).get("edited_rows", {})


def picked_cells() -> None:
    drawn: Table = state["budget_table"]
    session.choose(locks.edited(state["choice"], drawn.begun, state["budget_given"], edits_of(drawn)))


def unlock() -> None:
    session.choose(locks.unlocked(state["choice"]))
