"""Take the pictures of the studio: ``python docs/screenshots.py [folder [page ...]]`` (docs/screenshots, all).

Starts a server of its own, opens every page in the system's Chromium, light and dark, 1280 and 400 pixels wide, and
writes one PNG each. The README's picture is explore-light-1280.png.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# page -> its address, and the button that begins its work
PAGES = {
    "explore": ("/?model=lenet_300_100", None),
    "explore-spirals": ("/?model=spirals&eps=0.02113&match=sparsity", None),
    "layer": ("/layer?model=lenet_300_100&layer=fc2", None),
    "budget": ("/budget?model=digits_mlp&methods=exactobs", None),
    "compare": ("/compare?model=digits_mlp&eps=0.25", None),
    "fine-tune": ("/fine-tune?model=digits_mlp&eps=0.4637&methods=lobs", "Retrain L-OBS"),
    "learn": ("/learn?card=3", None),
    "my-page": ("/my-page?model=digits_mlp", None),
    "export": ("/export?model=digits_mlp&eps=0.1&methods=nettrim", "Prepare the files"),
    "your-own": ("/bring", "Use the example"),
}
IDLE = "() => ![...document.querySelectorAll('button')].some(b => b.innerText.startsWith('Cancel'))"
COLORS = 160
PATIENCE = 180_000  # ms for a page's work


def chromium() -> str:
    """The system's Chromium (or $CHROMIUM); FileNotFoundError if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError(f"no browser: none of {', '.join(names)} is on PATH and CHROMIUM is not set")
    return found


@contextlib.contextmanager
def serving(log: Path, port: int = 0, options: Sequence[str] = ()) -> Iterator[str]:
    """A server of the studio on a port, by default a free one; its address. options: of Streamlit."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.headless=true"]
    command += ["--server.address=127.0.0.1", f"--server.port={port}", *options]
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as output:  # a file, not a pipe: a full pipe would stop the server
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            deadline = time.monotonic() + 90
            while not healthy(url):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def healthy(url: str) -> bool:
    try:  # the body, not the status: any address answers 200
        return urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).read() == b"ok"
    except OSError:
        return False


def settle(page: Page) -> None:
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=60_000)
    page.wait_for_selector(".stMain h1", timeout=60_000)


def take(page: Page, name: str, url: str, target: Path, begin: str | None = None) -> None:
    page.goto(url)
    settle(page)
    if name.startswith("explore"):
        page.wait_for_selector('.ntk[data-state="ready"]', timeout=30_000)
    if begin is not None:
        page.get_by_role("button", name=begin).first.click()
    page.wait_for_timeout(1500)  # work that begins by itself has begun
    page.wait_for_function(IDLE, timeout=PATIENCE)
    settle(page)
    page.wait_for_timeout(700)  # images and fonts
    height = page.evaluate("() => document.querySelector('.stMain').scrollHeight")
    page.set_viewport_size({"width": page.viewport_size["width"], "height": max(700, height + 20)})  # type: ignore[index]
    page.wait_for_timeout(700)
    page.screenshot(path=str(target))
    with Image.open(target) as picture:  # a fraction of the bytes, and hardly a difference
        picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screenshots"
    only = sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    log = ROOT / ".cache" / "screenshots.log"
    log.parent.mkdir(exist_ok=True)
    with serving(log) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        for scheme in ("light", "dark"):
            for width in (1280, 400):
                for name, (path, begin) in PAGES.items():
                    if only and name not in only:
                        continue
                    context = browser.new_context(
                        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
                    )
                    take(context.new_page(), name, url + path, folder / f"{name}-{scheme}-{width}.png", begin)
                    context.close()
        browser.close()


if __name__ == "__main__":
    main()
