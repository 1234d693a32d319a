"""The README's example prints what the README says it prints."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_the_example_prints_its_output() -> None:
    found = re.search(r"<!-- example -->\n```python\n(.*?)```.*?```text\n(.*?)```", README, re.DOTALL)
    assert found
    source, expected = found.groups()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "README.md", "exec"), {})
    assert output.getvalue() == expected
