"""The examples of the README and of the documentation run, and print what the pages say they print.

Every block of Python is run, page by page in one namespace and in a folder of its own, and every line of a shell block
that begins with ``nettrim``; ``# exits with 3`` after one is its exit code, if not 0. A block under a comment
``<!-- not run: why -->`` is not. What a ```text block right after one claims is compared: words exactly, numbers to
half a percent; ``...`` stands for a word, and on a line of its own for any lines.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from nettrim_cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^>]+) -->\n\n?)?^```(?P<kind>python|bash)\n(?P<source>.*?)^```\n"
    r"(?:\s*(?:prints\s*)?^```text\n(?P<claim>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
EXITS = re.compile(r"\s*# exits with (\d+)$")
CLOSE = 5e-3  # another processor may round another way, which moves a weight or two


@dataclass(frozen=True)
class Block:
    kind: str
    source: str
    claim: str | None
    line: int


def blocks(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        if not found["reason"]:
            line = text[: found.start("source")].count("\n")
            yield Block(found["kind"], found["source"], found["claim"], line)


def run_python(block: Block, path: Path, names: dict[str, object]) -> None:
    exec(compile("\n" * block.line + block.source, str(path), "exec"), names)


def run_shell(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in block.source.replace("\\\n", " ").splitlines():
        if line.startswith("nettrim"):
            code = int(found[1]) if (found := EXITS.search(line)) else 0
            monkeypatch.setattr(sys, "argv", shlex.split(EXITS.sub("", line), comments=True))
            with pytest.raises(SystemExit) as ended:
                main()
            assert int(ended.value.code or 0) == code, line
        else:
            assert line.startswith("#") or not line, f"{line}: say why it is not run"


def compare(printed: str, claim: str) -> None:
    """Raise AssertionError unless what was printed is what was claimed."""
    marked = re.sub(r"^\s*\.\.\.\s*$", "\1", claim, flags=re.MULTILINE).replace("...", "\2")
    said, shown = (" ".join(text.split()) for text in (marked, printed))
    pattern = re.escape(NUMBER.sub("\0", said))
    for mark, meant in (("\0", f"({NUMBER.pattern})"), ("\1", ".*"), ("\2", r"\S+?")):
        pattern = pattern.replace(re.escape(mark), meant)
    found = re.fullmatch(pattern, shown)
    assert found, f"printed:\n{printed}\nclaimed:\n{claim}"
    numbers, wanted = ([float(n.replace(",", "")) for n in each] for each in (found.groups(), NUMBER.findall(said)))
    assert numbers == pytest.approx(wanted, rel=CLOSE), printed


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")  # torch.export's own
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_print_what_the_page_says(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", str(tmp_path / "data"))
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    before = torch.get_num_threads()
    try:
        for block in blocks(path.read_text(encoding="utf-8")):
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
                if block.kind == "python":
                    run_python(block, path, module.__dict__)
                else:
                    run_shell(block, monkeypatch)
            if block.claim is not None:
                compare(output.getvalue(), block.claim)
    finally:
        torch.set_num_threads(before)


def test_every_page_of_instructions_has_examples() -> None:
    without = [path.name for path in PAGES if path.parent.name == "howto" and not list(blocks(path.read_text()))]
    assert not without


def test_a_claim_is_compared() -> None:
    compare("zeros: 4,461 of 5000\n  in 1.25 s\n", "zeros: 4,461 of 5000\nin ... s\n")
    compare("a 96.8%\nb\nc\nd 2e-3\n", "a 96.9%\n...\nd ...\n")
    for printed, claim in (
        ("zeros: 4461", "zeros: 4400"),
        ("one 1", "two 1"),
        ("one", "one 1"),
        ("1 2 3", "1 ... 4"),
        ("1 2 3 4", "1 ... 4"),
    ):
        with pytest.raises(AssertionError):
            compare(printed, claim)
