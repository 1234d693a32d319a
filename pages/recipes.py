"""A state of the studio as a recipe, and the state that a recipe asks for. No Streamlit."""

from __future__ import annotations

import dataclasses
from typing import Any

from nettrim_core.allocate import target_of, target_to
from nettrim_core.finetune import Training
from nettrim_core.methods import METHODS
from nettrim_core.recipes.recipe import Budgeted, Recipe
from pages.state import Choice, Goal, Rounds
from pages.words_budget import TARGETS


def recipe_of(choice: Choice, how: str = "epsilon") -> Recipe:
    """What makes the result of the method under the lens: at its "epsilon", by the "budget", "retrained" after epsilon,
    or in "rounds"."""
    name, plan = choice.lens[1], choice.plan()
    if how == "budget":
        goal: Goal = choice.of("budget")
        field, target = TARGETS[goal.of]
        locked = tuple(sorted(choice.locked.items()))
        asked = Budgeted(target_of({target: getattr(goal, field)}), goal.rule, locked=locked)
        return Recipe(dataclasses.replace(plan, scale=()), choice.method(name), asked)
    if how == "rounds":
        rounds: Rounds = choice.of("rounds")
        plan = dataclasses.replace(plan, scale=())
        return Recipe(plan, choice.method(name), training=choice.of("train"), rounds=rounds.targets)
    return Recipe(plan, choice.solving(name), training=choice.of("train") if how == "retrained" else None)


def query_of(recipe: Recipe) -> tuple[dict[str, str], list[str]]:
    """The link's parameters for a recipe, and a sentence for everything in it that the studio cannot follow."""
    plan, said = recipe.plan, []
    query = {
        "model": plan.bundle, "layers": ",".join(plan.layers), "methods": recipe.method_name,
        "method": recipe.method_name, "mode": "parallel" if plan.cascade is None else "cascade",
        "seed": str(plan.seed), "n": str(plan.samples), "export.how": _how(recipe),
    }  # fmt: skip
    if recipe.budget is None and not recipe.rounds:
        query["eps"] = repr(recipe.method.epsilon)
    if plan.patches is None:
        said.append("The recipe takes all patches of a convolution, and the studio takes a number of them.")
    else:
        query["patches"] = str(plan.patches)
    if plan.batchnorm != "reestimate":
        said.append("The recipe keeps the statistics of batch norms, and the studio estimates them again.")
    if recipe.data is not None:
        said.append(f"The recipe reads its rows from {recipe.data.path}, which the studio cannot open by itself.")
    query |= _changed(recipe.method_name, recipe.method, METHODS[recipe.method_name], but=("epsilon",))
    if plan.cascade is not None:
        query |= _changed("cascade", plan.cascade, type(plan.cascade)())
    query |= {f"scale.{name}": repr(factor) for name, factor in plan.scale}
    if recipe.budget is not None:
        query |= _budget(recipe.budget)
        if recipe.budget.loss != "auto":
            said.append(f"The recipe prices errors by {recipe.budget.loss}, and the studio by what suits the outputs.")
    if recipe.training is not None:
        query |= _changed("train", recipe.training, Training())
    if recipe.steps:
        said.append("The recipe's retraining was interrupted, and the studio's goes on to its end.")
    if recipe.rounds:
        most: float = next(f for f in dataclasses.fields(Rounds) if f.name == "zeros").metadata["high"]
        rounds = Rounds(number=min(len(recipe.rounds), 20), zeros=min(recipe.rounds[-1], most))
        query |= _changed("rounds", rounds, Rounds())
        if rounds.targets != recipe.rounds:
            said.append("The recipe's rounds take other parts than the studio's, which take the same part each.")
    return query, said


def changes(recipe: Recipe, choice: Choice, fingerprint: str) -> list[str]:
    """A sentence for everything that is otherwise in the state a recipe was opened as, beside what
    :func:`query_of` and :func:`pages.state.parse` say. fingerprint: of the network and the data of that state."""
    said = []
    if recipe.fingerprint not in ("", fingerprint):
        said.append(
            f"The recipe is of a network and data with the fingerprint {recipe.fingerprint}, and those here have "
            f"{fingerprint}: other files, or other content."
        )
    try:
        asked, found = _entries(recipe), _entries(recipe_of(choice, _how(recipe)))
    except ValueError as error:
        return [*said, f"The studio makes no recipe of this: {error}."]
    for name in dict.fromkeys([*asked, *found]):
        if asked.get(name) != found.get(name):
            was, now = (entries.get(name, "not given") for entries in (asked, found))
            said.append(f"{name} is {was} in the recipe, and {now} here.")
    return said


def _entries(recipe: Recipe) -> dict[str, Any]:
    """Everything that makes a difference, by its dotted name in the file, but for what is told of elsewhere."""
    told = {
        "network.bundle", "network.fingerprint", "network.architecture", "calibration.max_patches",
        "calibration.batchnorm", "budget.loss", "training.rounds", "training.interrupted_after",
    }  # fmt: skip
    if recipe.budget is not None or recipe.rounds:
        told.add("method.epsilon")  # which nothing asks for
    tables = {name: table for name, table in recipe.to_dict().items() if name not in ("version", "data", "made")}
    entries = {f"{owner}.{name}": value for owner, table in tables.items() for name, value in table.items()}
    return {name: value for name, value in entries.items() if name not in told}


def _how(recipe: Recipe) -> str:
    if recipe.rounds:
        return "rounds"
    if recipe.budget is not None:
        return "budget"
    return "epsilon" if recipe.training is None else "retrained"


def _changed(owner: str, values: Any, usual: Any, but: tuple[str, ...] = ()) -> dict[str, str]:
    found = {f.name: getattr(values, f.name) for f in dataclasses.fields(values)}
    return {
        f"{owner}.{name}": str(value)
        for name, value in found.items()
        if name not in but and value != getattr(usual, name)
    }


def _budget(budget: Budgeted) -> dict[str, str]:
    ((target, value),) = target_to(budget.target).items()
    of = next(name for name, (_, known) in TARGETS.items() if known == target)
    query = {"budget.of": of, f"budget.{TARGETS[of][0]}": repr(value), "budget.rule": budget.rule}
    return query | {f"lock.{name}": repr(zeros) for name, zeros in budget.locked}
