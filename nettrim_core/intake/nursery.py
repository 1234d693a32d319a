"""A process that has read no file, and forks a child for each reading.

Torch takes seconds to import and a fork takes hundredths of one. A child begins as a copy of a process that never saw
anybody's data, has limits of its own, and answers through a pipe; whatever becomes of it, the next one is forked from
the same clean process. Requests come in as lines of JSON, ``{"id": ..., "request": {"folder": ..., ...}}``, and go out
as ``{"id": ..., "end": ..., "answer": ...}``, where end is one of :data:`ENDS`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nettrim_core.configuration import Uploads
from nettrim_core.intake import files, kernel

DONE, SLOW, LONG, CRASH = ENDS = ("done", "slow", "long", "crash")
LONGEST = 8_000_000  # bytes of an answer
OPEN_FILES = 64
MEGABYTE = 1_000_000
PIECE = 65_536

Read = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(eq=False)
class Child:
    """A reading. answer: the bytes that came. end: why it was stopped, "" while it was not."""

    id: int
    pid: int
    deadline: float
    answer: bytearray = field(default_factory=bytearray)
    end: str = ""

    def stop(self, end: str) -> None:
        if not self.end:
            self.end = end
            os.kill(self.pid, signal.SIGKILL)

    def ended(self) -> dict[str, Any]:
        """What became of it; waits for its end, which has come when its pipe is closed."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        end = self.end or {0: DONE, -signal.SIGXCPU: SLOW}.get(status, CRASH)
        return {"id": self.id, "end": end, "answer": json.loads(self.answer) if end == DONE else None}


def serve(read: Read, limits: Uploads) -> None:
    """Read what stdin asks for until it is closed; then no child is left."""
    waiting: deque[dict[str, Any]] = deque()
    children: dict[int, Child] = {}  # by the pipe that it answers through
    line = b""
    while True:
        while waiting and len(children) < limits.at_once:
            pipe, child = _forked(read, limits, waiting.popleft(), list(children))
            children[pipe] = child
        left = [child.deadline - time.monotonic() for child in children.values() if not child.end]
        ready, _, _ = select.select([0, *children], [], [], max(min(left), 0) if left else None)
        for pipe in ready:
            piece = os.read(pipe, PIECE)
            if pipe == 0:
                if not piece:
                    _leave(children)
                    return
                *lines, line = (line + piece).split(b"\n")
                waiting.extend(json.loads(entry) for entry in lines)
            elif piece:
                children[pipe].answer += piece
                if len(children[pipe].answer) > LONGEST:
                    children[pipe].stop(LONG)
            else:
                os.close(pipe)
                _say(children.pop(pipe).ended())
        for child in children.values():
            if time.monotonic() >= child.deadline:
                child.stop(SLOW)


def _say(answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


def _leave(children: dict[int, Child]) -> None:
    for child in children.values():
        child.stop(SLOW)
        os.waitpid(child.pid, 0)


def _forked(read: Read, limits: Uploads, asked: dict[str, Any], others: list[int]) -> tuple[int, Child]:
    mine, its = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for pipe in (mine, *others):
                os.close(pipe)
            _confine(limits, its, asked["request"].get("folder", ""))
            answer = json.dumps(read(asked["request"]), allow_nan=False).encode()
            while answer:
                answer = answer[os.write(its, answer) :]
            os._exit(0)
        finally:
            os._exit(1)
    os.close(its)
    return mine, Child(asked["id"], pid, time.monotonic() + limits.seconds)


def _confine(limits: Uploads, pipe: int, folder: str) -> None:
    """No terminal, no more memory, time and disk than is due, and where the system has the means no network and no
    files of others; no way to have more again."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.umask(0o077)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bounds = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + limits.memory_mb * MEGABYTE,
        resource.RLIMIT_CPU: limits.seconds,
        resource.RLIMIT_FSIZE: max(limits.unpacked_mb, limits.mb) * MEGABYTE,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
    }
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that grows too long is an error of writing
    for kind, most in bounds.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most + (kind == resource.RLIMIT_CPU and hard != most)))
    tempfile.tempdir = os.environ["TMPDIR"] = folder
    files.confine(folder)
    kernel.confine()
