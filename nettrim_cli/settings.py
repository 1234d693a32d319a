"""Settings as words on the command line: NAME=VALUE, OWNER.NAME=VALUE.

A text in quotes and a list in brackets are JSON, for what plain words cannot carry: a name that is a number, a tab, a
comma.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from nettrim_core.plan import method_from
from nettrim_core.problem import Method


class Words:
    """What was given with --set, by owner; "" owns what has none. Everything is to be asked for by somebody."""

    def __init__(self, given: Iterable[str]) -> None:
        self.left: dict[str, dict[str, str]] = {}
        for pair in given:
            name, equals, value = pair.partition("=")
            owner, _, own = name.strip().rpartition(".")
            if not equals or not own:
                raise ValueError(f"--set {pair}: a setting is given as NAME=VALUE, such as tol=1e-5")
            self.left.setdefault(owner, {})[own] = value

    def of(self, owner: str, values: Any) -> dict[str, Any]:
        """The settings that were given for an owner, converted to the types of ``values``, a dataclass."""
        return converted(owner, values, self.left.pop(owner, {}))

    def method(self, name: str, epsilon: float | None = None, *, alone: bool = True) -> Method:
        """The method with what was given for it, by its name or, where it stands alone, by none."""
        method = method_from(name, {})
        found = self.of(name, method)
        if alone:
            found = self.of("", method) | found
        return method_from(name, found | ({} if epsilon is None else {"epsilon": epsilon}))

    def finished(self) -> None:
        """Raise ValueError if something was given that nobody asked for."""
        for owner, values in self.left.items():
            for name in values:
                whole = f"{owner}.{name}" if owner else name
                raise ValueError(f"--set {whole}: nothing here has this setting")


def converted(owner: str, values: Any, words: Mapping[str, str]) -> dict[str, Any]:
    fields = {f.name: f for f in dataclasses.fields(values)}
    found = {}
    for name, word in words.items():
        if name not in fields:
            whole = f"{owner}.{name}" if owner else name
            raise ValueError(f"--set {whole}: there is no such setting; there is {', '.join(fields)}")
        found[name] = value_of(name, word, fields[name].default)
    return found


def value_of(name: str, word: str, default: Any) -> Any:
    """A word as the type of a default."""
    word = word.strip()
    try:
        if isinstance(default, bool):
            return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[word.lower()]
        if isinstance(default, int):
            return int(word)
        if isinstance(default, float):
            return float(word)
    except (KeyError, ValueError):
        kind = "yes or no" if isinstance(default, bool) else "a number"
        raise ValueError(f"--set {name}={word}: this is not {kind}") from None
    if word.startswith("[" if isinstance(default, tuple) else '"'):
        return _literal(name, word, default)
    if isinstance(default, tuple):
        return tuple(_loose(part) for part in word.split(",") if part.strip())
    return _loose(word) if name == "label" else word  # a column's number or name


def _literal(name: str, word: str, default: Any) -> Any:
    """The text or the tuple that a word in JSON stands for."""
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        raise ValueError(f'--set {name}={word}: this is not JSON: give "text", or ["text", 2]') from None
    return tuple(value) if isinstance(default, tuple) else value


def _loose(word: str) -> Any:
    """A whole number, a number, or a name."""
    for kind in (int, float):
        try:
            if math.isfinite(value := kind(word)):
                return value
        except ValueError:
            continue
    return word.strip()


def pairs(option: str, given: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """LAYER=NUMBER, as often as it was given."""
    found = []
    for pair in given:
        name, equals, value = pair.rpartition("=")
        try:
            found.append((name, float(value)))
        except ValueError:
            equals = ""
        if not equals or not name:
            raise ValueError(f"{option} {pair}: give a layer and a number, such as fc1=0.5")
    return tuple(found)


def names(given: str) -> list[str]:
    """Names with commas between."""
    return [name for name in (part.strip() for part in given.split(",")) if name]


def numbers(option: str, given: str) -> list[float]:
    """Numbers with commas between."""
    try:
        return [float(part) for part in names(given)]
    except ValueError:
        raise ValueError(f"{option} {given}: give numbers with commas between, such as 0.4,0.2") from None
