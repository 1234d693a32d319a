"""Prune a little, retrain, prune a little more (L-OBS paper, section on iterative pruning)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from nettrim_core.allocate import MultiplyAdds, allocate
from nettrim_core.dense import Labelled
from nettrim_core.finetune import Epoch, Training, finetune
from nettrim_core.masks import masks_of
from nettrim_core.problem import Method, check_sparsity
from nettrim_core.prune import named
from nettrim_core.report import Report


@dataclass(frozen=True)
class Step:
    """A moment of one round, 1, 2, ...: the pruning, with no epoch, or an epoch of the retraining after it.

    report: of the round's pruning, against the network that the round began with. model: the round's best network so
    far, pruned exactly as the report says.
    """

    round: int
    target: float | MultiplyAdds
    report: Report
    epoch: Epoch | None
    model: nn.Module


def prune_rounds(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    targets: Sequence[float | MultiplyAdds],
    data: Labelled,
    validation: float | Labelled = 0.1,
    how: Training | None = None,
    *,
    rule: str = "uniform",
    **options: Any,
) -> Iterator[Step]:
    """Yield a :class:`Step` as it is done: every target is met on the network that the round before left, and what is
    left is retrained with its masks held. To stop is to stop asking; the last step has the best network of its round.

    targets: of the whole network, round by round, as in :func:`nettrim_core.allocate`, which gets rule and options too.
    data, validation, how: as in :func:`nettrim_core.finetune`. A weight that is zero is the first to go again, but
    a method that decides the whole layer anew (Net-Trim, ALPS, Exact OBS, SparseGPT) may bring one back in a later
    round. Bad arguments raise before the first step.
    """
    wanted, chosen, how = list(targets), named(method)[1], how or Training()
    if not wanted:
        raise ValueError("targets is empty: give one for each round")
    for target in wanted:
        if isinstance(target, int | float):
            check_sparsity(target)
        elif not isinstance(target, MultiplyAdds):
            raise ValueError(f"target = {target!r} of a round must be a fraction of zeros or MultiplyAdds")
    finetune(model, {}, data, validation, how)  # refuses what does not fit
    return _rounds(model, inputs, chosen, wanted, data, validation, how, {"rule": rule, **options})


def _rounds(
    model: nn.Module, inputs: Tensor, method: Method, targets: Iterable[float | MultiplyAdds], data: Labelled,
    validation: float | Labelled, how: Training, options: dict[str, Any],
) -> Iterator[Step]:  # fmt: skip
    for number, target in enumerate(targets, 1):
        pruned, report = allocate(model, inputs, method, target, **options)
        yield Step(number, target, report, None, pruned)
        tuning = finetune(pruned, masks_of(pruned, [layer.name for layer in report.layers]), data, validation, how)
        for epoch in tuning:
            yield Step(number, target, report, epoch, tuning.model)
        model = tuning.model
