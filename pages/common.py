"""What the pages share: bundles, stored and computed points, jobs, and the visitor's choice in session and link."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from nettrim_core.bundle import SAMPLE_MODELS, Bundle, load_bundle, sample_names
from nettrim_core.capture import anatomy, sizes_of
from nettrim_core.jobs import Job, Pool
from nettrim_core.methods import NetTrim
from nettrim_core.recipe import Recipe, method_key
from nettrim_core.record import Point, load_points, point_key
from pages.state import METHOD_TITLES, Choice, Facts, parse

LIVE_POINTS = 3000  # computed points a server keeps for all visitors, the oldest going first


@st.cache_resource(max_entries=8, show_spinner="Loading the network …")
def bundle_of(name: str) -> Bundle:
    return load_bundle(name)


@st.cache_resource(max_entries=32, show_spinner=False)
def facts_of(name: str) -> Facts:
    bundle = bundle_of(name)
    layers = tuple(target.name for target in anatomy(bundle.model, bundle.calibration[:1]).targets)
    convolutions = any(bundle.model.get_parameter(f"{name}.weight").ndim > 2 for name in layers)
    return Facts(layers, len(bundle.calibration), convolutions)


@st.cache_data(max_entries=64, show_spinner=False)
def memory_of(name: str, samples: int, patches: int) -> dict[str, int]:
    """Layer -> about how many bytes Net-Trim takes for it at its peak, on this many calibration samples and patches."""
    bundle = bundle_of(name)
    sizes = sizes_of(bundle.model, bundle.calibration[:1], samples, patches)
    return {layer: NetTrim().memory(size, len(os.sched_getaffinity(0))) for layer, size in sizes.items()}


class Points:
    """Finished points by what made them. Shared by all visitors: a point is a pure function of its key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stored: dict[tuple[str, str, str], Point] = {}
        self._live: OrderedDict[tuple[str, str, str], Point] = OrderedDict()
        self._read: set[str] = set()

    def read_stored(self, bundle: Bundle) -> None:
        """Take in the sweeps that lie beside a sample bundle, once. A file made for other weights is passed over."""
        with self._lock:
            if bundle.name in self._read:
                return
            self._read.add(bundle.name)
            for path in sorted((SAMPLE_MODELS / bundle.name).glob("sweep_*.npz")):
                try:
                    recipe, points = load_points(path, bundle.fingerprint)
                except ValueError:
                    continue  # the page computes what it does not find
                for point in points:
                    self._stored[bundle.fingerprint, recipe.key(), point.key] = point

    def add(self, bundle: Bundle, recipe: Recipe, point: Point) -> None:
        """Take a point in; a rough one never in the place of a better one."""
        key = bundle.fingerprint, recipe.key(), point.key
        with self._lock:
            if point.report.rough and key in self._live:
                return
            self._live[key] = point
            while len(self._live) > LIVE_POINTS:
                self._live.popitem(last=False)

    def get(self, bundle: Bundle, recipe: Recipe, curve: str, epsilons: Iterable[float]) -> list[Point | None]:
        """The points of one curve, None where there is none yet."""
        recipe_key = recipe.key()
        with self._lock:
            keys = [(bundle.fingerprint, recipe_key, point_key(curve, epsilon)) for epsilon in epsilons]
            return [self._stored.get(key) or self._live.get(key) for key in keys]


@st.cache_resource(show_spinner=False)
def points() -> Points:
    return Points()


@st.cache_resource(show_spinner=False, on_release=lambda pool: pool.close())
def pool() -> Pool:
    return Pool()


@dataclass
class Visit:
    """One visitor's jobs. stopped: the work they cancelled, which is not started again by itself."""

    job: Job | None = None
    job_key: str = ""
    stopped: set[str] = field(default_factory=set)

    def start(self, key: str, job: Job) -> None:
        self.stop()
        self.job, self.job_key = pool().submit(job), key

    @property
    def busy(self) -> bool:
        return self.job is not None and self.job.active

    def stop(self) -> None:
        if self.job is not None:
            self.job.cancel()


@st.cache_resource(scope="session", show_spinner=False, on_release=lambda visit: visit.stop())
def visit() -> Visit:
    return Visit()


def sweep_job(bundle: Bundle, recipe: Recipe, curves: list[dict[str, Any]]) -> Job:
    """A job that adds the points of ``curves`` to the shared ones as they finish."""
    store = points()
    request = {"recipe": recipe.to_dict(), "curves": curves}
    total = sum(len(curve["epsilons"]) for curve in curves)
    return Job(request, total, lambda answer: store.add(bundle, recipe, Point.from_dict(answer["point"])))


def curve_key(choice: Choice, name: str) -> str:
    return method_key(name, choice.method(name))


def settings_of_curve(choice: Choice, name: str) -> dict[str, Any]:
    """A method's settings as plain data, without epsilon."""
    settings = dataclasses.asdict(choice.method(name))
    return {key: value for key, value in settings.items() if key != "epsilon"}


def current_choice() -> Choice:
    """The visitor's choice: from the link at first, then from the session. The link always says what is shown."""
    session = st.session_state
    if "choice" not in session:
        query = {name: st.query_params.get_all(name) for name in st.query_params}
        facts: dict[str, Callable[[], Facts]] = {name: lambda name=name: facts_of(name) for name in sample_names()}
        session["choice"], session["notices"] = parse(query, facts)
    choice: Choice = session["choice"]
    publish(choice)
    return choice


def choose(choice: Choice) -> None:
    """Make this the choice, in session and link; what the first link could not do has been said by now."""
    st.session_state["choice"] = choice
    st.session_state["notices"] = []
    publish(choice)


def publish(choice: Choice) -> None:
    wanted = choice.to_query()
    if dict(st.query_params) != wanted:
        st.query_params.from_dict(wanted)


def show_notices() -> None:
    for sentence in st.session_state.get("notices", []):
        st.warning(sentence, icon="🔗")


def title_of(method: str) -> str:
    return METHOD_TITLES.get(method, method)
