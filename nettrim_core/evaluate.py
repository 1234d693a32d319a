"""What a network is worth beyond its accuracy, alone and beside the dense network it was pruned from.

All figures are computed in float64 from outputs of copies in eval mode; the models themselves are never touched.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from nettrim_core.capture import device_at, run
from nettrim_core.dense import checked_inputs
from nettrim_core.problem import frobenius
from nettrim_core.report import finite, wilson
from nettrim_core.rows import Rows

NOISE = (0.0, 0.5, 1.0, 2.0, 4.0)  # relative norms of the noise
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@dataclass(frozen=True)
class Share:
    """The part of the samples for which something holds, with Wilson's 95 % interval."""

    value: float
    low: float
    high: float


Curve = tuple[tuple[float, Share], ...]  # (relative norm of the noise, part of right answers)


@dataclass(frozen=True)
class Changes:
    """The samples whose predicted class is not the dense network's: their indices, the old class and the new.

    lost, won, wrong: the indices that became wrong, became right, and stayed wrong with another class; None without
    labels, as is p_value, the two-sided p-value of McNemar's exact test: were a lost and a won sample equally likely,
    a split at least this uneven would be seen so often (Q. McNemar, Psychometrika 12, 1947).
    """

    indices: tuple[int, ...]
    old: tuple[int, ...]
    new: tuple[int, ...]
    lost: tuple[int, ...] | None = None
    won: tuple[int, ...] | None = None
    wrong: tuple[int, ...] | None = None
    p_value: float | None = None

    @property
    def counts(self) -> dict[str, int | None]:
        """How many changed, and how many of them are lost, won and wrong."""
        parts = {"changed": self.indices, "lost": self.lost, "won": self.won, "wrong": self.wrong}
        return {name: None if part is None else len(part) for name, part in parts.items()}


