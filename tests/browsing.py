"""A real Chromium against a real server, for the tests that need one. A missing browser fails; it does not skip."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from screenshots import CHROMIUM_FLAGS, chromium, serving  # noqa: E402

KNOB = "Error tolerance epsilon"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log) as url:
        yield url
    bad = [
        line for line in log.read_text().splitlines() if re.search("Traceback|Uncaught|deprecated|removed after", line)
    ]
    assert bad == []


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """A new visitor; fails on any error in the page and on any request that leaves the machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce", base_url=server)
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((server, "data:", "blob:")) else trouble.append(r.url))
    yield page
    context.close()
    assert trouble == [], trouble


def opened(page: Page, path: str) -> Page:
    page.goto(path)
    expect(page.locator("h1").first).to_be_visible(timeout=60_000)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=60_000)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    return page


def charted(page: Page, path: str) -> Page:
    opened(page, path)
    expect(page.locator('.ntk[data-state="ready"]')).to_be_visible(timeout=60_000)
    return page


def settled(page: Page) -> Page:
    """Nothing is being solved and nothing of an earlier run is left, for longer than a run takes to start."""
    quiet = 0
    deadline = time.monotonic() + 240
    while quiet < 3:
        assert time.monotonic() < deadline, "the page is still busy"
        running = page.locator('[data-test-script-state="running"], [data-stale="true"]').count()
        quiet = 0 if running or page.get_by_role("button", name="Cancel").count() else quiet + 1
        page.wait_for_timeout(400)
    return page


def in_both_schemes(page: Page) -> list[tuple[str, ...]]:
    """What axe finds serious or critical, on light ground and on dark."""
    page.add_style_tag(content="* { transition: none !important; animation: none !important; }")  # no half-way colours
    barriers = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", scheme)
        for found in Axe().run(settled(page)).response["violations"]:
            if found["impact"] in ("serious", "critical"):
                node = found["nodes"][0]
                barriers.append((scheme, found["id"], node["html"][:200], node["failureSummary"]))
    return barriers
