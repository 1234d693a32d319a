"""A recipe as a line for the command line."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from nettrim_core.allocate import target_to
from nettrim_core.cascade import Cascade
from nettrim_core.data.options import DataOptions
from nettrim_core.finetune import Training
from nettrim_core.methods import METHODS
from nettrim_core.plan import PATCHES, Plan
from nettrim_core.recipes.recipe import Recipe

TARGETS = {"sparsity": "--zeros", "left": "--multiply-adds", "drop": "--accuracy-drop"}


def command(recipe: Recipe) -> str:
    """What makes the same result: ``nettrim prune MODEL --method ...``; what is as usual is left out. Of a network
    whose file holds weights alone, the layers' text has to be given with --architecture; a retraining that was
    interrupted goes on to its end."""
    plan, method = recipe.plan, recipe.method
    budget, training = recipe.budget, recipe.training
    verb = "allocate" if budget is not None else "finetune" if training is not None else "prune"
    words = ["nettrim", verb, plan.bundle, "--method", recipe.method_name, "--layers", ",".join(plan.layers)]
    if budget is None and not recipe.rounds:
        words += ["--epsilon", repr(method.epsilon)]
    if recipe.data is not None:
        words += ["--data", recipe.data.path, *_set("data", recipe.data.options, DataOptions())]
    words += _set("", method, METHODS[recipe.method_name], but=("epsilon",))
    if plan.cascade is not None:
        words += ["--cascade", *_set("cascade", plan.cascade, Cascade())]
    for name, factor in plan.scale:
        words += ["--scale", f"{name}={factor!r}"]
    if budget is not None:
        ((name, value),) = target_to(budget.target).items()
        words += [TARGETS[name], repr(value), "--rule", budget.rule]
        words += ["--loss", budget.loss] if budget.loss != "auto" else []
        for name, zeros in budget.locked:
            words += ["--lock", f"{name}={zeros!r}"]
    if training is not None:
        words += _set("train", training, Training())
        words += ["--rounds", ",".join(map(repr, recipe.rounds))] if recipe.rounds else []
    words += ["--samples", str(plan.samples), "--seed", str(plan.seed)]
    words += ["--patches", str(plan.patches or "all")] if plan.patches != PATCHES else []
    words += ["--batchnorm", plan.batchnorm] if plan.batchnorm != Plan.batchnorm else []
    return shlex.join(words)


def _set(owner: str, values: Any, usual: Any, but: tuple[str, ...] = ()) -> list[str]:
    words = []
    for f in dataclasses.fields(values):
        value = getattr(values, f.name)
        if value != getattr(usual, f.name) and f.name not in but:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += ["--set", f"{owner}.{f.name}={text}" if owner else f"{f.name}={text}"]
    return words
