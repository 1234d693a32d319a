"""What the server holds for its visitors: bundles, and finished points by what made them. No Streamlit: it is filled
before the server begins."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, wraps
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from nettrim_core.bundle import SAMPLE_MODELS, Bundle, load_bundle
from nettrim_core.capture import anatomy, sizes_of
from nettrim_core.environment import cores
from nettrim_core.methods import METHODS, NetTrim
from nettrim_core.plan import Plan
from nettrim_core.record import Point, Stored, decision_regions, load_points, point_key
from nettrim_core.report import LayerReport
from nettrim_core.subsets import restored
from pages.blobs import BLOBS
from pages.state import Facts

LIVE_POINTS = 3000  # computed points a server keeps, the oldest going first
LIVE_PARTS = 20_000  # layers of them


R = TypeVar("R")
P = ParamSpec("P")
_networks = threading.RLock()


def one_at_a_time(act: Callable[P, R]) -> Callable[P, R]:
    """What runs a network. While torch.fx traces one, in whatever thread, to call any other goes wrong; and two who
    listen to the same network hear each other."""

    @wraps(act)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with _networks:
            return act(*args, **kwargs)

    return alone


loaded = one_at_a_time(load_bundle)
_sample = lru_cache(maxsize=8)(loaded)


@dataclass(frozen=True, eq=False)
class Brought:
    """A bundle that visitors brought: whose it is, and the addresses of pictures' data that was made from it."""

    bundle: Bundle
    owners: list[object]
    sent: set[str]


_brought: dict[str, Brought] = {}  # by ids, which are made from the content


def bundle_of(name: str) -> Bundle:
    """A sample's, or one that a visitor brought and that is still here; ValueError for any other."""
    held = _brought.get(name)
    return _sample(name) if held is None else held.bundle


def keep(name: str, bundle: Bundle, owner: object) -> None:
    """A visitor brought this."""
    held = _brought.setdefault(name, Brought(bundle, [], set()))
    if owner not in held.owners:
        held.owners.append(owner)


def sent(model: str, address: str) -> None:
    """A picture of this network has its data at this address."""
    if model in _brought:
        _brought[model].sent.add(address)


def name_of(model: str) -> str:
    """What a network is called in a few words."""
    return bundle_of(model).title if model in _brought else model


def let_go(name: str, owner: object) -> None:
    """A visitor is gone, or took it away. What was found out about it goes with the last one who brought it."""
    held = _brought.get(name)
    if held is None or owner not in held.owners:
        return
    held.owners.remove(owner)
    if not held.owners:
        del _brought[name]
        points().forget(held.bundle.fingerprint)
        for address in held.sent:
            BLOBS.drop(address)
        for cached in (facts_of, memory_of, dense_regions):
            cached.cache_clear()


@lru_cache(maxsize=32)
@one_at_a_time
def facts_of(name: str) -> Facts:
    bundle = bundle_of(name)
    layers = tuple(target.name for target in anatomy(bundle.model, bundle.calibration[:1]).targets)
    convolutions = any(len(shape_of(bundle, name)) > 2 for name in layers)
    return Facts(layers, len(bundle.calibration), convolutions)


def shape_of(bundle: Bundle, layer: str) -> tuple[int, ...]:
    """Of a layer's weight in torch. Not asked of the layer: while torch.fx traces a network, in whatever thread, the
    attributes of all others are not what they are."""
    return tuple(dict(bundle.model.named_parameters())[f"{layer}.weight"].shape)


@lru_cache(maxsize=64)
@one_at_a_time
def memory_of(name: str, samples: int, patches: int) -> dict[str, int]:
    """Layer -> about how many bytes Net-Trim takes for it at its peak, on this many calibration samples and patches."""
    bundle = bundle_of(name)
    sizes = sizes_of(bundle.model, bundle.calibration[:1], samples, patches)
    return {layer: NetTrim().memory(size, cores()) for layer, size in sizes.items()}


@lru_cache(maxsize=8)
@one_at_a_time
def dense_regions(name: str) -> np.ndarray | None:
    """The decision regions of a dense network with two inputs."""
    return decision_regions(bundle_of(name).model, bundle_of(name))


@dataclass(frozen=True, eq=False)
class Part:
    """One layer of a point: its report and the packed bits of its mask."""

    report: LayerReport
    mask: np.ndarray

    @cached_property
    def digest(self) -> bytes:
        """Of the mask: computed once, as pages ask for all of a knob's again and again."""
        return hashlib.blake2b(self.mask.tobytes(), digest_size=20).digest()


PointKey = tuple[str, str, str]  # of the bundle, the plan, the method with its settings and epsilon
PartKey = tuple[str, str, str, float, str]


