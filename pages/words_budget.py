"""What the Budget page says: the target, the rule, what was decided and at what price. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nettrim_core.figures.budget import ROUNDING
from nettrim_core.methods import METHOD_TITLES
from nettrim_core.report import Allocation, LayerReport, Report
from pages.axes import percent, points
from pages.state import Choice, Goal

INTRO = (
    "Some layers can lose almost all of their weights without harm, others hardly any. Say what the **whole network** "
    "has to give, and the budget is shared out among its layers. Lock a layer, and the others make up for it."
)
GOALS = {"zeros": "Zeros", "multiply-adds": "Multiply-adds", "accuracy": "Accuracy"}
# of a goal: its number's field, and the name of its target in the core
TARGETS = {"zeros": ("zeros", "sparsity"), "multiply-adds": ("left", "left"), "accuracy": ("drop", "drop")}
LABELS = {
    "zeros": "Zeros wanted, in % of the weights and biases",
    "multiply-adds": "Multiply-adds that stay, in %",
    "accuracy": "Right answers that may go, in % of the validation samples",
}
RULES = {
    "hull": "Cheapest first",
    "uniform": "Same share for all",
    "erk": "By shape (ERK)",
    "lamp": "By relative size (LAMP)",
    "magnitude": "By size (magnitude)",
}
WHY = {
    "hull": "Each layer is pruned alone, more and more, and what this does to the network's outputs is measured. The "
    "zeros that cost least are taken first, in whichever layer they are. (The curves' lower convex hulls are merged.)",
    "uniform": "Every layer gives the same fraction of its weights. Nothing is measured; the rule to compare with.",
    "erk": "The part of a layer that stays is in proportion to (inputs + outputs + kernel sides) / their product "
    "(Evci et al., 2020): large layers give more. Only their shape counts.",
    "lamp": "One threshold for all layers on the square of a weight, over the sum of the squares of those in its layer "
    "that are not smaller (Lee et al., 2021). Only the weights count, no samples.",
    "magnitude": "One threshold for all layers on the size of a weight: what is smaller goes. Only the weights count.",
}
TABLE = (
    "Tick **Lock** to hold a layer at what it gives now, or type where to hold it: 0 leaves it as it was trained. The "
    "budget is then shared anew among the others. The link keeps the locks."
)
BARS = (
    "A layer whose bar ends beyond the dashed line gives more than its even share, one that ends before it is spared."
)
ALONE = (
    "Only this layer is pruned, all others stay as they were trained. A curve that falls early is a layer that the "
    "network needs. The dotted line is where the budget put it."
)
BOUNDS = (
    "Each layer gets the errors of those before it and adds its own. Theory **promises** that the error of its "
    "response is at most a bound; the error was also **measured**, on the calibration samples. Both are parts of the "
    "response's size. The further they are apart, the more careful theory had to be."
)
LOSSES = {
    "kl": (
        " nats",
        "how far the class probabilities move from the trained network's (Kullback-Leibler divergence, in nats, mean "
        "over the calibration samples)",
    ),
    "squared": ("", "the squared change of the network's outputs, relative to their size"),
}  # fmt: skip


def wanted(choice: Choice) -> str:
    """The target in a sentence (Markdown)."""
    goal: Goal = choice.of("budget")
    layers = ", ".join(choice.layers) if len(choice.layers) < 5 else f"these {len(choice.layers)} layers"
    said = {
        "zeros": f"**{percent(goal.zeros)}** of all weights and biases of {layers} become zero",
        "multiply-adds": f"**{percent(goal.left)}** of the multiply-adds of {layers} stay",
        "accuracy": f"as many zeros in {layers} as can be while at most **{percent(goal.drop)}** of the validation "
        "samples stop being right",
    }
    return f"Wanted: {said[goal.of]}, with {METHOD_TITLES[choice.lens[1]]}."


def doing(done: int, total: int, goal: str) -> str:
    """How far a budget is, of one of GOALS."""
    if done + 1 < total:
        return f"Pruning each layer alone, to see what its zeros cost: {done} of {total - 1} layers"
    if goal == "accuracy":
        return "Pruning a dozen networks, to find the sparsest one that is right often enough"
    return "Sharing the budget and pruning the network"


def refusal(error: str, choice: Choice) -> str:
    """Why there is no budget, and what to do (Markdown)."""
    goal: Goal = choice.of("budget")
    less = {
        "zeros": "ask for fewer zeros",
        "multiply-adds": "let more multiply-adds stay",
        "accuracy": "allow more of the right answers to go",
    }[goal.of]
    ways = (
        [f"unlock a layer, or change the value it is locked at ({', '.join(choice.locked)})"] if choice.locked else []
    )
    ways += [less, "pick another method or another of its settings"]
    return f"**This budget cannot be made**: {error}.\n\nWhat you can do: {'; '.join(ways)}."


def all_locked() -> str:
    return "**Every layer is locked**, so there is nothing left to share. Unlock one in the table, or use *Unlock all*."


def figures(report: Report) -> list[tuple[str, str, str]]:
    """(label, value, what it is) of what came out."""
    shared = report.allocation
    assert shared is not None
    size = sum(share.size for share in shared.shares)
    asked, zeros = (sum(getattr(share, name) for share in shared.shares) / size for name in ("asked", "zeros"))
    said = []
    if report.accuracy is not None and report.accuracy_before is not None:
        said += [
            ("Right before", percent(report.accuracy_before), "By the trained network, of the validation samples."),
            ("Right after", percent(report.accuracy), f"{_change(report)}, before any retraining."),
        ]
    said += [
        ("Zeros asked for", percent(asked), "What the layers were given to do, together."),
        ("Zeros got", percent(zeros), "Net-Trim's zeros come with a tolerance: it may give a few more than asked for."),
    ]
    if shared.unit == "multiply-add":
        said.append(("Multiply-adds that stay", percent(shared.left), "Of those of the chosen layers, for one input."))
    return said


def denominators(report: Report) -> str:
    """What the figures are parts of."""
    assert report.allocation is not None
    zeros = (
        f"zeros are of the {sum(share.size for share in report.allocation.shares):,} weights and biases of these layers"
    )
    if report.accuracy is None:
        return f"{zeros[:1].upper()}{zeros[1:]}."
    return f"Right answers are of {report.test_samples:,} validation samples, {zeros}."


def _change(report: Report) -> str:
    lost = (report.accuracy_before or 0.0) - (report.accuracy or 0.0)
    return f"{points(abs(lost))} {'fewer' if lost > 0 else 'more'}" if abs(lost) >= 5e-4 else "As many as before"


def price(shared: Allocation) -> str:
    """The budget's multiplier, for somebody who has never heard of one (Markdown)."""
    if shared.loss is None:
        return f"“{RULES[shared.rule]}” measures nothing, so it knows no price of a zero."
    unit, meaning = LOSSES[shared.loss]
    if shared.price is None:
        return f"Nothing was asked for, so there is no price. It would be paid in loss: {meaning}."
    return (
        f"**The price: {shared.price:.2g}{unit} a {shared.unit}.** Every layer gave what was cheaper and kept what was "
        f"dearer, so that one {shared.unit} more would cost about this much loss, whichever layer it came from. The "
        f"loss is {meaning}."
    )


