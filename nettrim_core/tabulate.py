"""The points of curves as a table that spreadsheets open."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from nettrim_core.plain import for_cell, from_cell
from nettrim_core.report import LayerReport, Report

OF_NETWORK = (
    "method", "epsilon", "zeros", "network_zeros", "accuracy", "accuracy_low", "accuracy_high", "accuracy_before",
    "output_error", "seconds", "converged", "samples", "seed",
)  # fmt: skip
OF_LAYER = ("zeros", "discrepancy", "epsilon", "gap", "violation", "error", "bound")


def curves_csv(reports: Iterable[Report]) -> str:
    """A line for each report: its method, epsilon and figures, the settings as ``method:name`` and ``cascade:name``,
    and the figures of each layer as ``layer:figure``; all figures are fractions, seconds aside. What there is none of
    is left empty."""
    rows = [_row(report) for report in reports]
    return csv_text(list(dict.fromkeys(name for row in rows for name in row)) or OF_NETWORK, rows)


def csv_text(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A table with a head as CSV. Texts, the names among them, come as :func:`nettrim_core.plain.for_cell` has them,
    so that no spreadsheet takes one for a formula; numbers as they are; None, and what a row lacks, as nothing."""
    lines = [names, *([row.get(name) for name in names] for row in rows)]
    return "".join(",".join(map(_cell, line)) + "\n" for line in lines)


def csv_rows(text: str) -> list[dict[str, str]]:
    """The rows of :func:`csv_text` again, all of it as texts."""
    lines = csv.DictReader(io.StringIO(text, newline=""))
    return [{from_cell(name): from_cell(value) for name, value in row.items()} for row in lines]


def _cell(value: object) -> str:
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text = for_cell(value)
    return f'"{text.replace(chr(34), chr(34) * 2)}"' if re.search(r"[\",;\s]", text) else text


def _row(report: Report) -> dict[str, object]:
    low, high = report.accuracy_interval or (None, None)
    values = (
        report.method, report.settings.get("epsilon"), report.sparsity, report.network_sparsity, report.accuracy, low,
        high, report.accuracy_before, report.output_error, report.seconds, report.converged, report.samples,
        report.seed,
    )  # fmt: skip
    row: dict[str, object] = dict(zip(OF_NETWORK, values, strict=True))
    row |= {f"method:{name}": value for name, value in report.settings.items() if name != "epsilon"}
    row |= {f"cascade:{name}": value for name, value in (report.cascade or {}).items()}
    for layer in report.layers:
        row |= {f"{layer.name}:{name}": value for name, value in zip(OF_LAYER, _figures(layer), strict=True)}
    return row


def _figures(layer: LayerReport) -> tuple[float | None, ...]:
    size = layer.output_norm or 1.0
    bound = None if layer.bound is None else layer.bound / size
    return layer.sparsity, layer.held, layer.epsilon, layer.gap, layer.violation, layer.error / size, bound
