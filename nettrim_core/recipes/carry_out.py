"""Carrying out a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from nettrim_core.allocate import Budget
from nettrim_core.bundle import Bundle
from nettrim_core.evaluate import evaluate
from nettrim_core.finetune import Epoch, Training, finetune
from nettrim_core.masks import masks_of
from nettrim_core.recipes.made import Made
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.report import Report, Retraining
from nettrim_core.rounds import prune_rounds

T = TypeVar("T")
Hear = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a recipe makes. recipe: the same, with its fingerprint and what was made. inputs: the calibration inputs,
    (samples, ...)."""

    model: nn.Module
    report: Report
    recipe: Recipe
    inputs: Tensor


def carry_out(recipe: Recipe, bundle: Bundle, hear: Hear | None = None) -> Outcome:
    """What a recipe makes of this network and these rows, judged on the test rows. An interrupt during the retraining
    ends it; the best network so far is what came out, and the recipe that comes back says after how many steps.

    hear: called with what is being done, how much of it is done, and of how much. Raises ValueError where network and
    rows are not those of the recipe's fingerprint, and as :func:`nettrim_core.prune` and :func:`nettrim_core.allocate`.
    """
    if recipe.fingerprint not in ("", bundle.fingerprint):
        raise ValueError(
            f"network and data of {bundle.name} have the fingerprint {bundle.fingerprint}, and the recipe is of "
            f"{recipe.fingerprint}: give the files that it was made from"
        )
    tell = hear or (lambda what, done, of: None)
    steps = Steps(recipe.steps)
    model, report = (_rounds if recipe.rounds else _pruned)(recipe, bundle, tell, steps)
    inputs = recipe.plan.inputs(bundle)
    done = dataclasses.replace(
        recipe, fingerprint=bundle.fingerprint, steps=steps.taken if steps.cut else 0,
        made=Made.of(model, report, inputs),
    )  # fmt: skip
    return Outcome(model, report, done, inputs)


class Steps:
    """Steps of a retraining, until they end, so many were taken (0: any number), or somebody presses Ctrl-C after the
    first. cut: did they not end by themselves?"""

    def __init__(self, most: int) -> None:
        self.most, self.taken, self.cut = most, 0, False

    def of(self, steps: Iterator[T]) -> Iterator[T]:
        try:
            for step in steps:
                self.taken += 1
                yield step
                if self.taken == self.most:
                    self.cut = True
                    return
        except KeyboardInterrupt:
            if not self.taken:
                raise
            self.cut = True


def _pruned(recipe: Recipe, bundle: Bundle, tell: Hear, steps: Steps) -> tuple[nn.Module, Report]:
    """Pruned once, and retrained where that is asked for."""
    plan, asked = recipe.plan, recipe.budget
    cascade = plan.cascade or False
    tell("pruning", 0, 1)
    network = plan.network(bundle, bundle.test)
    if asked is None:
        model, report = next(network.points(recipe.method, [recipe.method.epsilon], cascade))
    else:
        budget = Budget(network, recipe.method, dict(asked.locked), asked.loss)
        budget.check(asked.target, asked.rule)
        for i, layer in enumerate(budget.asked if asked.rule == "hull" else ()):
            tell(f"pricing {layer.name}", i, len(budget.asked))
            budget.offer(layer)
        model, report = budget.share(asked.target, asked.rule, cascade, bundle.validation)
    tell("pruning", 1, 1)
    if recipe.training is None:
        return model, report
    tuning = finetune(model, _masks(model, report), bundle.train, bundle.validation, recipe.training)
    epochs: list[Epoch] = []
    for epoch in steps.of(iter(tuning)):
        epochs.append(epoch)
        tell("retraining", epoch.number, recipe.training.epochs)
    return tuning.model, _retrained(report, recipe.training, 1, epochs, tuning.model, bundle)


def _rounds(recipe: Recipe, bundle: Bundle, tell: Hear, steps: Steps) -> tuple[nn.Module, Report]:
    """Pruned and retrained in turn."""
    plan, how, count = recipe.plan, recipe.training, len(recipe.rounds)
    assert how is not None
    rounds = prune_rounds(
        bundle.model, plan.inputs(bundle), recipe.method, recipe.rounds, bundle.train, bundle.validation, how,
        cascade=plan.cascade or False, layers=list(plan.layers), test=bundle.test, **plan.options(),
    )  # fmt: skip
    last, epochs = None, []
    for step in steps.of(rounds):
        epochs = [] if step.epoch is None else [*epochs, step.epoch]
        last = step
        tell(f"round {step.round} of {count}", len(epochs), how.epochs + 1)
    assert last is not None
    report = last.report if not epochs else _retrained(last.report, how, last.round, epochs, last.model, bundle)
    return last.model, report


def _masks(model: nn.Module, report: Report) -> dict[str, Tensor]:
    return masks_of(model, [layer.name for layer in report.layers])


def _retrained(
    report: Report, how: Training, rounds: int, epochs: list[Epoch], model: nn.Module, bundle: Bundle
) -> Report:
    best = [epoch for epoch in epochs if epoch.best][-1]
    accuracy = evaluate(model, bundle.test, noise=()).accuracy
    retraining = Retraining(
        dataclasses.asdict(how), rounds, epochs[-1].number, best.number, epochs[0].validation_loss,
        best.validation_loss, None if accuracy is None else accuracy.value,
    )  # fmt: skip
    return dataclasses.replace(report, retraining=retraining)
