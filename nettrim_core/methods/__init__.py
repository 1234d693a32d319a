"""The methods by name, as ready frozen values; ``dataclasses.replace`` changes a setting."""

import dataclasses
from typing import Any

from nettrim_core.methods.alps import ALPS
from nettrim_core.methods.magnitude import Magnitude
from nettrim_core.methods.nettrim import NetTrim
from nettrim_core.methods.obs import LOBS, ExactOBS
from nettrim_core.methods.sparsegpt import SparseGPT
from nettrim_core.methods.wanda import Wanda

METHODS: dict[str, Any] = {
    "nettrim": NetTrim(),
    "lobs": LOBS(),
    "exactobs": ExactOBS(),
    "magnitude": Magnitude(),
    "magnitude_refit": Magnitude(refit=True),
    "magnitude_global": Magnitude(overall=True),
    "nettrim_refit": NetTrim(refit=True),
    "lobs_sweeps": LOBS(sweeps=4),
    "wanda": Wanda(),
    "sparsegpt": SparseGPT(),
    "alps": ALPS(),
}
METHOD_TITLES = {  # as people know them
    "nettrim": "Net-Trim",
    "nettrim_refit": "Net-Trim + refit",
    "lobs": "L-OBS",
    "exactobs": "Exact OBS",
    "magnitude": "Magnitude",
    "magnitude_refit": "Magnitude + refit",
    "magnitude_global": "Magnitude, global",
    "lobs_sweeps": "L-OBS, swept",
    "wanda": "Wanda",
    "sparsegpt": "SparseGPT",
    "alps": "ALPS",
}


def method_name(method: Any) -> str:
    """The name in METHODS nearest to a value: same type, fewest settings that differ; else the type's name."""
    same = {name: known for name, known in METHODS.items() if type(known) is type(method)}
    if not same:
        return type(method).__name__.lower()
    values = dataclasses.asdict(method)
    return min(
        same, key=lambda name: sum(values[key] != value for key, value in dataclasses.asdict(same[name]).items())
    )


def titled(name: str) -> str:
    """The title of a method; a name that is none of METHODS stays."""
    return METHOD_TITLES.get(name, name)


__all__ = [
    "ALPS",
    "LOBS",
    "METHODS",
    "METHOD_TITLES",
    "ExactOBS",
    "Magnitude",
    "NetTrim",
    "SparseGPT",
    "Wanda",
    "method_name",
    "titled",
]
