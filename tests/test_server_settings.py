"""nettrim settings: a file that says what is in force."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nettrim_core.configuration import SECTIONS
from tests import test_cli
from tests.test_cli import Run

run = test_cli.run  # the fixture


def test_settings_are_a_file_that_says_what_is_in_force(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("NETTRIM_UPLOADS_MB", "7")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", 'C:\\a "folder" # é')
    code, out, _ = run("settings")
    assert code == 0
    assert tomllib.loads(out)["uploads"]["mb"] == 7
    said = [section.configured() for section in SECTIONS]
    for name in ("UPLOADS_MB", "STORAGE_FOLDER"):
        monkeypatch.delenv(f"NETTRIM_{name}")
    (tmp_path / "nettrim.toml").write_text(out, encoding="utf-8")
    monkeypatch.setenv("NETTRIM_SETTINGS", str(tmp_path / "nettrim.toml"))
    assert [section.configured() for section in SECTIONS] == said
