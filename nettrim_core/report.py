"""What a pruning did, as plain data: the only thing that charts, tables and files read."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

Z95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


class Plain:
    """Base of frozen dataclasses whose fields are plain data."""

    def to_dict(self: Any) -> dict[str, Any]:
        """The fields by name; numbers that are not finite become None, which JSON can carry."""
        return finite(dataclasses.asdict(self))


@dataclass(frozen=True)
class LayerReport:
    """One pruned layer. Weights and biases are counted apart; zeros are exact zeros.

    discrepancy: ||act(U'X) - Y||_F / ||Y||_F on the layer's own problem (dense inputs; pruned ones in a cascade).
    epsilon, radius: the tolerance asked for, relative and absolute; in a cascade epsilon is radius / ||Y||_F.
    gap, violation: the certificate (relative duality gap, and violation relative to the radius); gap is None for
        methods that have none.
    solved_to: the tolerance on gap and violation this result was stopped at; more than the method's own ``tol`` while
        a better one is on its way.
    bound, error: promised and measured ||Y^ - Y||_F at this layer's output, inside the pruned network, on the
        calibration inputs; output_norm is ||Y||_F there. bound is None with the reason in notes.
    bound_is_estimate: the constraint saw only a sample of the layer's patches.
    discrepancy_kept: where batch norms were re-estimated after pruning, the discrepancy before that, which is the one
        that was promised; ``discrepancy`` is then the one after it.
    memory: bytes that the method stated, before it began, as its peak; None for methods that state none.
    l1, l1_before: the sum of the weights' sizes, biases left out, after and before.
    columns, columns_total: samples (patches of a convolution) the problem used, and how many there are.
    """

    name: str
    kind: str
    inputs: int
    outputs: int
    relu: bool
    weights: int
    weight_zeros: int
    dead_weights: int
    biases: int
    bias_zeros: int
    converged: bool
    discrepancy: float
    epsilon: float
    radius: float
    gap: float | None
    violation: float | None
    iterations: int | None
    seconds: float
    columns: int
    columns_total: int
    error: float
    output_norm: float
    bound: float | None
    bound_is_estimate: bool
    notes: list[str] = field(default_factory=list)
    solved_to: float | None = None
    memory: float | None = None
    discrepancy_kept: float | None = None
    l1: float | None = None
    l1_before: float | None = None

    @property
    def sparsity(self) -> float:
        """Zeros among the layer's weights, its bias left out."""
        return self.weight_zeros / self.weights

    @property
    def bias_sparsity(self) -> float:
        return self.bias_zeros / self.biases if self.biases else 0.0

    @property
    def held(self) -> float:
        """The discrepancy that epsilon speaks of: before batch norms were re-estimated."""
        return self.discrepancy if self.discrepancy_kept is None else self.discrepancy_kept


@dataclass(frozen=True)
class LayerShare:
    """What one layer gave to a common budget. size, zeros: weights and biases; asked: the zeros that were its share,
    which Net-Trim, whose zeros come with an epsilon, may exceed.

    weight: what the network's loss rises by for each unit of the layer's squared relative error, as probed. cost: what
    its zeros are expected to cost. paid, following: what a unit cost in the last piece of its curve that was begun, and
    what the next one would; None where there is none. unit: how many of the budget's units one of its weights counts.
    """

    name: str
    size: int
    zeros: int
    asked: int
    locked: bool = False
    weight: float | None = None
    cost: float | None = None
    paid: float | None = None
    following: float | None = None
    unit: int = 1


@dataclass(frozen=True)
class Allocation:
    """How one budget was shared. target: as it was asked for; unit: what prices are of, a weight or a multiply-add;
    loss: what costs are in, None for rules that know none."""

    rule: str
    target: dict[str, float]
    unit: str
    loss: str | None
    shares: list[LayerShare]

    @property
    def price(self) -> float | None:
        """The multiplier of the budget: what the dearest unit cost that was given."""
        paid = [share.paid for share in self.shares if share.paid is not None]
        return max(paid) if paid else None

    @property
    def left(self) -> float:
        """The part of the layers' weights, or multiply-adds, that stays."""
        return sum(s.unit * (s.size - s.zeros) for s in self.shares) / sum(s.unit * s.size for s in self.shares)

    @property
    def uniform(self) -> float | None:
        """The one fraction of zeros at which the layers that are not locked would give as much as they were asked for
        together; None where all are."""
        free = [share for share in self.shares if not share.locked]
        return sum(s.unit * s.asked for s in free) / sum(s.unit * s.size for s in free) if free else None

    @property
    def sentences(self) -> list[str]:
        """What was decided and why, in words."""
        given = sum(share.zeros for share in self.shares)
        lines = []
        for share in sorted(self.shares, key=lambda share: -share.zeros):
            line = f"{share.name} gives {share.zeros / share.size:.1%} of its weights"
            line += f", {share.zeros / given:.0%} of all that are given" if given else ""
            if share.locked:
                line += "; it was locked there"
            elif share.paid is not None:
                line += f"; its last {self.unit} cost {share.paid:.2g}"
                line += "" if share.following is None else f", the next would cost {share.following:.2g}"
            lines.append(line + ".")
        if self.price is not None:
            cost = sum(share.cost or 0.0 for share in self.shares)
            lines.append(
                f"The loss is expected to rise by {cost:.2g}; every layer gave what was cheaper than {self.price:.2g} "
                f"a {self.unit}."
            )
        return lines

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Allocation:
        shares = [LayerShare(**_known(LayerShare, entry)) for entry in data["shares"]]
        return cls(**{**_known(cls, data), "shares": shares})


@dataclass(frozen=True)
class Retraining:
    """What retraining with the masks held did after the pruning that the rest of the report speaks of.

    rounds: of pruning and retraining, the last of which the report is of. epochs: passes over the rows in the last
    round; best: the one whose weights were kept; losses: on the validation rows. accuracy: on the rows that the
    report's is on, which is the one before retraining.
    """

    settings: dict[str, Any]
    rounds: int
    epochs: int
    best: int
    validation_loss_before: float
    validation_loss: float
    accuracy: float | None


@dataclass(frozen=True)
class Report:
    """A pruned network. ``sparsity`` is over the weights (not biases) of the pruned layers.

    network_weights, network_zeros: over every weight of the network, pruned or not, biases left out.
    accuracy figures are fractions of ``test_samples`` labelled samples, or None if none were given.
    output_error: ||Z^ - Z||_F / ||Z||_F of the network's outputs on the calibration inputs.
    batchnorm: "reestimate" or "keep", None for a network without batch norms. Where they were re-estimated, accuracy
        and output_error are those after it, accuracy_kept and output_error_kept those before, as are gap, violation,
        bound and error of the layers.
    allocation: how the layers shared one budget, where they did. retraining: what came after pruning, if anything did.
    """

    method: str
    settings: dict[str, Any]
    cascade: dict[str, float] | None
    samples: int
    seed: int
    layers: list[LayerReport]
    skipped: list[tuple[str, str]]
    network_weights: int
    network_zeros: int
    output_error: float
    accuracy: float | None = None
    accuracy_before: float | None = None
    test_samples: int = 0
    batchnorm: str | None = None
    accuracy_kept: float | None = None
    output_error_kept: float | None = None
    allocation: Allocation | None = None
    retraining: Retraining | None = None

    @property
    def sparsity(self) -> float:
        return sum(layer.weight_zeros for layer in self.layers) / sum(layer.weights for layer in self.layers)

    @property
    def bias_sparsity(self) -> float:
        """Zeros among the biases of the pruned layers."""
        biases = sum(layer.biases for layer in self.layers)
        return sum(layer.bias_zeros for layer in self.layers) / biases if biases else 0.0

    @property
    def network_sparsity(self) -> float:
        return self.network_zeros / self.network_weights

    @property
    def converged(self) -> bool:
        return all(layer.converged for layer in self.layers)

    @property
    def rough(self) -> bool:
        """Is this an early answer, solved more coarsely than the method's own tolerance?"""
        tol = self.settings.get("tol")
        return tol is not None and any(layer.solved_to is not None and layer.solved_to > tol for layer in self.layers)

    @property
    def seconds(self) -> float:
        return sum(layer.seconds for layer in self.layers)

    @property
    def accuracy_interval(self) -> tuple[float, float] | None:
        """95 % interval of the accuracy after pruning."""
        return None if self.accuracy is None else wilson(self.accuracy, self.test_samples)

    @property
    def accuracy_before_interval(self) -> tuple[float, float] | None:
        return None if self.accuracy_before is None else wilson(self.accuracy_before, self.test_samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite become None, which JSON can carry."""
        data = dataclasses.asdict(self)
        data |= {
            "sparsity": self.sparsity,
            "sparsity_denominator": "weights of the pruned layers, biases left out",
            "bias_sparsity": self.bias_sparsity,
            "network_sparsity": self.network_sparsity,
            "network_sparsity_denominator": "all matrices and kernels of weights, biases left out",
            "accuracy_interval": self.accuracy_interval,
            "accuracy_before_interval": self.accuracy_before_interval,
        }
        if self.allocation is not None:
            data["allocation"] |= {"price": self.allocation.price, "sentences": self.allocation.sentences}
        for layer, entry in zip(self.layers, data["layers"], strict=True):
            entry |= {"sparsity": layer.sparsity, "bias_sparsity": layer.bias_sparsity}
        return finite(data)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=1, allow_nan=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """The report that :meth:`to_dict` wrote; derived entries are recomputed, not read."""
        layers = [LayerReport(**_known(LayerReport, entry)) for entry in data["layers"]]
        skipped = [(name, reason) for name, reason in data["skipped"]]
        shared = data.get("allocation")
        allocation = None if shared is None else Allocation.from_dict(shared)
        tuned = data.get("retraining")
        retraining = None if tuned is None else Retraining(**_known(Retraining, tuned))
        parts = {"layers": layers, "skipped": skipped, "allocation": allocation, "retraining": retraining}
        return cls(**_known(cls, data) | parts)


def wilson(fraction: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion seen in n trials (E. B. Wilson, JASA 22, 1927)."""
    centre = (fraction + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(fraction * (1 - fraction) / n + Z95**2 / (4 * n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _known(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {f.name for f in dataclasses.fields(cls)}
    return {key: value for key, value in data.items() if key in names}


def finite(value: Any) -> Any:
    """The same plain data, with None for numbers that are not finite, which JSON cannot carry."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value
