"""What a result is the result of: everything that it depends on, as a text, and its hash as the name of its file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nettrim_core import environment
from nettrim_core.plan import Plan, settings_key
from nettrim_core.problem import Method


@dataclass(frozen=True)
class Address:
    """of: canonical text."""

    of: str

    @functools.cached_property
    def name(self) -> str:
        """Of the file: 40 hexadecimal digits."""
        return hashlib.blake2b(self.of.encode(), digest_size=20).hexdigest()


@functools.cache
def solver() -> str:
    """The version of everything that makes results: a hash of the core's own sources, and of what it computes with."""
    found = hashlib.blake2b(digest_size=10)
    root = Path(__file__).resolve().parents[1]
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode())
        found.update(path.read_bytes())
    versions = {name: version for name, version in environment.versions().items() if name != environment.PACKAGE}
    found.update(json.dumps(versions, sort_keys=True).encode())
    return found.hexdigest()


def address(kind: str, **what: Any) -> Address:
    """kind: what sort of result; what: plain data."""
    return Address(json.dumps([kind, solver(), what], sort_keys=True, allow_nan=False))


def of_layer(context: str, layer: str, method: Method, epsilon: float) -> Address:
    """One layer pruned in parallel. context: of the network, the rows, and how they are drawn."""
    curve = settings_key(type(method).__name__, dataclasses.asdict(method))
    return address("layer", context=context, layer=layer, curve=curve, epsilon=epsilon)


def of_point(fingerprint: str, plan: Plan, key: str) -> Address:
    """A whole network at one epsilon. key: the method, its settings and epsilon, as point_key gives them."""
    return address("point", fingerprint=fingerprint, plan=of_plan(plan), point=key)


def of_plan(plan: Plan) -> dict[str, Any]:
    """A plan whatever its network is called, or wherever it lies."""
    return {name: value for name, value in plan.to_dict().items() if name != "bundle"}
