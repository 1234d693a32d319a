"""Widgets that are built from a frozen value's fields: their ranges, their words, their help."""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st


def widget(place: Any, f: dataclasses.Field[Any], value: Any, label: str, owner: str, empty: str = "") -> None:
    """A switch, a list, a number or a text, for :func:`read`. empty: what an empty text means."""
    key, state = f"w_{owner}_{f.name}", st.session_state
    told = f.metadata.get("help") or f.metadata["says"]
    shared = {"key": key, "help": told[:1].upper() + told[1:] + "."}
    if isinstance(f.default, str | tuple) and not f.metadata.get("options"):
        value = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    # set in every run: a browser that missed the run in which a number began would send back the lowest that it can be
    state[key] = state.get(key, value)
    if f.metadata.get("options"):
        place.selectbox(label, f.metadata["options"], **shared)
    elif isinstance(f.default, bool):
        place.toggle(label, **shared)
    elif isinstance(f.default, int | float):
        kind = type(f.default)
        low, high = kind(f.metadata["low"]), kind(f.metadata["high"])
        step, shape = (1, "%d") if kind is int else (0.05, "%g")
        place.number_input(label, low, high, step=step, format=shape, **shared)
    else:
        place.text_input(label, max_chars=200, placeholder=empty, **shared)


def read(kind: Any, owner: str) -> dict[str, Any]:
    """What the widgets that are shown say, by the names of their fields. Raises ValueError for a text that is none of
    its field."""
    keys = {f: f"w_{owner}_{f.name}" for f in dataclasses.fields(kind)}
    return {f.name: _read(f, st.session_state[key]) for f, key in keys.items() if key in st.session_state}


def forget(kind: Any, owner: str) -> None:
    """Let the widgets begin anew."""
    for f in dataclasses.fields(kind):
        st.session_state.pop(f"w_{owner}_{f.name}", None)


def _read(f: dataclasses.Field[Any], said: Any) -> Any:
    """What a widget says as the field has it. Raises ValueError for a text that is none."""
    if not isinstance(f.default, str | tuple):
        return said
    if isinstance(f.default, str):
        return said if said == " " else said.strip()
    parts = [part.strip() for part in said.split(",") if part.strip()]
    if "str" in str(f.type):
        return tuple(int(part) if part.isdecimal() else part for part in parts)
    kind = float if "float" in str(f.type) else int
    try:
        return tuple(kind(part) for part in parts)
    except ValueError:
        raise ValueError(f"{f.name} = {said!r} are not numbers with commas between them, such as 1, 28, 28") from None
