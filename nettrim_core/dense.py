"""A dense network, read once: its layers' problems, and what a pruned copy is compared with."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from nettrim_core.capture import (
    ROWS_AT_A_TIME,
    Sampling,
    Target,
    anatomy,
    columns_of,
    device_at,
    outputs_of,
    probe,
    run,
    sampling,
)
from nettrim_core.problem import LayerProblem, Method
from nettrim_core.refit import Refit
from nettrim_core.rows import Labelled, Rows

MAX_PATCHES = 10_000
MEMORY_LIMIT = 8e9  # bytes
TOP = 0.999  # of a layer's own epsilon
HELD = 3e8  # bytes of the dense network's outputs that are kept rather than computed for every point


class Dense:
    """A copy of a model in eval mode, and the problems of the layers to prune."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        layers: Sequence[str] | None = None,
        test: Rows | None = None,
        *,
        max_patches: int | None = MAX_PATCHES,
        seed: int = 0,
        memory_limit: float = MEMORY_LIMIT,
        batchnorm: str = "reestimate",
        scale: Mapping[str, float] | None = None,
    ) -> None:
        if batchnorm not in ("reestimate", "keep"):
            raise ValueError(f'batchnorm = {batchnorm!r} must be "reestimate" or "keep"')
        if max_patches is not None and max_patches < 1:
            raise ValueError(f"max_patches = {max_patches} must be at least 1, or None for all")
        self.model = copy.deepcopy(model).eval()
        self.seed, self.max_patches, self.memory_limit = seed, max_patches, memory_limit
        self.device = device_at(self.model)
        self.inputs = checked_inputs(inputs, "inputs").to(self.device)
        self.test = checked_labelled(test, self.device)
        self.probe = probe(self.model, self.inputs[:1])
        self.anatomy = anatomy(self.model, self.inputs[:2])
        self.selected = self._wanted(layers)
        self.scale = self._checked_scale(scale or {})
        self.check_memory()
        self.samplings = {
            t.name: sampling(t.layer(self.model), self.probe.calls[t.name], len(self.inputs), max_patches, seed)
            for t in self.selected
        }
        self.columns = columns_of(self.model, self.inputs, self.sampled(self.selected))
        self.has_norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.model.modules())
        self.reestimates = batchnorm == "reestimate" and len(self.inputs) > 1
        self._held: list[tuple[dict[str, list[Tensor]], Tensor]] = []
        self.accuracy_before = self.accuracy(self.model)

    def _wanted(self, layers: Sequence[str] | None) -> list[Target]:
        targets = {target.name: target for target in self.anatomy.targets}
        if layers is None:
            if not targets:
                raise ValueError("the model has no layer that can be pruned (Linear, Conv1d or Conv2d)")
            return list(targets.values())
        known = ", ".join(targets)
        if isinstance(layers, str):
            raise ValueError(f"layers must be a list of module names; got the string {layers!r}")
        reasons = dict(self.anatomy.skipped)
        for name in layers:
            if name not in targets:
                if name not in dict(self.model.named_modules()):
                    raise ValueError(f"layers: there is no module {name!r}; layers that can be pruned: {known}")
                raise ValueError(f"layers: {name!r} cannot be pruned: {reasons.get(name, 'has no weights of its own')}")
        if not layers:
            raise ValueError(f"layers is empty: name at least one of {known}")
        return [target for name, target in targets.items() if name in layers]

    def _checked_scale(self, scale: Mapping[str, float]) -> dict[str, float]:
        names = [target.name for target in self.selected]
        for name, factor in scale.items():
            if name not in names:
                raise ValueError(f"scale: there is no layer {name!r} among those to prune: {', '.join(names)}")
            if not 0 < factor < math.inf:
                raise ValueError(f"scale: {name!r} has the factor {factor!r}; it must be positive and finite")
        return dict(scale)

    def check_memory(self, method: Method | Refit | None = None, *, at_once: bool = False) -> None:
        """Raise ValueError where the columns of all layers, which are held together, and what a method needs for its
        largest layer, or for all at once, take more than the limit."""
        held, working = {}, {}
        for target in self.selected:
            size = self.probe.size(self.model, target, len(self.inputs), self.max_patches)
            width = target.layer(self.model).weight.element_size()
            held[target.name] = width * (size.held + size.samples * size.outputs)
            working[target.name] = 0 if method is None else method.memory(size)
        work = sum(working.values()) if at_once else max(working.values())
        total = sum(held.values()) + work
        if total > self.memory_limit:
            worst = max(held, key=lambda name: held[name] + working[name])
            solving = f" and {work / 1e9:.1f} GB for solving" if method is not None else ""
            raise ValueError(
                f"the layers on {len(self.inputs):,} samples take {total / 1e9:.1f} GB, {sum(held.values()) / 1e9:.1f} "
                f"GB of them for inputs and outputs{solving}, most of it for {worst!r}; the limit is "
                f"{self.memory_limit / 1e9:.1f} GB. Use fewer samples, fewer patches (max_patches; None keeps all and "
                "holds a convolution's images in their place) or fewer layers at a time, or raise memory_limit (on a "
                "server, [work] memory_mb)"
            )

    def stale_norms(self, pruned: Iterable[Target]) -> list[str]:
        """The batch norms that run after a pruned layer: their statistics are those of other signals then."""
        order = self.probe.order
        first = min(order.index(target.name) for target in pruned)
        norms = {
            name
            for name, module in self.model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
        }
        return [name for name in dict.fromkeys(order[first:]) if name in norms]

    def sampled(self, targets: Iterable[Target]) -> dict[str, tuple[Target, Sampling]]:
        return {target.name: (target, self.samplings[target.name]) for target in targets}

    def problem(self, target: Target) -> LayerProblem:
        """A layer's problem on the dense network's signals."""
        return target.problem(self.model, *self.columns[target.name])

    def outputs(self) -> Iterator[tuple[Tensor, dict[str, list[Tensor]], Tensor]]:
        """(inputs, outputs of the selected layers that count, output of the network), batch by batch."""
        batches = self.inputs.split(ROWS_AT_A_TIME)
        held = 0
        for i, rows in enumerate(batches):
            found = self._held[i] if i < len(self._held) else outputs_of(self.model, rows, self.selected)
            held += sum(Y.numel() * Y.element_size() for calls in found[0].values() for Y in calls)
            if i == len(self._held) and held <= HELD:
                self._held.append(found)
            yield rows, *found

    @torch.no_grad()
    def accuracy(self, model: nn.Module, rows: Labelled | None = None) -> float | None:
        """The part of the rows, or else of the test rows, whose largest output is their label; None without any."""
        rows = rows or self.test
        if rows is None:
            return None
        inputs, labels = rows
        return int((run(model, inputs).argmax(1) == labels).sum()) / len(labels)


