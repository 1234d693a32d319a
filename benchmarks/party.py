"""A scheduler and its workers, for tests and measurements: each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 60.0  # seconds


class Party:
    """A scheduler, and the workers that are asked for. before: words before each command; host: where it listens."""

    def __init__(self, folder: Path, workers: int = 0, before: Sequence[str] = (), host: str = "127.0.0.1") -> None:
        self.folder, self.processes, self.workers = folder, [], []
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "scheduler.json"
        self.scheduler = self._start(
            [*before, *module("dask_scheduler"), "--host", host, "--port", "0", "--no-dashboard",
             "--scheduler-file", str(file)],
            ROOT,
        )  # fmt: skip
        until(lambda: file.is_file() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            self.add()
        self.arrived(workers)

    def add(
        self, root: Path = ROOT, threads: int = 1, before: Sequence[str] = (), host: str = "127.0.0.1"
    ) -> subprocess.Popen[bytes]:
        """One more worker, with the sources of a folder."""
        place = self.folder / f"worker{len(self.workers)}"
        worker = self._start(
            [*before, *module("dask_worker"), self.address, "--nthreads", str(threads), "--no-nanny", "--no-dashboard",
             "--memory-limit", "0", "--host", host, "--local-directory", str(place), "--name", str(len(self.workers))],
            root,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """What a client of the scheduler's answers."""
        from distributed import Client

        with Client(self.address, set_as_default=False, timeout=10) as client:
            return question(client)

    def arrived(self, workers: int) -> None:
        if workers:
            self.ask(lambda client: client.wait_for_workers(workers, timeout=PATIENCE))

    def close(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _start(self, command: list[str], root: Path) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1",
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",  # to one that is gone, for what others have by now
            "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false",  # looks at every thread a hundred times a second
        }  # fmt: skip
        with (self.folder / f"log{len(self.processes)}").open("wb") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process


def module(name: str) -> list[str]:
    return [sys.executable, "-m", f"distributed.cli.{name}"]


def until(true: Callable[[], object]) -> None:
    """Wait for what must become true."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < PATIENCE
        time.sleep(0.05)
