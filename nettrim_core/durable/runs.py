"""Runs: what somebody asked for, how far it is, and what became of it, whatever happens to the process."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import time
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import IO, Any

from nettrim_core import environment
from nettrim_core.durable.files import hold, is_held, write_whole
from nettrim_core.durable.index import Index
from nettrim_core.durable.store import PIN, Store
from nettrim_core.report import Report
from nettrim_core.tabulate import curves_csv

VERSION = 1
KEPT_DELETED = 24 * 3600.0  # seconds in which a run that was deleted can be had back
FORGET = ("DELETE FROM runs WHERE id = ?", "DELETE FROM uses WHERE run = ?", "DELETE FROM log WHERE run = ?")
MOST_LOG = 500  # lines that are shown of a log


class State(Enum):
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # by hand
    FAILED = "failed"
    INTERRUPTED = "interrupted"  # its process ended before it did
    DAMAGED = "damaged"  # what it was asked to do can no longer be read


@dataclass(frozen=True)
class Asked:
    """What a run was asked to do, which never changes but for its name.

    key: what tells it from other runs. request: as a worker is asked. owner: whose it is; "" where there is one user.
    fingerprint: of the network and the rows. subject: where these are, if they are no sample: {"model", "data",
    "architecture", "folder"}; a run of the studio has its {"link"}. environment: what it was begun with.
    """

    id: str
    name: str
    owner: str
    made: float
    key: str
    request: dict[str, Any]
    fingerprint: str = ""
    subject: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run as it is now. done, total: answers; seconds: of work, over all times that it was carried on; changed: when
    anything last happened to it."""

    asked: Asked
    state: State
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    changed: float = 0.0
    error: str = ""
    pinned: bool = False
    deleted: float | None = None

    @property
    def id(self) -> str:
        return self.asked.id

    @property
    def unfinished(self) -> bool:
        """Is there something left to do, and nobody doing it?"""
        return self.state in (State.STOPPED, State.FAILED, State.INTERRUPTED)


def run_id(key: str, owner: str = "", fingerprint: str = "") -> str:
    """The same for the same key, which says what is asked for: to ask again is to carry on."""
    text = json.dumps([key, owner, fingerprint])
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def mark(answer: Mapping[str, Any]) -> str | None:
    """What tells an answer of a sweep from others, as a rough one is followed by a better one of the same. None for an
    answer of another task; these all differ."""
    point = answer.get("point")
    return None if point is None else json.dumps([answer["sweep"], point["report"]["settings"], point["method"]])


class Recording:
    """A run while it is carried out. It is held by a lock that ends with the process."""

    def __init__(self, store: Store, id: str, lock: IO[str], done: int = 0) -> None:
        """done: answers that were there before, and are not asked for again."""
        self.store, self.id, self._lock, self._before = store, id, lock, done
        self._since = time.monotonic()
        self._seen: set[str] = set()

    def heard(self, answer: Mapping[str, Any]) -> None:
        """An answer has come."""
        self._seen.add(mark(answer) or str(len(self._seen)))
        self._write(State.RUNNING)

    def ended(self, state: State, error: str = "") -> None:
        if not self._lock.closed:
            self._write(state, error)
            says = f"{state.value}{f': {error}' if error else ''}"
            self.store.index(lambda index: index.log(self.id, says))
            self._lock.close()

    def _write(self, state: State, error: str = "") -> None:
        now, done = time.monotonic(), self._before + len(self._seen)
        spent, self._since = now - self._since, now

        def write(index: Index) -> None:
            index.do(
                "UPDATE runs SET state = ?, done = ?, error = ?, seconds = seconds + ?, changed = ? WHERE id = ?",
                state.value, done, error, spent, time.time(), self.id,
            )  # fmt: skip

        self.store.index(write)


