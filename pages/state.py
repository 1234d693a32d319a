"""What the visitor has chosen: one value, one table of controls, and its round trip through the link. No Streamlit."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from nettrim_core.cascade import Cascade
from nettrim_core.data.source import shown as printable
from nettrim_core.finetune import Training
from nettrim_core.methods import METHODS
from nettrim_core.plan import EPSILONS, PATCHES, SAMPLES, Plan, method_from
from nettrim_core.problem import Method, Settings, check_setting, legal_values, setting, settings_of
from nettrim_core.problem import choice as one_of
from nettrim_core.shares import RULES

EPSILON_RANGE = (0.001, 0.999)
PATCHES_RANGE = (1, 1_000_000)
MOST_SAID = 20  # sentences on what a link asked for in vain
NEURON_RANGE = (0, 1_000_000)
DEFAULT_EPSILON = EPSILONS[15]
DEFAULT_MODEL = "lenet_300_100"
OWN = re.compile("own-[0-9a-f]{16}")  # the id of a network that a visitor brought, made from its content
DEFAULT_METHODS = ("nettrim", "lobs")
MODES = ("parallel", "cascade")
MODE_WORDS = dict(zip(MODES, ("in parallel", "as a cascade"), strict=True))
PRESETS = {"Exact": EPSILONS[3], "Gentle": EPSILONS[10], "Balanced": DEFAULT_EPSILON, "Aggressive": EPSILONS[20]}
# parts of a page that a link can leave out
HIDABLE = ("intro", "model", "layers", "methods", "mode", "settings", "options", "presets", "code", "notebook", "share")

_FIGURES = ("accuracy", "drop", "discrepancy", "bound", "l1", "nonzeros", "bytes", "seconds")


@dataclass(frozen=True)
class Facts:
    """What a link must be checked against: the layers that can be pruned and the calibration rows of a model.
    convolutions: are there any among the layers."""

    layers: tuple[str, ...]
    rows: int
    convolutions: bool = False


@dataclass(frozen=True)
class View(Settings):
    """How results are shown; nothing here changes one."""

    match: str = one_of(
        "epsilon", "sparsity", "accuracy", help="what the methods have in common where the knob compares them"
    )
    x: str = one_of("sparsity", "epsilon", help="what lies along the chart")
    y: str = one_of(*_FIGURES, help="what the chart is high by")
    pareto_x: str = one_of("sparsity", "epsilon", *_FIGURES, help="what lies along the chart of compared states")
    pareto_y: str = one_of("accuracy", "sparsity", "epsilon", *_FIGURES[1:], help="what that chart is high by")
    changes: str = one_of("changed", "lost", "won", "wrong", help="which changed answers are listed")
    present: bool = setting(False, help="for a projector: larger type, fewer controls")


@dataclass(frozen=True)
class Goal(Settings):
    """What the Budget page asks of the whole network."""

    of: str = one_of("zeros", "multiply-adds", "accuracy", help="what the budget is of")
    zeros: float = setting(0.9, 0, 1, help="fraction of the weights and biases of the chosen layers that become zero")
    left: float = setting(0.1, 0, 1, help="fraction of the multiply-adds that stay")
    drop: float = setting(0.01, 0, 1, help="validation accuracy that may be lost, as a fraction of the samples")
    rule: str = one_of("hull", *(rule for rule in RULES if rule != "hull"), help="how layers share the budget")


@dataclass(frozen=True)
class Rounds(Settings):
    """What the Fine-tune page asks for where it prunes and retrains in rounds."""

    number: int = setting(4, 1, 20, help="rounds of pruning and retraining; one does it all at once")
    zeros: float = setting(0.9, 0, 0.999, help="fraction of the weights and biases that are zero after the last round")

    @property
    def targets(self) -> tuple[float, ...]:
        """Zeros after every round: each takes the same part of what the one before left."""
        left = 1 - self.zeros
        return tuple(round(1 - left ** (k / self.number), 4) for k in range(1, self.number + 1))


@dataclass(frozen=True)
class Takeout(Settings):
    """What the Export page takes away."""

    how: str = one_of(
        "epsilon", "budget", "retrained", "rounds", help="pruned at epsilon, by the Budget page's budget, retrained "
        "after pruning, or in rounds, both as the Fine-tune page has them"
    )  # fmt: skip
    batch: int = setting(1, 1, 4096, help="samples at a time, for which the time of a pass is measured")


@dataclass(frozen=True)
class Lens(Settings):
    """What the Layer page looks at, beside the neuron."""

    sample: str = one_of("changed most", "typical", "strongest", help="which sample's sum is spelled out")
    order: str = one_of("own", "classic", "exact", help="how L-OBS goes on after a weight is gone")
    step: int = setting(1, 1, 1000, help="how many weights L-OBS has removed of the neuron")


# whose settings a form or a link can change, by the first part of their dotted names; the view's have none
OWNERS: dict[str, Any] = {
    "": View,
    "cascade": Cascade,
    "budget": Goal,
    "train": Training,
    "rounds": Rounds,
    "lens": Lens,
    "export": Takeout,
    **METHODS,
}
# of every layer, by "scale.fc1" and "lock.fc1"
LAYER_FIELDS = {
    "scale": setting(1.0, 0.01, 100, help="factor on epsilon for this layer"),
    "lock": setting(math.nan, 0, 1, help="fraction of zeros that a budget leaves this layer at"),
}


@dataclass(frozen=True)
class Choice:
    """settings: changed settings by dotted name, such as ``{"nettrim.tol": 1e-4, "cascade.gamma": 1.2}``.

    knob, grid: the settings on the knob and beside it ("eps", "n" or a dotted name; "" for no grid). layer, method,
    neuron: under the lens ("" for the first chosen). card: of the lesson. hide: what a link leaves out.
    """

    model: str
    layers: tuple[str, ...]
    eps: float = DEFAULT_EPSILON
    methods: tuple[str, ...] = DEFAULT_METHODS
    mode: Literal["parallel", "cascade"] = "parallel"
    seed: int = 0
    n: int = SAMPLES
    patches: int = PATCHES
    knob: str = "eps"
    grid: str = ""
    layer: str = ""
    method_shown: str = ""
    neuron: int = 0
    card: int = 1
    hide: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def view(self) -> View:
        return self.of("")

    def of(self, owner: str) -> Any:
        """The settings of one owner that is no method: ``View``, ``Cascade``, ``Goal``, ``Training``, ..."""
        return OWNERS[owner](**self._settings_of(owner))

    def plan(self) -> Plan:
        rules = self.of("cascade") if self.mode == "cascade" else None
        factors = ((name, self.settings.get(f"scale.{name}", 1.0)) for name in self.layers)
        scale = tuple((name, factor) for name, factor in factors if factor != 1)
        return Plan(self.model, self.layers, rules, self.n, self.seed, self.patches, scale)

    def method(self, name: str) -> Method:
        """The method with this choice's settings; its epsilon is not set."""
        return method_from(name, self._settings_of(name))

    def solving(self, name: str) -> Method:
        """The method at this choice's epsilon."""
        return dataclasses.replace(self.method(name), epsilon=self.eps)  # type: ignore[type-var]

    @property
    def lens(self) -> tuple[str, str]:
        """(layer, method) under the lens: the ones that were picked, or the first."""
        layer = self.layer if self.layer in self.layers else next(iter(self.layers), "")
        method = self.method_shown if self.method_shown in self.methods else next(iter(self.methods), "")
        return layer, method

    @property
    def locked(self) -> dict[str, float]:
        """Layer -> fraction of zeros that a budget leaves it at."""
        return {name: self.settings[f"lock.{name}"] for name in self.layers if f"lock.{name}" in self.settings}

    def _settings_of(self, owner: str) -> dict[str, Any]:
        split = (key.rpartition(".") for key in self.settings)
        return {name: self.settings[f"{who}{dot}{name}"] for who, dot, name in split if who == owner}

    def with_model(self, model: str, facts: Facts) -> Choice:
        """Another model: all of its layers, and no more samples than it has."""
        kept = {key: value for key, value in self.settings.items() if key.split(".")[0] not in LAYER_FIELDS}
        return dataclasses.replace(
            self, model=model, layers=facts.layers, n=min(self.n, facts.rows), layer="", neuron=0, settings=kept
        )

    def with_setting(self, name: str, value: Any) -> Choice:
        """A setting changed; one at its default is left out, so that equal choices have equal links. None takes a lock
        away."""
        settings = {key: old for key, old in self.settings.items() if key != name}
        if value is not None and value != setting_field(name).default:
            settings[name] = value
        return dataclasses.replace(self, settings=settings)

    def value(self, name: str) -> Any:
        """Of "eps", "n" or a setting by its dotted name."""
        if name in ("eps", "n"):
            return getattr(self, name)
        return self.settings.get(name, setting_field(name).default)

    def moved(self, name: str, value: Any) -> Choice:
        """The same with another :meth:`value`."""
        if name in ("eps", "n"):
            return dataclasses.replace(self, **{name: value})
        return self.with_setting(name, value)

    def to_query(self) -> dict[str, str]:
        """The link's parameters: what is pruned and how, always; the rest where it is not as usual."""
        usual = Choice(self.model, self.layers)
        rest = ("knob", "grid", "layer", "neuron", "card")
        query = {
            "model": self.model,
            "layers": ",".join(self.layers),
            "eps": str(self.eps),
            "methods": ",".join(self.methods),
            "mode": self.mode,
            "seed": str(self.seed),
            "n": str(self.n),
            "patches": str(self.patches),
            **{name: str(getattr(self, name)) for name in rest if getattr(self, name) != getattr(usual, name)},
        }
        if self.method_shown:
            query["method"] = self.method_shown
        if self.hide:
            query["hide"] = ",".join(self.hide)
        return query | {name: str(value) for name, value in sorted(self.settings.items())}


