"""The unit of docs/deploy: systemd understands it, what it starts is there, and little is open to it."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from nettrim_cli.main import cli
from tests.deployed import DEPLOY, PATH, program

pytestmark = pytest.mark.long  # they need nginx and systemd

UNIT = DEPLOY / "nettrim.service"
EXPOSED = 15  # of systemd's hundred: tenths of its points, where 100 is a service without any limits


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """With the programs of this environment."""
    text = UNIT.read_text()
    assert text.count("/opt/nettrim/bin/") == 3
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/nettrim/bin/", f"{Path(sys.executable).parent}/"))
    return path


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("systemd-analyze"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_systemd_finds_nothing_wrong(unit: Path) -> None:
    done = analyzed("verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    unit.write_text(unit.read_text().replace("PrivateTmp=yes", "PrivateTmpp=yes"))
    assert "PrivateTmpp" in analyzed("verify", "--man=no", unit).stderr


def test_little_is_open_to_it(unit: Path) -> None:
    done = analyzed("security", "--offline=true", f"--threshold={EXPOSED}", unit)
    assert done.returncode == 0, done.stdout
    unit.write_text(unit.read_text().replace("CapabilityBoundingSet=\n", ""))
    assert analyzed("security", "--offline=true", f"--threshold={EXPOSED}", unit).returncode != 0


def test_what_it_starts_is_understood() -> None:
    """Every command line of it, by the command itself, and with the path and port of nginx's file."""
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string(UNIT.read_text())
    service = read["Service"]
    group = typer.main.get_group(cli)
    for key in ("ExecStart", "ExecStartPost"):
        name, command, *rest = shlex.split(service[key])
        assert name == "/opt/nettrim/bin/nettrim"
        group.commands[command].make_context(command, rest)  # raises for what it does not know
    nginx = (DEPLOY / "nginx.conf").read_text()
    (port,) = re.findall(r"server 127\.0\.0\.1:(\d+);", nginx)
    assert f"--port {port} --path {PATH}" in service["ExecStart"]
    assert f"127.0.0.1:{port}/{PATH} " in service["ExecStartPost"]
    assert f"location /{PATH}/" in nginx
