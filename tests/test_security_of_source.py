"""What the source may not do, read from the source: load code out of data, or run what a text says."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browsing import ROOT

CODE = ("nettrim_core", "nettrim_cli", "pages", "app.py")
# modules whose loaders run code, and names that do
MODULES = {
    "cloudpickle", "dill", "jsonpickle", "joblib", "marshal", "pickle", "pickletools", "ruamel", "shelve", "yaml",
    "xml", "lxml", "telnetlib", "ftplib", "smtplib", "http", "urllib", "requests", "httpx", "aiohttp", "paramiko",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__", "input", "breakpoint"}
METHODS = {
    "os.system", "os.popen", "os.execv", "os.execve", "pd.read_pickle", "torch.hub", "torch.jit.load", "read_pickle",
    "torch.package", "runpy.run_module", "importlib.reload", "np.lib.format.read_array",
}  # fmt: skip
OFF = ("shell", "unsafe_allow_html", "unsafe_allow_javascript", "allow_pickle")  # False, or not said
# what is asked of a loader that could do more
ASKED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False)}
# the exceptions, each with its reason
ALLOWED = {
    ("pages/session.py", "urllib"): "urlencode and parse_qs alone, which open nothing",
    ("nettrim_cli/health.py", "urllib"): "asks the server that its caller names, over HTTP alone",
    ("nettrim_core/sent.py", "pickle"): "what a scheduler and its workers send each other, who trust one another",
    ("nettrim_core/sent.py", "cloudpickle"): "the same: it packs, and what it packed is unpacked there",
    ("nettrim_core/formats/pt2.py", "torch.export.load"): "the file was written a moment ago, by the same process",
}


def files() -> list[Path]:
    found = [path for part in CODE for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))]
    assert len(found) > 150
    return found


def dotted(node: ast.expr) -> str:
    """ "torch.jit.load" of the expression that says so."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def suspects(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that is looked for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        yield from ((node.lineno, name.split(".")[0]) for name in names if name.split(".")[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in CALLS or name in METHODS or name == "torch.export.load":
            yield node.lineno, name
        if name in ASKED:
            key, value = ASKED[name]
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            said = given.get(key)
            if not isinstance(said, ast.Constant) or said.value is not value:
                yield node.lineno, name
        for keyword in node.keywords:
            refused = not isinstance(keyword.value, ast.Constant) or keyword.value.value is not False
            if refused and keyword.arg in OFF:
                yield node.lineno, keyword.arg


def test_no_source_loads_code_or_runs_a_text_or_opens_a_connection() -> None:
    found, used = [], set()
    for path in files():
        name = str(path.relative_to(ROOT))
        for line, what in suspects(ast.parse(path.read_text(encoding="utf-8"))):
            if (name, what) in ALLOWED:
                used.add((name, what))
            else:
                found.append(f"{name}:{line}: {what}")
    assert found == []
    assert used == set(ALLOWED)  # no reason without its exception


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from yaml import load", "import urllib.request", "eval('1')", "torch.load(path)",
        "torch.load(path, weights_only=False)", "np.load(path)", "np.load(path, allow_pickle=True)",
        "st.markdown(text, unsafe_allow_html=True)", "subprocess.run(text, shell=True)", "os.system(text)",
        "torch.jit.load(path)", "np.savez(path, allow_pickle=flag)",
    ],
)  # fmt: skip
def test_what_is_looked_for_is_found(code: str) -> None:
    assert list(suspects(ast.parse(code)))


def test_markup_of_the_browsers_parts_holds_no_words_of_others() -> None:
    """Every ``${...}`` in markup that a script makes is a number, a colour of the theme, or a constant of its own."""
    known = re.compile(
        r"^(colors\[style\]|SHAPES\[style\]|theme\.(colors\[style\]|background)|data\.(shape\[[01]\]|methods\.length)"
        r'|dash\(style\) === "solid" \? "" : dash\(style\)\.replaceAll\("px", ""\)|this\.root\.dataset\.name|value'
        r'|k \? "" : .*)$',
        re.DOTALL,
    )
    markup = 0
    for path in (ROOT / "pages" / "web").glob("*.js"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser", source)
        for text in re.findall(r"`(\s*<(?:[^`]|`<th[^`]*`)*)`", source):
            markup += 1
            for inside in re.findall(r"\$\{((?:[^{}]|\{[^{}]*\})*)\}", text):
                assert known.match(inside.strip()), f"{path.name}: {inside}"
        made = len(re.findall(r"innerHTML = |element\(`|innerHTML: markup", source))
        assert made <= len(re.findall(r"innerHTML = `|element\(`|innerHTML: markup", source)), path.name
    assert markup >= 6


def test_the_threat_model_names_files_and_tests_that_there_are() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:test_\w+|nettrim_core/[\w/]+|pages/\w+|intake/\w+|\w+)\.py)`", text))
    assert len(names) > 20
    for name in names:
        assert any((ROOT / place / name).is_file() for place in ("", "tests", "nettrim_core", "nettrim_core/intake"))


def test_every_exception_from_the_checks_says_why() -> None:
    """A rule of ruff's S that is switched off is followed by the reason, in the same line or in the settings."""
    lines = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in lines.split():
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if re.search(r"#\s*noqa:[^(]*\bS\d{3}", line) and "re.search" not in line:
                assert re.search(r"S\d{3}[^#]*\(.{10,}\)", line), f"{name}: {line.strip()}"
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignored = tomllib.loads(text)["tool"]["ruff"]["lint"]["per-file-ignores"]
    for pattern, rules in ignored.items():
        if any(rule.startswith("S") and not rule.startswith("SIM") for rule in rules):
            (line,) = [line for line in text.splitlines() if line.startswith(f'"{pattern}" = ')]
            assert re.search(r"# .{15,}", line), line