@lru_cache(1)
def setting_fields() -> dict[str, dataclasses.Field[Any]]:
    """Every setting a form or a link can change, by dotted name, those of layers left out; epsilon is the knob's. Not
    offered are a method's switches (magnitude's refit), which make another method that is in METHODS, and words that
    the method refuses."""
    fields = {}
    for owner, settings in OWNERS.items():
        for f in settings_of(settings):
            switch = owner in METHODS and isinstance(f.default, bool)
            if f.name != "epsilon" and not switch and (owner not in METHODS or _takes_all(settings, f)):
                fields[f"{owner}.{f.name}" if owner else f.name] = f
    return fields


def setting_field(name: str) -> dataclasses.Field[Any]:
    """The field of one setting; KeyError for a name that is none."""
    kind = name.split(".")[0]
    return LAYER_FIELDS[kind] if kind in LAYER_FIELDS else setting_fields()[name]


def _takes_all(method: Any, f: dataclasses.Field[Any]) -> bool:
    """Does a method take each of the words that a setting knows?"""
    try:
        for option in f.metadata.get("options", ()):
            dataclasses.replace(method, **{f.name: option})
    except ValueError:
        return False
    return True


def knobs(choice: Choice) -> list[str]:
    """The settings that can be put on the knob: epsilon, the number of samples, and the numbers of what is chosen."""
    owners = [*(["cascade"] if choice.mode == "cascade" else []), *choice.methods]
    numbers = [
        name
        for name, f in setting_fields().items()
        if name.rpartition(".")[0] in owners and isinstance(f.default, int | float) and not isinstance(f.default, bool)
    ]
    return ["eps", "n", *numbers]


