"""From points to what the knob and its pictures are sent: plain data, no Streamlit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nettrim_core.bundle import Bundle
from nettrim_core.methods import METHOD_TITLES, METHODS
from nettrim_core.record import REGION_SIDE, Point
from pages import curves, frames, store, words
from pages.axes import X_AXES, Y_AXES, Axis, known, percent
from pages.blobs import BLOBS
from pages.curves import Stop
from pages.matching import Place
from pages.state import Choice

FELT = 0.0025  # a loss of accuracy worth looking at
LEAD_IN = 0.12  # zeros shown before the first such loss
# dense classes of decision regions; where pruning changed the class, the colour is stronger
REGION_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")

Found = Mapping[str, Sequence[Point | None]]
Places = Mapping[str, Sequence[Place | None]]


def quality(point: Point) -> str:
    """How far a point can be trusted, as the knob draws it."""
    if point.report.rough:
        return "rough"
    return "certified" if point.report.converged else "open"


def near(places: Sequence[Place | None], leads: bool) -> list[int | None]:
    """At each stop, the stop whose masks and layers a method shows. leads: its own, solved or not."""
    return [i if leads else None if place is None else place.near for i, place in enumerate(places)]


def knob(choice: Choice, stops: Sequence[Stop], here: int, found: Found, places: Places) -> dict[str, Any]:
    """What :func:`pages.stage.knob` is sent."""
    x, y = X_AXES[choice.view.x], Y_AXES[choice.view.y]
    labels = [words.value(choice.knob, stop.value) for stop in stops]
    series = [
        {
            "name": METHOD_TITLES[name],
            "style": list(METHODS).index(name),
            "curve": [curve_point(at, x, y, choice.knob, label) for at, label in zip(points, labels, strict=True)],
            "places": [None if place is None else {"x": place.x, "y": place.y} for place in places[name]],
            "said": [said(choice, name, stop, points[i], places[name][i], y) for i, stop in enumerate(stops)],
        }
        for name, points in found.items()
    ]
    solved = [point for points in found.values() for point in points if point is not None]
    return {
        "stops": labels,
        "symbol": words.symbol(choice.knob),
        "label": words.knob_label(choice),
        "index": here,
        "series": series,
        "x": {"title": x.title, "ticks": x.ticks, "log": x.log, "range": window(choice, solved, places, here)},
        "y": {"title": y.title, "ticks": y.ticks, "log": y.log, "range": None},
        "dense": _dense(choice, solved),
        "alt": words.alt(choice, {name: found_at[here] for name, found_at in places.items()}),
    }


def curve_point(point: Point | None, x: Axis, y: Axis, knob: str, label: str) -> dict[str, Any] | None:
    """One point of a curve on these axes; None where there is none."""
    if point is None:
        return None
    right, up = known(x, point.report), known(y, point.report)
    if right is None or up is None:
        return None
    band = y.band(point.report) if y.band else None
    return {
        "x": right,
        "y": up,
        "low": None if band is None else band[0],
        "high": None if band is None else band[1],
        "quality": quality(point),
        "hover": words.hover(point, y, f"{words.symbol(knob)} = {label}"),
    }


def said(
    choice: Choice, name: str, stop: Stop, point: Point | None, place: Place | None, y: Axis
) -> list[str]:  # fmt: skip
    """A method's line of the readout at one stop."""
    leads = choice.view.match == "epsilon" or name == choice.methods[0]
    if leads and point is None:
        zeros = pending(stop.choice, name)
        return ["not solved yet", "", ""] if zeros is None else [f"{percent(zeros)} zeros", "accuracy pending", ""]
    if not leads and place is None:
        return ["its curve never has as much", "", ""]
    if leads and point is not None:
        report = point.report
        figures = [percent(report.sparsity) + " zeros", words.right(report.accuracy)]
        value = known(y, report)
        extra = "" if choice.view.y == "accuracy" else "no value" if value is None else y.text(value)
        return [*figures, extra]
    assert place is not None
    mark = "about " if place.between else ""
    return [f"{mark}{percent(place.sparsity)} zeros", mark + words.right(place.accuracy), ""]


