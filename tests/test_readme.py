"""The README's example prints what the README says it prints."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from pathlib import Path

import pytest
import torch

from nettrim_core import METHODS, LayerProblem, setting
from nettrim_core.ranking import RankedMethod, Ranking, flat_order
from tests.conftest import random_layer, small_mlp

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_the_example_prints_its_output() -> None:
    found = re.search(r"<!-- example -->\n```python\n(.*?)```.*?```text\n(.*?)```", README, re.DOTALL)
    assert found
    source, expected = found.groups()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "README.md", "exec"), {})
    number = r"[\d.]+"
    assert re.sub(number, "#", output.getvalue()) == re.sub(number, "#", expected)
    # another processor may round another way, which moves a weight or two
    shown, said = (list(map(float, re.findall(r"\d+(?:\.\d+)?", text))) for text in (output.getvalue(), expected))
    assert shown == pytest.approx(said, rel=5e-3)


def test_the_budgets_it_shows_are_shared() -> None:
    source = re.search(r"```python\n(from nettrim_core import AccuracyDrop.*?)```", README, re.DOTALL)
    assert source
    inputs = torch.randn(80, 10, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(80, dtype=torch.long)
    names = {"model": small_mlp(), "inputs": inputs, "validation": (inputs, labels)}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source[1], "README.md", "exec"), names)
    assert "fc3" in output.getvalue()
    assert torch.equal(names["pruned"].fc3.weight, small_mlp().fc3.weight)


def test_the_method_it_shows_is_magnitude() -> None:
    source = re.search(r"```python\n(@dataclass.*?)```", README, re.DOTALL)
    assert source
    names = {
        "dataclass": dataclasses.dataclass, "RankedMethod": RankedMethod, "setting": setting, "Ranking": Ranking,
        "LayerProblem": LayerProblem, "flat_order": flat_order, "__name__": __name__,
    }  # fmt: skip
    exec(compile(source[1], "README.md", "exec"), names)
    problem = random_layer()
    assert torch.equal(names["Magnitude"]().prune(problem).U, METHODS["magnitude"].prune(problem).U)
