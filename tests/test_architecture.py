"""The rules of the house, read from the imports."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "nettrim_core").rglob("*.py"))
PAGES = sorted((ROOT / "pages").glob("*.py"))
METHODS = [path for path in CORE if path.parent.name == "methods" and path.name != "__init__.py"]
# the only files that know torch.nn: networks begin here
KNOW_NETWORKS = {
    "layers",
    "graph",
    "capture",
    "network",
    "one_layer",
    "dense",
    "allocate",
    "assemble",
    "prune",
    "sweep",
    "sensitivity",
    "finetune",
    "masks",
    "refit_masks",
    "rounds",
    "blocks",
    "evaluate",
    "fits",
    "seeds",
    "architecture",
    "wired",
    "bundle",
    "export",
    "format",
    "compare",
    "torch_prune",
    "smaller",
    "links",
    "carry_out",
    "retrain",
    "readings",
    "chained",
    "state",
    "made",
    "dead",
    "costs",
    "record",
    "workbench",
}
# what a method may build on
UNDER_METHODS = {
    "executor",
    "problem",
    "inputs",
    "patches",
    "response",
    "refit",
    "ranking",
    "pattern",
    "merge",
    "greedy",
    "certificate",
    "admm",
    "homotopy",
    "threads",
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reaches(names: set[str], package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in names)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_the_core_is_silent_and_knows_no_screen(path: Path) -> None:
    names = imports(path)
    assert not reaches(names, "streamlit")
    if path.parent.name != "figures":
        assert not reaches(names, "plotly")
    assert not reaches(names, "pages")
    calls = [
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    ]
    assert "print" not in calls


@pytest.mark.parametrize("path", METHODS, ids=name_of)
def test_methods_build_on_the_problem_and_not_on_each_other(path: Path) -> None:
    own = {name.split(".")[1] for name in imports(path) if name.startswith("nettrim_core.")}
    assert own <= UNDER_METHODS


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_networks_are_known_to_few(path: Path) -> None:
    if path.stem not in KNOW_NETWORKS and path.parent.name != "models":
        assert not reaches(imports(path), "torch.nn")


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pages_do_no_arithmetic_on_weights(path: Path) -> None:
    assert not reaches(imports(path), "torch")


def test_nothing_loads_a_pickle() -> None:
    for path in [*CORE, *PAGES, ROOT / "app.py"]:
        text = path.read_text()
        assert reaches(imports(path), "pickle") == (path.stem == "sent")  # docs/security.md says who sends it
        assert text.count("torch.load(") == len(re.findall(r"torch\.load\([^()]*, weights_only=True\)", text))
        assert "allow_pickle=True" not in text


def test_the_reader_of_compact_files_needs_numpy_alone() -> None:
    names = imports(ROOT / "nettrim_core" / "formats" / "bitmask.py")
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == {"numpy"}
