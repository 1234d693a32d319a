"""What there is, in SQLite: runs, results, which run has which result. The files are the truth: an index that is lost
or damaged is made again from them."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = 1
WAIT = 20.0  # seconds for another process that is writing
TABLES = """
CREATE TABLE results (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, used REAL NOT NULL);
CREATE INDEX results_used ON results (used);
CREATE TABLE uses (run TEXT NOT NULL, result TEXT NOT NULL, PRIMARY KEY (run, result)) WITHOUT ROWID;
CREATE INDEX uses_result ON uses (result);
CREATE TABLE runs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0, changed REAL NOT NULL, error TEXT NOT NULL DEFAULT '',
    pinned INTEGER NOT NULL DEFAULT 0, deleted REAL
);
CREATE TABLE damage (at REAL NOT NULL, what TEXT NOT NULL, says TEXT NOT NULL);
CREATE TABLE log (run TEXT NOT NULL, at REAL NOT NULL, says TEXT NOT NULL);
CREATE INDEX log_run ON log (run, at);
"""


class DamagedError(Exception):
    """The file is no index that can be used."""


class Index:
    """One connection, for all threads of a process in turn. Raises sqlite3.OperationalError where the disk is full,
    the folder cannot be written, or another process writes for too long."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        try:
            self._begin()
        except BaseException:
            self._connection.close()
            raise

    def _begin(self) -> None:
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")  # results are files, and these are synchronous
            with self.writing():
                (version,) = self._connection.execute("PRAGMA user_version").fetchone()
                if version == 0:
                    for statement in TABLES.split(";"):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {VERSION}")
            if version not in (0, VERSION):
                raise DamagedError(f"it is of version {version}, and this program knows version {VERSION}")
            (says,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
            if says != "ok":
                raise DamagedError(says)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise DamagedError(str(error)) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All of it or nothing."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk may have ended it already
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def do(self, statement: str, *values: Any) -> int:
        """Change something; how many rows were changed."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def ask(self, question: str, *values: Any) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(question, values).fetchall()

    def one(self, question: str, *values: Any) -> Any:
        """The first column of the first row; None without a row."""
        found = self.ask(question, *values)
        return found[0][0] if found else None

    def log(self, run: str, says: str) -> None:
        self.do("INSERT INTO log VALUES (?, ?, ?)", run, time.time(), says)

    def close(self) -> None:
        with self._lock:
            self._connection.close()
