"""Prune a little, retrain, prune a little more (L-OBS paper, section on iterative pruning)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from nettrim_core.allocate import AccuracyDrop, Budget, MultiplyAdds
from nettrim_core.cascade import Cascade
from nettrim_core.finetune import Epoch, Training, finetune
from nettrim_core.network import Network
from nettrim_core.problem import Method
from nettrim_core.prune import named
from nettrim_core.report import Report
from nettrim_core.retrain import Keeper, retrain
from nettrim_core.rows import Rows


@dataclass(frozen=True)
class Step:
    """A moment of one round, 1, 2, ...: the pruning, with no epoch, or an epoch of the retraining after it.

    report: of the round's pruning, against the network that the round began with. model: the round's best network so
    far, pruned exactly as the report says; where a kept round is gone on with and not ``exact``, a later one.
    """

    round: int
    target: float | MultiplyAdds
    report: Report
    epoch: Epoch | None
    model: nn.Module
    exact: bool = True


def prune_rounds(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    targets: Sequence[float | MultiplyAdds],
    data: Rows,
    validation: float | Rows = 0.1,
    how: Training | None = None,
    *,
    rule: str = "uniform",
    cascade: bool | Cascade = False,
    locked: Mapping[str, float] | None = None,
    loss: str = "auto",
    keeper: Callable[[int], Keeper] | None = None,
    **options: Any,
) -> Iterator[Step]:
    """Yield a :class:`Step` as it is done: every target is met on the network that the round before left, and what is
    left is retrained with its masks held. To stop is to stop asking; the last step has the best network of its round.

    targets: of the whole network, round by round, as in :func:`nettrim_core.allocate`; so are all from rule on.
    data, validation, how: as in :func:`nettrim_core.finetune`. keeper: where each round is kept, from its number. A
    weight that is zero is the first to go again, but a method that decides the whole layer anew (Net-Trim, ALPS, Exact
    OBS, SparseGPT) may bring one back in a later round. Bad arguments raise before the first step.
    """
    wanted, how = list(targets), how or Training()
    if not wanted:
        raise ValueError("targets is empty: give one for each round")
    finetune(model, {}, data, validation, how)  # refuses what does not fit
    chosen = named(method)[1]

    def budget_of(model: nn.Module) -> Budget:
        return Budget(Network(model, inputs, **options), chosen, locked, loss)

    budget = budget_of(model)
    for target in wanted:
        if isinstance(target, AccuracyDrop):
            raise ValueError(f"target = {target!r} of a round must be a fraction of zeros or MultiplyAdds")
        budget.check(target, rule)

    def steps() -> Iterator[Step]:
        left = model
        for number, target in enumerate(wanted, 1):
            here = budget if number == 1 else None
            pruned = partial(_pruned, left, target, here)
            for moment in retrain(pruned, left, data, validation, how, keeper(number) if keeper else None):
                yield Step(number, target, moment.report, moment.epoch, moment.model, moment.exact)
                left = moment.model

    def _pruned(left: nn.Module, target: float | MultiplyAdds, here: Budget | None) -> tuple[nn.Module, Report]:
        return (here or budget_of(left)).share(target, rule, cascade)

    return steps()