@dataclass(frozen=True)
class Evaluation:
    """What :func:`evaluate` measured; None for what the data, or the lack of a dense network, cannot tell.

    Classification: accuracy; top5, where there are more than 5 classes: the label is among the 5 largest outputs
        (equal ones rank by index, as for argmax); cross_entropy, its mean in nats, of outputs taken as logits.
    Regression, f for outputs and t for targets: squared_error, the mean of (f - t)^2; relative_error,
        ||f - t||_F / ||t||_F; r2, 1 - ||f - t||_F^2 / ||t - m||_F^2 with m each output's mean target, None where the
        targets do not vary.
    Against the dense network, Z for its outputs: output_error, ||Z^ - Z||_F / ||Z||_F; for outputs that are classes
        agreement, the part of the samples with the same argmax; divergence, KL(dense || pruned), its mean in nats;
        and the changes.
    noise, noise_dense: accuracy of the network and the dense one on the same noisy inputs; without labels, agreement
        with what the dense network says without noise.
    """

    samples: int
    accuracy: Share | None = None
    top5: Share | None = None
    cross_entropy: float | None = None
    squared_error: float | None = None
    relative_error: float | None = None
    r2: float | None = None
    output_error: float | None = None
    agreement: Share | None = None
    divergence: float | None = None
    changes: Changes | None = None
    noise: Curve = ()
    noise_dense: Curve = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the counts of the changes among it; numbers that are not finite become None."""
        data = dataclasses.asdict(self)
        if self.changes is not None:
            data["changes"]["counts"] = self.changes.counts
        return finite(data)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)


def evaluate(
    model: nn.Module,
    data: Tensor | Rows,
    dense: nn.Module | None = None,
    *,
    seed: int = 0,
    noise: Sequence[float] = NOISE,
) -> Evaluation:
    """Measure ``model`` on data, and against the ``dense`` network where one is given.

    data: (inputs, targets), class indices (samples,) for a classification, floats shaped like the outputs for a
    regression; or inputs alone, or with None in place of targets, which needs ``dense``. Outputs (samples, two or more)
    are classes unless the targets say otherwise. noise: norms of Gaussian noise drawn with ``seed`` (see
    :func:`noisy`), for networks with classes; () leaves it out.

    Raises ValueError for data that is empty, not finite or does not fit the model, for targets of a wrong type, shape
    or range, for noise that is no norm, and where there is nothing to compare with.
    """
    inputs, targets = _parted(data)
    levels = _norms(noise)
    if targets is None and dense is None:
        raise ValueError("data has inputs alone and dense is None; give targets, or a dense network to compare with")
    networks = [_outputs_of(net, name) for net, name in ((model, "model"), (dense, "dense")) if net is not None]
    Z_hat, *others = (outputs(inputs) for outputs in networks)
    targets = None if targets is None else _checked_targets(targets, Z_hat)
    regression = targets is not None and targets.is_floating_point()
    classes = Z_hat.ndim == 2 and Z_hat.shape[1] > 1 and not regression
    found: dict[str, Any] = {}
    if targets is not None:
        found |= _regression(Z_hat, targets) if regression else _classification(Z_hat, targets)
    for Z in others:
        if Z.shape != Z_hat.shape:
            raise ValueError(f"dense gives outputs of shape {tuple(Z.shape)}; must be model's, {tuple(Z_hat.shape)}")
        found |= _against(Z_hat, Z, targets, classes)
    if classes:
        right = others[0].argmax(1) if targets is None else targets
        for name, outputs in zip(("noise", "noise_dense"), networks, strict=False):
            found[name] = tuple((s, _share(outputs(noisy(inputs, s, seed)).argmax(1) == right)) for s in levels)
    return Evaluation(len(inputs), **found)


def noisy(inputs: Tensor, norm: float, seed: int = 0) -> Tensor:
    """x + norm ||x|| n / ||n|| for every sample x, with n standard normal, drawn with ``seed``: the same directions at
    every norm, and of exactly this norm relative to the sample's (Aghasi, Abdi, Romberg 2020, arXiv 1806.06457)."""
    n = torch.randn(inputs.shape, dtype=inputs.dtype, generator=torch.Generator().manual_seed(seed))
    size, length = (torch.linalg.vector_norm(t.flatten(1), dim=1, dtype=torch.float64) for t in (inputs, n))
    scale = (norm * size / length).to(inputs.dtype)
    return inputs + scale.reshape(-1, *[1] * (inputs.ndim - 1)) * n


def _classification(Z: Tensor, labels: Tensor) -> dict[str, Any]:
    ranked = Z.sort(dim=1, descending=True, stable=True).indices
    hits = ranked[:, :5] == labels[:, None]
    return {
        "accuracy": _share(Z.argmax(1) == labels),
        "top5": _share(hits.any(1)) if Z.shape[1] > 5 else None,
        "cross_entropy": float(cross_entropy(Z, labels)),
    }


def _regression(f: Tensor, t: Tensor) -> dict[str, Any]:
    error = frobenius(f - t)
    varies = bool((t != t[:1]).any())  # asked of the targets themselves: a rounded mean would leave a little
    left = _ratio(error, frobenius(t - t.mean(0))) if varies else None
    return {
        "squared_error": error * error / t.numel(),
        "relative_error": _ratio(error, frobenius(t)),
        "r2": None if left is None else 1 - left * left,
    }


def _against(Z_hat: Tensor, Z: Tensor, labels: Tensor | None, classes: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"output_error": _ratio(frobenius(Z_hat - Z), frobenius(Z))}
    if classes:
        old, new = Z.argmax(1), Z_hat.argmax(1)
        found["agreement"] = _share(old == new)
        found["divergence"] = divergence(Z_hat, Z)
        found["changes"] = _changes(old, new, labels)
    return found


def divergence(Z_hat: Tensor, Z: Tensor) -> float:
    """The mean over samples of KL(softmax Z || softmax Z^), in nats: what it costs to take one for the other."""
    p, q = log_softmax(Z.double(), 1), log_softmax(Z_hat.double(), 1)
    return float(kl_div(q, p, reduction="batchmean", log_target=True))


