"""What came out of a recipe, so that another run can be held against it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nettrim_core import environment
from nettrim_core.report import Plain, Report
from nettrim_core.state import own_copy, state_of


@dataclass(frozen=True)
class MadeLayer(Plain):
    """zeros: among the weights, biases left out; mask: digest of where they are. gap: None without a certificate."""

    name: str
    zeros: int
    mask: str
    discrepancy: float
    gap: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().to_dict().items() if value is not None}


@dataclass(frozen=True)
class Made:
    """weights: digest of the state dict as it is exported; inputs: of the calibration inputs. threads: torch's, on
    which the last bits of a sum depend. accuracy: on the test rows, after any retraining; None without labels."""

    weights: str
    inputs: str
    machine: str
    threads: int
    versions: Mapping[str, str]
    sparsity: float
    layers: tuple[MadeLayer, ...]
    accuracy: float | None = None

    @classmethod
    def of(cls, model: nn.Module, report: Report, inputs: Tensor) -> Made:
        """What has just come out, here."""
        state = state_of(own_copy(model))
        layers = tuple(
            MadeLayer(
                entry.name, entry.weight_zeros, digest({"mask": state[f"{entry.name}.weight"] != 0}), entry.held,
                entry.gap,
            )
            for entry in report.layers
        )  # fmt: skip
        accuracy = report.accuracy if report.retraining is None else report.retraining.accuracy
        return cls(
            digest(state), digest({"inputs": inputs}), environment.machine(), torch.get_num_threads(),
            environment.versions(), report.sparsity, layers, accuracy,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data |= {"versions": dict(self.versions), "layers": [layer.to_dict() for layer in self.layers]}
        return {key: value for key, value in data.items() if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Made:
        layers = tuple(MadeLayer(**layer) for layer in data["layers"])
        return cls(**{**data, "layers": layers})


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Of names, shapes, types and bits, in the order of the names."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tuple(value.shape)} {value.dtype} ".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return found.hexdigest()


def differences(former: Made, now: Made) -> Iterator[str]:
    """A sentence on everything that differs, or may be why something does."""
    yield from _of_layers(former, now)
    if former.accuracy is not None and now.accuracy is not None:
        yield f"Accuracy on the test rows was {former.accuracy:.2%} and is {now.accuracy:.2%}."
    if former.inputs != now.inputs:
        yield "The calibration inputs differ: their rows are drawn by torch's generator, which may have changed."
    yield from _of_place(former, now)


def _of_layers(former: Made, now: Made) -> Iterator[str]:
    found = {layer.name: layer for layer in now.layers}
    for old in former.layers:
        new = found.get(old.name)
        if new is None:
            yield f"{old.name} was pruned, and is not now."
            continue
        zeros = f"{new.zeros:,} zeros, {old.zeros:,} before"
        if old.zeros == new.zeros:
            where = "in the same" if old.mask == new.mask else "as before, not all in the same"
            zeros = f"{new.zeros:,} zeros {where} places"
        line = f"{old.name}: {zeros}; discrepancy {new.discrepancy:.6g}, {old.discrepancy:.6g} before"
        if old.gap is not None and new.gap is not None:
            line += f"; certified to a gap of {new.gap:.1g}, {old.gap:.1g} before"
        yield f"{line}."


def _of_place(former: Made, now: Made) -> Iterator[str]:
    for name, version in now.versions.items():
        if former.versions.get(name) != version:
            yield f"{name} was {former.versions.get(name, 'not named')} and is {version}."
    if former.machine != now.machine:
        yield f"The machine was {former.machine} and is {now.machine}."
    if former.threads != now.threads:
        yield f"There were {former.threads} threads and are {now.threads}."
