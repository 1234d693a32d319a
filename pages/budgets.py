"""Budgets as a visitor asks for them, and what has been found for anybody: prices of layers, reports, layers alone."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from nettrim_core.jobs import Job
from nettrim_core.report import Report
from nettrim_core.sensitivity import SPARSITIES
from pages import brought, store, work
from pages.state import Choice
from pages.words_budget import TARGETS

KEPT = 200  # reports of one network and method, the oldest going first


@dataclass
class Found:
    """Of one network, its samples, and one method. offers: layer -> what its zeros cost, as the worker found; reports:
    by what asked for them; alone: (layer, fraction of zeros asked for) -> what the network was worth then."""

    offers: dict[str, dict[str, Any]] = field(default_factory=dict)
    reports: OrderedDict[str, Report] = field(default_factory=OrderedDict)
    alone: dict[tuple[str, float], dict[str, Any]] = field(default_factory=dict)

    def add(self, key: str, report: Report) -> None:
        self.reports[key] = report
        while len(self.reports) > KEPT:
            self.reports.popitem(last=False)


@st.cache_resource(max_entries=60, show_spinner=False)
def _found(key: str) -> Found:
    return Found()


def _subject(choice: Choice, cascade: bool = False) -> dict[str, Any]:
    """What is pruned and how, as the worker is told. Epsilon and the layers' factors on it play no part: a budget says
    where zeros end."""
    plan, name = dataclasses.replace(choice.plan(), scale=()), choice.lens[1]
    if not cascade:
        plan = dataclasses.replace(plan, cascade=None)
    return {"plan": plan.to_dict(), "method": name, "settings": dataclasses.asdict(choice.method(name))}


def about(choice: Choice) -> str:
    """What is found once for all targets, rules and locks, by name."""
    return json.dumps([store.bundle_of(choice.model).fingerprint, _subject(choice)], sort_keys=True)


def found(choice: Choice) -> Found:
    key = about(choice)
    brought.at_end(choice.model, key, lambda: _found.clear(key))
    return _found(key)


def _request(choice: Choice) -> dict[str, Any]:
    goal = choice.of("budget")
    name, target = TARGETS[goal.of]
    return {
        "task": "budget", **_subject(choice, cascade=True), "target": {target: getattr(goal, name)}, "rule": goal.rule,
        "locked": choice.locked,
    }  # fmt: skip


def key_of(choice: Choice) -> str:
    return work.key_of(_request(choice))


def report_of(choice: Choice) -> Report | None:
    """The report of this budget, which is asked for if there is none and nobody stopped it."""
    report = found(choice).reports.get(key_of(choice))
    if report is None and work.visit().wants(key_of(choice)):
        start(choice)
    return report


def start(choice: Choice) -> None:
    """Share the budget; what is known of the layers is sent along."""
    key, known, request = key_of(choice), found(choice), _request(choice)
    free = [name for name in choice.layers if name not in choice.locked]
    left = [name for name in free if name not in known.offers] if request["rule"] == "hull" else []

    def take(answer: dict[str, Any]) -> None:
        if "report" in answer:
            known.add(key, Report.from_dict(answer["report"]))
        else:
            known.offers[answer["layer"]] = answer["offer"]

    work.visit().start(key, {**request, "offers": dict(known.offers)}, len(left) + 1, take)


def job(choice: Choice) -> Job | None:
    return work.visit().job(key_of(choice))


def unmeasured(choice: Choice) -> list[str]:
    """The layers that were not yet pruned alone, or not to the end."""
    known = found(choice).alone
    return [name for name in choice.layers if any((name, asked) not in known for asked in SPARSITIES)]


def alone_key(choice: Choice) -> str:
    return work.key_of({"task": "sensitivity", **_subject(choice)})


def start_alone(choice: Choice) -> None:
    """Prune each layer alone that was not."""
    known, layers = found(choice).alone, unmeasured(choice)
    request = {"task": "sensitivity", **_subject(choice), "layers": layers}

    def take(answer: dict[str, Any]) -> None:
        known[answer["layer"], answer["asked"]] = answer

    work.visit().start(alone_key(choice), request, len(layers) * len(SPARSITIES), take)


def alone_of(choice: Choice, layer: str) -> list[dict[str, Any]]:
    """What is known of one layer pruned alone, from few zeros to many."""
    known = found(choice).alone
    return [known[layer, asked] for asked in SPARSITIES if (layer, asked) in known]
