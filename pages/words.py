"""What happened, in sentences: for a reader who has never heard of Net-Trim. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nettrim_core.jobs import Job
from nettrim_core.methods import METHOD_TITLES, titled
from nettrim_core.record import Point
from nettrim_core.report import LayerReport, Report
from pages.axes import Axis, known, megabytes, percent
from pages.matching import Place
from pages.state import Choice

MATCHES = {"epsilon": "epsilon", "sparsity": "zeros", "accuracy": "accuracy"}
X_WORDS = {"sparsity": "zeros among the weights", "epsilon": "epsilon"}
Y_WORDS = {
    "accuracy": "right answers",
    "drop": "right answers lost",
    "discrepancy": "change of the layers' responses",
    "bound": "promised error (the bound)",
    "l1": "sum of the weights' sizes (l1)",
    "nonzeros": "weights left",
    "bytes": "size when stored compactly",
    "seconds": "time to solve",
}
BARS = (
    "How many weights of each layer are zero, and how much of its **tolerance** was used: the change of the layer's "
    "own response, relative to its size, beside what epsilon allows."
)
PROOFS = (
    "**Certificate**: Net-Trim solves a convex program, and the duality gap says how far its weights can be from the "
    "best. **Error in the network**: each layer also gets the errors made before it; theory promises a bound, and the "
    "error was measured."
)
REGIONS = (
    "Where the classes lie",
    "Each picture is the plane of the two inputs, coloured by the class that the network gives it.",
)
USAGE = (
    "What {} still looks at",
    "Every cell is a pixel of the input. The more weights are left at it, the stronger its colour; plain pixels are "
    "not looked at any more.",
)
PARTS = {
    "intro": "Introduction",
    "model": "Choice of the network",
    "layers": "Choice of the layers",
    "methods": "Choice of the methods",
    "mode": "In parallel or as a cascade",
    "settings": "Settings",
    "options": "Axes and comparison",
    "presets": "Presets of epsilon",
    "code": "Python of each result",
    "notebook": "Download notebook",
    "share": "Share",
}
GLOSSARY = """
| | |
|---|---|
| **ε, epsilon** | tolerance: the most that a layer's response may change, as a part of its size |
| **response** | what a layer answers to the calibration samples, before or after its ReLU |
| **discrepancy** | the change of a layer's response that was measured, as a part of its size; at most ε |
| **zeros, sparsity** | weights that are exactly zero, of all weights of the chosen layers; biases are not counted |
| **l1** | the sum of the sizes of the weights, which Net-Trim makes as small as the tolerance lets it |
| **duality gap** | how far the l1 norm can be above the smallest possible, as a part of it |
| **violation** | how far a response is outside of what was allowed, as a part of the tolerance |
| **certified** | gap and violation are both at most the setting *tol*, computed in double precision |
| **bound** | an error that theory promises not to exceed, after this layer in the pruned network |
| **ω, omega** | the neurons and samples where the trained network's ReLU let something through |
| **γ, gamma** | in a cascade: how much more than the error already made a later layer may make, squared |
| **κ, kappa** | in a cascade: a factor on the tolerance of the last layer |
| **damping** | a small number on the diagonal of the matrix that L-OBS inverts, against division by nearly nothing |
| **H** | that matrix: how strongly the inputs of a layer go together, over the calibration samples |
| **ReLU** | what is below zero becomes zero; so a response that was zero may be anything below |
"""
_SYMBOLS = {"eps": "ε", "n": "samples", "gamma": "γ", "kappa": "κ"}
_QUALITY = {
    "open": "its tolerance was not reached: try a larger epsilon or a larger tol",
    "rough": "an early answer, not yet certified",
}


def setting_title(name: str) -> str:
    """Of a setting by its dotted name."""
    if name in ("eps", "n"):
        return {"eps": "epsilon", "n": "calibration samples"}[name]
    owner, _, own = name.rpartition(".")
    return f"{'Cascade' if owner == 'cascade' else titled(owner)}: {own}"


def symbol(name: str) -> str:
    own = name.rpartition(".")[2]
    return _SYMBOLS.get(own, own)


def value(name: str, number: float) -> str:
    """A setting's value as the knob says it."""
    return f"{number:,}" if name == "n" else f"{number:.4g}"


