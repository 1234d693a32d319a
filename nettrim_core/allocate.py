"""One budget for a whole network: how many weights each layer gives.

Every layer has a curve: what its response error e, relative, is at every number of zeros. A layer's error is put into
the unit of all by a weight from a probe of the network's loss, prune this layer alone and see: loss = weight e^2. The
lower convex hulls of the curves weight e^2, over zeros or over multiply-adds, are then taken piece by piece in the
order of their slopes, the cheapest first, until the target is met. At the end of a piece no other choice among the
curves' points costs less for the same budget.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from nettrim_core.assemble import assemble
from nettrim_core.capture import Target, reestimate, run
from nettrim_core.cascade import Cascade
from nettrim_core.dense import MAX_PATCHES, MEMORY_LIMIT, checked_labelled
from nettrim_core.evaluate import divergence
from nettrim_core.layers import weights_of
from nettrim_core.network import Network
from nettrim_core.pattern import FREE
from nettrim_core.problem import Method, Settings, check_sparsity, discrepancy, frobenius, measured, setting
from nettrim_core.prune import named
from nettrim_core.report import Allocation, LayerShare, Report
from nettrim_core.rows import Labelled, Rows
from nettrim_core.shares import RULES, Counts, Family, Sharer, along

PROBED = (0.05, 0.3)  # relative errors of a layer at which the network's loss is looked at
STEPS = 40  # of bisection, where nothing has to be run
LOOKS = 10  # networks that are run to find the sparsest one within an accuracy
EXACT = 1e-9  # a part of a number of rows is this near to a whole number, or none
LEAST = 1e-12  # a weight may not vanish: a layer whose loss is not felt still prefers small errors


@dataclass(frozen=True)
class AccuracyDrop(Settings):
    """A target: the most zeros at which the accuracy on the validation rows is at most ``drop`` below the dense one."""

    drop: float = setting(0.01, 0, 1, help="allowed loss of accuracy, as a fraction")


@dataclass(frozen=True)
class MultiplyAdds(Settings):
    """A target: the layers' multiply-adds come down to this part of those of the dense network."""

    left: float = setting(0.1, 0, 1, help="fraction of the multiply-adds that stay")


Wanted = float | AccuracyDrop | MultiplyAdds
TARGETS: dict[str, Callable[[float], Wanted]] = {"sparsity": float, "left": MultiplyAdds, "drop": AccuracyDrop}


def target_to(target: Wanted) -> dict[str, float]:
    """A target as plain data: ``{"sparsity": 0.9}``, ``{"left": 0.1}`` or ``{"drop": 0.01}``."""
    return {"sparsity": float(target)} if isinstance(target, float | int) else dataclasses.asdict(target)


def target_of(data: Mapping[str, float]) -> Wanted:
    """The target that :func:`target_to` wrote down; ValueError for anything else."""
    if len(data) != 1 or not set(data) <= set(TARGETS):
        raise ValueError(f"a target is one of {', '.join(TARGETS)}; got {', '.join(data) or 'none'}")
    ((name, value),) = data.items()
    return TARGETS[name](value)


def allocate(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    target: Wanted = 0.9,
    *,
    rule: str = "hull",
    layers: Sequence[str] | None = None,
    locked: Mapping[str, float] | None = None,
    cascade: bool | Cascade = False,
    validation: Rows | None = None,
    test: Rows | None = None,
    loss: str = "auto",
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
    batchnorm: str = "reestimate",
) -> tuple[nn.Module, Report]:
    """A pruned copy of ``model`` and the report, as :func:`nettrim_core.prune`, with one budget for all layers; the
    report's ``allocation`` says what each gave and at what price.

    target: a fraction of zeros, over the weights and biases of the layers; an :class:`AccuracyDrop`, which needs
    ``validation`` rows; or :class:`MultiplyAdds`. rule: "hull" (see the module), or a baseline: "uniform", the same
    fraction in every layer; "erk", a density in proportion to (inputs + outputs + kernel sides) / their product (Evci
    et al., ICML 2020); "lamp", one threshold on w^2 over the sum of squares of those in its layer not smaller (Lee et
    al., ICLR 2021); "magnitude", one threshold on |w|. layers: which to prune; locked: fractions of zeros of layers
    that are not to be asked, 0 to leave one as it is. loss: what the probe looks at, "kl" for classes, the divergence
    from the dense network's outputs as logits, or "squared", the relative squared error of the outputs; "auto" takes
    the first for outputs of two or more columns. Labels are needed for an accuracy only.

    Raises ValueError as :func:`nettrim_core.prune`, and for a target that is none or cannot be reached.
    """
    check_target(target, rule)
    chosen = named(method)[1]
    network = Network(
        model, inputs, layers, test,
        max_patches=max_patches, seed=seed, memory_limit=memory_limit, batchnorm=batchnorm,
    )  # fmt: skip
    return Budget(network, chosen, locked, loss).share(target, rule, cascade, validation)


