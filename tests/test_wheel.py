"""The wheel in an environment of its own, started from another folder: from the first visit to the export."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from safetensors.torch import load_file
from screenshots import healthy

from nettrim_core import Recipe, load_bundle, replay
from tests.browsing import ROOT, charted, settled


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that has the wheel, and of the checkout nothing. Its dependencies are those of
    this environment, which are looked up there and not installed again."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()
    )  # fmt: skip
    # a path in a .pth file is searched, but the .pth files there, the checkout's among them, are not read
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
    )
    bring_compiled_code(site)
    return python.parent


def bring_compiled_code(site: Path) -> None:
    """The solver's compiled code, which is kept beside a source file of the same age and size: compiling it again takes
    minutes, and is not what is tested here."""
    for source in (ROOT / "nettrim_core").rglob("*.py"):
        target = site / source.relative_to(ROOT)
        os.utime(target, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
        for kept in (source.parent / "__pycache__").glob(f"{source.stem}.*.nb?"):
            target.parent.joinpath("__pycache__").mkdir(exist_ok=True)
            shutil.copy2(kept, target.parent / "__pycache__")


@pytest.fixture(scope="module")
def address(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a studio that ``nettrim app`` serves, called from an empty folder."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    log = tmp_path_factory.mktemp("log") / "log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [installed / "nettrim", "app", "--port", str(port), "--no-browser"], cwd=elsewhere, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True, env=alone(),
        )  # fmt: skip
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
            while not healthy(url):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield url
        finally:
            os.killpg(server.pid, 15)
            server.wait(15)
    assert "Traceback" not in log.read_text()


def alone() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_wheel_holds_what_the_studio_needs(installed: Path) -> None:
    (wheel,) = installed.parents[1].glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert max(info.file_size for info in archive.infolist()) < 20e6
    assert {"nettrim_core/py.typed", "nettrim_studio/.streamlit/config.toml", "nettrim_studio/app.py"} <= names
    pages = {
        f"nettrim_studio/{path.relative_to(ROOT)}" for path in (ROOT / "pages").rglob("*.*") if "__" not in str(path)
    }
    assert pages <= names
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".pyc")]


def test_nothing_of_the_checkout_is_used(installed: Path, tmp_path: Path) -> None:
    code = "import json, nettrim_core, nettrim_cli; from nettrim_core.places import STUDIO\n"
    code += "print(json.dumps([nettrim_core.__file__, nettrim_cli.__file__, str(STUDIO)]))"
    done = subprocess.run(
        [installed / "python", "-c", code], cwd=tmp_path, env=alone(), capture_output=True, text=True, check=True
    )
    assert all(place.startswith(str(installed.parent)) for place in json.loads(done.stdout))


def test_from_the_first_visit_to_the_export(address: str, browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address, accept_downloads=True)
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    charted(page, "/?model=digits_mlp")
    said = page.locator(".st-key-sentence").inner_text()
    knob = page.locator(".ntk input")
    for _ in range(3):
        knob.press("ArrowRight")
    settled(page)
    assert page.locator(".st-key-sentence").inner_text() != said
    page.get_by_role("link", name="Export").first.click()
    prepare = page.get_by_role("button", name="Prepare the files")
    expect(prepare).to_have_css("background-color", "rgb(11, 92, 138)")  # the studio's own configuration is read
    prepare.click()
    expect(page.get_by_text("What the zeros save")).to_be_visible(timeout=120_000)
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="as a ZIP").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        archive.extractall(tmp_path / "out")
    state = load_file(tmp_path / "out" / "model.safetensors")
    load_bundle("digits_mlp").model.load_state_dict(state, strict=True)
    recipe = Recipe.read(tmp_path / "out")
    assert recipe.made is not None
    assert replay(tmp_path / "out").same is True
    context.close()
    assert trouble == []