def knob_label(choice: Choice) -> str:
    return "Error tolerance epsilon" if choice.knob == "eps" else setting_title(choice.knob)


def knob_title(choice: Choice) -> str:
    return "The tolerance" if choice.knob == "eps" else setting_title(choice.knob).capitalize()


def right(accuracy: float | None) -> str:
    return "no labels" if accuracy is None else f"{percent(accuracy)} right"


def figure(axis: Axis, point: Point) -> str:
    number = known(axis, point.report)
    return "no value" if number is None else axis.text(number)


def hover(point: Point, axis: Axis, at: str) -> str:
    """The box at a point of a curve (HTML of Plotly's few tags)."""
    report = point.report
    lines = [f"<b>{METHOD_TITLES[point.method]}</b>", at, hover_figures(point, axis)]
    if report.rough or not report.converged:
        lines.append(_QUALITY["rough" if report.rough else "open"])
    return "<br>".join(lines)


def hover_figures(point: Point, axis: Axis) -> str:
    """Zeros, accuracy, and what the chart measures."""
    said = dict.fromkeys([f"{percent(point.report.sparsity)} zeros", right(point.report.accuracy), figure(axis, point)])
    return "<br>".join(said)


def bar(report: LayerReport) -> dict[str, Any]:
    """One layer's figures for the bars."""
    used = report.held / report.epsilon if report.epsilon else 0.0
    text = f"{report.held:.4f} of {report.epsilon:.4f}"
    if not report.converged and report.solved_to is None:
        text += ", over"
    return {"sparsity": report.sparsity, "zeros": percent(report.sparsity), "used": used, "text": text}


def chart_note(choice: Choice, validation: int, marks: Sequence[str]) -> str:
    """What the chart's numbers are of, and what its markers mean. validation: samples with labels."""
    text = f"Accuracy is on {validation:,} validation samples; the test samples are kept for the export."
    if not validation:
        text = "This data has no labels, so nothing says which answers are right: look at how much responses change."
    if choice.view.y in ("accuracy", "drop"):
        text += " The pale bands are 95 % intervals for so many samples."
    elif choice.view.y == "bound":
        text += " The bands reach from the measured error up to the promised one."
    elif choice.view.y == "discrepancy":
        text += " The bands reach from what changed up to what was allowed."
    if choice.view.match != "epsilon" and len(choice.methods) > 1:
        leader = METHOD_TITLES[choice.methods[0]]
        text += f" {leader} leads; the others stand on their curves at its {MATCHES[choice.view.match]}."
    if "rough" in marks:
        text += f" Pale open markers, {marks.count('rough')} here, are early answers, not yet the certified ones."
    if "open" in marks:
        text += (
            f" Open markers, {marks.count('open')} here, did not reach their tolerance: point at one for the reason "
            "and what to do."
        )
    return text


def alt(choice: Choice, standing: Mapping[str, Place | None]) -> str:
    """The chart for those who do not see it."""
    y, x = Y_WORDS[choice.view.y], X_WORDS[choice.view.x]
    said = [
        f"{METHOD_TITLES[name]}: {percent(place.sparsity)} zeros, {right(place.accuracy)}."
        for name, place in standing.items()
        if place is not None
    ]
    at = f"At {symbol(choice.knob)} = {value(choice.knob, choice.value(choice.knob))}: "
    return f"Chart of {y} over {x}, a curve for each method. " + (
        at + " ".join(said) if said else "Nothing solved yet."
    )


