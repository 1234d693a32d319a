"""Where bits differ, is it the same result? Masks up to ties, and what each layer was promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from nettrim_core.recipes.made import Made
from nettrim_core.report import LayerReport, Report

TIE = 2.0  # a weight that may go or stay is at most so many times the largest change of those that stay
ROUNDING = 1e-6  # relative, of a discrepancy


def ties(old: Tensor, new: Tensor) -> tuple[int, int]:
    """(places that are zero in one and not in the other, those of them that are no tie). At a tie the weight, where
    there is one, is at most ``TIE`` times the largest difference of the weights that both keep."""
    moved, both = (old == 0) != (new == 0), (old != 0) & (new != 0)
    old, new = old.double(), new.double()
    apart = float((new - old)[both].abs().max()) if bool(both.any()) else 0.0
    sizes = torch.maximum(old.abs(), new.abs())[moved]
    return int(moved.sum()), int((sizes > TIE * apart).sum())


def verdicts(
    former: Made, now: Made, report: Report, weights: Mapping[str, Tensor] | None, state: Mapping[str, Tensor]
) -> Iterator[str]:
    """A sentence each on the masks, the discrepancies and the gaps of all layers. report: of what was made now; state:
    its weights; weights: the former ones, if at hand."""
    yield _of_masks(former, now, weights, state)
    yield _of_discrepancies(report.layers)
    certified = [layer for layer in report.layers if layer.gap is not None]
    if certified:
        yield _of_gaps(certified, report)


def _of_masks(former: Made, now: Made, weights: Mapping[str, Tensor] | None, state: Mapping[str, Tensor]) -> str:
    before = {layer.name: layer.mask for layer in former.layers}
    after = {layer.name: layer.mask for layer in now.layers}
    if set(before) != set(after):
        return "The masks are of other layers."
    moved = [name for name in after if after[name] != before[name]]
    if not moved:
        return "The masks of all layers are equal."
    known = {name: None if weights is None else weights.get(f"{name}.weight") for name in moved}
    beyond, places = [], 0
    for name, old in known.items():
        new = state[f"{name}.weight"]
        if old is None or old.shape != new.shape:
            return f"The masks of {', '.join(moved)} differ; whether by ties alone, only the former weights can tell."
        count, others = ties(old, new)
        places += count
        beyond += [f"{name} by {others:,} weights"] if others else []
    if beyond:
        return f"The masks differ by more than ties: {', '.join(beyond)}."
    return (
        f"The masks are equal up to ties: {places:,} places differ, and no weight there is larger than {TIE:g} times "
        "the largest change of those that both keep."
    )


def _of_discrepancies(layers: list[LayerReport]) -> str:
    beyond = [
        f"{layer.name} has {layer.held:.6g} of {layer.epsilon:.6g}"
        for layer in layers
        if not layer.held <= layer.epsilon * (1 + max(layer.solved_to or 0.0, ROUNDING))
    ]
    if beyond:
        return f"Discrepancies are beyond their epsilon: {', '.join(beyond)}."
    return "The discrepancy of every layer is within its epsilon."


def _of_gaps(layers: list[LayerReport], report: Report) -> str:
    tol = {layer.name: layer.solved_to or float(report.settings["tol"]) for layer in layers}
    beyond = [
        f"{layer.name} has {layer.gap:.2g} of {tol[layer.name]:.2g}"
        for layer in layers
        if layer.gap is not None and not layer.gap <= tol[layer.name]
    ]
    if beyond:
        return f"Gaps are beyond what was asked for: {', '.join(beyond)}."
    return "Every certified gap is within what was asked for."