def shares_alt(shared: Allocation) -> str:
    each = ", ".join(f"{s.name} {percent(s.zeros / s.size)}{' (locked)' if s.locked else ''}" for s in shared.shares)
    even = "" if shared.uniform is None else f" The even share is {percent(shared.uniform)}."
    return f"Bars: the part of each layer's weights and biases that becomes zero. {each}.{even}"


def share_of(given: float | None) -> str:
    return "" if given is None else f", {percent(given)} in the budget"


def alone_alt(layer: str, points: Sequence[Mapping[str, Any]], given: float | None) -> str:
    """points: the answers of the sensitivity task for one layer."""
    each = []
    for point in points:
        figure = (
            f"output changed by {percent(point['output_error'])}"
            if point["accuracy"] is None
            else f"{percent(point['accuracy'])} right"
        )
        each.append(f"{figure} at {percent(point['zeros'])} zeros")
    put = "" if given is None else f" The budget put it at {percent(given)} zeros."
    return f"{layer} alone: {', '.join(each)}.{put}"


def bounds_alt(layers: Sequence[LayerReport]) -> str:
    each = []
    for layer in layers:
        scale = layer.output_norm or 1.0
        promised = "no bound" if layer.bound is None else f"promised {layer.bound / scale:.3g}"
        each.append(f"{layer.name}: measured {layer.error / scale:.3g}, {promised}")
    return f"Error of each layer's response in the pruned network, of its size. {'; '.join(each)}."


def bound_notes(layers: Sequence[LayerReport]) -> list[str]:
    """Why a layer has no bound, only an estimated one, or no dot on a logarithmic axis (Markdown)."""
    said: dict[str, list[str]] = {}
    for layer in layers:
        for note in layer.notes:
            if note.startswith("no bound"):
                said.setdefault(note, []).append(layer.name)
        if layer.bound is not None and layer.bound_is_estimate:
            what = "the bound is an estimate, as only a sample of the patches of a convolution was used"
            said.setdefault(what, []).append(layer.name)
        if layer.error <= ROUNDING * layer.output_norm:
            said.setdefault("no error, which a logarithmic axis cannot show", []).append(layer.name)
    return [f"**{', '.join(names)}**: {note}." for note, names in said.items()]
