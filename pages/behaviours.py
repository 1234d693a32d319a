"""What pruned networks were seen to do, by what made them: shared by all visitors, and asked of the worker once."""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import streamlit as st

from nettrim_core.figures.compare import looks
from nettrim_core.record import Point
from pages import brought, curves, store, work
from pages.candidates import MOST, Candidate, candidates_of
from pages.state import Choice

KEPT = 300  # answers a server keeps, the oldest going first


class Behaviours:
    """Answers of the task ``behaviour`` by the bundle's content and the candidate. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def put(self, candidate: Candidate, answer: dict[str, Any]) -> None:
        with self._lock:
            self._held[_key(candidate)] = answer
            while len(self._held) > KEPT:
                self._held.popitem(last=False)

    def forget(self, fingerprint: str) -> None:
        with self._lock:
            for key in [key for key in self._held if key[0] == fingerprint]:
                del self._held[key]

    def get(self, candidate: Candidate) -> dict[str, Any] | None:
        with self._lock:
            return self._held.get(_key(candidate))


def _key(candidate: Candidate) -> tuple[str, str]:
    return store.bundle_of(candidate.choice.model).fingerprint, candidate.key


@st.cache_resource(show_spinner=False)
def behaviours() -> Behaviours:
    return Behaviours()


def point_of(candidate: Candidate) -> Point | None:
    """The candidate's point, stored or solved."""
    bundle, curve = store.bundle_of(candidate.choice.model), curves.curve_key(candidate.choice, candidate.method)
    return store.points().get(bundle, candidate.plan, curve, candidate.choice.eps)


def _seconds(candidate: Candidate) -> float:
    point = point_of(candidate)
    return math.inf if point is None else point.report.seconds


def missing(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [candidate for candidate in candidates if behaviours().get(candidate) is None]


def work_key(candidates: Sequence[Candidate]) -> str:
    text = "\n".join(sorted(candidate.key for candidate in candidates))
    return hashlib.blake2b(f"behaviour\n{text}".encode(), digest_size=16).hexdigest()


def start(candidates: Sequence[Candidate]) -> None:
    """Ask for what is not known of these candidates, first for what was solved quickly before."""
    wanted, held, points = sorted(missing(candidates), key=_seconds), behaviours(), store.points()

    def take(answer: dict[str, Any]) -> None:
        candidate = wanted[answer["candidate"]]
        points.add(store.bundle_of(candidate.choice.model), candidate.plan, Point.from_dict(answer["point"]))
        held.put(candidate, {name: part for name, part in answer.items() if name not in ("candidate", "point")})

    for fingerprint, model in {_key(candidate)[0]: candidate.choice.model for candidate in wanted}.items():
        brought.at_end(model, f"behaviours {model}", functools.partial(held.forget, fingerprint))
    request = {"task": "behaviour", "candidates": [candidate.request for candidate in wanted]}
    work.visit().start(work_key(candidates), request, len(wanted), take)


class Compared:
    """What the page shows: the candidates, what is known of each, and how each looks."""

    def __init__(self, choice: Choice, states: Sequence[tuple[str, Choice]]) -> None:
        everything = candidates_of(states)
        self.choice, self.total, self.candidates = choice, len(everything), everything[:MOST]
        self.points = [point_of(candidate) for candidate in self.candidates]
        self.answers = {c.letter: behaviours().get(c) for c in self.candidates}
        self.looks = dict(
            zip((c.letter for c in self.candidates), looks([c.method for c in self.candidates]), strict=True)
        )

    @property
    def solved(self) -> list[tuple[Candidate, Point]]:
        return [(c, p) for c, p in zip(self.candidates, self.points, strict=True) if p is not None]

    def of_model(self, model: str) -> list[tuple[Candidate, dict[str, Any]]]:
        """The candidates of one network, each with what it was seen to do."""
        found = ((c, self.answers[c.letter]) for c in self.candidates if c.choice.model == model)
        return [(c, answer) for c, answer in found if answer is not None]