def heat_alt(choice: Choice, columns: Sequence[str], rows: Sequence[str], values: Any, axis: Axis) -> str:
    """The heat map for those who do not see it: where its figure is the largest and the smallest."""
    cells = [(v, columns[c], rows[r]) for r, line in enumerate(values) for c, v in enumerate(line) if v is not None]
    text = f"Heat map: {axis.title} over {setting_title(choice.knob)} and {setting_title(choice.grid)}."
    if not cells:
        return text + " Nothing solved yet."
    ends = (("Largest", max(cells)), ("Smallest", min(cells)))
    for word, (number, column, row) in ends:
        text += f" {word}: {axis.text(number)} at {symbol(choice.knob)} = {column}, {symbol(choice.grid)} = {row}."
    return text


def grid_text(choice: Choice) -> str:
    name = METHOD_TITLES[choice.lens[1]]
    return (
        f"{name} at every pair of **{setting_title(choice.knob)}** and **{setting_title(choice.grid)}**. The frame is "
        "where you are and follows the knob; click a cell to go there."
    )


def sentence(point: Point) -> str:
    """One sentence about one method in one state (Markdown)."""
    report = point.report
    text = f"**{titled(point.method)}** sets {percent(report.sparsity)} of the weights to zero"
    if report.accuracy is not None and report.accuracy_before is not None:
        lost = 100 * (report.accuracy_before - report.accuracy)
        change = f"{abs(lost):.1f} points {'fewer' if lost > 0 else 'more'} than before"
        if abs(lost) < 0.05:
            change = "as many as before"
        text += f" and gets {percent(report.accuracy)} of the validation samples right, {change}"
    return f"{text}; {_promise(report)}."


def story(shown: Sequence[Point], standing: Mapping[str, Place | None], choice: Choice) -> str:
    """What the knob says now, method by method, and who does better (Markdown)."""
    there = {point.method for point in shown}
    lines = [sentence(point) for point in shown]
    for name in choice.methods:
        if name not in there:
            lines.append(f"**{METHOD_TITLES[name]}** {_absent(name, choice, standing)}")
    text = "\n".join(f"- {line}" for line in lines)
    closing = verdict(shown) if choice.view.match == "epsilon" else matched(standing, choice)
    return f"{text}\n\n{closing}" if closing else text


def _absent(name: str, choice: Choice, standing: Mapping[str, Place | None]) -> str:
    if choice.view.match != "epsilon" and name != choice.methods[0] and standing.get(choice.methods[0]) is not None:
        leader = METHOD_TITLES[choice.methods[0]]
        return f"has no point on its curve with the {MATCHES[choice.view.match]} that {leader} has here."
    return "is not solved here yet."


def memory(stated: dict[str, int], layers: Sequence[str]) -> str:
    """What Net-Trim is going to need for these layers."""
    each = ", ".join(f"{megabytes(stated[layer])} for {layer}" for layer in layers)
    return f"Net-Trim will take at most about this much memory: {each}." if each else ""


def _promise(report: Report) -> str:
    if report.rough:
        rough = max(max(layer.gap or 0.0, layer.violation or 0.0) for layer in report.layers)
        return f"this is an early answer, good to about {percent(rough)}, not yet the certified one"
    failed = [layer for layer in report.layers if not layer.converged]
    if failed:
        gaps = [layer.gap for layer in failed if layer.gap is not None]
        worst = f" (duality gap {max(gaps):.1g})" if gaps else ""
        names = ", ".join(layer.name for layer in failed)
        return f"it did not reach what was asked in {names}{worst}: try a larger epsilon or a larger tolerance"
    gaps = [layer.gap for layer in report.layers if layer.gap is not None]
    if gaps:
        tolerance = percent(report.settings["tol"], 2)
        return f"every layer is certified: its weights are, in l1 norm, within {tolerance} of the smallest possible"
    worst = max(report.layers, key=lambda layer: layer.held)
    return f"the largest change of a layer's own response is {percent(worst.held)}, in {worst.name}"


