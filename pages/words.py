"""What happened, in sentences: for a reader who has never heard of Net-Trim."""

from __future__ import annotations

from collections.abc import Sequence

from nettrim_core.record import Point
from nettrim_core.report import Report
from pages.state import METHOD_TITLES


def percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}\u00a0%"


def sentence(point: Point) -> str:
    """One sentence about one method at one epsilon (Markdown)."""
    report = point.report
    text = f"**{METHOD_TITLES.get(point.method, point.method)}** sets {percent(report.sparsity)} of the weights to zero"
    if report.accuracy is not None and report.accuracy_before is not None:
        lost = 100 * (report.accuracy_before - report.accuracy)
        change = f"{abs(lost):.1f} points {'fewer' if lost > 0 else 'more'} than before"
        if abs(lost) < 0.05:
            change = "as many as before"
        text += f" and gets {percent(report.accuracy)} of the validation samples right, {change}"
    return f"{text}; {_promise(report)}."


def memory(stated: dict[str, int], layers: Sequence[str]) -> str:
    """What Net-Trim is going to need for these layers."""
    each = ", ".join(f"{megabytes(stated[layer])} for {layer}" for layer in layers)
    return f"Net-Trim will take at most about this much memory: {each}." if each else ""


def megabytes(size: float) -> str:
    return f"{max(round(size / 1e6), 1):,}\u00a0MB"


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
        f"{percent(accuracy)} instead of {percent(p.report.accuracy or 0.0)} with "
        f"{METHOD_TITLES.get(p.method, p.method)}"
        for p, accuracy in kept
    )
    return (
        "The means and variances of the batch norms were measured again after pruning, on the calibration samples. "
        f"With those of the trained network this many validation samples would be right: {each}. Discrepancy, "
        "certificate and error in the network speak of the network before that."
    )


def verdict(points: list[Point]) -> str:
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
        "compare accuracy at equal zeros on the chart."
    )