class Points:
    """Finished points by what made them. Safe to use from many threads: a point is a pure function of its key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stored: dict[PointKey, Point] = {}
        self._live: OrderedDict[PointKey, Point] = OrderedDict()
        self._stored_parts: dict[PartKey, Part] = {}
        self._live_parts: OrderedDict[PartKey, Part] = OrderedDict()
        self._subsets: dict[tuple[str, str], tuple[Stored, tuple[str, ...]]] = {}
        self._read: set[str] = set()
        self._parts_of: WeakKeyDictionary[Point, dict[str, Part]] = WeakKeyDictionary()

    def read_stored(self, bundle: Bundle) -> None:
        """Take in the sweeps that lie beside a sample bundle, once. A file made for other weights is passed over."""
        with self._lock:
            if bundle.name in self._read:
                return
            self._read.add(bundle.name)
            for path in sorted((SAMPLE_MODELS / bundle.name).glob("sweep_*.npz")):
                try:
                    stored = load_points(path, bundle.fingerprint)
                except ValueError:
                    continue  # the page computes what it does not find
                for point in stored.points:
                    self._stored[bundle.fingerprint, stored.plan.key(), point.key] = point
                    self._stored_parts |= dict(_parts(bundle, stored.plan, point))
                for part in stored.subsets:
                    self._subsets[bundle.fingerprint, replace(stored.plan, layers=part).key()] = stored, part

    def add(self, bundle: Bundle, plan: Plan, point: Point) -> None:
        """Take a point in; a rough one never in the place of a better one."""
        key = bundle.fingerprint, plan.key(), point.key
        with self._lock:
            if point.report.rough and key in self._live:
                return
            self._live[key] = point
            if not point.report.rough:
                self._live_parts.update(_parts(bundle, plan, point))
            for held, most in ((self._live, LIVE_POINTS), (self._live_parts, LIVE_PARTS)):
                while len(held) > most:
                    held.popitem(last=False)

    def forget(self, fingerprint: str) -> None:
        """Let go of all points of a bundle."""
        with self._lock:
            self._live = OrderedDict(entry for entry in self._live.items() if entry[0][0] != fingerprint)
            self._live_parts = OrderedDict(entry for entry in self._live_parts.items() if entry[0][0] != fingerprint)

    def get(self, bundle: Bundle, plan: Plan, curve: str, epsilon: float) -> Point | None:
        """A point of a curve, None where there is none yet."""
        plan_key = plan.key()
        with self._lock:
            if (found := self._subsets.pop((bundle.fingerprint, plan_key), None)) is not None:
                self._stored |= {(bundle.fingerprint, plan_key, point.key): point for point in _of_part(*found)}
            key = bundle.fingerprint, plan_key, point_key(curve, epsilon)
            return self._stored.get(key) or self._live.get(key)

    def part(self, bundle: Bundle, plan: Plan, layer: str, curve: str, epsilon: float) -> Part | None:
        """One layer of a point: of this one, or, as layers pruned in parallel come out the same whatever others are
        pruned, of one of other layers."""
        if (point := self.get(bundle, plan, curve, epsilon)) is not None:
            with self._lock:
                parts = self._parts_of.setdefault(point, {})
                if layer not in parts:
                    report = next(entry for entry in point.report.layers if entry.name == layer)
                    parts[layer] = Part(report, point.masks[layer])
                return parts[layer]
        key = _part_key(bundle, plan, layer, point_key(curve, epsilon))
        with self._lock:
            found = self._stored_parts.get(key) or self._live_parts.get(key)
        return found if plan.cascade is None else None


def _part_key(bundle: Bundle, plan: Plan, layer: str, point: str) -> PartKey:
    return bundle.fingerprint, plan.context, layer, dict(plan.scale).get(layer, 1.0), point


def _parts(bundle: Bundle, plan: Plan, point: Point) -> list[tuple[PartKey, Part]]:
    """The layers of a point that would come out the same beside others."""
    if plan.cascade is not None or METHODS[point.method].joint:
        return []
    return [
        (_part_key(bundle, plan, entry.name, point.key), Part(entry, point.masks[entry.name]))
        for entry in point.report.layers
    ]


def _of_part(stored: Stored, part: tuple[str, ...]) -> list[Point]:
    found = stored.subsets[part]
    return [
        restored(point, part, {name: values[i] for name, values in found.items()})
        for i, point in enumerate(stored.points)
    ]


@lru_cache(maxsize=1)
def points() -> Points:
    return Points()


def warm(name: str) -> None:
    """Have this model at hand for the first visitor: its bundle, and its stored sweeps."""
    facts_of(name)
    points().read_stored(bundle_of(name))
