"""What a stored sweep in parallel says of fewer layers.

A layer's own result does not depend on which others are pruned; what the network makes of them does. So beside a sweep
of all layers the figures that change are kept for its subsets of layers, and the rest is taken from the sweep.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from nettrim_core.record import Point
from nettrim_core.report import LayerReport

NETWORK = ("output_error", "accuracy", "accuracy_kept", "output_error_kept")
LAYER = ("error", "bound", "discrepancy", "discrepancy_kept")
FLAG = "bound_is_estimate"


def subsets(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """Every part of the layers but nothing and all, in their order."""
    return [part for size in range(1, len(layers)) for part in combinations(layers, size)]


def figures(layers: Sequence[str], points: Sequence[Point]) -> dict[str, np.ndarray]:
    """What changes, of points on one subset: network (points, 4), layers (points, layers, 5) float64, NaN for none and
    for layers that are not in the subset; regions where there are any."""
    reports = [point.report for point in points]
    network = np.array([[_number(getattr(report, name)) for name in NETWORK] for report in reports])
    each = np.full((len(reports), len(layers), len(LAYER) + 1), np.nan)
    for i, report in enumerate(reports):
        for entry in report.layers:
            each[i, layers.index(entry.name)] = [_number(getattr(entry, name)) for name in (*LAYER, FLAG)]
    found = {"network": network, "layers": each}
    if points[0].regions is not None:
        found["regions"] = np.stack([point.regions for point in points if point.regions is not None])
    return found


def restored(point: Point, part: Sequence[str], found: Mapping[str, np.ndarray]) -> Point:
    """The point of fewer layers; found: its row of :func:`figures`."""
    network, layers = found["network"], found["layers"]
    kept = [_layer(entry, layers[i]) for i, entry in enumerate(point.report.layers) if entry.name in part]
    gone = sum(entry.weight_zeros for entry in point.report.layers if entry.name not in part)
    report = dataclasses.replace(
        point.report,
        layers=kept,
        network_zeros=point.report.network_zeros - gone,
        **{name: _value(value) for name, value in zip(NETWORK, network, strict=True)},
    )
    return dataclasses.replace(
        point, report=report, masks={name: point.masks[name] for name in part}, regions=found.get("regions")
    )


def _layer(entry: LayerReport, values: np.ndarray) -> LayerReport:
    found = {name: _value(value) for name, value in zip(LAYER, values, strict=False)}
    return dataclasses.replace(entry, **found, bound_is_estimate=bool(values[-1]))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _value(number: float) -> float | None:
    return None if math.isnan(number) else float(number)
