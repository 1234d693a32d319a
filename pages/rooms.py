"""A private folder for what each visitor brings, which is gone when they are. No Streamlit.

The folders of a server lie in one of its own, with a file that is locked as long as the server lives. A server that
was killed leaves its folder behind; the next one that starts knows it by its name and the lock that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

from nettrim_core.intake import Door
from nettrim_core.intake.readings import TAKEN
from pages import store
from pages.state import OWN

PREFIX = "nettrim-visits-"
LOCK = "lock"
GRACE = 90.0  # seconds that a room waits for its visitor: a line breaks, a page is loaded anew
MOST_NETWORKS = 5  # of one visitor, all of them in the server's memory
KEPT = 20  # answers to what was looked at


@dataclass(eq=False)
class Room:
    """One visitor's files and networks. networks: id -> title. at_end: what is done when one of them is taken away, or
    the visitor is gone, by the network and what it is about. make: makes the folder, once there is something to put
    into it."""

    make: Callable[[], Path]
    door: Door
    networks: dict[str, str] = field(default_factory=dict)
    at_end: dict[str, dict[str, Callable[[], object]]] = field(default_factory=dict)
    guests: int = 0
    _files: dict[str, str] = field(default_factory=dict)
    _looks: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def folder(self) -> Path:
        return self.make()

    @property
    def files(self) -> dict[str, str]:
        """What was uploaded, by its part ("network", "data", "labels"), as paths in the folder."""
        return dict(self._files)

    def put(self, part: str, name: str, data: bytes) -> None:
        """An uploaded file, in place of the one before it. Raises ValueError, one sentence, if it is too large."""
        most = self.door.limits.mb
        if len(data) > most * 1_000_000:
            size = f"{len(data) / 1e6:,.0f} MB"
            raise ValueError(f"{safe(name)}: the file has {size} and the limit is {most:,} MB; give a smaller one.")
        with self._lock:
            place, before = self.folder / part, self.folder / f"{part}-before"
            if part in self._files:
                shutil.rmtree(before, ignore_errors=True)
                place.rename(before)
            place.mkdir(mode=0o700)
            (place / safe(name)).write_bytes(data)
            self._files[part] = f"{part}/{safe(name)}"
            self._looks.clear()

    def before(self, part: str) -> str:
        """The name of the file that the last one took the place of; "" for none."""
        place = self.folder / f"{part}-before"
        return next((path.name for path in place.iterdir()), "") if place.is_dir() else ""

    def back(self, part: str) -> None:
        """The file before in place of the last one."""
        with self._lock:
            if name := self.before(part):
                shutil.rmtree(self.folder / part, ignore_errors=True)
                (self.folder / f"{part}-before").rename(self.folder / part)
                self._files[part] = f"{part}/{name}"
                self._looks.clear()

    def take_away(self, part: str) -> None:
        with self._lock:
            for place in (part, f"{part}-before"):
                shutil.rmtree(self.folder / place, ignore_errors=True)
            self._files.pop(part, None)
            self._looks.clear()

    def look(self, options: dict[str, Any], architecture: str = "") -> dict[str, Any]:
        """What is in the files. Raises ValueError, one sentence, where nothing can be said of them."""
        request = self._request("look", options, architecture)
        key = repr(sorted(request.items(), key=str))
        with self._lock:
            if key not in self._looks:
                self._looks[key] = self.door.ask(request)
                for old in list(self._looks)[:-KEPT]:
                    del self._looks[old]
            return self._looks[key]

    def take(self, title: str, options: dict[str, Any], architecture: str = "") -> str:
        """Make the files a network of this visitor's; its id, which is the same for the same content. Raises
        ValueError, one sentence."""
        request = {**self._request("take", options, architecture), "title": title}
        with self._lock:
            name = f"own-{self.door.ask(request)['fingerprint']}"
            assert OWN.fullmatch(name)
            if name not in self.networks and len(self.networks) >= MOST_NETWORKS:
                raise ValueError(f"There are {MOST_NETWORKS} networks of yours already; remove one first.")
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / TAKEN).rename(self.folder / name)
            store.keep(name, store.loaded(self.folder / name), self)
            others = [other for known, other in self.networks.items() if known != name]
            self.networks[name] = next(t for t in chain([title], (f"{title} {i}" for i in count(2))) if t not in others)
        return name

    def remove(self, name: str) -> None:
        """Take one of the networks away, and what was found out about it."""
        with self._lock:
            self.networks.pop(name, None)
            store.let_go(name, self)
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for act in self.at_end.pop(name, {}).values():
            act()

    def example(self) -> list[tuple[str, bytes]]:
        """Two files to try this with, a network and its data."""
        with self._lock:
            place = self.folder / "example"
            place.mkdir(mode=0o700, exist_ok=True)
            names = self.door.ask({"task": "example", "folder": str(place), "options": {}})["files"]
            return [(name, (place / name).read_bytes()) for name in names]

    def clear(self) -> None:
        """Leave nothing."""
        for name in [*self.networks, *self.at_end]:
            self.remove(name)
        if "folder" in vars(self):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _request(self, task: str, options: dict[str, Any], architecture: str) -> dict[str, Any]:
        limited = {**options, "limit_mb": float(self.door.limits.unpacked_mb)}
        parts = {part: self._files.get(part, "") for part in ("network", "data", "labels")}
        return {"task": task, "folder": str(self.folder), "options": limited, "architecture": architecture, **parts}


class House:
    """The rooms of a server, by what only their visitors know."""

    def __init__(self, door: Door, grace: float = GRACE) -> None:
        self.door, self.grace = door, grace
        self._lock = threading.Lock()
        self._root: Path | None = None
        self._held: Any = None
        self._rooms: dict[str, Room] = {}

    def enter(self, key: str) -> Room:
        """The room of this key, made if there is none; :meth:`leave` it when the visitor goes."""
        with self._lock:
            if key not in self._rooms:
                self._rooms[key] = Room(self._made, self.door)
            self._rooms[key].guests += 1
            return self._rooms[key]

    def leave(self, key: str) -> None:
        with self._lock:
            room = self._rooms.get(key)
            if room is None:
                return
            room.guests -= 1
        if room.guests < 1:
            timer = threading.Timer(self.grace, self._empty, (key, room))
            timer.daemon = True
            timer.start()

    def close(self) -> None:
        """Leave nothing of anybody's."""
        with self._lock:
            rooms, self._rooms = list(self._rooms.values()), {}
            root, self._root = self._root, None
        for room in rooms:
            room.clear()
        if root is not None:
            shutil.rmtree(root, ignore_errors=True)
            self._held.close()
        self.door.close()

    def _empty(self, key: str, room: Room) -> None:
        with self._lock:
            if room.guests > 0 or self._rooms.get(key) is not room:
                return
            del self._rooms[key]
        room.clear()

    def _made(self) -> Path:
        """A new folder that nobody else can read, under a name that nobody can guess."""
        with self._lock:
            if self._root is None:
                self._root = Path(tempfile.mkdtemp(prefix=PREFIX))
                waiting = self._root / "locking"
                self._held = waiting.open("w")
                fcntl.flock(self._held, fcntl.LOCK_EX)
                waiting.rename(self._root / LOCK)  # from now on it can be seen whether anybody holds it
            return Path(tempfile.mkdtemp(prefix="visit-", dir=self._root))


def sweep() -> None:
    """Remove the folders of servers that are no more."""
    for folder in _left_behind():
        try:
            with (folder / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it is somebody's, or went meanwhile
            continue


def _left_behind() -> Iterator[Path]:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        ours = not folder.is_symlink() and folder.is_dir() and folder.stat().st_uid == os.getuid()
        if ours and (folder / LOCK).is_file() and not (folder / LOCK).is_symlink():
            yield folder


def safe(name: str) -> str:
    """A file's name with plain characters alone, and no path in it."""
    last = re.split(r"[/\\]", name)[-1]
    plain = re.sub(r"[^\w.-]", "_", last, flags=re.ASCII)
    return plain[-80:].lstrip(".-") or "file"