def pending(choice: Choice, name: str) -> float | None:
    """The fraction of zeros where every layer is known and the network of them is not judged yet."""
    bundle, plan, curve = store.bundle_of(choice.model), choice.plan(), curves.curve_key(choice, name)
    parts = [store.points().part(bundle, plan, layer, curve, choice.eps) for layer in choice.layers]
    reports = [part.report for part in parts if part is not None]
    if len(reports) < len(parts) or not reports:
        return None
    return sum(report.weight_zeros for report in reports) / sum(report.weights for report in reports)


def window(choice: Choice, solved: Sequence[Point], places: Places, here: int) -> list[float] | None:
    """The part of the horizontal axis where things happen: from a little before the first loss that can be felt, and
    from where the markers are. None for all."""
    if choice.view.x != "sparsity" or choice.view.y not in ("accuracy", "drop") or len(solved) < 4:
        return None
    drop = Y_AXES["drop"].value
    losses = [(point.report.sparsity, drop(point.report) or 0.0) for point in solved]
    felt = [zeros for zeros, loss in losses if loss > FELT]
    lowest, highest = min(zeros for zeros, _ in losses), max(zeros for zeros, _ in losses)
    markers = [place.x for found in places.values() if (place := found[here]) is not None]
    start = min([*[zeros - LEAD_IN for zeros in [min(felt, default=lowest)]], *[zeros - 0.02 for zeros in markers]])
    return [max(start, lowest - 0.02), min(highest + 0.015, 1.01)]


def _dense(choice: Choice, solved: Sequence[Point]) -> dict[str, Any] | None:
    before = next((point.report.accuracy_before for point in solved), None)
    if before is None or choice.view.y not in ("accuracy", "drop"):
        return None
    return {"y": before if choice.view.y == "accuracy" else 0.0, "text": f"dense {percent(before)}"}


@dataclass(eq=False)
class Pictures:
    """What the pictures beside the knob are sent. near: for each method the stop whose layers are shown at each."""

    choice: Choice
    bundle: Bundle
    stops: Sequence[Stop]
    here: int
    near: Mapping[str, list[int | None]]
    _parts: dict[tuple[str, str], list[store.Part | None]] = field(default_factory=dict)

    def parts(self, layer: str, name: str) -> list[store.Part | None]:
        """One layer of a method at every stop."""
        if (layer, name) not in self._parts:
            curve, points = (lambda choice: curves.curve_key(choice, name)), store.points()
            self._parts[layer, name] = [
                points.part(self.bundle, at.choice.plan(), layer, curve(at.choice), at.choice.eps) for at in self.stops
            ]
        return self._parts[layer, name]

    def layout(self, layer: str) -> frames.Layout:
        return frames.layout(store.shape_of(self.bundle, layer), self.bundle.calibration.shape[1:])

    def words(self, layer: str) -> str:
        return self.layout(layer).words

    def mask(self, layer: str) -> dict[str, Any]:
        """What :func:`pages.stage.mask` is sent."""
        place = self.layout(layer)
        lines = {"inputs": place.inputs, "outputs": place.outputs, "tile": place.tile, "across": place.across}
        return self._common() | {
            "methods": [self._masks(layer, name) for name in self.choice.methods],
            "layout": lines | {"gap": place.gap, "shape": place.shape},
        }

    def bars(self) -> dict[str, Any]:
        """What :func:`pages.stage.bars` is sent."""
        layers, methods = self.choice.layers, []
        for name in self.choice.methods:
            columns = zip(*[self.parts(layer, name) for layer in layers], strict=True)
            values = [[None if part is None else words.bar(part.report) for part in parts] for parts in columns]
            methods.append(self._method(name) | {"values": values})
        return self._common() | {"methods": methods, "layers": [self._about(layer) for layer in layers]}

    def sight(self) -> tuple[str, str, dict[str, Any]] | None:
        """Title, text and what :func:`pages.stage.sight` is sent; None where there is nothing to see."""
        first = self.choice.layers[0]
        if (dense := store.dense_regions(self.choice.model)) is not None:
            return *words.REGIONS, self._regions(dense)
        inputs = self.layout(first).inputs
        side = math.isqrt(inputs)
        image = self.bundle.calibration.shape[1:]
        linear = len(store.shape_of(self.bundle, first)) == 2
        if not linear or inputs != math.prod(image) or side < 4 or side * side != inputs:
            return None
        place = self.layout(first)
        shown = {"kind": "usage", "inputs": inputs, "outputs": place.outputs, "shape": (side, side), "upwards": False}
        methods = [self._masks(first, name) for name in self.choice.methods]
        return words.USAGE[0].format(first), words.USAGE[1], self._common() | shown | {"methods": methods}

    def _regions(self, dense: np.ndarray) -> dict[str, Any]:
        methods = []
        for name in self.choice.methods:
            found = [curves.point_at(at.choice, name, self._get) for at in self.stops]
            maps = [None if point is None or point.regions is None else point.regions.reshape(-1) for point in found]
            methods.append(self._method(name) | packed(maps))
        side = (REGION_SIDE, REGION_SIDE)
        shown = {"kind": "regions", "dense": packed([dense.reshape(-1)])["url"], "palette": REGION_COLORS}
        return self._common() | shown | {"methods": methods, "shape": side, "upwards": True}

    def _get(self, plan: Any, curve: str, epsilon: float) -> Point | None:
        return store.points().get(self.bundle, plan, curve, epsilon)

    def _masks(self, layer: str, name: str) -> dict[str, Any]:
        parts = self.parts(layer, name)
        digests = [b"-" if part is None else part.digest for part in parts]
        sent = packed([None if part is None else part.mask for part in parts], digests)
        store.sent(self.choice.model, sent["url"])
        return self._method(name) | sent

    def _method(self, name: str) -> dict[str, Any]:
        return {"name": METHOD_TITLES[name], "style": list(METHODS).index(name)}

    def _common(self) -> dict[str, Any]:
        near_ones = [self.near[name] for name in self.choice.methods]
        return {"stops": len(self.stops), "index": self.here, "near": near_ones}

    def _about(self, layer: str) -> dict[str, str]:
        outputs, *inputs = store.shape_of(self.bundle, layer)
        return {"name": layer, "about": f"{math.prod(inputs)} × {outputs}"}


