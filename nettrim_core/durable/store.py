"""The store: results by what made them, in files of their own, for all processes of a machine.

    results/ab/ab12...    a sealed file for each result, named by the hash of what it is the result of
    runs/ID/run.json      what each run was asked to do
    runs/ID/results       the names of its results, a line each
    runs/ID/pinned        is there if its results are to stay
    runs/ID/lock          held by who carries it out
    damaged/              what was found damaged
    index.db              what there is; made again from the files if it is lost

Nothing that goes wrong with the disk stops a solve: what cannot be kept is told in ``trouble``, and solved again when
it is asked for.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from nettrim_core.configuration import Storage
from nettrim_core.durable.address import Address
from nettrim_core.durable.files import alone, remove_halves, write_whole
from nettrim_core.durable.index import DamagedError, Index
from nettrim_core.durable.sealed import Sealed, seal, unseal

T = TypeVar("T")

MINUTE = 60.0
NAME = re.compile("[0-9a-f]{40}")
PIN = "pinned"
ROOM = 0.9  # of the limit, which is what is left after something had to go


class Store:
    """Safe to use from many threads and processes. Opening it makes the folder and finds out what is there."""

    def __init__(
        self, folder: Path, limit: float = 2e9, unheld: AbstractContextManager[None] | None = None
    ) -> None:  # fmt: skip
        """limit: bytes of results. unheld: what to enter while other processes may wait for this one."""
        self.folder, self.limit, self._unheld = folder, limit, unheld or contextlib.nullcontext()
        self.trouble = ""  # why something cannot be kept, one sentence; "" if all is well
        self._lock = threading.Lock()
        self._index: Index | None = None

    @classmethod
    def configured(cls, unheld: AbstractContextManager[None] | None = None) -> Store | None:
        """The one that the settings speak of; None where nothing is to be kept."""
        storage = Storage.configured()
        return cls(storage.place, storage.mb * 1e6, unheld) if storage.on else None

    # --- results ---

    def path(self, address: Address) -> Path:
        return self.place(address.name)

    def place(self, name: str) -> Path:
        """Where the result of this name lies."""
        return self.folder / "results" / name[:2] / name

    def get(self, address: Address, run: str = "") -> Sealed | None:
        """The result of this, if it is kept and whole. run: whose it is from now on, too."""
        found, size = self._read(address.name)
        if found is not None:
            self._note(address.name, size, run)
        return found

    def at(self, name: str) -> Sealed | None:
        """The result of this name, if it is kept and whole."""
        return self._read(name)[0]

    def _read(self, name: str) -> tuple[Sealed | None, int]:
        """The result of this name, and its bytes; what is damaged goes out of the way."""
        path = self.place(name)
        try:
            data = path.read_bytes()
            found = unseal(data)
            if Address(str(found.about.pop("of", ""))).name != name:
                raise ValueError("it is the result of something else")
        except FileNotFoundError:
            return None, 0
        except OSError as error:
            self._tell(f"{path} cannot be read: {error.strerror or error}")
            return None, 0
        except ValueError as error:
            self.set_aside(path, str(error))
            return None, 0
        return found, len(data)

    def put(self, address: Address, content: Sealed, run: str = "") -> bool:
        """Keep a result, in the place of a former one of the same; False where that cannot be done, for a reason that
        ``trouble`` tells."""
        data = seal(Sealed({**content.about, "of": address.of}, content.arrays))
        try:
            write_whole(self.path(address), data)
        except OSError as error:
            self._tell(f"Results are not kept: {self.folder} cannot be written ({error.strerror or error})")
            return False
        self.trouble = ""
        self._note(address.name, len(data), run)
        self._evict()
        return True

    def remove(self, address: Address) -> None:
        with contextlib.suppress(OSError):
            self.path(address).unlink(missing_ok=True)
        self.index(lambda index: index.do("DELETE FROM results WHERE name = ?", address.name))

    def set_aside(self, path: Path, says: str) -> None:
        """What is damaged goes out of the way, and is told of."""
        place = self.folder / "damaged" / f"{path.name}-{time.time():.0f}"
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        what = path.relative_to(self.folder).as_posix()

        def note(index: Index) -> None:
            index.do("INSERT INTO damage VALUES (?, ?, ?)", time.time(), what, says)
            index.do("DELETE FROM results WHERE name = ?", path.name)

        self.index(note)

    def damage(self) -> list[tuple[float, str, str]]:
        """When what was found damaged, and how; the last first."""
        rows = self.index(lambda index: index.ask("SELECT * FROM damage ORDER BY at DESC LIMIT 100"))
        return [(row["at"], row["what"], row["says"]) for row in rows or ()]

    def size(self) -> tuple[int, int]:
        """How many results there are, and their bytes."""
        rows = self.index(lambda index: index.ask("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM results"))
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    # --- the index ---

    def index(self, act: Callable[[Index], T]) -> T | None:
        """Do something with the index, which is made again if it is damaged; None where that cannot be done, for a
        reason that ``trouble`` tells."""
        with self._unheld:
            for _ in range(2):
                try:
                    with self._lock:
                        here = self._index or self._opened()
                        self._index = here
                    return act(here)
                except sqlite3.OperationalError as error:
                    self._tell(f"Runs are not written down: {self.folder / 'index.db'}: {error}")
                    return None
                except OSError as error:
                    self._tell(f"Runs are not written down: {self.folder}: {error.strerror or error}")
                    return None
                except (DamagedError, sqlite3.DatabaseError) as error:
                    self._start_over(str(error))
        return None

    def close(self) -> None:
        with self._lock:
            if self._index is not None:
                self._index.close()
            self._index = None

    def _opened(self) -> Index:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / "index.db"
        with alone(self.folder / "lock"):
            new = not path.exists()
            index = Index(path)
            if new:
                self._take_in(index)
        remove_halves(self.folder)
        return index

    def _take_in(self, index: Index) -> None:
        """What lies in the folder, into an empty index."""
        with index.writing():
            for path in self.files():
                status = path.stat()
                index.do("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", path.name, status.st_size, status.st_mtime)
            for folder in self.folder.glob("runs/*"):
                for name in self.results_of(folder.name):
                    index.do("INSERT OR IGNORE INTO uses VALUES (?, ?)", folder.name, name)
                if (folder / PIN).exists():
                    index.do(
                        "INSERT INTO runs (id, state, changed, pinned) VALUES (?, 'interrupted', ?, 1)",
                        folder.name, folder.stat().st_mtime,
                    )  # fmt: skip

    def results_of(self, run: str) -> list[str]:
        """The names of a run's results, in the order in which they came."""
        try:
            lines = (self.folder / "runs" / run / "results").read_text(encoding="ascii", errors="replace").split("\n")
        except OSError:
            return []
        return list(dict.fromkeys(line for line in lines if NAME.fullmatch(line)))  # one may be cut off, or not a name

    def files(self) -> Iterator[Path]:
        """All results as they lie there."""
        return (path for path in self.folder.glob("results/??/*") if not path.name.startswith("."))

    def _start_over(self, says: str) -> None:
        self.close()
        with contextlib.suppress(OSError), alone(self.folder / "lock"):
            for end in ("-wal", "-shm"):
                (self.folder / f"index.db{end}").unlink(missing_ok=True)
            place = self.folder / "damaged" / f"index.db-{time.time():.0f}"
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "index.db").replace(place)
        self._tell(f"The index of {self.folder} was damaged ({says}) and is made again from the files.")

    def _note(self, name: str, size: int, run: str) -> None:
        """That there is this result, used now."""

        def note(index: Index) -> None:
            now = time.time()
            used = index.one("SELECT used FROM results WHERE name = ? AND bytes = ?", name, size)
            if used is None or used < now - MINUTE:
                index.do("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", name, size, now)
            if run and index.do("INSERT OR IGNORE INTO uses VALUES (?, ?)", run, name):
                with (self.folder / "runs" / run / "results").open("a", encoding="ascii") as listed:
                    listed.write(f"{name}\n")

        self.index(note)

    def adopt(self, run: str, of: str) -> None:
        """Let a run have the results of another, which was carried out for both."""
        for name in self.results_of(of):
            with contextlib.suppress(OSError):  # it was evicted
                self._note(name, self.place(name).stat().st_size, run)

    def _evict(self) -> None:
        """Beyond the limit, what was not used for the longest goes: it can be made again. Results of pinned runs, and
        of those under way, stay."""
        self.index(self._evicted)

    def _evicted(self, index: Index) -> None:
        total = index.one("SELECT COALESCE(SUM(bytes), 0) FROM results")
        if total <= self.limit:
            return
        held = "SELECT result FROM uses JOIN runs ON runs.id = uses.run WHERE pinned OR state = 'running'"
        unheld = f"SELECT name, bytes FROM results WHERE name NOT IN ({held}) ORDER BY used"  # noqa: S608 (words of ours)
        for row in index.ask(unheld):
            if total <= ROOM * self.limit:
                return
            with contextlib.suppress(OSError):
                self.place(row["name"]).unlink(missing_ok=True)
            index.do("DELETE FROM results WHERE name = ?", row["name"])
            total -= row["bytes"]

    def _tell(self, sentence: str) -> None:
        self.trouble = sentence.rstrip(".") + "."
