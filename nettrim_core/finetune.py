"""Masked retraining ("light retraining"): pruned weights stay exactly zero while the others learn again."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core.capture import device_at, run
from nettrim_core.masks import check_masks
from nettrim_core.problem import Settings, setting
from nettrim_core.rows import Labelled, Rows


@dataclass(frozen=True)
class Training(Settings):
    """How to retrain. adam: else SGD with momentum. cosine: the rate falls to zero over all epochs, else it stays.

    patience: stop after so many epochs without a lower validation loss.
    """

    epochs: int = setting(
        10, 1, 10_000, help="passes over the training rows, at most; each gives the weights more time"
    )
    rate: float = setting(
        1e-2, 0, 10, open=True, help="learning rate: how far a step moves the weights; too far, and they forget"
    )
    batch: int = setting(128, 1, 2**20, help="rows a step: few make many noisy steps, many make few steady ones")
    momentum: float = setting(0.9, 0, 1, help="momentum of SGD: how much of a step is carried into the next")
    adam: bool = setting(False, help="Adam, which scales each weight's step by itself, in place of SGD")
    cosine: bool = setting(True, help="let the learning rate fall to zero, so that the weights settle")
    patience: int = setting(5, 1, 10_000, help="epochs without a lower validation loss before it ends early")
    seed: int = setting(0, 0, 2**31 - 1, help="of the validation rows and of the order of the training rows")


@dataclass(frozen=True)
class Epoch:
    """One pass over the training rows; number 0 is the network before any. Losses are means over rows; accuracy is None
    for a regression. best: no epoch before had a lower validation loss."""

    number: int
    loss: float
    validation_loss: float
    validation_accuracy: float | None
    best: bool
    seconds: float


class FineTuning:
    """A retraining that runs as it is iterated over: an :class:`Epoch` at a time. ``model`` is the best network so far,
    at every moment; to stop is to stop asking. After an epoch, ``state()`` is all that the next one depends on: with it
    the retraining goes on from there, bit for bit."""

    def __init__(
        self, model: nn.Module, masks: Mapping[str, Tensor], data: Labelled, validation: Labelled, how: Training,
        state: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        there = device_at(model)
        self.data, self.validation = ((inputs.to(there), targets.to(there)) for inputs, targets in (data, validation))
        self.how, self.model = how, copy.deepcopy(model).eval()
        self._former = state
        if state is not None:
            self.model.load_state_dict(state["best"])
        check_masks(self.model, masks)
        masks = {name: mask.to(there) for name, mask in masks.items()}
        for name, mask in masks.items():
            if bool(self.model.get_parameter(name)[~mask].any()):
                raise ValueError(f"masks: {name!r} has weights that are not zero where its mask says they are")
        self.masks = masks
        self._state: Callable[[], dict[str, Any]] = dict

    def state(self) -> dict[str, Any]:
        """Nested dicts and lists of tensors and plain data, as they are now; empty before the first epoch."""
        return self._state()

    def __iter__(self) -> Iterator[Epoch]:
        how, started = self.how, time.perf_counter()
        model = copy.deepcopy(self.model)
        optimizer = (
            torch.optim.Adam(model.parameters(), lr=how.rate)
            if how.adam
            else torch.optim.SGD(model.parameters(), lr=how.rate, momentum=how.momentum)
        )
        inputs, targets = self.data
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, how.epochs * -(-len(inputs) // how.batch))
        generator = torch.Generator().manual_seed(how.seed)
        number, lowest, waited = 0, 0.0, 0

        def state() -> dict[str, Any]:
            return {
                "number": number, "lowest": lowest, "waited": waited, "best": self.model.state_dict(),
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
                "generator": generator.get_state(),
            }  # fmt: skip

        self._state = state
        if self._former is None:
            lowest, accuracy = self._judge(model)
            yield Epoch(0, self._loss(model), lowest, accuracy, True, time.perf_counter() - started)
        else:
            number, lowest, waited = (self._former[name] for name in ("number", "lowest", "waited"))
            model.load_state_dict(self._former["model"])
            optimizer.load_state_dict(copy.deepcopy(self._former["optimizer"]))
            schedule.load_state_dict(self._former["schedule"])
            generator.set_state(self._former["generator"])
        while number < how.epochs and waited < how.patience:
            number += 1
            started, total = time.perf_counter(), 0.0
            model.train()
            for rows in torch.randperm(len(inputs), generator=generator).split(how.batch):
                optimizer.zero_grad()
                loss = _loss(model(inputs[rows]), targets[rows])
                loss.backward()
                optimizer.step()
                self._hold(model)
                if how.cosine:
                    schedule.step()
                total += float(loss.detach()) * len(rows)
            model.eval()
            loss, accuracy = self._judge(model)
            best = loss < lowest
            if best:
                lowest, waited, self.model = loss, 0, copy.deepcopy(model)
            else:
                waited += 1
            yield Epoch(number, total / len(inputs), loss, accuracy, best, time.perf_counter() - started)

    def _hold(self, model: nn.Module) -> None:
        """Back to zero what momentum or weight decay has moved."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in self.masks:
                    parameter.masked_fill_(~self.masks[name], 0.0)

    def _loss(self, model: nn.Module) -> float:
        inputs, targets = self.data
        return float(_loss(run(model, inputs), targets))

    def _judge(self, model: nn.Module) -> tuple[float, float | None]:
        inputs, targets = self.validation
        outputs = run(model, inputs)
        accuracy = None if targets.is_floating_point() else float((outputs.argmax(1) == targets).double().mean())
        return float(_loss(outputs, targets)), accuracy


def finetune(
    model: nn.Module,
    masks: Mapping[str, Tensor],
    data: Rows,
    validation: float | Rows = 0.1,
    how: Training | None = None,
    state: Mapping[str, Any] | None = None,
) -> FineTuning:
    """Retrain a copy of ``model`` with masks held: iterate over what comes back, then take its ``model``.

    masks: parameter name -> bool of its shape, False where it stays zero, as :func:`nettrim_core.masks_of` gives them.
    data: (inputs, targets), class indices for cross-entropy, floats for the squared error. validation: the part of the
    rows to judge by, or rows of their own. state: of an earlier :class:`FineTuning` of the same, to go on from there;
    then ``model`` may have any weights. Raises ValueError for masks and data that do not fit.
    """
    how = how or Training()
    inputs, targets = _labelled(data, "data")
    if len(inputs) != len(targets) or len(inputs) < 2:
        raise ValueError(f"data has {len(inputs)} inputs and {len(targets)} targets; as many of each, at least 2")
    if isinstance(validation, tuple):
        return FineTuning(model, masks, (inputs, targets), _labelled(validation, "validation"), how, state)
    if not 0 < validation < 1:
        raise ValueError(f"validation = {validation!r} must be a fraction of the rows, between 0 and 1, or rows")
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(how.seed))
    count = min(max(round(validation * len(inputs)), 1), len(inputs) - 1)
    held, used = order[:count], order[count:]
    return FineTuning(model, masks, (inputs[used], targets[used]), (inputs[held], targets[held]), how, state)


def _labelled(rows: Rows, name: str) -> Labelled:
    inputs, targets = rows
    if targets is None:
        raise ValueError(f"{name} has no labels, and retraining needs something to learn: give (inputs, targets)")
    return inputs, targets


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return functional.mse_loss(outputs, targets)
    return functional.cross_entropy(outputs, targets)
