"""What is compared: methods in states that were pinned, and the settings in which they differ. No Streamlit."""

from __future__ import annotations

import dataclasses
import json
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nettrim_core.methods import METHOD_TITLES
from nettrim_core.plan import Plan
from pages import store
from pages.state import MODE_WORDS, Choice, setting_field

MOST = 6  # candidates side by side
MOST_PINS = 4


@dataclass(frozen=True, eq=False)
class Candidate:
    """A method in a state. letter: what it is called in every chart; state: the state's name."""

    letter: str
    state: str
    choice: Choice
    method: str

    @property
    def title(self) -> str:
        return f"{self.letter} {METHOD_TITLES[self.method]}"

    @cached_property
    def plan(self) -> Plan:
        return self.choice.plan()

    @cached_property
    def request(self) -> dict[str, Any]:
        """As a worker is asked for it."""
        settings = dataclasses.asdict(self.choice.solving(self.method))
        return {"plan": self.plan.to_dict(), "method": self.method, "settings": settings}

    @cached_property
    def key(self) -> str:
        return json.dumps(self.request, sort_keys=True)


def candidates_of(states: Sequence[tuple[str, Choice]]) -> list[Candidate]:
    """Every method of every (name, state), one that comes again left out."""
    found: dict[str, Candidate] = {}
    for name, choice in states:
        for method in choice.methods if choice.layers else ():
            letter = string.ascii_uppercase[len(found) % 26]
            candidate = Candidate(letter, name, choice, method)
            found.setdefault(candidate.key, candidate)
    return list(found.values())


def same(a: Choice, b: Choice) -> bool:
    """Do two states give the same results, whatever is shown of them?"""
    return {c.key for c in candidates_of([("", a)])} == {c.key for c in candidates_of([("", b)])}


def differing(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Setting -> its value for every candidate, of the settings that are not the same for all. A dash where a candidate
    has no such setting."""
    rows = {title: [value(c) for c in candidates] for title, value in _COMMON.items()}
    names = dict.fromkeys(name for c in candidates for name in c.choice.settings if _has(c, name))
    for name in names:
        rows[_title(name)] = [_said(c.choice.value(name)) if _has(c, name) else "–" for c in candidates]
    return {title: values for title, values in rows.items() if len(set(values)) > 1}


_COMMON = {
    "Network": lambda c: store.name_of(c.choice.model),
    "Layers": lambda c: ", ".join(c.choice.layers),
    "Layers are pruned": lambda c: MODE_WORDS[c.choice.mode],
    "Epsilon": lambda c: f"{c.choice.eps:g}",
    "Calibration samples": lambda c: f"{c.choice.n:,}",
    "Seed of their choice": lambda c: str(c.choice.seed),
    "Patches of a convolution": lambda c: f"{c.choice.patches:,}",
}


def _has(candidate: Candidate, name: str) -> bool:
    """Does a setting have a part in this candidate's result?"""
    owner, _, own = name.partition(".")
    if owner == "cascade":
        return candidate.choice.mode == "cascade"
    return owner == candidate.method or (owner == "scale" and own in candidate.choice.layers)


def _title(name: str) -> str:
    owner, _, own = name.partition(".")
    if owner == "scale":
        return f"Epsilon of {own}, times"
    title = "Cascade" if owner == "cascade" else METHOD_TITLES[owner]
    assert setting_field(name)
    return f"{title}: {own}"


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
