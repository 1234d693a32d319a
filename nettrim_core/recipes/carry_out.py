"""Carrying out a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from nettrim_core.allocate import Budget
from nettrim_core.bundle import Bundle
from nettrim_core.dense import MEMORY_LIMIT
from nettrim_core.durable.kept import Kept, context_of
from nettrim_core.evaluate import evaluate
from nettrim_core.finetune import Epoch, Training
from nettrim_core.recipes.made import Made
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.report import Report, Retraining
from nettrim_core.retrain import retrain
from nettrim_core.rounds import Step, prune_rounds

Hear = Callable[[str, int, int], None]  # what is being done, how much of it is done, of how much


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a recipe makes. recipe: the same, with its fingerprint and what was made. inputs: the calibration inputs,
    (samples, ...). interrupted: after how many steps somebody broke the retraining off, this time; 0 if nobody did."""

    model: nn.Module
    report: Report
    recipe: Recipe
    inputs: Tensor
    interrupted: int = field(default=0, kw_only=True)


def carry_out(
    recipe: Recipe, bundle: Bundle, hear: Hear | None = None, kept: Kept | None = None,
    memory_limit: float = MEMORY_LIMIT,
) -> Outcome:  # fmt: skip
    """What a recipe makes of this network and these rows, judged on the test rows, and put on the CPU. An interrupt
    during the retraining ends it; the best network so far is what came out, and the recipe that comes back says after
    how many steps.

    hear: called with what is being done, how much of it is done, and of how much. kept: where layers' prices and epochs
    are kept, to go on from; it is not used where the recipe says after how many steps to stop. memory_limit: as for
    prune. Raises ValueError where network and rows are not those of the recipe's fingerprint, and as
    :func:`nettrim_core.prune` and
    :func:`nettrim_core.allocate`.
    """
    if recipe.fingerprint not in ("", bundle.fingerprint):
        raise ValueError(
            f"network and data of {bundle.name} have the fingerprint {bundle.fingerprint}, and the recipe is of "
            f"{recipe.fingerprint}: give the files that it was made from"
        )
    tell = hear or (lambda what, done, of: None)
    steps = Steps(recipe.steps)
    here = kept if kept is not None and not recipe.steps else Kept()
    model, report = (_rounds if recipe.rounds else _pruned)(recipe, bundle, tell, steps, here, memory_limit)
    model, inputs = model.cpu(), recipe.plan.inputs(bundle)
    done = dataclasses.replace(
        recipe, fingerprint=bundle.fingerprint, steps=steps.cut, made=Made.of(model, report, inputs)
    )
    return Outcome(model, report, done, inputs, interrupted=steps.interrupted)


@dataclass(frozen=True, eq=False)
class Moment:
    """A retraining after so many steps were taken: the last one, and the epochs of its round up to it."""

    taken: int
    last: Step
    epochs: list[Epoch]


class Steps:
    """Steps of a retraining, until they end, so many were taken (0: any number), or somebody presses Ctrl-C after the
    first. cut: after how many, if they did not end by themselves; interrupted: likewise, if it was Ctrl-C; else 0."""

    def __init__(self, most: int) -> None:
        self.most, self.cut, self.interrupted = most, 0, 0

    def take(self, steps: Iterator[Step], tell: Callable[[Moment], None]) -> Moment:
        """Take them and tell of each; the last moment. An interrupt may come at any time, while a step is taken or told
        of: a moment is kept as a whole or not at all, so that its network is that of its steps."""
        moment: Moment | None = None
        try:
            for step in steps:
                taken, epochs = (0, []) if moment is None else (moment.taken, moment.epochs)
                moment = Moment(taken + 1, step, [] if step.epoch is None else [*epochs, step.epoch])
                tell(moment)
                if moment.taken == self.most:
                    self.cut = self.most
                    break
        except KeyboardInterrupt:
            if moment is None:
                raise
            self.cut = self.interrupted = moment.taken
        assert moment is not None
        return moment


def _pruned(
    recipe: Recipe, bundle: Bundle, tell: Hear, steps: Steps, kept: Kept, memory_limit: float
) -> tuple[nn.Module, Report]:
    """Pruned once, and retrained where that is asked for."""
    if recipe.training is None:
        return _once(recipe, bundle, tell, kept, memory_limit)
    how = recipe.training
    moments = retrain(
        partial(_once, recipe, bundle, tell, kept, memory_limit), bundle.model, bundle.train, bundle.validation, how,
        kept.retraining(bundle, recipe.plan, _what(recipe)),
    )  # fmt: skip
    moment = steps.take(
        (Step(1, m.report.sparsity, m.report, m.epoch, m.model, m.exact) for m in moments if m.epoch is not None),
        lambda moment: tell("retraining", moment.epochs[-1].number, how.epochs),
    )
    return moment.last.model, _retrained(moment, how, bundle)


def _what(recipe: Recipe) -> dict[str, Any]:
    """What a recipe's result depends on beside the network, its rows, and its plan."""
    return {name: value for name, value in recipe.to_dict().items() if name not in ("network", "data", "made")}


def _once(recipe: Recipe, bundle: Bundle, tell: Hear, kept: Kept, memory_limit: float) -> tuple[nn.Module, Report]:
    """Pruned, and no more."""
    plan, asked = recipe.plan, recipe.budget
    cascade = plan.cascade or False
    tell("pruning", 0, 1)
    network = plan.network(bundle, bundle.test, memory_limit)
    if asked is None:
        model, report = next(network.points(recipe.method, [recipe.method.epsilon], cascade))
    else:
        budget = Budget(network, recipe.method, dict(asked.locked), asked.loss)
        budget.check(asked.target, asked.rule)
        for i, layer in enumerate(budget.asked if asked.rule == "hull" else ()):
            tell(f"pricing {layer.name}", i, len(budget.asked))
            kept.price(budget, layer, context_of(bundle, plan))
        model, report = budget.share(asked.target, asked.rule, cascade, bundle.validation)
    tell("pruning", 1, 1)
    return model, report


def _rounds(
    recipe: Recipe, bundle: Bundle, tell: Hear, steps: Steps, kept: Kept, memory_limit: float
) -> tuple[nn.Module, Report]:
    """Pruned and retrained in turn."""
    plan, how, count = recipe.plan, recipe.training, len(recipe.rounds)
    assert how is not None
    rounds = prune_rounds(
        bundle.model, plan.inputs(bundle), recipe.method, recipe.rounds, bundle.train, bundle.validation, how,
        cascade=plan.cascade or False, layers=list(plan.layers), test=bundle.test,
        keeper=lambda number: kept.retraining(bundle, plan, [_what(recipe), number]), memory_limit=memory_limit,
        **plan.options(),
    )  # fmt: skip
    moment = steps.take(
        rounds, lambda moment: tell(f"round {moment.last.round} of {count}", len(moment.epochs), how.epochs + 1)
    )
    return moment.last.model, _retrained(moment, how, bundle) if moment.epochs else moment.last.report


def _retrained(moment: Moment, how: Training, bundle: Bundle) -> Report:
    step, epochs = moment.last, moment.epochs
    best = [epoch for epoch in epochs if epoch.best][-1]
    accuracy = evaluate(step.model, bundle.test, noise=()).accuracy
    retraining = Retraining(
        dataclasses.asdict(how), step.round, epochs[-1].number, best.number, epochs[0].validation_loss,
        best.validation_loss, None if accuracy is None else accuracy.value,
    )  # fmt: skip
    return dataclasses.replace(step.report, retraining=retraining)