def stops(choice: Choice, name: str, rows: int) -> list[Any]:
    """Where a knob of this setting can stop: a grid, and the value it has. rows: the most samples there are."""
    return sorted({*_grid(name, rows), choice.value(name)})


def _grid(name: str, rows: int) -> list[Any]:
    if name == "eps":
        return list(EPSILONS)
    if name == "n":
        return sorted({min(k * 10**power, rows) for power in (1, 2, 3, 4) for k in (1, 2, 5)})
    f = setting_field(name)
    low, high = f.metadata["low"], f.metadata["high"]
    default: Any = f.default
    if isinstance(default, int):
        return [value for value in (default * 2**k for k in range(6)) if low <= value <= high]
    if low > 0 and high <= 100 * low:
        return [float(f"{low * (high / low) ** (k / 8):.3g}") for k in range(9)]
    return [value for value in (float(f"{default * 10.0**k:.3g}") for k in range(-2, 7)) if low < value <= high]


Wrong = Callable[[str, object, str, object], None]


def parse(
    query: Mapping[str, Sequence[str]], facts: Mapping[str, Any], cards: int = 99
) -> tuple[Choice, list[str]]:  # fmt: skip
    """The choice a link asks for, and a sentence for everything in it that could not be followed.

    query: parameter -> values (lists may be repeated parameters or comma-separated). facts: model -> a function that
    returns its :class:`Facts`. cards: how many the lesson has.
    """
    said: list[str] = []

    def wrong(name: str, value: object, legal: str, shown: object) -> None:
        text = printable(value)
        said.append(f"The link asked for {name} = {text}, which is not {legal}; showing {shown} instead.")

    model = _last(query, "model") or DEFAULT_MODEL
    if model not in facts:
        if OWN.fullmatch(model):
            said.append(
                f"The network of this link, {model}, was uploaded in another visit and is not kept: upload the same "
                f"files on the page Your own, and the link works; showing {DEFAULT_MODEL} instead."
            )
        else:
            wrong("model", model, f"one of {', '.join(facts)}", DEFAULT_MODEL)
        model = DEFAULT_MODEL
    here: Facts = facts[model]()
    layers = _names(query, "layers", here.layers, here.layers, wrong)
    methods = _names(query, "methods", tuple(METHODS), DEFAULT_METHODS, wrong)
    choice = Choice(model, layers, methods=methods, n=min(SAMPLES, here.rows))
    choice = dataclasses.replace(choice, hide=_names(query, "hide", HIDABLE, (), wrong))
    choice = _word(query, "mode", MODES, choice, wrong)
    low, high = EPSILON_RANGE
    choice = _number(query, "eps", float, low, high, choice, wrong)
    choice = _number(query, "seed", int, 0, 2**31 - 1, choice, wrong)
    choice = _number(query, "n", int, 1, here.rows, choice, wrong)
    choice = _number(query, "patches", int, *PATCHES_RANGE, choice, wrong)
    choice = _number(query, "neuron", int, *NEURON_RANGE, choice, wrong)
    choice = _number(query, "card", int, 1, cards, choice, wrong)
    for name in query:
        kind, _, layer = name.partition(".")
        if name in setting_fields() or (kind in LAYER_FIELDS and layer in here.layers):
            choice = _setting(query, name, setting_field(name), choice, wrong)
    choice = _word(query, "layer", here.layers, choice, wrong)
    choice = _word(query, "method", tuple(METHODS), choice, wrong, "method_shown")
    choice = _word(query, "knob", knobs(choice), choice, wrong)
    return _word(query, "grid", knobs(choice), choice, wrong), said[:MOST_SAID]


