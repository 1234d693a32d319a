"""The server's side of the intake: ask for a reading, wait for the answer, and be told in a sentence if none came."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from nettrim_core import faults
from nettrim_core.configuration import Public, Uploads
from nettrim_core.intake.nursery import CRASH, DONE, LONG, SLOW

START = 60.0  # seconds that the first reading waits at most for the process to come up
NICENESS = 5
READ, REFUSED = "read", "refused"


class Door:
    """Readings in another process (:mod:`nettrim_core.intake.nursery`), which is started when it is first needed and
    again whenever it is gone. Safe to use from many threads."""

    def __init__(self, limits: Uploads | None = None) -> None:
        self.limits = limits or Uploads.configured()
        self.outcomes: Counter[str] = Counter()  # how many readings were READ, and how many REFUSED
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: dict[int, tuple[subprocess.Popen[bytes], Future[dict[str, Any]]]] = {}
        self._count = 0

    def open(self) -> None:
        """Have the process come up meanwhile; it takes seconds."""
        with self._lock:
            self._living()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request of :mod:`nettrim_core.intake.readings`. Raises ValueError, one sentence, for files
        that are refused, or that cost the reader its memory, its time or its life."""
        outcome = REFUSED
        try:
            answer = self._answer(request | {"public": Public.configured().on})
            parts = [answer.get(part) or {} for part in ("network", "data")]
            outcome = REFUSED if any("refused" in part for part in parts) else READ
        finally:
            if request["task"] in ("look", "take"):
                with self._lock:
                    self.outcomes[outcome] += 1
        return answer

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            process = self._living()
            self._count += 1
            number, future = self._count, Future[dict[str, Any]]()
            self._asked[number] = process, future
            turns = 1 + (len(self._asked) - 1) // self.limits.at_once
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps({"id": number, "request": request}).encode() + b"\n")
                process.stdin.flush()
            except OSError:
                future.set_result({"end": CRASH, "answer": None})
        end, answer = self._awaited(number, future, START + turns * (self.limits.seconds + 5))
        if end != DONE:
            raise ValueError(self._sentence(end, request))
        for fault in answer.pop("faults", ()):
            faults.log(fault)
        if refused := answer.get("refused"):
            raise ValueError(refused)
        return answer

    def _awaited(self, number: int, future: Future[dict[str, Any]], seconds: float) -> tuple[str, Any]:
        """How the reading ended, and its answer."""
        try:
            said = future.result(seconds)
        except TimeoutError:
            self.close()
            return SLOW, None
        finally:
            with self._lock:
                self._asked.pop(number, None)
        return said["end"], said["answer"]

    def close(self) -> None:
        """End the process; readings under way are refused."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _living(self) -> subprocess.Popen[bytes]:
        """Needs the lock."""
        if self._process is None or self._process.poll() is not None:
            root = str(Path(__file__).resolve().parents[2])
            path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "nettrim_core.intake", json.dumps(dataclasses.asdict(self.limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)
            threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        return self._process

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            answer = json.loads(line)
            with self._lock:
                _, future = self._asked.pop(answer["id"], (process, None))
            if future is not None:
                future.set_result(answer)
        with self._lock:
            for asked, future in self._asked.values():
                if asked is process and not future.done():
                    future.set_result({"end": CRASH, "answer": None})

    def _sentence(self, end: str, request: dict[str, Any]) -> str:
        names = [request[part] for part in ("network", "data", "labels") if request.get(part)]
        what = " and ".join(Path(name).name for name in names) or "This"
        seconds, megabytes = self.limits.seconds, self.limits.memory_mb
        said = {
            SLOW: f"reading took more than {seconds} seconds and was stopped; give a smaller file, or fewer rows",
            LONG: "there is too much in it to be shown; give fewer layers, or fewer classes",
            CRASH: f"the reader broke off, perhaps for want of more than {megabytes:,} MB of memory; save the file "
            "again, or give a smaller one",
        }
        return f"{what}: {said[end]}."