def remarks(reports: Sequence[Report]) -> list[str]:
    """What is to be said of layers, and of modules that are not pruned, those of one remark together."""
    said: dict[str, dict[str, None]] = {}
    for report in reports:
        for layer in report.layers:
            for note in layer.notes:
                said.setdefault(note, {})[layer.name] = None
    for name, reason in reports[0].skipped:
        said.setdefault(f"not pruned. {reason[:1].upper()}{reason[1:]}", {})[name] = None
    return [f"**{', '.join(names)}**: {remark}" for remark, names in said.items()]


def batch_norms(points: Sequence[Point]) -> str:
    """What measuring the batch norms again gave; empty where there was nothing to measure."""
    kept = [(p, p.report.accuracy_kept) for p in points if p.report.accuracy_kept is not None]
    if not kept:
        return ""
    each = ", ".join(
        f"{percent(accuracy)} instead of {percent(p.report.accuracy or 0.0)} with {titled(p.method)}"
        for p, accuracy in kept
    )
    return (
        "The means and variances of the batch norms were measured again after pruning, on the calibration samples. "
        f"With those of the trained network this many validation samples would be right: {each}. Discrepancy, "
        "certificate and error in the network speak of the network before that."
    )


def verdict(points: Sequence[Point]) -> str:
    """Who removes most and who keeps most, in one sentence; empty with fewer than two methods."""
    if len(points) < 2:
        return ""
    title = METHOD_TITLES
    sparsest = max(points, key=lambda p: p.report.sparsity)
    text = f"At this tolerance {title.get(sparsest.method, sparsest.method)} removes most"
    judged = [p for p in points if p.report.accuracy is not None]
    if judged:
        best = max(judged, key=lambda p: p.report.accuracy or 0.0)
        text += (
            " and also keeps the most accuracy"
            if best is sparsest
            else f", {title.get(best.method, best.method)} keeps the most accuracy"
        )
    return (
        text + ". Fewer zeros at the same tolerance do not make a method worse: "
        "compare them at the same zeros, with the switch under the chart."
    )


def matched(standing: Mapping[str, Place | None], choice: Choice) -> str:
    """The methods at the same zeros or the same accuracy, in one sentence; empty with fewer than two."""
    there = {name: place for name, place in standing.items() if place is not None and place.accuracy is not None}
    leader = there.get(choice.methods[0])
    if leader is None or len(there) < 2:
        return ""
    zeros = choice.view.match == "sparsity"
    common = f"{percent(leader.sparsity)} zeros" if zeros else right(leader.accuracy)
    each = []
    for name, place in there.items():
        about = "about " if place.between else ""
        figure = percent(place.accuracy or 0.0) + " right" if zeros else percent(place.sparsity) + " zeros"
        each.append(f"{METHOD_TITLES[name]} has {about}{figure}")

    def rank(name: str) -> float:
        return (there[name].accuracy or 0.0) if zeros else there[name].sparsity

    best = METHOD_TITLES[max(there, key=rank)]
    closing = f"{best} keeps the most accuracy there." if zeros else f"{best} does with the fewest weights."
    between = any(place.between for place in there.values())
    note = " “About” is read off the line between two solved points." if between else ""
    return f"With {common}: {', '.join(each)}. {closing}{note}"


def check(job: Job, answers: Sequence[Mapping[str, Any]], epsilon: float) -> str:
    """What the second solver said of a layer."""
    if not answers:
        if job.active:
            return "Both solvers are at work …"
        return f"The check could not be made: {job.error or 'it was cancelled'}."
    answer = answers[-1]
    apart = abs(answer["objective"] - answer["reference"]) / max(answer["reference"], 1e-300)
    return (
        f"{answer['layer']} at ε = {epsilon:g}: the sum of the weights' sizes is {answer['objective']:.6g} by "
        f"Net-Trim's own solver and {answer['reference']:.6g} by CVXPY with Clarabel ({answer['status']}), "
        f"{apart:.1e} apart. The certificate proves that it cannot be below {answer['bound']:.6g}."
    )