def scaled(epsilon: float, factor: float) -> float:
    """A layer's own epsilon: that of all times its factor; where that is too much, a little below 1, and larger for
    larger epsilons, so that all layers have theirs in the same order."""
    own = factor * epsilon
    return own if own <= TOP else 1 - (1 - TOP) * (1 - epsilon)


def checked_inputs(inputs: Tensor, name: str) -> Tensor:
    """The same tensor; ValueError, by this name, unless it holds finite floats for at least one sample."""
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.ndim < 2:
        got = (
            f"a {inputs.dtype} tensor of shape {tuple(inputs.shape)}"
            if isinstance(inputs, Tensor)
            else type(inputs).__name__
        )
        raise ValueError(f"{name} must be a float tensor of shape (samples, ...); got {got}")
    if len(inputs) == 0:
        raise ValueError(f"{name} has no samples; at least 1 is needed")
    if bad := int((~torch.isfinite(inputs)).sum()):
        raise ValueError(f"{name} has {bad} NaN or infinite entries; every entry must be finite")
    return inputs.detach()


def checked_labelled(rows: Rows | None, device: torch.device, name: str = "test") -> Labelled | None:
    """Inputs and class indices on a device, None without labels; ValueError, by this name, for what is none."""
    if rows is None:
        return None
    pair = isinstance(rows, tuple | list) and len(rows) == 2
    if pair and rows[1] is None:
        checked_inputs(rows[0], f"{name} inputs")
        return None
    if not pair or not all(isinstance(part, Tensor) for part in rows):
        raise ValueError(f"{name} must be a pair of tensors, (inputs, labels); got {type(rows).__name__}")
    inputs, labels = rows
    assert labels is not None
    inputs = checked_inputs(inputs, f"{name} inputs")
    if labels.is_floating_point() or labels.shape != (len(inputs),):
        raise ValueError(
            f"{name} labels must be class indices, one for each of the {len(inputs)} {name} inputs; "
            f"got a {labels.dtype} tensor of shape {tuple(labels.shape)}"
        )
    return inputs.to(device), labels.to(device)
