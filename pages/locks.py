"""The table of the layers' shares: its rows from a choice, and from what was edited in it to another choice. No
Streamlit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pages.state import Choice

Edits = Mapping[int, Mapping[str, Any]]  # from the number of a row to its changed cells


def rows(choice: Choice, sizes: Mapping[str, int], given: Mapping[str, float]) -> dict[str, list[Any]]:
    """Column -> cells. sizes: layer -> weights and biases; given: layer -> fraction of zeros in the last budget. Shares
    are in per cent, NaN where there is none."""
    own = [choice.locked.get(name, math.nan) for name in choice.layers]
    return {
        "layer": list(choice.layers),
        "weights": [sizes[name] for name in choice.layers],
        "given": [_percent(given.get(name, math.nan)) for name in choice.layers],
        "locked": [not math.isnan(value) for value in own],
        "own": [_percent(value) for value in own],
    }


def edited(choice: Choice, given: Mapping[str, float], edits: Edits) -> Choice:
    """The choice after edits: a value of its own locks a layer there, none unlocks it, a tick locks it at what it gave
    (0 before there was a budget)."""
    for row, cells in edits.items():
        if row >= len(choice.layers):
            continue  # of a table of other layers
        name = choice.layers[row]
        held = choice.locked.get(name)
        if "own" in cells and not _same(cells["own"], held):
            value = None if cells["own"] is None else round(cells["own"] / 100, 6)
        elif "locked" in cells and bool(cells["locked"]) != (held is not None):
            value = round(given.get(name, 0.0), 4) if cells["locked"] else None
        else:
            continue
        choice = choice.with_setting(f"lock.{name}", value)
    return choice


def agree(choice: Choice, edits: Edits) -> bool:
    """Does a table that was edited so show the locks of the choice?"""
    for row, cells in edits.items():
        held = choice.locked.get(choice.layers[row]) if row < len(choice.layers) else None
        if "locked" in cells and bool(cells["locked"]) != (held is not None):
            return False
        if "own" in cells and not _same(cells["own"], held):
            return False
    return True


def unlocked(choice: Choice) -> Choice:
    """Without any locks of the chosen layers."""
    for name in choice.locked:
        choice = choice.with_setting(f"lock.{name}", None)
    return choice


def _percent(share: float) -> float:
    return round(100 * share, 4)


def _same(cell: float | None, held: float | None) -> bool:
    return cell is None if held is None else cell is not None and math.isclose(cell, _percent(held), abs_tol=1e-4)
