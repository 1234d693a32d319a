"""The points of curves as a table that spreadsheets open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

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
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(OF_NETWORK)
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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
