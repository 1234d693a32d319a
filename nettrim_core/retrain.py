"""Pruning and the retraining after it, kept after every epoch so that it can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from nettrim_core.finetune import Epoch, Training, finetune
from nettrim_core.masks import masks_of
from nettrim_core.report import Report
from nettrim_core.rows import Rows


@dataclass(frozen=True, eq=False)
class Saved:
    """A retraining so far. report: of the pruning; state: as a FineTuning has it after the last of the epochs."""

    report: Report
    masks: dict[str, Tensor]
    epochs: list[Epoch]
    state: dict[str, Any]


class Keeper(Protocol):
    """Where one retraining is kept."""

    def get(self) -> Saved | None: ...

    def put(self, saved: Saved) -> None: ...


@dataclass(frozen=True, eq=False)
class Moment:
    """The pruning, with no epoch, or an epoch of the retraining after it. model: the best network so far. exact: is it,
    or is it a later one? What was kept has the best of all its epochs only."""

    report: Report
    epoch: Epoch | None
    model: nn.Module
    masks: dict[str, Tensor]
    exact: bool = True


def retrain(
    prune: Callable[[], tuple[nn.Module, Report]], model: nn.Module, data: Rows, validation: float | Rows,
    how: Training, keeper: Keeper | None = None,
) -> Iterator[Moment]:  # fmt: skip
    """Prune, retrain with the zeros held, and yield every moment; first those that were kept.

    prune: makes the pruned network and its report, if they are not kept. model: a network of the same structure. data,
    validation, how: as in :func:`nettrim_core.finetune`.
    """
    saved = None if keeper is None else keeper.get()
    if saved is None:
        pruned, report = prune()
        masks, epochs = masks_of(pruned, [layer.name for layer in report.layers]), []
        tuning = finetune(pruned, masks, data, validation, how)
    else:
        report, masks, epochs = saved.report, saved.masks, saved.epochs
        tuning = finetune(model, masks, data, validation, how, saved.state)
    best = max((epoch.number for epoch in epochs if epoch.best), default=-1)
    yield Moment(report, None, tuning.model, masks, exact=not epochs)
    for epoch in epochs:
        yield Moment(report, epoch, tuning.model, masks, exact=epoch.number >= best)
    for epoch in tuning:
        epochs = [*epochs, epoch]
        if keeper is not None:
            keeper.put(Saved(report, masks, epochs, tuning.state()))
        yield Moment(report, epoch, tuning.model, masks)
