"""report.json: what was done to every layer, and what it is worth."""

from __future__ import annotations

import json
from pathlib import Path

from nettrim_core.formats.format import Format, Source
from nettrim_core.report import Report


def _write(source: Source, path: Path) -> None:
    path.write_text(source.report.to_json() + "\n")


def _check(source: Source, path: Path) -> str:
    if Report.from_dict(json.loads(path.read_text())).to_dict() != source.report.to_dict():
        raise ValueError(f"{path}: the report differs after loading")
    return f"{path.name} was loaded again: every figure equal"


FORMAT = Format(
    "Report (JSON)",
    "report.json",
    "The method, its settings, and the figures of every layer, as text that any program reads.",
    _write,
    _check,
)
