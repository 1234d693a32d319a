"""What the comparison says, in sentences. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nettrim_core.report import Report
from nettrim_core.seeds import Spread
from pages.axes import X_AXES, Y_AXES, Axis, known, percent
from pages.candidates import MOST, MOST_PINS, Candidate
from pages.words import X_WORDS, Y_WORDS

AXES = X_AXES | Y_AXES
AXES_WORDS = X_WORDS | Y_WORDS
KINDS = {
    "changed": "every change",
    "lost": "became wrong",
    "won": "became right",
    "wrong": "changed, wrong before and after",
}
CHANCE = 0.05  # a p-value below this is called more than chance
HOW_TO_PIN = (
    "The methods of the present state are compared with each other. To compare it with other states, **pin** it: press "
    "*Pin* here or on Explore (or the key P), change something, a method, epsilon or the network, and pin again. This "
    "page then puts the pins side by side."
)
SIDE_BY_SIDE = (
    "One column for each candidate, a method in a state. Of the settings only those are shown that are not the same "
    "for all. Accuracy is on the validation samples; with 95 % confidence it lies in the interval beside it."
)
PARETO = (
    "Each marker is a candidate. Those on the dotted line are not beaten: for every other network here, one of them is "
    "at least as good in both figures and better in one. Faint: every solved point of the same curves."
)
CHANGES = (
    "The same accuracy can hide other answers. These are the test samples, which no method has seen, whose class the "
    "pruned network answers in another way than the dense one."
)
CLASSES = (
    "A small loss over all can be a large one for a single class. Each line runs from the dense network (bar) to a "
    "pruned one (marker); classes that lose most stand first."
)
NOISE = (
    "Gaussian noise is added to every sample: at 1, as large as the sample itself. Does the pruned network give way "
    "sooner? The bands are 95 % intervals."
)
SEEDS = (
    "The calibration samples are drawn at random. Here each method of the present state is repeated with the draws of "
    "the seeds 0 to 4: faint rings are the draws, the marker is their mean, the bar its 95 % interval (Student's t)."
)


def crowd(total: int) -> str:
    """What is left out where there are more candidates than fit; empty where none is."""
    if total <= MOST:
        return ""
    return (
        f"The first {MOST} of {total} candidates are shown. Leave out a state, or pin states with fewer methods, to "
        f"see the others. At most {MOST_PINS} pins are compared at a time."
    )


def best_for(shown: Sequence[tuple[Candidate, Report]]) -> str:
    """Which candidate is best, and for whom (Markdown); empty for fewer than two."""
    if len(shown) < 2:
        return ""
    lines = [
        _best(shown, "bytes", "Little memory", "takes the least, {}"),
        _most_right(shown),
        _proof(shown),
        _best(shown, "seconds", "Little time", "was solved the quickest, in {}"),
    ]
    text = "\n".join(f"- {line}" for line in lines if line)
    if len({c.choice.model for c, _ in shown}) > 1:
        text += (
            "\n\nThese are different networks, judged on different samples: compare what was lost, not what is left."
        )
    return text


def _best(shown: Sequence[tuple[Candidate, Report]], name: str, who: str, what: str) -> str:
    axis = AXES[name]
    values = [(value, c) for c, r in shown if (value := known(axis, r)) is not None]
    if not values:
        return ""
    value, _ = min(values, key=lambda entry: entry[0] if axis.best == "low" else -entry[0])
    names = [c.title for v, c in values if v == value]
    return f"**{who}**: {' and '.join(names)} {what.format(axis.text(value).removesuffix(' stored'))}."


def _most_right(shown: Sequence[tuple[Candidate, Report]]) -> str:
    judged = [(c, r, lost) for c, r in shown if (lost := Y_AXES["drop"].value(r)) is not None]
    if not judged:
        return "**Right answers**: there are no labels, so nobody can say which network is right more often."
    best, report, lost = min(judged, key=lambda entry: entry[2])
    text = f"**Right answers**: {best.title} {_lost(lost)} and has {percent(report.accuracy or 0.0)} right"
    band = report.accuracy_interval
    near = [
        c.title
        for c, r, _ in judged
        if c is not best and c.choice.model == best.choice.model
        and band is not None and r.accuracy_interval is not None and r.accuracy_interval[1] >= band[0]
    ]  # fmt: skip
    if near:
        return (
            f"{text}; but its 95 % interval overlaps with that of {', '.join(near)}: {report.test_samples:,} "
            "validation samples may be too few to tell them apart."
        )
    return f"{text}, more than the samples' chance explains."


def _lost(lost: float) -> str:
    if abs(lost) < 0.0005:
        return "loses nothing"
    return f"{'loses' if lost > 0 else 'gains'} {100 * abs(lost):.1f} points"


def _proof(shown: Sequence[tuple[Candidate, Report]]) -> str:
    names = [c.title for c, r in shown if certified(r) == "yes"]
    if not names:
        return "**A proof**: none of these has a certificate for every layer."
    return (
        f"**A proof**: {' and '.join(names)} {'is' if len(names) == 1 else 'are'} certified: the weights are, in l1 "
        "norm, as small as the tolerance allows, to a proven precision."
    )


def certified(report: Report) -> str:
    """ "yes" or why not."""
    if any(layer.gap is None for layer in report.layers):
        return "no, the method has no certificate"
    if report.rough:
        return "not yet, an early answer"
    return "yes" if report.converged else "no, its tolerance was not reached"


def pareto_note(axes: tuple[Axis, Axis], missing: Sequence[Candidate]) -> str:
    """What the bars are, and who has no place on the chart."""
    text = "".join(f" Bars: {axis.about}." for axis in dict.fromkeys(axes) if axis.band is not None)
    if missing:
        text += f" {', '.join(c.title for c in missing)}: no value on these axes, or not solved yet."
    return text.strip()


def pareto_alt(x: str, y: str, placed: Sequence[tuple[Candidate, float, float]], front: Sequence[int]) -> str:
    """The chart for those who do not see it."""
    each = "; ".join(f"{c.title}: {AXES[x].text(a)}, {AXES[y].text(b)}" for c, a, b in placed)
    kept = ", ".join(placed[i][0].title for i in front)
    return (
        f"Chart of {AXES_WORDS[y]} over {AXES_WORDS[x]}. {each or 'Nothing solved yet'}. Not beaten: {kept or 'none'}."
    )


def changed(candidate: Candidate, evaluation: Mapping[str, Any]) -> str:
    """How many answers changed, and whether for the worse by more than chance (Markdown)."""
    changes, samples = evaluation["changes"], evaluation["samples"]
    if changes is None:
        return f"**{candidate.title}**: the network gives no classes, so no answer can be compared."
    counts = changes["counts"]
    text = f"**{candidate.title}** answers {counts['changed']:,} of {samples:,} test samples with another class"
    if changes["p_value"] is None:
        return f"{text}. Without labels nobody can say which of the two is right."
    lost, won, wrong = counts["lost"], counts["won"], counts["wrong"]
    text += f": {lost:,} became wrong, {won:,} became right, {wrong:,} stayed wrong"
    return f"{text}. {_chance(lost, won, changes['p_value'])}"


def _chance(lost: int, won: int, p: float) -> str:
    if lost + won == 0:
        return "It is right exactly as often as before."
    test = f"if either were equally likely, a split at least this uneven would be seen with probability {_small(p)}"
    if p >= CHANCE:
        return f"That can be chance: {test} (McNemar's exact test)."
    return f"That is **{'worse' if lost > won else 'better'}, more than by chance**: {test} (McNemar's exact test)."


def _small(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else "below 0.0001"


def listed(shown: int, total: int) -> str:
    """How many of the samples the table shows."""
    if not total:
        return "No test sample is of this kind."
    return f"{total:,} test sample{'s' * (total != 1)}." if shown == total else f"{shown} of {total:,} test samples."


def classes_alt(candidates: Sequence[Candidate], losses: Mapping[str, Sequence[tuple[str, float, int]]]) -> str:
    """losses: letter -> (class, part of its samples lost, their number) of every class."""
    said = []
    for candidate in candidates:
        name, lost, samples = max(losses[candidate.letter], key=lambda entry: entry[1])
        if lost <= 0:
            said.append(f"{candidate.title} loses in no class")
        else:
            said.append(
                f"{candidate.title} loses most in class {name}: {round(lost * samples)} of {samples} test samples "
                f"({100 * lost:.1f} points)"
            )
    return "; ".join(said) + "."


def noise_alt(names: Sequence[str], curves: Sequence[Sequence[tuple[float, Mapping[str, float]]]], of: str) -> str:
    """names, curves: of the dense network and the candidates."""
    each = [
        f"{name} from {percent(curve[0][1]['value'])} without noise to {percent(curve[2][1]['value'])} at noise "
        f"{curve[2][0]:g}"
        for name, curve in zip(names, curves, strict=True)
        if len(curve) > 2
    ]
    return f"{of}, under noise: {'; '.join(each)}."


def spreads(rows: Sequence[tuple[str, Spread, Spread | None]]) -> str:
    """Method by method, zeros and accuracy over the draws (Markdown)."""
    lines = []
    for title, zeros, right in rows:
        text = f"- **{title}**, {len(zeros.values)} draws: {_interval(zeros)} zeros"
        lines.append(text + (f", {_interval(right)} right, of the validation samples." if right else "."))
    return "\n".join(lines)


def _interval(spread: Spread) -> str:
    if spread.low is None or spread.high is None:
        return percent(spread.mean, 2)
    return f"{percent(spread.mean, 2)} ({percent(spread.low, 2)} to {percent(spread.high, 2)})"
