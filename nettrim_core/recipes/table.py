"""The tables of a file, taken apart with a sentence for whatever is not as it should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any


class Table:
    """A table of a file, taken apart entry by entry. where: how errors call it."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self.where, self.values = where, dict(values)

    def take(self, name: str, kind: Any, *default: Any) -> Any:
        """An entry of this kind, which is gone then; whole numbers are taken for floats too."""
        if name not in self.values:
            if default:
                return default[0]
            raise ValueError(f"{self.where}: {name} is missing: take a recipe as it was exported")
        value = self.values.pop(name)
        if isinstance(value, int) and value.bit_length() > 63:
            raise ValueError(f"{self.where}: {name} is a whole number of more than 64 bits, which TOML does not have")
        legal = int | float if kind is float else kind
        if not isinstance(value, legal) or isinstance(value, bool):
            raise ValueError(f"{self.where}: {name} = {short(value)} is not {getattr(kind, '__name__', kind)}")
        return float(value) if kind is float else value

    def table(self, name: str) -> Table:
        return Table(f"{self.where}, [{name}]", self.take(name, dict))

    def optional(self, name: str) -> Table | None:
        return self.table(name) if name in self.values else None

    def settings(self, name: str, kind: Any) -> Any:
        """The settings of a class, or None where there is no such table."""
        table = self.optional(name)
        if table is None:
            return None
        known = [f.name for f in dataclasses.fields(kind)]
        if unknown := set(table.values) - set(known):
            raise ValueError(f"{table.where}: there is no {', '.join(sorted(unknown))}; there is {', '.join(known)}")
        return kind(**table.values)

    def names(self, name: str) -> list[str]:
        return self._all(name, str)

    def numbers(self, name: str) -> list[float]:
        return [float(value) for value in self._all(name, float)]

    def _all(self, name: str, kind: Any) -> list[Any]:
        entries = Table(f"{self.where}, {name}", dict(enumerate(self.take(name, list))))  # type: ignore[arg-type]
        return [entries.take(place, kind) for place in list(entries.values)]

    def rest(self) -> dict[str, Any]:
        """All entries that are left, which are gone then."""
        values, self.values = self.values, {}
        return values

    def finished(self) -> None:
        """Raise ValueError if something is left that nobody knows."""
        if self.values:
            raise ValueError(f"{self.where}: there is no entry {', '.join(self.values)}: take it out")
