"""The page of runs in a real Chromium, on a server that keeps them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from nettrim_core.durable import Runs, State, Store
from nettrim_core.durable.carry import carried_out
from nettrim_core.plan import Plan
from tests.browsing import in_both_schemes, opened, serving, settled


def asked(samples: int) -> dict[str, Any]:
    plan = Plan("digits_mlp", ("fc3",), samples=samples)
    curves = [{"method": "magnitude", "settings": {}, "epsilons": [0.3, 0.1]}]
    return {"task": "sweep", "sweeps": [{"plan": plan.to_dict(), "curves": curves}]}


def filled(folder: Path) -> None:
    """A store with a run that is done, one that was stopped, and one that failed."""
    store = Store(folder)
    for samples, answers in ((100, 2), (110, 1), (120, 0)):
        recording = Runs(store).begin(asked(samples), 2, f"curves of {samples}", subject={"link": "model=digits_mlp"})
        assert recording is not None
        if answers:
            stream = carried_out(asked(samples), store, recording, {})
            list(itertools.islice(stream, answers)) if answers < 2 else list(stream)
            stream.close()
        else:
            recording.ended(State.FAILED, "there is not enough memory for this")


def test_runs_are_within_reach_and_opened(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "store")
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", str(tmp_path / "store"))
    with serving(tmp_path / "log") as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce", base_url=url)
        page = opened(context.new_page(), "/runs")
        expect(page.get_by_text("s of work")).to_have_count(3)
        settled(page).get_by_test_id("stCheckbox").last.locator("label").click()
        expect(page.get_by_role("heading", name="Side by side")).to_be_visible(timeout=30_000)
        assert in_both_schemes(settled(page)) == []
        page.get_by_role("button", name="More").first.click()
        expect(page.get_by_role("textbox", name="Name")).to_be_visible()
        assert in_both_schemes(settled(page)) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Open").last.click()
        expect(page.get_by_role("heading", name="How much can we trim?")).to_be_visible(timeout=30_000)
        context.close()