class Runs:
    """The runs of a store."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.folder / "runs"

    def begin(
        self, request: dict[str, Any], total: int, name: str, *, key: str = "", owner: str = "", fingerprint: str = "",
        subject: dict[str, Any] | None = None,
    ) -> Recording | None:  # fmt: skip
        """Write down that this is carried out from now on, anew or again. None where it cannot be written, for a reason
        that the store's ``trouble`` tells, and where another process carries it out.

        key: what tells it from other runs; the request, if not given, of which a run that is carried on may ask for
        what is left. total: answers that are expected.
        """
        key = key or json.dumps(request, sort_keys=True)
        run = run_id(key, owner, fingerprint)
        known = self._asked(run)
        asked = known or Asked(
            run, name, owner, time.time(), key, request, fingerprint, subject or {},
            environment.versions() | {"machine": environment.machine()},
        )  # fmt: skip
        lock = self._hold(run, asked if known is None else None)
        return None if lock is None else self._recording(run, lock, total, "begun" if known is None else "carried on")

    def again(self, run: Run) -> Recording | None:
        """As :meth:`begin`, for a run that is there."""
        lock = self._hold(run.id)
        return None if lock is None else self._recording(run.id, lock, run.total, "carried on")

    def _hold(self, run: str, asked: Asked | None = None) -> IO[str] | None:
        """A run's lock, and what is asked written down; None as :meth:`begin` says."""
        try:
            lock = hold(self.folder / run / "lock")
            if lock is not None and asked is not None:
                self._write(asked)
            return lock
        except OSError as error:
            self.store.trouble = f"Runs are not kept: {self.folder} cannot be written ({error.strerror or error})."
            return None

    def _recording(self, run: str, lock: IO[str], total: int, says: str) -> Recording:
        def note(index: Index) -> int:
            whole = max(total, index.one("SELECT total FROM runs WHERE id = ?", run) or 0)
            index.do(
                "INSERT INTO runs (id, state, total, changed) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "state = excluded.state, total = excluded.total, changed = excluded.changed, error = '', "
                "deleted = NULL",
                run, State.RUNNING.value, whole, time.time(),
            )  # fmt: skip
            index.log(run, says)
            return whole - total

        return Recording(self.store, run, lock, self.store.index(note) or 0)

    def all(self, owner: str | None = None, deleted: bool = False) -> list[Run]:
        """The last one that something happened to first. owner: None for everybody's."""
        found = [self.get(folder.name) for folder in self._folders()]
        chosen = [
            run
            for run in found
            if run is not None and (run.deleted is not None) == deleted and owner in (None, run.asked.owner)
        ]
        return sorted(chosen, key=lambda run: (run.changed, run.asked.made), reverse=True)

    def get(self, id: str) -> Run | None:
        """A run as it is now; None if there is none of this id."""
        if not (self.folder / id).is_dir():
            return None
        asked = self._asked(id)
        rows = self.store.index(lambda index: index.ask("SELECT * FROM runs WHERE id = ?", id))
        row = rows[0] if rows else None
        held = is_held(self.folder / id / "lock")
        if asked is None:
            if held:
                return None  # it is just being written
            asked = Asked(id, id, "", 0.0, "", {})
            return Run(asked, State.DAMAGED, deleted=row["deleted"] if row else None)
        if row is None:
            return Run(asked, State.RUNNING if held else State.INTERRUPTED, changed=asked.made)
        state = State(row["state"])
        if state is State.RUNNING and not held:
            state = State.INTERRUPTED
        return Run(
            asked, state, row["done"], row["total"], row["seconds"], row["changed"], row["error"],
            (self.folder / id / PIN).exists(), row["deleted"],
        )  # fmt: skip

    def find(self, word: str, owner: str | None = None) -> Run:
        """By its id, the beginning of it, or its name. Raises ValueError, one sentence, if that is none or several."""
        runs = self.all(owner)
        for found in (
            [run for run in runs if run.id == word],
            [run for run in runs if run.asked.name == word],
            [run for run in runs if word and run.id.startswith(word)],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                raise ValueError(f"{word!r} are {len(found)} runs: {', '.join(run.id for run in found)}: give an id")
        raise ValueError(f"there is no run {word!r} in {self.store.folder}: nettrim runs lists them")

    def log(self, id: str) -> list[tuple[float, str]]:
        """What happened, and when."""
        ask = "SELECT at, says FROM log WHERE run = ? ORDER BY at DESC LIMIT ?"
        rows = self.store.index(lambda index: index.ask(ask, id, MOST_LOG))
        return [(row["at"], row["says"]) for row in reversed(rows or ())]

    def cost(self, id: str) -> tuple[int, int]:
        """How many results a run has, and their bytes, as far as they are still there."""
        ask = "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM uses JOIN results ON name = result WHERE run = ?"
        rows = self.store.index(lambda index: index.ask(ask, id))
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    def reports(self, id: str) -> list[Report]:
        """Of the networks that a sweep has pruned so far, each method's from small epsilons to large ones."""
        found = [content for name in self.store.results_of(id) if (content := self.store.at(name)) is not None]
        reports = [Report.from_dict(content.about["report"]) for content in found if "epsilon" in content.about]
        return sorted(reports, key=lambda report: (report.method, report.settings["epsilon"]))

    def rename(self, id: str, name: str) -> None:
        """Raises ValueError for a name that is none."""
        asked, name = self._asked(id), " ".join(name.split())
        if asked is None or not 1 <= len(name) <= 100:
            raise ValueError("a run's name has 1 to 100 characters")
        self._write(replace(asked, name=name))

    def pin(self, id: str, pinned: bool) -> None:
        """A pinned run's results stay, whatever the store's limit."""
        mark = self.folder / id / PIN
        if pinned:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)
        self.store.index(lambda index: index.do("UPDATE runs SET pinned = ? WHERE id = ?", pinned, id))

    def delete(self, id: str) -> None:
        """Out of the list; for a day it can be had back."""
        self._mark(id, time.time())

    def undelete(self, id: str) -> None:
        self._mark(id, None)

    def purge(self, older: float = KEPT_DELETED) -> None:
        """Remove what was deleted so many seconds ago, and results that no run has from then on may be evicted."""
        for run in self.all(deleted=True):
            if run.deleted is not None and run.deleted < time.time() - older and run.state is not State.RUNNING:
                shutil.rmtree(self.folder / run.id, ignore_errors=True)
                for statement in FORGET:
                    self.store.index(lambda index, statement=statement, run=run: index.do(statement, run.id))

    def exported(self, id: str) -> bytes:
        """A ZIP of what it was asked, its log, its curves as a table, and its results as they lie in the store."""
        run, file = self.get(id), io.BytesIO()
        if run is None:
            raise ValueError(f"there is no run {id!r}")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("run.json", json.dumps(asdict(run.asked), indent=1))
            if reports := self.reports(id):
                packed.writestr("curves.csv", curves_csv(reports))
            packed.writestr("log.txt", "".join(f"{at:.3f} {says}\n" for at, says in self.log(id)))
            for name in self.store.results_of(id):
                path = self.store.place(name)
                if path.is_file():
                    packed.write(path, f"results/{name}.safetensors")
        return file.getvalue()

    def _folders(self) -> list[Path]:
        try:
            return [path for path in self.folder.iterdir() if path.is_dir()]
        except OSError:
            return []

    def _mark(self, id: str, deleted: float | None) -> None:
        def mark(index: Index) -> None:
            index.do(
                "INSERT INTO runs (id, state, changed, deleted) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "deleted = excluded.deleted",
                id, State.INTERRUPTED.value, time.time(), deleted,
            )  # fmt: skip

        self.store.index(mark)

    def _asked(self, id: str) -> Asked | None:
        """What is written of it; None without, and where it is damaged."""
        path = self.folder / id / "run.json"
        try:
            data = json.loads(path.read_bytes())
            if data.pop("version") != VERSION or data.pop("seal") != _seal(data):
                raise ValueError("its content is not what was sealed")
            return Asked(**data)
        except OSError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.store.set_aside(path, f"it cannot be read as a run ({error})")
            return None

    def _write(self, asked: Asked) -> None:
        data = asdict(asked)
        text = json.dumps({"version": VERSION, "seal": _seal(data), **data}, indent=1)
        write_whole(self.folder / asked.id / "run.json", text.encode())


def _seal(data: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(data, sort_keys=True).encode(), digest_size=20).hexdigest()
