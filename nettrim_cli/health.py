"""Is a studio that is served well? Asked often and by machines, so torch, which takes seconds, is not imported."""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import typer

UNWELL = 3
PATIENCE = 5.0  # seconds for an answer
STEP = 0.5  # seconds between two questions


def health(url: str, wait: float, as_json: bool) -> None:
    """Ask until it is ok, as long as there is time, and say what is so then."""
    deadline = time.monotonic() + wait
    while True:
        try:
            found = asked(url)
        except OSError as error:
            if time.monotonic() >= deadline:
                reason = error.reason if isinstance(error, URLError) else error
                raise ValueError(f"{url}: nobody answers ({reason}): is the studio running there?") from error
        else:
            if found["status"] == "ok" or time.monotonic() >= deadline:
                break
        time.sleep(STEP)
    sys.stdout.write(f"{json.dumps(found, indent=1) if as_json else sentences(found)}\n")
    if found["status"] != "ok":
        raise typer.Exit(UNWELL)


def asked(url: str) -> dict[str, Any]:
    """What the server says of itself, which is in the answer's body. Raises OSError if nobody answers, ValueError if it
    is no studio that does."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url!r} is no address of a server: write it like http://127.0.0.1:8501")
    try:
        with urlopen(f"{url.rstrip('/')}/healthz", timeout=PATIENCE) as answer:  # noqa: S310 (http, as was looked at)
            body = answer.read()
    except HTTPError as error:  # one that is down says so with 503, and says why
        body = error.read()
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"status", "because", "workers", "jobs", "store"} <= found.keys():
        raise ValueError(f"{url}: no studio answers there: name its address with the path that it is served below")
    return found


def sentences(found: dict[str, Any]) -> str:
    workers, jobs = found["workers"], found["jobs"]
    counts = f"{workers['alive']} of {workers['wanted']} workers alive"
    counts += f", {jobs['running']} jobs running, {jobs['waiting']} waiting; store: {found['store']}"
    return "\n".join([f"{found['status']}: {counts}", *found["because"]])
