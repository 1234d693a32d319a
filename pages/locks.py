"""The table in which layers are locked: its rows, and from what was edited in it to a choice. No Streamlit.

The table begins with the locks that there were when it was drawn, and is given the same ones again while it is edited:
new data, whatever is new in them, would take away what is being typed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pages.state import Choice

Edits = Mapping[int, Mapping[str, Any]]  # from the number of a row to its changed cells
Locks = Mapping[str, float]  # from a layer to the fraction of zeros that it is held at


def rows(layers: Sequence[str], begun: Locks) -> dict[str, list[Any]]:
    """Column -> cells. begun: the locks that the table begins with; in per cent here, NaN where there is none."""
    return {
        "layer": list(layers),
        "lock": [False for _ in layers],
        "own": [percent(begun.get(name, math.nan)) for name in layers],
    }


def shown(layers: Sequence[str], begun: Locks, edits: Edits) -> dict[str, float | None]:
    """The layers that an edited table locks: at their own value, or, where they are ticked without one, None."""
    found: dict[str, float | None] = {}
    for row, name in enumerate(layers):
        cells = edits.get(row, {})
        own = cells["own"] / 100 if cells.get("own") is not None else None if "own" in cells else begun.get(name)
        if own is not None or cells.get("lock"):
            found[name] = None if own is None else round(own, 6)
    return found


def edited(choice: Choice, begun: Locks, given: Locks, edits: Edits) -> Choice:
    """The choice that an edited table asks for. What is ticked is held where it is, or at what it gave: 0 before there
    was a budget."""
    wanted = shown(choice.layers, begun, edits)
    for name in choice.layers:
        value = wanted.get(name)
        if name in wanted and value is None:
            value = choice.locked.get(name, round(given.get(name, 0.0), 4))
        choice = choice.with_setting(f"lock.{name}", value)
    return choice


def agree(choice: Choice, begun: Locks, edits: Edits) -> bool:
    """Does an edited table show the locks of the choice?"""
    wanted = shown(choice.layers, begun, edits)
    return wanted.keys() == choice.locked.keys() and all(
        value is None or math.isclose(value, choice.locked[name], abs_tol=1e-6) for name, value in wanted.items()
    )


def unlocked(choice: Choice) -> Choice:
    """Without any locks of the chosen layers."""
    for name in choice.locked:
        choice = choice.with_setting(f"lock.{name}", None)
    return choice


def percent(share: float) -> float:
    return round(100 * share, 4)
