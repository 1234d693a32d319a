"""Workers without the wait: each is forked from one process that is warm.

Torch takes seconds to import, and what is compiled takes seconds to load; a fork takes hundredths of one. So a cancel
can be a kill and a worker can be one job's own, and workers share the memory of what they have in common. The process
that they are forked from (``python -m nettrim_core.worker``) has solved nothing and knows of nobody.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from nettrim_core.configuration import Work

NICENESS = 10  # of the workers, from their first moment: the page's own process goes first


class Worker:
    """A process that is asked by lines of JSON and answers in them. pid: 0 before it is there and after its end."""

    def __init__(self, talk: socket.socket, busy: IO[bytes]) -> None:
        """busy: whose lock it has while others may wait for what it does; see :mod:`nettrim_core.unheld`."""
        self._talk, self._lines, self._busy = talk, talk.makefile("r", encoding="utf-8"), busy
        self.pid = 0
        self._held = self._killed = False
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any]) -> None:
        """Raises OSError where the process is gone."""
        self._talk.sendall(json.dumps(request).encode() + b"\n")

    def arrive(self) -> None:
        """Wait until it is there. Raises ValueError where it will never be."""
        if not (line := self._lines.readline()):
            raise ValueError("it did not start")
        pid = int(line)
        with self._lock:
            self.pid = pid
            if self._killed:
                self._send(signal.SIGKILL)

    def answers(self) -> Iterator[dict[str, Any]]:
        """What it says, to its end. Raises ValueError for a line that is cut off."""
        try:
            yield from map(json.loads, self._lines)
        finally:
            with self._lock:
                self.pid = 0  # which is soon somebody else's
                self._busy.close()
            self._lines.close()
            self._talk.close()

    def hold(self) -> bool:
        """Take its processor away; :meth:`go_on` gives it back. False where it cannot be spared at this moment."""
        with self._lock:
            if self.pid:
                try:
                    fcntl.lockf(self._busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return False
            self._held = True
            self._send(signal.SIGSTOP)
            return True

    def go_on(self) -> None:
        with self._lock:
            if self._held and self.pid:
                self._send(signal.SIGCONT)
                fcntl.lockf(self._busy, fcntl.LOCK_UN)
            self._held = False

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            self._send(signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._talk.shutdown(socket.SHUT_RDWR)

    def _send(self, number: signal.Signals) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Workers:
    """Where workers come from. Safe to use from many threads."""

    def __init__(self, limits: Work) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def warm_up(self) -> None:
        """Have the process come up meanwhile."""
        with self._lock:
            self._living()

    def fork(self) -> Worker:
        """A new worker, at once: what it is asked before it is there, it finds. One that cannot come up has ended."""
        ours, theirs = socket.socketpair()
        busy = tempfile.TemporaryFile()  # noqa: SIM115 (the worker closes it)
        files = [theirs.fileno(), busy.fileno()]
        with self._lock, theirs:
            for _ in range(2):
                try:
                    socket.send_fds(self._living(), [b"w"], files)
                    break
                except OSError:  # the process ended this moment
                    self._end()
        return Worker(ours, busy)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            self._end()

    def _living(self) -> socket.socket:
        """The way to the process; needs the lock."""
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "nettrim_core.worker", str(theirs.fileno()), str(self.limits.threads_each),
                     str(self.limits.memory)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                    process_group=0, env=self._environment(),
                )  # fmt: skip
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
        return self._control

    def _environment(self) -> dict[str, str]:
        root = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        threads = dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(self.limits.threads_each)
        )
        # waiting threads that spin take the cores from the server and the browser, and from each other
        return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **threads, "PYTHONPATH": path}

    def _end(self) -> None:
        """Needs the lock."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its children too, also those that are held
            self._process.wait()
        if self._control is not None:
            self._control.close()
        self._process = self._control = None
