"""Accuracy class by class, of a dense network and of the one it became."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from nettrim_core.evaluate import Share
from nettrim_core.report import wilson


@dataclass(frozen=True)
class ClassAccuracy:
    """The samples of one class, and the parts of them that the dense and the pruned network get right."""

    label: int
    samples: int
    dense: Share
    pruned: Share


def by_class(old: Tensor, new: Tensor, labels: Tensor) -> list[ClassAccuracy]:
    """Each class that has samples, in order: the part of them that is right in ``old`` and in ``new``, the predicted
    classes of the dense and the pruned network, each (samples,) as the labels.

    Raises ValueError where the three differ in shape or are no vectors of at least one entry.
    """
    shapes = tuple(old.shape), tuple(new.shape), tuple(labels.shape)
    if labels.ndim != 1 or len(labels) == 0 or len(set(shapes)) > 1:
        raise ValueError(f"old, new and labels must be vectors of equal length, at least 1; got shapes {shapes}")
    found = []
    for label in labels.unique().tolist():
        here = labels == label
        count = int(here.sum())
        dense, pruned = (_share(int((given[here] == label).sum()), count) for given in (old, new))
        found.append(ClassAccuracy(int(label), count, dense, pruned))
    return found


def _share(right: int, count: int) -> Share:
    return Share(right / count, *wilson(right / count, count))