def _last(query: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = query.get(name) or []
    return values[-1].strip() if values else None


def _names(
    query: Mapping[str, Sequence[str]], name: str, known: Sequence[str], usual: tuple[str, ...], wrong: Wrong
) -> tuple[str, ...]:
    """A list of names, in the order in which they are known; the usual ones if the link names none that is."""
    names = [part.strip() for value in query.get(name) or [] for part in value.split(",") if part.strip()]
    found = tuple(entry for entry in known if entry in names) or usual
    for entry in names:
        if entry not in known:
            wrong(name, entry, f"one of {', '.join(known)}", ", ".join(found) or "everything")
    return found


def _word(
    query: Mapping[str, Sequence[str]], name: str, known: Sequence[str], choice: Choice, wrong: Wrong, field: str = ""
) -> Choice:  # fmt: skip
    word = _last(query, name)
    if not word:
        return choice
    if word not in known:
        wrong(name, word, f"one of {', '.join(known)}", getattr(choice, field or name) or "the usual")
        return choice
    return dataclasses.replace(choice, **{field or name: word})


def _number(
    query: Mapping[str, Sequence[str]], name: str, kind: Any, low: float, high: float, choice: Choice, wrong: Wrong
) -> Choice:
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


def _setting(
    query: Mapping[str, Sequence[str]], name: str, f: dataclasses.Field[Any], choice: Choice, wrong: Wrong
) -> Choice:
    text = _last(query, name) or ""
    switches = {"True": True, "False": False, "1": True, "0": False}
    try:
        value = switches.get(text) if isinstance(f.default, bool) else type(f.default)(text)
        check_setting(name.split(".")[0], f, value)
    except ValueError:
        wrong(name, text, legal_values(f), "none" if f.default != f.default else f.default)
        return choice
    return choice.with_setting(name, value)
