"""From a torch model to layer problems, and weights back.

What follows a layer is read from the model's graph. Its signals are taken by hooks while the model itself runs, batch
by batch, and turned into columns at once, so that a convolution's images are never held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nettrim_core.graph import Graph, Use, affine, read_graph
from nettrim_core.inputs import Inputs
from nettrim_core.layers import (
    Layer,
    groups_of,
    images_of,
    input_columns,
    is_layer,
    operator_norm,
    output_columns,
    patches_of,
    positions,
    weights_of,
    write_weights,
)
from nettrim_core.problem import GAMMA, LayerProblem, Size

ROWS_AT_A_TIME = 250


@dataclass(frozen=True, eq=False)
class Target:
    """A layer that can be pruned, and where its responses count: after the batch norm and the ReLU that follow it.

    calls: how often the model calls it. norm: the batch norm's name. note: something the report should say.
    """

    name: str
    calls: int
    norm: str | None
    relu: bool
    note: str = ""

    def layer(self, model: nn.Module) -> Layer:
        """The module of this name, in the model or in a copy of it."""
        module = model.get_submodule(self.name)
        assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
        return module

    def affine(self, model: nn.Module) -> tuple[Tensor, Tensor] | None:
        """(scale, shift) of the batch norm, (outputs,) each; None where there is none."""
        return None if self.norm is None else affine(model.get_submodule(self.norm))

    def weights(self, model: nn.Module) -> Tensor:
        """(N, M) the layer's weights, times the batch norm's scale (then in float64)."""
        W, after = weights_of(self.layer(model)), self.affine(model)
        return W if after is None else W.double() * after[0]

    def write(self, model: nn.Module, U: Tensor) -> None:
        """The inverse of :meth:`weights`. An output that the batch norm multiplies by zero has no weights."""
        layer, after = self.layer(model), self.affine(model)
        if after is not None:
            U = torch.where(after[0] != 0, U / after[0], torch.zeros_like(U))
        write_weights(layer, U.to(layer.weight.dtype))

    def activated(self, model: nn.Module, Y: Tensor) -> Tensor:
        """The outputs (M, P) that count, from those of the layer."""
        if (after := self.affine(model)) is not None:
            Y = (Y.double() * after[0][:, None] + after[1][:, None]).to(Y.dtype)
        return Y.relu() if self.relu else Y

    def problem(
        self, model: nn.Module, X: Inputs, Y: Tensor, pruned_inputs: bool = False, gamma: float | None = GAMMA,
        responses: Tensor | None = None,
    ) -> LayerProblem:  # fmt: skip
        """The layer's problem, given its inputs X and the outputs Y that count, as columns."""
        layer, after = self.layer(model), self.affine(model)
        try:
            return LayerProblem(
                X, Y, self.weights(model), self.relu, layer.bias is not None, pruned_inputs, gamma,
                None if after is None else after[1], groups_of(layer), responses,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"layer {self.name!r}: {error}") from error

    def norm_of(self, model: nn.Module, shape: torch.Size) -> float:
        """||.||_2 of the layer, times the batch norm's scale, on one input of this shape."""
        after = self.affine(model)
        return operator_norm(self.layer(model), shape, None if after is None else after[0])


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What of a model can be pruned: the targets in the order they are called, and everything else that has parameters
    with the reason why not. graph: None where it cannot be read."""

    targets: list[Target]
    skipped: list[tuple[str, str]]
    graph: Graph | None


def anatomy(model: nn.Module, example: Tensor) -> Anatomy:
    """Look at a model in eval mode. example: a few inputs."""
    graph = read_graph(model, example)
    if isinstance(graph, Graph):
        uses = graph.uses()
    else:
        note = f"treated as a linear layer: the model's graph cannot be read ({graph})"
        uses = {name: [Use(None, False, note)] * len(calls) for name, calls in probe(model, example).calls.items()}
    targets, skipped = [], []
    for name, module in model.named_modules():
        if not list(module.parameters(recurse=False)):
            continue
        reason = _reason(model, name, module, uses)
        if reason:
            skipped.append((name or "the model itself", reason))
    refused = {name for name, _ in skipped}
    for name, found in uses.items():
        if name not in refused:
            targets.append(_target(name, found))
    return Anatomy(targets, skipped, graph if isinstance(graph, Graph) else None)


def _target(name: str, uses: list[Use]) -> Target:
    norms, relus = {use.norm for use in uses}, {use.relu for use in uses}
    if len(norms) > 1:
        return Target(name, len(uses), None, False, "treated as a linear layer: its calls are normalised differently")
    note = next((use.note for use in uses if use.note), "")
    return Target(name, len(uses), norms.pop(), relus == {True}, note)


def _reason(model: nn.Module, name: str, module: nn.Module, uses: dict[str, list[Use]]) -> str:
    """Why a module's own parameters are left alone; "" for a layer that can be pruned."""
    kind = type(module).__name__
    parts = name.split(".")
    for parent in (model.get_submodule(".".join(parts[:i])) for i in range(1, len(parts))):
        if _runs_as_one(parent):
            around = type(parent).__name__
            return f"inside {around}, which runs as one: attention and recurrent layers are not supported"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch norm: it is folded into the layer before it while that is pruned, and stays as it is"
    if isinstance(module, nn.modules.conv._ConvTransposeNd):
        return f"{kind} is not supported: an output of it is a sum over overlapping patches, not one neuron's response"
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return f"{kind} is not supported: recurrent layers feed their responses back"
    if not is_layer(module):
        return f"{kind} is not supported; supported are Linear, Conv1d and Conv2d"
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        return "its weight is computed by a parametrization or a pruning hook; remove that first"
    sharing = [
        other for other, m in model.named_modules() if m is not module and m._parameters.get("weight") is module.weight
    ]
    if sharing:
        return f"it shares its weight with {sharing[0]!r}"
    return "" if module in (model.get_submodule(used) for used in uses) else "the model never calls it as a module"


