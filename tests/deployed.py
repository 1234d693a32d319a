"""The studio as docs/deploy.md has it: below a path, behind Debian's nginx with the very file that is there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from screenshots import healthy

from tests.browsing import ROOT
from tests.test_health import free_port

DEPLOY = ROOT / "docs" / "deploy"
PATH = "studio"


def program(name: str) -> str:
    """Where a program of the system is, or what to do about it."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        raise FileNotFoundError(f"there is no {name}: install Debian's nginx and systemd, or say `make deployment`")
    return found


class Studio:
    """What the unit starts, on a port that stays the same when it is started again."""

    def __init__(self, folder: Path, settings: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.port = folder, free_port()
        (folder / "nettrim.toml").write_text(settings)
        self.address = f"http://127.0.0.1:{self.port}/{PATH}"
        self.environment = {
            **os.environ, "NETTRIM_SETTINGS": str(folder / "nettrim.toml"), "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }  # fmt: skip
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "nettrim_cli.main", "app", "--no-browser", "--port", str(self.port)]
        with self.log.open("a") as output:
            self._process = subprocess.Popen(
                [*command, "--path", PATH], cwd=self.folder, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, env=self.environment,
            )  # fmt: skip
        deadline = time.monotonic() + 120
        while not healthy(self.address):
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """As systemd does it: all of its processes are told to end, and are ended if they do not."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(20)
            deadline = time.monotonic() + 20
            while healthy(self.address) and time.monotonic() < deadline:
                time.sleep(0.1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process = None


@contextlib.contextmanager
def behind_nginx(folder: Path, *ports: int) -> Iterator[str]:
    """nginx in front of these ports; its address. Of the file only the ports are others, and for more than one it is
    made sticky as the file says."""
    port = free_port()
    site = (DEPLOY / "nginx.conf").read_text()
    changes = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8501;": " ".join(f"server 127.0.0.1:{port};" for port in ports),
    }
    if len(ports) > 1:
        changes["# hash $cookie"] = "hash $cookie"
    for old, new in changes.items():
        assert site.count(old) == 1, old
        site = site.replace(old, new)
    (folder / "site.conf").write_text(site)
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"""
daemon off;
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    {temporary}
    include {folder}/site.conf;
}}
""")
    with (folder / "error.log").open("w") as errors:
        server = subprocess.Popen(
            [program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"], stdout=errors, stderr=errors
        )
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            said = (folder / "error.log").read_text()
            assert server.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)