def packed(found: Sequence[np.ndarray | None], digests: Sequence[bytes] = ()) -> dict[str, Any]:
    """The address of some frames, and which there are. digests: of the frames, where they are known."""
    digests = digests or [b"-" if frame is None else frame.tobytes() for frame in found]
    digest = hashlib.blake2b(b"".join(digests), digest_size=20)
    if all(frame is None for frame in found):
        return {"url": "", "present": [False] * len(found)}
    url = BLOBS.made(digest.digest(), lambda: frames.pack(found))
    return {"url": url, "present": [frame is not None for frame in found]}


def heat(choice: Choice, rows: int, typed: Sequence[float], get: curves.Get) -> dict[str, Any]:
    """What :func:`pages.stage.heat` is sent: one figure of the method under the lens at every pair of two settings."""
    name, y = choice.lens[1], Y_AXES[choice.view.y]
    beside = curves.grid_of(choice, rows)
    stops = curves.stops_of(choice, rows, typed)
    labels = [words.value(choice.knob, stop.value) for stop in stops]
    sides = [words.value(choice.grid, stop.value) for stop in beside]
    values, texts = [], []
    for row, side in zip(beside, sides, strict=True):
        found = [curves.point_at(at.choice, name, get) for at in curves.stops_of(row.choice, rows, typed)]
        figures = [None if point is None else known(y, point.report) for point in found]
        values.append(figures)
        texts.append([
            f"{words.symbol(choice.knob)} = {label}<br>{words.symbol(choice.grid)} = {side}<br>"
            + ("not solved yet" if point is None else words.hover_figures(point, y))
            for label, point in zip(labels, found, strict=True)
        ])  # fmt: skip
    return {
        "stops": len(stops),
        "index": curves.place_of(choice, stops),
        "columns": labels,
        "rows": sides,
        "row": [stop.value for stop in beside].index(choice.value(choice.grid)),
        "values": values,
        "texts": texts,
        "titles": [words.setting_title(choice.knob), words.setting_title(choice.grid)],
        "text": y.title,
        "ticks": y.ticks,
        "alt": words.heat_alt(choice, labels, sides, values, y),
    }
