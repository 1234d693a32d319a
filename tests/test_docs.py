"""The documentation builds from the repository alone: every name of the interface is in it, every link leads somewhere,
and nothing on its pages is loaded from elsewhere."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from latex2mathml.converter import convert
from markdown import Markdown

import nettrim_core
from docs.docstrings import DEFINED

ROOT = Path(__file__).resolve().parents[1]
LOADS = {  # element -> the attribute by which a browser loads something
    "script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "object": "data", "image": "href",
    "audio": "src", "video": "src", "embed": "src", "use": "href",
}  # fmt: skip


class Page(HTMLParser):
    """anchors: of the page; links: where they lead; loads: what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if LOADS.get(tag) in found and found.get("rel") != "canonical":
            self.loads.append(found[LOADS[tag]])


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documentation is made from, in a folder of its own."""
    folder = tmp_path_factory.mktemp("docs")
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("docs", "nettrim_core"):
        shutil.copytree(ROOT / name, folder / name, ignore=skipped)
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return folder


@pytest.fixture(scope="module")
def site(copied: Path) -> Path:
    done = build(copied)
    assert done.returncode == 0, done.stdout + done.stderr
    return copied / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_public_name_has_an_entry(site: Path, pages: dict[Path, Page]) -> None:
    anchors = {name for path, page in pages.items() if path.parent == site / "api" for name in page.anchors}
    missing = [name for name in nettrim_core.__all__ if DEFINED[name] not in anchors]
    assert not missing


def test_entries_say_what_the_docstrings_say(site: Path) -> None:
    text = re.sub(r"<[^>]*>", "", (site / "api" / "pruning.html").read_text(encoding="utf-8"))
    assert "A pruned copy of model (in eval mode) and the report of what was done." in text
    assert "scale: layer -&gt; factor on the method's epsilon" in text
    assert "certified when duality gap and violation are at most this" in text
    assert ":func:" not in text


def test_the_file_of_a_method_is_the_real_one(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]*>", "", (site / "howto" / "add_a_method.html").read_text(encoding="utf-8")))
    for name in ("magnitude", "wanda", "__init__"):
        assert (ROOT / "nettrim_core" / "methods" / f"{name}.py").read_text().strip() in text


def test_every_link_and_anchor_leads_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            found = target.is_relative_to(site.resolve()) and target.exists()
            if not found or (parts.fragment and unquote(parts.fragment) not in pages[target].anchors | {"__top"}):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def test_every_page_is_in_the_navigation(site: Path, pages: dict[Path, Page]) -> None:
    linked = {(site / unquote(urlsplit(link).path)).resolve() for link in pages[site / "index.html"].links}
    assert {path.resolve() for path in pages if path.name != "404.html"} <= linked | {site / "index.html"}


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    outside = [f"{path.name}: {load}" for path, page in pages.items() for load in page.loads if urlsplit(load).netloc]
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        found = re.findall(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)|@import\s+[\"']?(?:url\()?(https?:[^\"')]+)", text)
        outside += [f"{style.name}: {part}" for parts in found for part in parts if part]
    assert not outside


def test_formulas_are_drawn_by_the_browser(site: Path) -> None:
    text = (site / "mathematics.html").read_text(encoding="utf-8")
    assert text.count("<math ") > 20
    assert not re.search(r"\$\$|\\(?:frac|lVert|le|in|sum)\b", re.sub(r"<annotation.*?</annotation>", "", text))


def test_formulas_leave_code_and_prices_alone() -> None:
    page = Markdown(extensions=["docs.mathml"])
    assert page.convert("It costs 5$ or $HOME, `$x$`.") == "<p>It costs 5$ or $HOME, <code>$x$</code>.</p>"
    assert page.convert("Of $x_1$.") == f"<p>Of {convert('x_1')}.</p>"
    assert convert("x^2", display="block") in page.convert("$$\nx^2\n$$")


@pytest.mark.parametrize("text", ["[x](nowhere.md)", "[x](index.md#nowhere)", '--8<-- "nettrim_core/none.py"'])
def test_a_link_that_leads_nowhere_stops_the_build(copied: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(copied / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("*.md", "screenshots"))
    (tmp_path / "nettrim_core").mkdir()
    (tmp_path / "nettrim_core" / "__init__.py").write_text("")
    for name in ("problem", "pattern"):
        (tmp_path / "nettrim_core" / f"{name}.py").write_text("")
    config = (copied / "mkdocs.yml").read_text().partition("nav:")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    (tmp_path / "docs" / "index.md").write_text("# Start\n")
    assert build(tmp_path).returncode == 0
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n{text}\n")
    assert build(tmp_path).returncode != 0
