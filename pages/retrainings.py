"""A visitor's retrainings: the epochs that came, and the best weights among them whatever became of the work."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from nettrim_core.finetune import Epoch
from nettrim_core.report import Report
from pages import work
from pages.state import Choice, Rounds

KEPT = 40  # retrainings that a visitor keeps, the oldest going first


@dataclass(frozen=True, eq=False)
class Best:
    """The best epoch so far: its weights as model.safetensors, and the zeros counted in them among the weights of the
    pruned layers."""

    epoch: Epoch
    weights: bytes
    zeros: int


@dataclass(eq=False)
class Retraining:
    """One retraining. report: of the pruning before it. best: stays until there is a lower validation loss, also when
    the same is begun anew. test: the best weights on the test rows, {"value", "low", "high", "samples"}."""

    report: Report | None = None
    epochs: list[Epoch] = field(default_factory=list)
    best: Best | None = None
    test: dict[str, Any] | None = None
    ended: bool = False

    def take(self, answer: dict[str, Any]) -> None:
        """An answer of the tasks in nettrim_core.tasks.tuning."""
        if "report" in answer:
            self.report = Report.from_dict(answer["report"])
        elif "epoch" in answer:
            epoch = Epoch(**answer["epoch"])
            if "weights" in answer and (self.best is None or _loss(epoch) <= _loss(self.best.epoch)):
                self.best, self.test = Best(epoch, base64.b64decode(answer["weights"]), answer["zeros"]), None
            self.epochs = [*self.epochs, epoch]
        else:
            if any(self.best is not None and epoch is self.best.epoch for epoch in self.epochs):
                self.test = answer["test"]
            self.ended = True


def _loss(epoch: Epoch) -> float:
    """What the best is the lowest of; without a number for it, none is lower."""
    return float("inf") if epoch.validation_loss is None else epoch.validation_loss


class Retrainings:
    """By the key of the request for one method alone, with the number of the round where there are rounds."""

    def __init__(self) -> None:
        self.held: OrderedDict[str, Retraining] = OrderedDict()

    def get(self, key: str) -> Retraining | None:
        return self.held.get(key)

    def begin(self, key: str) -> Retraining:
        """A retraining begun, or begun anew: its best is kept until it is reached again."""
        before = self.held.pop(key, Retraining())
        self.held[key] = Retraining(best=before.best, test=before.test)
        while len(self.held) > KEPT:
            self.held.popitem(last=False)
        return self.held[key]

    def forget(self, model: str) -> None:
        """Drop those of a network that was brought, whose id its requests name."""
        for key in [key for key in self.held if model in key]:
            del self.held[key]


def retrainings() -> Retrainings:
    return st.session_state.setdefault("retrainings", Retrainings())


def tune_request(choice: Choice, names: Sequence[str]) -> dict[str, Any]:
    """These methods, pruned and retrained in turn."""
    return {
        "task": "tune",
        "plan": choice.plan().to_dict(),
        "methods": [[name, dataclasses.asdict(choice.solving(name))] for name in names],
        "training": dataclasses.asdict(choice.of("train")),
    }


def rounds_request(choice: Choice) -> dict[str, Any]:
    """The method under the lens in rounds, whose targets take the place of epsilon."""
    rounds: Rounds = choice.of("rounds")
    name = choice.lens[1]
    return {
        "task": "rounds",
        "plan": dataclasses.replace(choice.plan(), scale=()).to_dict(),
        "method": name,
        "settings": dataclasses.asdict(choice.method(name)),
        "targets": rounds.targets,
        "training": dataclasses.asdict(choice.of("train")),
    }


def tuned(choice: Choice, name: str) -> Retraining | None:
    return retrainings().get(work.key_of(tune_request(choice, [name])))


def rounded(choice: Choice) -> list[Retraining]:
    """A retraining for each round that was asked for; none before the start."""
    key = work.key_of(rounds_request(choice))
    held = [retrainings().get(f"{key} {number}") for number in range(1, len(choice.of("rounds").targets) + 1)]
    return [run for run in held if run is not None]


def start_tuning(choice: Choice, names: Sequence[str]) -> None:
    request = tune_request(choice, names)
    begun = {name: retrainings().begin(work.key_of(tune_request(choice, [name]))) for name in names}
    total = len(names) * (choice.of("train").epochs + 3)
    work.visit().start(work.key_of(request), request, total, lambda answer: begun[answer["method"]].take(answer))


def start_rounds(choice: Choice) -> None:
    request = rounds_request(choice)
    key, count = work.key_of(request), len(request["targets"])
    begun = {number: retrainings().begin(f"{key} {number}") for number in range(1, count + 1)}
    total = count * (choice.of("train").epochs + 3)
    work.visit().start(key, request, total, lambda answer: begun[answer["round"]].take(answer))


def judge_key(best: Best) -> str:
    return f"judge {hashlib.blake2b(best.weights).hexdigest()}"


def start_judging(choice: Choice, run: Retraining) -> None:
    """The weights that were kept, on the test rows."""
    best = run.best
    assert best is not None
    request = {"task": "judge", "bundle": choice.model, "weights": base64.b64encode(best.weights).decode()}

    def take(answer: dict[str, Any]) -> None:
        if run.best is best:
            run.test = answer["test"]

    work.visit().start(judge_key(best), request, 1, take)


def at_work(choice: Choice) -> str:
    """What the visitor's last job does, if it is for this state: "tune", "rounds", "judge", or "" for another."""
    here = work.visit()
    job = here.job(here.key)
    if job is None:
        return ""
    task = job.request["task"]
    if task == "tune":
        mine = tune_request(choice, choice.methods)
        same = all(job.request[key] == mine[key] for key in ("plan", "training"))
        return task if same and all(entry in mine["methods"] for entry in job.request["methods"]) else ""
    if task == "rounds":
        return task if here.key == work.key_of(rounds_request(choice)) else ""
    return task if task == "judge" and job.request["bundle"] == choice.model else ""