def _runs_as_one(module: nn.Module) -> bool:
    containers = nn.Sequential | nn.ModuleList | nn.ModuleDict
    ours = type(module).__module__.startswith("torch.nn") and type(module) is not nn.Module  # a plain one only holds
    return ours and not isinstance(module, containers)


Listener = Callable[[str, Tensor, Tensor], None]


@contextmanager
def listening(model: nn.Module, names: list[str], hear: Listener) -> Iterator[None]:
    """Meanwhile, call ``hear(name, input, output)`` after every call of the modules of these names."""

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda _, given, output: hear(name, given[0], output)

    hooks = [model.get_submodule(name).register_forward_hook(hook_of(name)) for name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def device_at(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@torch.no_grad()
def run(model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's outputs, batch by batch."""
    return torch.cat([model(rows.clone()) for rows in inputs.split(ROWS_AT_A_TIME)])  # a model may write on its input


@dataclass(frozen=True)
class Call:
    """One call of a layer: the shape of one of its inputs, and how many columns one sample gives."""

    shape: torch.Size
    positions: int


@dataclass(frozen=True, eq=False)
class Probe:
    """What one run on a few inputs shows. calls: of every layer that is called, by name; order: the modules without
    children, as they begin to run."""

    calls: dict[str, list[Call]]
    order: list[str]

    def last(self, model: nn.Module) -> str:
        """The module with parameters that runs last."""
        return next(n for n in reversed(self.order) if list(model.get_submodule(n).parameters(recurse=False)))

    def size(self, model: nn.Module, target: Target, samples: int, max_patches: int | None) -> Size:
        """The size of a layer's problem on so many samples. Inputs that will turn out to be always zero count too, and
        an image's padding does not."""
        layer = target.layer(model)
        N, M = weights_of(layer).shape
        columns = samples * sum(call.positions for call in self.calls[target.name])
        images = 0
        if max_patches is None and not isinstance(layer, nn.Linear):
            images = samples * sum(call.shape.numel() for call in self.calls[target.name])
        return Size(N, M, most_columns(layer, columns, max_patches), target.relu, groups_of(layer), images)


def most_columns(layer: Layer, columns: int, max_patches: int | None) -> int:
    """How many columns a problem may use: only a convolution's are sampled."""
    return columns if isinstance(layer, nn.Linear) or max_patches is None else min(columns, max_patches)


def probe(model: nn.Module, inputs: Tensor) -> Probe:
    """Run the model on a few inputs; ValueError where they do not fit, naming the module that says so."""
    calls: dict[str, list[Call]] = {}
    entered = ["the model"]

    def hear(name: str, given: Tensor, output: Tensor) -> None:
        module = model.get_submodule(name)
        assert isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
        calls.setdefault(name, []).append(Call(given.shape[1:], positions(module, output)))

    owners = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    hooks = [m.register_forward_pre_hook(lambda *_, name=name: entered.append(name)) for name, m in owners]
    try:
        with listening(model, [name for name, module in model.named_modules() if is_layer(module)], hear):
            run(model, inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(
            f"inputs do not fit the model, each of shape {tuple(inputs.shape[1:])}: layer {entered[-1]!r} says: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return Probe(calls, entered[1:])


@dataclass(frozen=True, eq=False)
class Sampling:
    """Which columns of a layer's problem are used: for each of its calls the sorted indices, None for all.

    used, total: how many, and how many there are. images: a convolution's inputs stay images.
    """

    chosen: list[Tensor | None]
    used: int
    total: int
    images: bool = False


def sampling(layer: Layer, calls: list[Call], samples: int, max_patches: int | None, seed: int) -> Sampling:
    """At most ``max_patches`` random columns of a convolution, all of them for None; all of a linear layer."""
    sizes = [samples * call.positions for call in calls]
    total = sum(sizes)
    most = most_columns(layer, total, max_patches)
    if most == total:
        images = max_patches is None and not isinstance(layer, nn.Linear)
        return Sampling([None] * len(calls), total, total, images)
    drawn = torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:most].sort().values
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    chosen: list[Tensor | None] = [
        drawn[(drawn >= start) & (drawn < start + size)] - start for start, size in zip(starts, sizes, strict=True)
    ]
    return Sampling(chosen, most, total)


class Enough(Exception):  # noqa: N818
    """Raised by a listener when nothing more of a batch's run is needed."""


@torch.no_grad()
def columns_of(
    model: nn.Module, inputs: Tensor, targets: dict[str, tuple[Target, Sampling]], *, stop: bool = False
) -> dict[str, tuple[Inputs, Tensor]]:
    """Layer -> its inputs X and the outputs Y that count, as columns or images, gathered batch by batch.

    stop: leave each batch's run after the last call of these layers.
    """
    parts: dict[str, list[tuple[list[Tensor], list[Tensor]]]] = {
        name: [([], []) for _ in range(target.calls)] for name, (target, _) in targets.items()
    }
    heard: list[str] = []
    seen = 0

    def hear(name: str, given: Tensor, output: Tensor) -> None:
        target, sampled = targets[name]
        call = heard.count(name)
        heard.append(name)
        layer, chosen = target.layer(model), sampled.chosen[call]
        if chosen is not None:
            each = positions(layer, output)
            low, high = seen * each, (seen + len(output)) * each
            chosen = chosen[(chosen >= low) & (chosen < high)] - low
        X, Y = parts[name][call]
        if sampled.images and not isinstance(layer, nn.Linear):
            X.append(images_of(layer, given))
        else:
            X.append(input_columns(layer, given, chosen))
        Y.append(target.activated(model, output_columns(layer, output, chosen)))
        if stop and len(heard) == sum(t.calls for t, _ in targets.values()):
            raise Enough

    with listening(model, list(targets), hear):
        for rows in inputs.split(ROWS_AT_A_TIME):
            heard.clear()
            with suppress(Enough):
                model(rows.clone())
            seen += len(rows)
    return {name: _joined(model, *targets[name], calls) for name, calls in parts.items()}


def _joined(
    model: nn.Module, target: Target, sampled: Sampling, calls: list[tuple[list[Tensor], list[Tensor]]]
) -> tuple[Inputs, Tensor]:
    """(X, Y) from the batches of every call."""
    layer, Y = target.layer(model), torch.cat([part for _, outputs in calls for part in outputs], 1)
    if sampled.images and not isinstance(layer, nn.Linear):
        return patches_of(layer, [torch.cat(images) for images, _ in calls]), Y
    return torch.cat([part for columns, _ in calls for part in columns], 1), Y


@torch.no_grad()
def reestimate(model: nn.Module, names: list[str], inputs: Tensor) -> None:
    """Set the statistics of these batch norms, in place, to the mean of those of the inputs' batches, while each batch
    is normalised by its own. The batches are of nearly equal size."""
    norms = [model.get_submodule(name) for name in names]
    for norm in norms:
        assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
        norm.reset_running_stats()
        norm.train()
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = None  # type: ignore[assignment]  # the plain mean over batches
        for rows in inputs.chunk(-(-len(inputs) // ROWS_AT_A_TIME)):
            model(rows.clone())
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


@torch.no_grad()
def outputs_of(model: nn.Module, rows: Tensor, targets: list[Target]) -> tuple[dict[str, list[Tensor]], Tensor]:
    """(layer -> the outputs that count, one tensor (M, columns) a call; the model's output) on one batch."""
    found: dict[str, list[Tensor]] = {target.name: [] for target in targets}
    known = {target.name: target for target in targets}

    def hear(name: str, _: Tensor, output: Tensor) -> None:
        target = known[name]
        found[name].append(target.activated(model, output_columns(target.layer(model), output)))

    with listening(model, list(known), hear):
        return found, model(rows.clone())


def sizes_of(model: nn.Module, inputs: Tensor, samples: int, max_patches: int | None) -> dict[str, Size]:
    """The size of every prunable layer's problem on so many samples, without making it. inputs: a few."""
    seen = probe(model, inputs)
    return {t.name: seen.size(model, t, samples, max_patches) for t in anatomy(model, inputs).targets}
