"""What the visitor has chosen: one value, one table of controls, and its round trip through the link. No Streamlit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nettrim_core.cascade import Cascade
from nettrim_core.methods import METHODS
from nettrim_core.problem import Method, check_setting, legal_values, settings_of
from nettrim_core.recipe import EPSILONS, PATCHES, SAMPLES, Recipe, method_from

EPSILON_RANGE = (0.001, 0.999)
PATCHES_RANGE = (1, 1_000_000)
DEFAULT_EPSILON = EPSILONS[15]
DEFAULT_MODEL = "lenet_300_100"
DEFAULT_METHODS = ("nettrim", "lobs")
MODES = ("parallel", "cascade")

METHOD_TITLES = {
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


@dataclass(frozen=True)
class Facts:
    """What a link must be checked against: the layers that can be pruned and the calibration rows of a model.
    convolutions: are there any among the layers."""

    layers: tuple[str, ...]
    rows: int
    convolutions: bool = False


@dataclass(frozen=True)
class Choice:
    """settings: changed settings by dotted name, such as ``{"nettrim.tol": 1e-4, "cascade.gamma": 1.2}``."""

    model: str
    layers: tuple[str, ...]
    eps: float = DEFAULT_EPSILON
    methods: tuple[str, ...] = DEFAULT_METHODS
    mode: Literal["parallel", "cascade"] = "parallel"
    seed: int = 0
    n: int = SAMPLES
    patches: int = PATCHES
    settings: Mapping[str, Any] = field(default_factory=dict)

    def recipe(self) -> Recipe:
        rules = Cascade(**self._settings_of("cascade")) if self.mode == "cascade" else None
        return Recipe(self.model, self.layers, rules, self.n, self.seed, self.patches)

    def method(self, name: str) -> Method:
        """The method with this choice's settings; its epsilon is not set."""
        return method_from(name, self._settings_of(name))

    def _settings_of(self, owner: str) -> dict[str, Any]:
        prefix = owner + "."
        return {key.removeprefix(prefix): value for key, value in self.settings.items() if key.startswith(prefix)}

    def with_model(self, model: str, facts: Facts) -> Choice:
        """Another model: all of its layers, and no more samples than it has."""
        return dataclasses.replace(self, model=model, layers=facts.layers, n=min(self.n, facts.rows))

    def with_setting(self, name: str, value: Any) -> Choice:
        """A setting changed; one at its default is left out, so that equal choices have equal links."""
        settings = {key: old for key, old in self.settings.items() if key != name}
        if value != setting_fields()[name].default:
            settings[name] = value
        return dataclasses.replace(self, settings=settings)

    def to_query(self) -> dict[str, str]:
        """The link's parameters."""
        return {
            "model": self.model,
            "layers": ",".join(self.layers),
            "eps": f"{self.eps:g}",
            "methods": ",".join(self.methods),
            "mode": self.mode,
            "seed": str(self.seed),
            "n": str(self.n),
            "patches": str(self.patches),
            **{name: str(value) for name, value in sorted(self.settings.items())},
        }


def setting_fields() -> dict[str, dataclasses.Field[Any]]:
    """Every setting a form or a link can change, by dotted name; epsilon is the knob's. Not offered are a method's
    switches (magnitude's refit), which make another method that is in METHODS, and words that the method refuses."""
    fields = {f"cascade.{f.name}": f for f in settings_of(Cascade)}
    for owner, method in METHODS.items():
        for f in settings_of(method):
            if f.name != "epsilon" and not isinstance(f.default, bool) and _takes_all(method, f):
                fields[f"{owner}.{f.name}"] = f
    return fields


def _takes_all(method: Any, f: dataclasses.Field[Any]) -> bool:
    """Does a method take each of the words that a setting knows?"""
    try:
        for option in f.metadata.get("options", ()):
            dataclasses.replace(method, **{f.name: option})
    except ValueError:
        return False
    return True


def parse(query: Mapping[str, Sequence[str]], facts: Mapping[str, Any]) -> tuple[Choice, list[str]]:
    """The choice a link asks for, and a sentence for everything in it that could not be followed.

    query: parameter -> values (lists may be repeated parameters or comma-separated). facts: model -> a function that
    returns its :class:`Facts`.
    """
    said: list[str] = []

    def wrong(name: str, value: object, legal: str, shown: object) -> None:
        said.append(f"The link asked for {name} = {value}, which is not {legal}; showing {shown} instead.")

    model = _last(query, "model") or DEFAULT_MODEL
    if model not in facts:
        wrong("model", model, f"one of {', '.join(facts)}", DEFAULT_MODEL)
        model = DEFAULT_MODEL
    here: Facts = facts[model]()
    choice = Choice(model, here.layers, n=min(SAMPLES, here.rows))
    if names := _list(query, "layers"):
        known = tuple(name for name in here.layers if name in names)
        for name in names:
            if name not in here.layers:
                wrong("layers", name, f"a layer of {model} ({', '.join(here.layers)})", ", ".join(known or here.layers))
        choice = dataclasses.replace(choice, layers=known or here.layers)
    if names := _list(query, "methods"):
        known = tuple(name for name in METHODS if name in names)
        for name in names:
            if name not in METHODS:
                wrong("methods", name, f"one of {', '.join(METHODS)}", ", ".join(known or DEFAULT_METHODS))
        choice = dataclasses.replace(choice, methods=known or DEFAULT_METHODS)
    if (mode := _last(query, "mode")) is not None:
        if mode in MODES:
            choice = dataclasses.replace(choice, mode=mode)
        else:
            wrong("mode", mode, f"one of {', '.join(MODES)}", choice.mode)
    low, high = EPSILON_RANGE
    choice = _number(query, "eps", float, low, high, choice, wrong)
    choice = _number(query, "seed", int, 0, 2**31 - 1, choice, wrong)
    choice = _number(query, "n", int, 1, here.rows, choice, wrong)
    choice = _number(query, "patches", int, *PATCHES_RANGE, choice, wrong)
    fields = setting_fields()
    for name in query:
        if name in fields:
            choice = _setting(query, name, fields[name], choice, wrong)
    return choice, said


def _last(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name) or []
    return values[-1].strip() if values else None


def _list(query: Mapping[str, Sequence[str]], name: str) -> list[str]:
    return [part.strip() for value in query.get(name) or [] for part in value.split(",") if part.strip()]


def _number(query: Any, name: str, kind: Any, low: float, high: float, choice: Choice, wrong: Any) -> Choice:
    text = _last(query, name)
    if text is None:
        return choice
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:  # NaN is not in any range
        what = "a whole number" if kind is int else "a number"
        wrong(name, text, f"{what} from {low:g} to {high:g}", f"{getattr(choice, name):g}")
        return choice
    return dataclasses.replace(choice, **{name: value})


def _setting(query: Any, name: str, f: dataclasses.Field[Any], choice: Choice, wrong: Any) -> Choice:
    text = _last(query, name) or ""
    try:
        value = {"True": True, "False": False}.get(text) if isinstance(f.default, bool) else type(f.default)(text)
        check_setting(name.split(".")[0], f, value)
    except ValueError:
        wrong(name, text, legal_values(f), f.default)
        return choice
    return choice.with_setting(name, value)
