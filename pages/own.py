"""A visitor's own page: its cells, and what can be done with them. No Streamlit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from pages.notebook import Cell

MOST = 100  # cells of a page
TITLE = "My page"


@dataclass(frozen=True)
class Entry:
    """A cell and its number, which stays with it wherever it goes."""

    number: int
    cell: Cell


@dataclass(frozen=True)
class Own:
    """made: the numbers given so far. removed: the last entry that was taken out, and the place it had."""

    title: str = TITLE
    entries: tuple[Entry, ...] = ()
    made: int = 0
    removed: tuple[int, Entry] | None = None

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(entry.cell for entry in self.entries)

    def added(self, cells: Iterable[Cell]) -> Own:
        """With cells at the end. ValueError if there would be more than MOST, one sentence for the visitor."""
        new = [Entry(number, cell) for number, cell in enumerate(cells, self.made + 1)]
        return self._with((*self.entries, *new), made=self.made + len(new))

    def titled(self, title: str) -> Own:
        return dataclasses.replace(self, title=title.strip() or TITLE)

    def replaced(self, title: str, cells: Iterable[Cell]) -> Own:
        """Other cells under another title. The numbers go on, so that no old widget is taken for a new one."""
        return Own(title or TITLE, made=self.made).added(cells)

    def moved(self, number: int, by: int) -> Own:
        """With one entry so many places further down, as far as that goes."""
        place = self._place(number)
        rest = [entry for entry in self.entries if entry.number != number]
        rest.insert(max(place + by, 0), self.entries[place])
        return dataclasses.replace(self, entries=tuple(rest))

    def edited(self, number: int, text: str) -> Own:
        """With another text in one cell."""
        place = self._place(number)
        entry = Entry(number, dataclasses.replace(self.entries[place].cell, text=text))
        return dataclasses.replace(self, entries=(*self.entries[:place], entry, *self.entries[place + 1 :]))

    def without(self, number: int) -> Own:
        """With one entry taken out; :meth:`put_back` brings it back."""
        place = self._place(number)
        rest = (*self.entries[:place], *self.entries[place + 1 :])
        return dataclasses.replace(self, entries=rest, removed=(place, self.entries[place]))

    def put_back(self) -> Own:
        """With the entry that was taken out last where it was, or at the end of a page that is shorter by now.
        ValueError if the page is full by now, one sentence for the visitor."""
        if self.removed is None:
            return self
        place, entry = self.removed
        return self._with((*self.entries[:place], entry, *self.entries[place:]), removed=None)

    def _place(self, number: int) -> int:
        return [entry.number for entry in self.entries].index(number)

    def _with(self, entries: tuple[Entry, ...], **changes: object) -> Own:
        if len(entries) > MOST:
            raise ValueError(
                f"The page would have {len(entries)} cells, and a page holds at most {MOST}: remove some, or make two "
                "pages."
            )
        return dataclasses.replace(self, entries=entries, **changes)
