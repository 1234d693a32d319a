"""The method that the README shows is the one it says it is; that its examples run is in test_examples."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from nettrim_core import METHODS
from tests.conftest import random_layer

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_the_method_it_shows_is_magnitude(monkeypatch: pytest.MonkeyPatch) -> None:
    source = re.search(r"```python\n(from dataclasses.*?)```", README, re.DOTALL)
    assert source
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(compile(source[1], "README.md", "exec"), module.__dict__)
    problem = random_layer()
    assert torch.equal(module.Magnitude().prune(problem).U, METHODS["magnitude"].prune(problem).U)
