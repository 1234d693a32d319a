"""curves.csv: the points of the curves that the result lies on."""

from __future__ import annotations

import csv
from pathlib import Path

from nettrim_core.formats.format import Format, Source
from nettrim_core.tabulate import curves_csv


def _write(source: Source, path: Path) -> None:
    path.write_text(curves_csv(source.curves), encoding="utf-8")


def _check(source: Source, path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [(row["method"], float(row["epsilon"]), float(row["zeros"])) for row in rows]
    if found != [(r.method, r.settings["epsilon"], r.sparsity) for r in source.curves]:
        raise ValueError(f"{path}: the points differ after loading")
    return f"{path.name} was loaded again: {len(rows)} points as written, to the last digit"


FORMAT = Format(
    "Curves (CSV)",
    "curves.csv",
    "A line for every solved point of the curves: method, epsilon, zeros, accuracy, and each layer's figures.",
    _write,
    _check,
    needs_curves=True,
)
