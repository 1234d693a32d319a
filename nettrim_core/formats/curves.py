"""curves.csv: the points of the curves that the result lies on."""

from __future__ import annotations

from pathlib import Path

from nettrim_core.formats.format import Format, Source
from nettrim_core.tabulate import curves_csv


def _write(source: Source, path: Path) -> None:
    path.write_text(curves_csv(source.curves), encoding="utf-8")


def _check(source: Source, path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as file:
        found = file.read().split("\n")
    wanted = curves_csv(source.curves).split("\n")
    if found != wanted:
        line = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False), 1) if a != b), len(found))
        raise ValueError(f"{path}: line {line} differs after loading")
    return f"{path.name} was loaded again: {len(source.curves)} points as written, every figure to the last digit"


FORMAT = Format(
    "Curves (CSV)",
    "curves.csv",
    "A line for every solved point of the curves: method, epsilon, zeros, accuracy, and each layer's figures.",
    _write,
    _check,
    needs_curves=True,
)
