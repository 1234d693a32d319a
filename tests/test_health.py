"""nettrim health: is a studio that is served well?"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests import test_cli
from tests.test_cli import Run

run = test_cli.run  # the fixture
WELL = {"status": "ok", "because": [], "workers": {"wanted": 2, "alive": 1}, "jobs": {"running": 1, "waiting": 3},
        "store": "writable"}  # fmt: skip
Answers = Callable[..., str]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Serve this status and body, at any path that ends in healthz; its address."""
    servers = []

    def serve(status: int, body: str, port: int = 0) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path.endswith("/healthz") else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_well(run: Run, answers: Answers) -> None:
    url = answers(200, json.dumps(WELL))
    code, out, _ = run("health", f"{url}/studio/")
    assert (code, out) == (0, "ok: 1 of 2 workers alive, 1 jobs running, 3 waiting; store: writable\n")
    code, out, _ = run("health", url, "--json")
    assert (code, json.loads(out)) == (0, WELL)


@pytest.mark.parametrize(("status", "how"), [(503, "down"), (200, "degraded")])
def test_the_body_counts_and_not_that_somebody_answers(run: Run, answers: Answers, status: int, how: str) -> None:
    url = answers(status, json.dumps(WELL | {"status": how, "because": ["It is ill."]}))
    code, out, _ = run("health", url)
    assert code == 3
    assert out.startswith(f"{how}: ")
    assert out.endswith("\nIt is ill.\n")


@pytest.mark.parametrize("body", ["<!doctype html>", "ok", "[]", "{}", '{"status": "ok"}'])
def test_another_server_is_no_studio(run: Run, answers: Answers, body: str) -> None:
    code, _, err = run("health", answers(200, body))
    assert code == 1
    assert "no studio answers there" in err


def test_nobody_answers(run: Run) -> None:
    code, _, err = run("health", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "nobody answers (" in err
    code, _, err = run("health", "127.0.0.1:8501")
    assert code == 1
    assert "is no address of a server" in err


def test_it_waits_for_one_that_comes_up(run: Run, answers: Answers) -> None:
    port = free_port()
    started = time.monotonic()
    threading.Timer(1.0, answers, (200, json.dumps(WELL), port)).start()
    assert run("health", f"http://127.0.0.1:{port}", "--wait", "30")[0] == 0
    assert 1 <= time.monotonic() - started < 20


def test_health_is_asked_without_torch(answers: Answers) -> None:
    code = "import sys; from nettrim_cli.main import main\n"
    code += f"sys.argv = ['nettrim', 'health', {answers(200, json.dumps(WELL))!r}]\n"
    code += "try: main()\nexcept SystemExit as ended: print(ended.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"
