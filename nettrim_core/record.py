"""Points of a sweep as plain data, and a file of them: reports, masks, decision regions, but no weights.

The file is an .npz of arrays without objects: it is read with ``allow_pickle=False``.
"""

from __future__ import annotations

import base64
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nettrim_core.bundle import Bundle
from nettrim_core.layers import weights_of
from nettrim_core.plan import Plan, settings_key
from nettrim_core.report import Report

SUBSET = ("network", "layers", "regions")  # what is kept of a subset of layers
REGION_SIDE = 96  # cells along each side of a map of decision regions


@dataclass(frozen=True, eq=False)
class Point:
    """One pruned network of a sweep.

    masks: for each pruned layer the packed bits of U != 0 without the bias row, (inputs, outputs) in C order.
    regions: (side, side) uint8 predicted class over the plane of a network with two inputs, else None.
    """

    method: str
    epsilon: float
    report: Report
    masks: dict[str, np.ndarray]
    regions: np.ndarray | None

    @property
    def key(self) -> str:
        """Method, settings and epsilon: with the plan, what this point is the result of."""
        return point_key(settings_key(self.method, self.report.settings), self.epsilon)

    def mask(self, layer: str) -> np.ndarray:
        """(inputs, outputs) bool: which weights of a layer are left."""
        entry = next(entry for entry in self.report.layers if entry.name == layer)
        bits = np.unpackbits(self.masks[layer], count=entry.inputs * entry.outputs)
        return bits.reshape(entry.inputs, entry.outputs).astype(bool)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can carry."""
        masks = {name: base64.b64encode(bits.tobytes()).decode() for name, bits in self.masks.items()}
        regions = None if self.regions is None else base64.b64encode(self.regions.tobytes()).decode()
        return {
            "method": self.method,
            "epsilon": self.epsilon,
            "report": self.report.to_dict(),
            "masks": masks,
            "regions": regions,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Point:
        masks = {name: np.frombuffer(base64.b64decode(bits), np.uint8) for name, bits in data["masks"].items()}
        regions = None
        if data["regions"] is not None:
            regions = np.frombuffer(base64.b64decode(data["regions"]), np.uint8).reshape(REGION_SIDE, REGION_SIDE)
        return cls(data["method"], float(data["epsilon"]), Report.from_dict(data["report"]), masks, regions)


def point_key(curve: str, epsilon: float) -> str:
    return f"{curve}@{epsilon!r}"


def make_point(name: str, epsilon: float, pruned: nn.Module, report: Report, bundle: Bundle) -> Point:
    """The point of one result of a sweep."""
    masks = {}
    for entry in report.layers:
        layer = pruned.get_submodule(entry.name)
        assert isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
        kept = weights_of(layer)[: entry.inputs] != 0
        masks[entry.name] = np.packbits(kept.cpu().numpy())
    return Point(name, epsilon, report, masks, decision_regions(pruned, bundle))


def region_axes(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the cells of a map of decision regions: a little more than the validation points' box."""
    points = bundle.validation[0].numpy()
    low, high = points.min(0), points.max(0)
    margin = 0.05 * (high - low)
    x, y = (np.linspace(low[i] - margin[i], high[i] + margin[i], REGION_SIDE, dtype=np.float32) for i in (0, 1))
    return x, y


@torch.no_grad()
def decision_regions(model: nn.Module, bundle: Bundle) -> np.ndarray | None:
    """(side, side) uint8: predicted class over the plane, rows along the second input; None unless there are two."""
    if bundle.calibration.shape[1:] != (2,):
        return None
    x, y = region_axes(bundle)
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    classes: Tensor = model(torch.from_numpy(grid)).argmax(1)
    return classes.to(torch.uint8).numpy().reshape(REGION_SIDE, REGION_SIDE)


@dataclass(frozen=True, eq=False)
class Stored:
    """A file of points. subsets: the figures of fewer layers, by layers: see :mod:`nettrim_core.subsets`."""

    plan: Plan
    points: list[Point]
    subsets: dict[tuple[str, ...], dict[str, np.ndarray]]


def save_points(path: Path, fingerprint: str, stored: Stored) -> None:
    """Write the points of one plan; ``fingerprint`` is the bundle's. Masks are written as what changed since the one
    of the next smaller epsilon, which is little."""
    points = sorted(stored.points, key=lambda point: (point.method, point.epsilon))
    header = {
        "recipe": stored.plan.to_dict(),  # as the stored files call it
        "fingerprint": fingerprint,
        "points": [{"method": p.method, "epsilon": p.epsilon, "report": p.report.to_dict()} for p in points],
        "subsets": [list(part) for part in stored.subsets],
    }
    curves = [p.method for p in points]
    arrays = {f"mask_{name}": _changes(np.stack([p.masks[name] for p in points]), curves) for name in points[0].masks}
    if points[0].regions is not None:
        arrays["regions"] = np.stack([p.regions for p in points if p.regions is not None])
    order = [stored.points.index(point) for point in points]
    for i, found in enumerate(stored.subsets.values()):
        arrays |= {f"subset_{i}_{name}": values[order] for name, values in found.items()}
    text = np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)
    np.savez_compressed(path, allow_pickle=False, header=text, **arrays)


def load_points(path: Path, fingerprint: str) -> Stored:
    """What a file holds, or ValueError if it is damaged or belongs to other weights or data."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["fingerprint"] != fingerprint:
                raise ValueError("it was made for other weights or data; compute it again")
            curves = [entry["method"] for entry in header["points"]]
            masks = {
                key.removeprefix("mask_"): _changed(arrays[key], curves)
                for key in arrays.files
                if key.startswith("mask_")
            }
            regions = arrays["regions"] if "regions" in arrays.files else None
            points = [
                Point(
                    entry["method"],
                    float(entry["epsilon"]),
                    Report.from_dict(entry["report"]),
                    {name: bits[i] for name, bits in masks.items()},
                    None if regions is None else regions[i],
                )
                for i, entry in enumerate(header["points"])
            ]
            subsets = {
                tuple(part): {
                    name: arrays[f"subset_{i}_{name}"] for name in SUBSET if f"subset_{i}_{name}" in arrays.files
                }
                for i, part in enumerate(header["subsets"])
            }
            return Stored(Plan.from_dict(header["recipe"]), points, subsets)
    except (OSError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be used as a stored sweep: {error}") from error


def _changes(bits: np.ndarray, curves: list[str]) -> np.ndarray:
    """Each row as what differs from the one before on the same curve."""
    changes = bits.copy()
    for i in range(1, len(bits)):
        if curves[i] == curves[i - 1]:
            changes[i] = bits[i] ^ bits[i - 1]
    return changes


def _changed(changes: np.ndarray, curves: list[str]) -> np.ndarray:
    """The rows that :func:`_changes` was given."""
    bits = changes.copy()
    for i in range(1, len(bits)):
        if curves[i] == curves[i - 1]:
            bits[i] ^= bits[i - 1]
    return bits