def check_target(target: object, rule: str) -> None:
    """Raise ValueError for a target or a rule that is none."""
    if rule not in RULES:
        raise ValueError(f"rule = {rule!r} is not one of {', '.join(RULES)}")
    if isinstance(target, int | float) and not isinstance(target, bool):
        check_sparsity(target)
    elif not isinstance(target, AccuracyDrop | MultiplyAdds):
        raise ValueError(f"target = {target!r} must be a fraction of zeros, an AccuracyDrop or MultiplyAdds")


@dataclass(frozen=True)
class Offer:
    """What a probed layer has to offer. weight: of its squared error; points: (zeros, weight e^2)."""

    weight: float
    points: list[tuple[int, float]]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Offer:
        return cls(float(data["weight"]), [(int(zeros), float(cost)) for zeros, cost in data["points"]])


class Budget:
    """A network whose layers share a budget, for any number of targets and rules: what the layers' curves and probes
    cost is paid once. locked and loss are as for :func:`allocate`."""

    def __init__(
        self, network: Network, method: Method, locked: Mapping[str, float] | None = None, loss: str = "auto"
    ) -> None:
        self.network, self.method, self.loss = network, method, loss
        self.locked = self._checked_locks(locked or {})
        if loss not in ("auto", "kl", "squared"):
            raise ValueError(f'loss = {loss!r} must be "auto", "kl" or "squared"')
        if (pattern := getattr(method, "pattern", FREE)) != FREE:
            raise ValueError(f"pattern = {pattern!r} fixes what each layer gives; a budget needs {FREE!r}")
        network.check_memory(method, at_once=True)
        self.problems = {target.name: network.problem(target) for target in network.selected}
        self.curves = {name: method.curve(problem) for name, problem in self.problems.items()}
        self._offers: dict[str, Offer] = {}

    def _checked_locks(self, locked: Mapping[str, float]) -> dict[str, float]:
        self.network.check_names(locked)
        for sparsity in locked.values():
            check_sparsity(sparsity)
        if set(locked) == {target.name for target in self.network.selected}:
            raise ValueError("locked holds every layer: nothing is left to allocate")
        return dict(locked)

    def relocked(self, locked: Mapping[str, float]) -> Budget:
        """The same with other layers locked; curves and probes stay common to both."""
        other = copy.copy(self)
        other.locked = self._checked_locks(locked)
        return other

    def share(
        self,
        target: Wanted,
        rule: str = "hull",
        cascade: bool | Cascade = False,
        validation: Rows | None = None,
    ) -> tuple[nn.Module, Report]:
        """The pruned network and its report, as :func:`allocate` gives them."""
        self.check(target, rule)
        rows = checked_labelled(validation, self.network.device, "validation")
        if isinstance(target, AccuracyDrop) and rows is None:
            raise ValueError("target is an AccuracyDrop: give validation rows, (inputs, labels), to measure it on")
        layers = self._sharers(rule, isinstance(target, MultiplyAdds))
        family = RULES[rule](list(layers.values()))

        def pruned_to(counts: Counts) -> tuple[nn.Module, Report]:
            return self._solved(layers, counts, cascade)

        if isinstance(target, AccuracyDrop):
            assert rows is not None
            counts = family(self._kept(target.drop, rows, lambda part: pruned_to(family(part))[0]))
        else:
            counts = self._met(target, layers, family)
        pruned, report = pruned_to(counts)
        return pruned, dataclasses.replace(report, allocation=self._explained(target, rule, layers, counts, report))

    def check(self, target: Wanted, rule: str) -> None:
        """Raise ValueError for a target that is none, and for one of zeros or multiply-adds that the layers which are
        not locked cannot meet."""
        check_target(target, rule)
        if not isinstance(target, AccuracyDrop):
            layers = self._sharers("uniform", isinstance(target, MultiplyAdds))
            self._met(target, layers, RULES["uniform"](list(layers.values())))

    def _solved(
        self, layers: Mapping[str, Sharer], counts: Counts, cascade: bool | Cascade
    ) -> tuple[nn.Module, Report]:
        """The network with so many zeros in each layer."""
        shares = {name: zeros / layer.size for (name, layer), zeros in zip(layers.items(), counts, strict=True)}
        if cascade:
            return self.network.at(self.method, shares, cascade)
        solved = {}
        for name, share in shares.items():
            problem = self.problems[name]
            result = self.curves[name].at(share) if share else measured(problem, problem.W, 0.0)
            solved[name] = problem, result
        return assemble(self.network, self.method, solved, None)

    @cached_property
    def judge(self) -> tuple[str, Judge]:
        """What a loss is, and the way to it from a pruned network."""
        return _judge(self.network, self.loss)

    @property
    def offers(self) -> dict[str, Offer]:
        """Of every layer that is not locked."""
        return {target.name: self.offer(target) for target in self.asked}

    @property
    def asked(self) -> list[Target]:
        """The layers that are not locked."""
        return [target for target in self.network.selected if target.name not in self.locked]

    def offer(self, target: Target) -> Offer:
        """Of one layer, looked at once: prune it alone and see."""
        if target.name not in self._offers:
            self._offers[target.name] = self._probed(target, self.judge[1])
        return self._offers[target.name]

    def recall(self, offers: Mapping[str, Offer]) -> None:
        """Take in offers of the same layers, method and loss that were made before, in place of making them again."""
        self._offers |= offers

    def alone(self, name: str, sparsities: Iterable[float]) -> Iterator[tuple[nn.Module, Report]]:
        """As :meth:`Network.alone`, on the layer's curve that is here."""
        for sparsity in sparsities:
            yield assemble(
                self.network, self.method, {name: (self.problems[name], self.curves[name].at(sparsity))}, None
            )

    def _probed(self, target: Target, judge: Judge) -> Offer:
        seen = []
        for result in self.curves[target.name].points():
            error = discrepancy(self.problems[target.name], result.U)
            if math.isfinite(error):
                seen.append((int((result.U == 0).sum()), error, result.U))
        (low, high), middle = PROBED, math.sqrt(math.prod(PROBED))
        felt = sorted((entry for entry in seen if entry[1] > 0), key=lambda entry: abs(math.log(entry[1] / middle)))
        probes = [entry for entry in felt if low <= entry[1] <= high] or felt[:1]
        losses = [judge(self._pruned({target: U})) / error**2 for _, error, U in probes]
        weight = max(sum(losses) / len(losses), LEAST) if losses else LEAST
        return Offer(weight, [(zeros, weight * error**2) for zeros, error, _ in seen])

    def _pruned(self, weights: Mapping[Target, Tensor]) -> nn.Module:
        """A copy of the network with these weights, and its batch norms as they will be."""
        pruned = copy.deepcopy(self.network.model)
        for target, U in weights.items():
            target.write(pruned, U)
        if self.network.reestimates and (stale := self.network.stale_norms(weights)):
            reestimate(pruned, stale, self.network.inputs)
        return pruned

    def _sharers(self, rule: str, by_calls: bool) -> dict[str, Sharer]:
        """by_calls: a weight counts as often as it is used for one input of the network."""
        layers = {}
        for target in self.network.selected:
            name, layer = target.name, target.layer(self.network.model)
            W = weights_of(layer)  # without a batch norm's scale, as the rules on sizes are published
            layers[name] = Sharer(
                W,
                layer.weight.shape,
                sum(call.positions for call in self.network.probe.calls[name]) if by_calls else 1,
                round(self.locked[name] * W.numel()) if name in self.locked else None,
                self.offer(target).points if rule == "hull" and name not in self.locked else (),
            )
        return layers

    def _met(self, target: float | MultiplyAdds, layers: Mapping[str, Sharer], family: Family) -> Counts:
        """The first of a family to meet a target on zeros or multiply-adds."""
        wanted = target.left if isinstance(target, MultiplyAdds) else 1 - target
        total = sum(layer.unit * layer.size for layer in layers.values())
        slack = 0.5 * min(layer.unit for layer in layers.values()) / total

        def left(part: float) -> float:
            given = zip(layers.values(), family(part), strict=True)
            return sum(layer.unit * (layer.size - zeros) for layer, zeros in given) / total

        if left(1.0) > wanted + slack:
            what = "multiply-adds" if isinstance(target, MultiplyAdds) else "weights"
            raise ValueError(
                f"target = {target!r} cannot be reached: with these layers locked, {left(1.0):.2%} of the {what} stay"
            )
        return family(1 - last(lambda part: left(1 - part) <= wanted + slack, STEPS))

    def _kept(self, drop: float, rows: Labelled, pruned: Callable[[float], nn.Module]) -> float:
        """The last part of a family found to keep an accuracy. pruned: from the part to its network."""
        count = len(rows[1])

        def right(model: nn.Module) -> int:
            return round((self.network.accuracy(model, rows) or 0.0) * count)

        needed = right(self.network.model) - math.floor(drop * count + EXACT)
        found = last(lambda part: right(pruned(part)) >= needed, LOOKS)
        if found == 0 and (kept := right(pruned(0.0))) < needed:
            raise ValueError(
                f"drop = {drop:g} cannot be reached: with what is locked alone {kept} of {count} validation rows are "
                f"right, and {needed} are needed"
            )
        return found

    def _explained(
        self, target: Wanted, rule: str, layers: Mapping[str, Sharer], counts: Counts, report: Report
    ) -> Allocation:
        shares = []
        for (name, layer), asked, entry in zip(layers.items(), counts, report.layers, strict=True):
            zeros = entry.weight_zeros + entry.bias_zeros
            share = LayerShare(name, layer.size, zeros, asked, layer.locked is not None, unit=layer.unit)
            if layer.points:
                cost, *slopes = along(layer.hull, asked)
                paid, following = (None if slope is None else slope / layer.unit for slope in slopes)
                weight = self._offers[name].weight
                share = dataclasses.replace(share, weight=weight, cost=cost, paid=paid, following=following)
            shares.append(share)
        return Allocation(
            rule,
            target_to(target),
            "multiply-add" if isinstance(target, MultiplyAdds) else "weight",
            self.judge[0] if rule == "hull" else None,
            shares,
        )


Judge = Callable[[nn.Module], float]


def _judge(network: Network, loss: str) -> tuple[str, Judge]:
    """The loss by its name, and from a pruned network to what it has lost of the dense one's outputs on the calibration
    inputs."""
    Z = run(network.model, network.inputs)
    if loss == "kl" or (loss == "auto" and Z.ndim == 2 and Z.shape[1] > 1):
        if Z.ndim != 2 or Z.shape[1] < 2:
            raise ValueError(f'loss = "kl" needs outputs (samples, 2 or more); got {tuple(Z.shape)}')
        return "kl", lambda pruned: divergence(run(pruned, network.inputs), Z)
    norm = frobenius(Z) or 1.0
    return "squared", lambda pruned: (frobenius(run(pruned, network.inputs) - Z) / norm) ** 2


def last(holds: Callable[[float], bool], steps: int) -> float:
    """The largest part of 0 .. 1 that bisection finds at which something holds; 0 if none."""
    if holds(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