def _changes(old: Tensor, new: Tensor, labels: Tensor | None) -> Changes:
    def where(mask: Tensor) -> tuple[int, ...]:
        return tuple(mask.nonzero()[:, 0].tolist())

    changed = old != new
    seen = where(changed), tuple(old[changed].tolist()), tuple(new[changed].tolist())
    if labels is None:
        return Changes(*seen)
    lost, won = where(changed & (old == labels)), where(changed & (new == labels))
    wrong = where(changed & (old != labels) & (new != labels))
    both = len(lost) + len(won)
    return Changes(*seen, lost, won, wrong, float(binomtest(len(lost), both).pvalue) if both else 1.0)


def _share(holds: Tensor) -> Share:
    value = int(holds.sum()) / len(holds)
    return Share(value, *wilson(value, len(holds)))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _outputs_of(model: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    """Inputs -> outputs in float64 of a copy of the model in eval mode, checked."""
    model = copy.deepcopy(model).eval()
    device = device_at(model)

    def outputs(inputs: Tensor) -> Tensor:
        shape = f"inputs of shape {tuple(inputs.shape)}"
        try:
            Z = run(model, inputs.to(device)).cpu().double()
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{name} cannot be run on {shape}: {error}") from error
        if len(Z) != len(inputs):
            raise ValueError(f"{name} gives outputs of shape {tuple(Z.shape)} on {shape}; it must give one a sample")
        if bad := int((~torch.isfinite(Z)).sum()):
            raise ValueError(f"{name} gives {bad} NaN or infinite outputs on {shape}; every one must be finite")
        return Z

    return outputs


def _parted(data: Tensor | Rows) -> tuple[Tensor, Tensor | None]:
    """(checked inputs, targets or None), on the CPU."""
    if isinstance(data, Tensor):
        return checked_inputs(data, "inputs").cpu(), None
    if not isinstance(data, tuple | list) or len(data) != 2 or not isinstance(data[1], Tensor | None):
        raise ValueError(f"data must be a tensor of inputs or a pair of tensors (inputs, targets); got {data!r:.60}")
    inputs, targets = data
    return checked_inputs(inputs, "inputs").cpu(), None if targets is None else targets.detach().cpu()


def _checked_targets(targets: Tensor, Z: Tensor) -> Tensor:
    """int64 labels that fit the outputs, or float64 targets of their shape."""
    got = f"got a {targets.dtype} tensor of shape {tuple(targets.shape)}"
    if targets.is_floating_point():
        if Z.shape not in (targets.shape, (*targets.shape, 1)):
            raise ValueError(f"targets that are floats must have the outputs' shape {tuple(Z.shape)}; {got}")
        if bad := int((~torch.isfinite(targets)).sum()):
            raise ValueError(f"targets has {bad} NaN or infinite entries; every entry must be finite")
        return targets.double().reshape(Z.shape)
    if targets.dtype not in INTEGERS or targets.shape != (len(Z),):
        raise ValueError(f"targets must be floats or class indices, one for each of the {len(Z)} inputs; {got}")
    if Z.ndim != 2 or Z.shape[1] < 2:
        raise ValueError(f"targets are class indices; outputs must be (samples, 2 or more), got {tuple(Z.shape)}")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= Z.shape[1]:
        raise ValueError(f"targets must be from 0 to {Z.shape[1] - 1}, one class an output; got {low} to {high}")
    return targets.long()


def _norms(noise: Sequence[float]) -> tuple[float, ...]:
    try:
        levels = tuple(float(norm) for norm in noise)
    except (TypeError, ValueError):
        levels = (math.nan,)
    if not all(0 <= norm < math.inf for norm in levels):
        raise ValueError(f"noise = {noise!r} must hold relative norms, finite numbers of at least 0, or be ()")
    return levels
