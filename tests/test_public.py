"""A server that strangers come to: of a fault they learn that there is one, and the log learns the rest, but no
secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from nettrim_core import faults
from nettrim_core.formats.quiet import refusal
from nettrim_core.intake import Door, readings
from nettrim_core.tasks import TASKS
from nettrim_core.worker import serve
from tests.browsing import ROOT, serving

INNER = "inner words of /srv/secret/place.py"
SECRETS = {"password": "pw-5c1f20d9", "key": "key-94ab77e1"}


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETTRIM_PUBLIC_ON", "1")


def faulty(*_: Any) -> Iterator[dict[str, Any]]:
    raise KeyError(INNER)
    yield {}


def of_worker() -> str:
    (answer,) = serve([json.dumps({"task": "faulty"})])
    return json.loads(answer)["error"]


def test_a_fault_of_the_worker_is_told_without_details_where_strangers_come(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(TASKS, "faulty", faulty)
    assert "KeyError: 'inner words of place.py'" in of_worker()
    assert "inner words" in refusal(KeyError(INNER), "x")
    assert caplog.text == ""
    monkeypatch.setenv("NETTRIM_PUBLIC_ON", "1")
    for said in (of_worker(), refusal(KeyError(INNER), "x")):
        assert "inner" not in said
        assert "KeyError" not in said
        assert faults.ELSEWHERE in said
    assert caplog.text.count(INNER) == 2
    assert "Traceback" in caplog.text


@pytest.mark.usefixtures("public")
def test_what_the_caller_did_wrong_is_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any) -> Iterator[dict[str, Any]]:
        raise ValueError("n must be between 1 and 5; got 9")
        yield {}

    monkeypatch.setitem(TASKS, "faulty", wrong)
    assert of_worker() == "n must be between 1 and 5; got 9"


def test_a_fault_of_a_reading_comes_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(readings.TASKS, "look", faulty_look)
    request = {"task": "look", "folder": str(tmp_path), "network": "network/a.onnx"}
    assert "KeyError" in readings.read(request)["refused"]
    answer = readings.read(request | {"public": True})
    assert answer["refused"] == "a.onnx: it cannot be read; save it again."
    (fault,) = answer["faults"]
    assert INNER in fault


def faulty_look(_: dict[str, Any]) -> dict[str, Any]:
    raise KeyError(INNER)


@pytest.mark.usefixtures("public")
def test_the_door_logs_a_fault_so_that_it_cannot_be_taken_for_other_lines(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    answer = {"id": 1, "end": "done", "answer": {"refused": "a: no; b.", "faults": ["one\nERROR two\x1b[2J\r three"]}}
    door, asked = Door(), []
    monkeypatch.setattr(door, "_awaited", lambda *_: (answer["end"], answer["answer"]))
    monkeypatch.setattr(door, "_living", lambda: Mute(asked))
    with pytest.raises(ValueError, match=r"^a: no; b\.$"):
        door.ask({"task": "look", "folder": str(tmp_path)})
    assert json.loads(asked[0])["request"]["public"] is True
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "one\n  ERROR two\\x1b[2J\\r three"


class Mute:
    """A process that notes what it is asked."""

    def __init__(self, asked: list[bytes]) -> None:
        self.stdin, self.write, self.flush = self, asked.append, lambda: None


def test_strangers_see_no_details_and_the_log_no_secrets(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose pages fail, with secrets in its file, in a link, in cookies and in the name of a file."""
    (tmp_path / "sitecustomize.py").write_text(
        "from nettrim_core import bundle\n"
        f"def fails():\n    raise RuntimeError({INNER!r})\n"
        "bundle.sample_titles = fails\n"
    )
    secrets = tmp_path / "secrets.toml"
    secrets.write_text("".join(f'{name} = "{value}"\n' for name, value in SECRETS.items()))
    monkeypatch.setenv("NETTRIM_PUBLIC_ON", "1")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    log = tmp_path / "log"
    with serving(log, options=[f"--secrets.files={secrets}"]) as url:
        context = browser.new_context(base_url=url)
        context.add_cookies([{"name": "nettrim_visit", "value": "0123456789abcdef" * 2, "url": url}])
        page = context.new_page()
        page.goto("/?model=link-secret-77&eps=0.2&token=link-token-3")
        shown = page.get_by_test_id("stException")
        expect(shown).to_be_visible(timeout=60_000)
        words = page.locator("body").inner_text()
        assert "inner words" not in words
        assert "RuntimeError" not in words
        assert "session.py" not in words
        kept = context.cookies()
        context.close()
    text = log.read_text()
    assert INNER in " ".join(text.split())  # the log has it
    for secret in (*SECRETS.values(), "link-secret", "link-token", *(cookie["value"] for cookie in kept)):
        assert secret not in text
