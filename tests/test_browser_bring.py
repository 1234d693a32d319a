"""Your own, in a real Chromium against a real server: from files to curves, and what hostile files do to the server."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.request import urlopen
from zipfile import ZipFile

import numpy as np
from playwright.sync_api import Browser, Page, expect

from nettrim_core import load_bundle
from tests.browsing import KNOB, in_both_schemes, opened, settled
from tests.hostile_data import HOSTILE as DATA
from tests.hostile_data import npz
from tests.hostile_networks import HOSTILE, good

NETWORKS = (
    "pickle that runs a command", "torch file that runs a command", "truncated safetensors", "shape beyond the file",
    "deep program", "bomb as a program", "path out of the bundle", "link in a bundle", "NaN in a program",
    "unknown operation",
)  # fmt: skip
TABLES = ("pickle", "objects", "absurd shape", "bomb by declared size", "overlapping members", "damaged Parquet")


def table() -> bytes:
    rows = np.random.default_rng(0).normal(size=(90, 4))
    labels = rows[:, 0] > 0
    lines = [f"{','.join(f'{v:.4f}' for v in row)},{int(y)}" for row, y in zip(rows, labels, strict=True)]
    return "\n".join(["a,b,c,d,label", *lines]).encode()


def give(page: Page, place: int, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.locator('input[type="file"]').nth(place).set_input_files(file)


def healthy(server: str) -> bool:
    with urlopen(f"{server}/_stcore/health", timeout=5) as answer:
        return answer.read() == b"ok"


def test_from_files_to_curves_that_are_dragged(page: Page, browser: Browser, server: str, tmp_path: Path) -> None:
    opened(page, "/bring")
    give(page, 0, "mine.pt2", good())
    expect(page.get_by_text("43 parameters in 2 layers")).to_be_visible(timeout=60_000)
    give(page, 1, "rows.csv", table())
    expect(page.get_by_text("90 samples of 4")).to_be_visible(timeout=30_000)
    expect(page.locator(".nts figure")).to_have_count(9)
    expect(page.get_by_text("The dense network is right on")).to_be_visible()
    page.get_by_role("button", name="Use it").click()
    expect(page.locator("h1")).to_have_text("How much can we trim?", timeout=30_000)
    expect(page).to_have_url(re.compile("model=own-[0-9a-f]{16}"))
    sentence = page.locator(".st-key-sentence")
    for name in ("Net-Trim sets", "L-OBS sets"):
        expect(sentence).to_contain_text(name, timeout=120_000)
    settled(page)  # the knob moves up when the progress above it goes
    knob = page.get_by_role("slider", name=KNOB)
    box = knob.bounding_box()
    assert box is not None
    before = page.locator(".ntk-readout").inner_text()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2, steps=5)
    expect(page.locator(".ntk-readout")).not_to_have_text(before)
    page.mouse.up()
    expect(page).not_to_have_url(re.compile("eps=0.1097"), timeout=10_000)

    link = page.url
    page.reload()  # the same visit goes on
    expect(page.get_by_role("combobox", name=re.compile("Network"))).to_have_value("mine", timeout=30_000)
    assert page.url.split("&")[0] == link.split("&")[0]
    page.get_by_role("link", name="Your own").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this bundle").click()
    assert re.fullmatch(r"own-[0-9a-f]{16}\.zip", download.value.suggested_filename)
    download.value.save_as(tmp_path / "a.zip")
    ZipFile(tmp_path / "a.zip").extractall(tmp_path)
    name = download.value.suggested_filename.removesuffix(".zip")
    assert load_bundle(tmp_path / name).fingerprint == name.removeprefix("own-")

    stranger = browser.new_context(base_url=server)
    other = opened(stranger.new_page(), link)
    expect(other.get_by_text("was uploaded in another visit")).to_be_visible()
    opened(other, "/bring")
    expect(other.get_by_text("Yours in this visit")).to_have_count(0)
    stranger.close()


def test_hostile_files_cost_a_sentence_and_the_server_stays_up(page: Page, server: str) -> None:
    opened(page, "/bring")
    give(page, 0, "good.pt2", good())
    expect(page.get_by_text("43 parameters in 2 layers")).to_be_visible(timeout=60_000)
    for number, what in enumerate(NETWORKS):
        name = f"{number}{HOSTILE[what].name}"
        give(page, 0, name, HOSTILE[what].make())
        expect(page.get_by_role("alert").filter(has_text=name)).to_be_visible(timeout=30_000)
        assert healthy(server)
        page.get_by_role("button", name="Back to good.pt2").click()
        expect(page.get_by_text("43 parameters in 2 layers")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_hostile_data_costs_a_sentence_too(page: Page, server: str, tmp_path: Path) -> None:
    opened(page, "/bring")
    for number, what in enumerate(TABLES):
        bad = DATA[what]
        bad.write(tmp_path / bad.name)
        give(page, 1, f"{number}{bad.name}", (tmp_path / bad.name).read_bytes())
        expect(page.get_by_role("alert").filter(has_text=f"{number}{bad.name}")).to_be_visible(timeout=60_000)
        assert healthy(server)
    give(page, 1, "rows.npz", npz(x=np.arange(240.0).reshape(60, 4), y=np.arange(60) % 2))
    expect(page.get_by_text("60 samples of 4")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_axe_finds_nothing_serious(page: Page) -> None:
    opened(page, "/bring")
    give(page, 0, "mine.pt2", good())
    give(page, 1, "rows.csv", table())
    expect(page.get_by_text("The dense network is right on")).to_be_visible(timeout=60_000)
    page.get_by_text("Classes (2)").click()
    assert in_both_schemes(page) == []
