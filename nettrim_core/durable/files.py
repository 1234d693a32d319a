"""Files that are there whole or not at all, and locks that end with whoever holds them."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HALF = ".part"  # how the name of a file ends that is being written
ABANDONED = 3600.0  # seconds after which such a file is nobody's any more


def write_whole(path: Path, data: bytes) -> None:
    """A file in one stroke: under a name of its own until it is on the disk, then under ``path``, whatever was there.

    Whoever is killed in the midst leaves what was there before, and a file that :func:`remove_halves` takes away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}{HALF}")
    try:
        with half.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)


def remove_halves(folder: Path) -> None:
    """Take away what was being written when somebody was killed."""
    for half in folder.rglob(f".*{HALF}"):
        try:
            if half.stat().st_mtime < time.time() - ABANDONED:
                half.unlink()
        except OSError:  # somebody else did, or nobody may
            continue


def hold(path: Path) -> IO[str] | None:
    """Hold this lock until what comes back is closed, or the process ends; None if somebody else does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def is_held(path: Path) -> bool:
    """Does anybody hold this lock?"""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One at a time, among all processes: waits until nobody holds this lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
