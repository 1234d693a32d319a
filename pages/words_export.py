"""What the Export page says. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nettrim_core.report import Report
from pages.axes import file_size, percent
from pages.state import MODE_WORDS, Choice, Goal, Rounds

INTRO = (
    "The pruned network as files. It is solved once more from scratch, judged on the **test** samples, which nothing "
    "has seen so far, written, and every file is loaded again and compared before you get it."
)
HOW = {
    "epsilon": "At epsilon",
    "budget": "By the budget",
    "retrained": "Retrained",
    "rounds": "In rounds",
}
# the formats that are ticked at first: what most people need, and what is not large
USUAL = ("safetensors", "html", "recipe")
LOADING = (
    "The weights have the names that they had, so they load into your own class. `strict=True` fails if one is missing."
)
RECIPE = (
    "A recipe is all that made a result, in a text that people read. The command makes the same result without the "
    "studio; `nettrim replay` makes it from the exported `recipe.toml` and compares it bit for bit."
)
OWN = (
    "This network is yours and is not kept here: the recipe names it by its content. Save its bundle on the page "
    "**Your own** and unpack it beside the recipe, and the command and `nettrim replay` find it."
)
NO_LABELS = (
    "This data has no labels, and retraining needs to be told what is right: take the result at epsilon or by the "
    "budget, or bring labelled data."
)
OPEN = "Open a recipe that was exported, here or elsewhere, and the studio shows the state that it was made in."
SAVING = (
    "A zero is a number like any other until a file or a program leaves it out. This is what leaving it out would save "
    "for this network, measured on this server a moment ago."
)


def subject(choice: Choice, title: str, method: str) -> str:
    """What the files hold, in a sentence."""
    how, goal, rounds = choice.of("export").how, choice.of("budget"), choice.of("rounds")
    said = {
        "epsilon": f"pruned {MODE_WORDS[choice.mode]} at ε = {choice.eps:g}",
        "budget": f"pruned {MODE_WORDS[choice.mode]} to {_goal(goal)}",
        "retrained": f"pruned {MODE_WORDS[choice.mode]} at ε = {choice.eps:g} and retrained with its zeros held",
        "rounds": f"pruned and retrained {_rounds(rounds)}",
    }[how]
    return (
        f"**{title}**, layers {', '.join(choice.layers)}, by **{method}**, {said}, on {choice.n:,} calibration samples."
    )


def _goal(goal: Goal) -> str:
    return {
        "zeros": f"{percent(goal.zeros)} zeros overall",
        "multiply-adds": f"{percent(goal.left)} of the multiply-adds",
        "accuracy": f"the most zeros that cost at most {percent(goal.drop)} of the right answers",
    }[goal.of]


def _rounds(rounds: Rounds) -> str:
    turns = "once" if rounds.number == 1 else f"{rounds.number} times in turn"
    return f"{turns}, to {percent(rounds.zeros)} zeros"


def worth(report: Report) -> str:
    """What the figures are of."""
    interval = report.accuracy_interval
    text = (
        f"Of all {report.network_weights:,} weights of the network {report.network_zeros:,} are zero; biases are "
        "counted apart."
    )
    if interval is None:
        return f"{text} This data has no labels, so nothing says which answers are right."
    low, high = interval
    before = " before retraining" if report.retraining is not None else ""
    return (
        f"With 95 % confidence the accuracy after pruning{before} lies between {percent(low, 2)} and "
        f"{percent(high, 2)}. {text}"
    )


def savings(costs: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, how much, what it means) for each line of the panel."""
    dense, adds = costs["dense_bytes"], costs["multiply_adds"]
    lines = [
        ("As it is", file_size(dense), "model.safetensors: every number takes its bytes, zero or not"),
        ("Zipped", f"{file_size(costs['zipped_bytes'])}, {percent(costs['zipped_bytes'] / dense)}",
         "the same file through zlib, which finds zeros by itself"),
        ("Compact", f"{file_size(costs['compact_bytes'])}, {percent(costs['compact_bytes'] / dense)}",
         "a bit for each weight, and the weights that are left"),
        ("Multiply-adds", f"{costs['multiply_adds_left']:,} of {adds:,}, {percent(costs['multiply_adds_left'] / adds)}",
         "of one sample, if a machine could leave out every product with a zero"),
        ("Time, dense", f"{costs['dense_ms']:.3g} ms", f"one pass of {costs['batch']:,} at a time through torch"),
    ]  # fmt: skip
    if costs["sparse_ms"] is not None:
        lines.append(
            ("Time, sparse", f"{costs['sparse_ms']:.3g} ms", "the same with sparse matrices in the Linear layers")
        )
    return lines
