"""A recipe as a line for the command line."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from typing import Any

from nettrim_core.allocate import target_to
from nettrim_core.cascade import Cascade
from nettrim_core.data.options import DataOptions
from nettrim_core.finetune import Training
from nettrim_core.methods import METHODS
from nettrim_core.plan import PATCHES, Plan
from nettrim_core.recipes.recipe import Recipe

_NAME = re.compile(r"[A-Za-z_](?:[\w .:/-]*[\w.:/-])?")  # no number, and no comma
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
            name = f"{owner}.{f.name}" if owner else f.name
            words += ["--set", f"{name}={_text(value, loose=f.name == 'label')}"]
    return words


def _text(value: Any, loose: bool) -> str:
    """A value as a plain word, or as JSON where that would be read as something else. loose: are numbers told from
    names?"""
    if isinstance(value, tuple):
        plain = all(not isinstance(part, str) or _NAME.fullmatch(part) for part in value)
        return ",".join(map(str, value)) if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        plain = bool(_NAME.fullmatch(value)) if loose else value == value.strip() and not value.startswith('"')
        return value if plain else json.dumps(value, ensure_ascii=False)
    return str(value)
