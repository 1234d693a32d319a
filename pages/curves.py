"""What a knob moves through: its stops, their points, and what is left to solve. No Streamlit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nettrim_core.plan import EPSILONS, Plan, method_from, method_key
from nettrim_core.problem import halving
from nettrim_core.record import Point
from pages.state import Choice, stops

Get = Callable[[Plan, str, float], Point | None]  # from plan, curve and epsilon


@dataclass(frozen=True)
class Stop:
    """A place of the knob: the value there, and the choice with it."""

    value: Any
    choice: Choice


def stops_of(choice: Choice, rows: int, typed: Iterable[float] = ()) -> list[Stop]:
    """The knob's stops. typed: values of epsilon that were asked for by hand."""
    values = stops(choice, choice.knob, rows)
    if choice.knob == "eps":
        values = sorted({*values, *typed})
    return [Stop(value, choice.moved(choice.knob, value)) for value in values]


def place_of(choice: Choice, places: Sequence[Stop]) -> int:
    """Where among the stops the knob is."""
    return [stop.value for stop in places].index(choice.value(choice.knob))


def curve_key(choice: Choice, name: str) -> str:
    changed = ((key, value) for key, value in choice.settings.items() if key.startswith(f"{name}."))
    return _curve_key(name, tuple(sorted(changed)))


@lru_cache(maxsize=10_000)  # a page asks for them at every stop, again and again
def _curve_key(name: str, changed: tuple[tuple[str, Any], ...]) -> str:
    return method_key(name, method_from(name, {key.removeprefix(f"{name}."): value for key, value in changed}))


def point_at(choice: Choice, name: str, get: Get) -> Point | None:
    """A method's point in this state."""
    return get(choice.plan(), curve_key(choice, name), choice.eps)


def gather(methods: Sequence[str], places: Sequence[Stop], get: Get) -> dict[str, list[Point | None]]:
    """Method -> its point at every stop."""
    return {name: [point_at(stop.choice, name, get) for stop in places] for name in methods}


def judged(found: Mapping[str, Sequence[Point | None]]) -> bool:
    """Is there an accuracy of any point, or no point yet? Else the data has no labels."""
    solved = [point for points in found.values() for point in points if point is not None]
    return not solved or any(point.report.accuracy is not None for point in solved)


def without_labels(choice: Choice) -> Choice:
    """The same, drawn by what can be measured without labels: how much the layers' responses change."""
    view = choice.view
    choice = choice.with_setting("y", "discrepancy") if view.y in ("accuracy", "drop") else choice
    return choice.with_setting("match", "epsilon") if view.match == "accuracy" else choice


def grid_of(choice: Choice, rows: int) -> list[Stop]:
    """The stops of the setting beside the knob; empty if there is none."""
    if not choice.grid or choice.grid == choice.knob:
        return []
    return [Stop(value, choice.moved(choice.grid, value)) for value in stops(choice, choice.grid, rows)]


def wanted(choice: Choice, rows: int, typed: Iterable[float] = ()) -> list[tuple[Choice, str]]:
    """Every (state, method) that a page shows, in the order in which to solve them: where the knob is if that is not
    on the usual grid, the curves from coarse to fine, then the grid beside the knob."""
    places = stops_of(choice, rows, typed)
    usual = choice.knob == "eps" and choice.eps in EPSILONS
    first = [] if usual else [place_of(choice, places)]
    seen = dict.fromkeys([*first, *_order(choice.knob, len(places))])
    states = [(places[place].choice, name) for place in seen for name in choice.methods]
    for row in grid_of(choice, rows):
        along = stops_of(row.choice, rows, typed)
        states += [(along[place].choice, choice.lens[1]) for place in _order(choice.knob, len(along))]
    return states


def _order(knob: str, count: int) -> list[int]:
    """Coarse to fine; epsilons from the largest on, which is where Net-Trim's path begins."""
    return [count - 1 - place for place in halving(count)] if knob == "eps" else halving(count)


def unfinished(point: Point | None) -> bool:
    return point is None or point.report.rough


def missing(states: Iterable[tuple[Choice, str]], get: Get) -> list[dict[str, Any]]:
    """The sweeps that solve what is not there, as a worker is asked for them."""
    sweeps: dict[str, dict[str, Any]] = {}
    for choice, name in states:
        if not unfinished(point_at(choice, name, get)):
            continue
        plan, curve = choice.plan(), curve_key(choice, name)
        curves = sweeps.setdefault(plan.key(), {"plan": plan.to_dict(), "curves": {}})["curves"]
        settings = {k: v for k, v in dataclasses.asdict(choice.method(name)).items() if k != "epsilon"}
        entry = curves.setdefault(curve, {"method": name, "settings": settings, "epsilons": []})
        if choice.eps not in entry["epsilons"]:
            entry["epsilons"].append(choice.eps)
    return [{"plan": sweep["plan"], "curves": list(sweep["curves"].values())} for sweep in sweeps.values()]


def count(sweeps: Iterable[dict[str, Any]]) -> int:
    """How many points these sweeps solve."""
    return sum(len(curve["epsilons"]) for sweep in sweeps for curve in sweep["curves"])


def work_key(states: Iterable[tuple[Choice, str]]) -> str:
    """What the work of a page is about: moving the knob among its stops is the same work."""
    keys = {(choice.plan().key(), curve_key(choice, name), choice.eps) for choice, name in states}
    return hashlib.blake2b(json.dumps(sorted(keys)).encode(), digest_size=16).hexdigest()
