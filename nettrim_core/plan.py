"""A plan: the plain data that fixes a sweep's results. Pages, workers and stored files speak of results by it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from nettrim_core.bundle import Bundle
from nettrim_core.cascade import Cascade
from nettrim_core.dense import MEMORY_LIMIT
from nettrim_core.methods import METHODS
from nettrim_core.network import Network
from nettrim_core.problem import Method, halving
from nettrim_core.rows import Rows

# The knob's stops: 25 tolerances, logarithmic from .005 to .7.
EPSILONS: tuple[float, ...] = tuple(float(f"{e:.4g}") for e in np.geomspace(0.005, 0.7, 25))
SAMPLES = 1000  # calibration inputs unless said otherwise: enough for every sample model, seconds for each
PATCHES = 2000  # of a convolution, likewise


@dataclass(frozen=True)
class Plan:
    """bundle: a sample's name or a path; layers: which to prune; cascade: its rules, None for parallel;
    samples: calibration inputs, drawn from the bundle's training rows with seed; patches: the most of a convolution,
    None for all; scale: (layer, factor on epsilon) of the layers whose factor is not 1; batchnorm: as for prune."""

    bundle: str
    layers: tuple[str, ...]
    cascade: Cascade | None = None
    samples: int = SAMPLES
    seed: int = 0
    patches: int | None = PATCHES
    scale: tuple[tuple[str, float], ...] = ()
    batchnorm: str = "reestimate"

    def key(self) -> str:
        """Canonical text: equal plans have equal keys."""
        return _key(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; a scale and batch norms are named where they are not as usual."""
        data = dataclasses.asdict(self)
        for name in ("scale", "batchnorm"):
            if data[name] == getattr(Plan, name):
                del data[name]
        return data

    @property
    def context(self) -> str:
        """What a layer's result in parallel depends on beside the layer, the method and the bundle's content."""
        return json.dumps([self.samples, self.seed, self.patches, self.batchnorm])

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Plan:
        cascade = None if data["cascade"] is None else Cascade(**data["cascade"])
        samples, seed = int(data["samples"]), int(data["seed"])
        patches = None if data["patches"] is None else int(data["patches"])
        scale = tuple((str(name), float(factor)) for name, factor in data.get("scale", ()))
        batchnorm = str(data.get("batchnorm", cls.batchnorm))
        return cls(str(data["bundle"]), tuple(data["layers"]), cascade, samples, seed, patches, scale, batchnorm)

    def inputs(self, bundle: Bundle) -> Tensor:
        """The calibration inputs."""
        return bundle.calibration_sample(self.samples, self.seed)

    def options(self) -> dict[str, Any]:
        """The options that every way of pruning takes, by name."""
        return {"max_patches": self.patches, "seed": self.seed, "batchnorm": self.batchnorm}

    def network(self, bundle: Bundle, rows: Rows | None = None, memory_limit: float = MEMORY_LIMIT) -> Network:
        """The bundle's network on this plan's calibration inputs, judged on the validation rows or on others.
        memory_limit: as for prune."""
        return Network(
            bundle.model, self.inputs(bundle), list(self.layers), rows or bundle.validation,
            scale=dict(self.scale), memory_limit=memory_limit, **self.options(),
        )  # fmt: skip


@lru_cache(maxsize=10_000)  # a page asks for the keys of all its states, again and again
def _key(plan: Plan) -> str:
    return json.dumps(plan.to_dict(), sort_keys=True)


def method_key(name: str, method: Method) -> str:
    """A method and its settings without epsilon: what a whole curve has in common."""
    return settings_key(name, dataclasses.asdict(method))


def settings_key(name: str, settings: Mapping[str, Any]) -> str:
    """The same from plain data. A setting at its default is left out, so that a method may get new ones."""
    usual = dataclasses.asdict(METHODS[name]) if name in METHODS else {}
    changed = {key: value for key, value in settings.items() if key != "epsilon" and usual.get(key) != value}
    return json.dumps([name, changed], sort_keys=True)


def method_from(name: str, settings: dict[str, Any]) -> Method:
    """The method of this name with some settings changed; ValueError for an unknown name, setting or value."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; known methods: {', '.join(METHODS)}")
    known = {f.name for f in dataclasses.fields(METHODS[name])}
    if unknown := set(settings) - known:
        raise ValueError(f"{name} has no setting {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
    return dataclasses.replace(METHODS[name], **settings)


def coarse_to_fine(epsilons: Iterable[float]) -> list[float]:
    """The same epsilons in an order that takes shape early: the largest and the smallest, the middle, the quarters."""
    ordered = sorted(epsilons, reverse=True)
    return [ordered[place] for place in halving(len(ordered))]
