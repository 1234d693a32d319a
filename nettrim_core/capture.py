"""From a torch chain to layer problems, and weights back: the only place that turns torch's orientation round.

Torch stores weights as (outputs, inputs) and samples as rows; a LayerProblem has weights (inputs, outputs) and samples
as columns. A convolution is a layer whose sample is a patch and whose neuron is a filter (im2col), in the order
(channel, row, column) of its weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core.problem import GAMMA, LayerProblem, Size

Layer = nn.Linear | nn.Conv2d
POWER_ITERATIONS = 200
PASS_THROUGH = (nn.Dropout, nn.Identity)  # in eval mode they change nothing
IMAGES_AT_A_TIME = 256


@dataclass(frozen=True)
class Step:
    """One module of a flattened chain. ``reason`` says why it cannot be pruned; None for a prunable layer.

    relu: a ReLU follows directly (only meaningful for a prunable layer). note: something the report should say.
    """

    name: str
    module: nn.Module
    reason: str | None
    relu: bool = False
    note: str = ""


def flatten(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The modules of (nested) nn.Sequential in the order they run, with dotted names.

    Raises ValueError for a model that is not a chain.
    """
    if not isinstance(model, nn.Sequential):
        raise ValueError(
            f"model must be an nn.Sequential chain; got {type(model).__name__}. Other graphs are not supported yet: "
            "wrap the part you want to prune in nn.Sequential"
        )
    modules = []
    for name, module in model._modules.items():  # named_children() leaves out a module's second use
        assert module is not None
        if isinstance(module, nn.Sequential):
            modules += flatten(module, f"{prefix}{name}.")
        else:
            modules.append((prefix + name, module))
    return modules


def steps_of(model: nn.Module) -> list[Step]:
    """The chain with, for every module, whether and how it can be pruned."""
    modules = flatten(model)
    steps = []
    for i, (name, module) in enumerate(modules):
        reason = _reason(module, sum(m is module for _, m in modules))
        following = [m for _, m in modules[i + 1 :] if not isinstance(m, PASS_THROUGH)]
        relu = bool(following) and isinstance(following[0], nn.ReLU)
        note = ""
        if reason is None and not relu and following:
            note = f"treated as a linear layer: {type(following[0]).__name__} follows it, not ReLU"
        steps.append(Step(name, module, reason, relu, note))
    return steps


def _reason(module: nn.Module, uses: int) -> str | None:
    if not list(module.parameters(recurse=True)):
        return "has no weights"
    if not isinstance(module, nn.Linear | nn.Conv2d):
        return f"{type(module).__name__} is not supported; supported are Linear and Conv2d"
    if uses > 1:
        return "the same module is used more than once"
    if isinstance(module, nn.Conv2d) and module.groups != 1:
        return f"grouped convolution (groups={module.groups}) is not supported yet"
    if not isinstance(module._parameters.get("weight"), nn.Parameter):
        return "its weight is computed by a parametrization or a pruning hook; remove that first"
    return None


def weights_of(layer: Layer) -> Tensor:
    """(N, M): one column a neuron or filter; the bias, if there is one, as last row."""
    W = layer.weight.detach().flatten(1).T
    return W.clone() if layer.bias is None else torch.cat([W, layer.bias.detach()[None]])


@torch.no_grad()
def write_weights(layer: Layer, U: Tensor) -> None:
    """The inverse of :func:`weights_of`, in place."""
    if layer.bias is not None:
        layer.bias.copy_(U[-1])
        U = U[:-1]
    layer.weight.copy_(U.T.reshape(layer.weight.shape))


def positions(layer: Layer, output: Tensor) -> int:
    """How many samples (columns of the problem) one network input gives: output positions of the layer."""
    return math.prod(output.shape[2:]) if isinstance(layer, nn.Conv2d) else math.prod(output.shape[1:-1])


@torch.no_grad()
def sizes_of(model: nn.Module, inputs: Tensor, samples: int, max_patches: int) -> dict[str, Size]:
    """The size of every prunable layer's problem on this many samples, without making it.

    inputs: (1, ...) any one input, for its shape. Inputs that will turn out to be always zero are counted too.
    """
    sizes, signal = {}, inputs
    for step in steps_of(model):
        signal = step.module(signal)
        if step.reason is None:
            assert isinstance(step.module, nn.Linear | nn.Conv2d)
            N, M = weights_of(step.module).shape
            columns = samples * positions(step.module, signal)
            limit = max_patches if isinstance(step.module, nn.Conv2d) else columns
            sizes[step.name] = Size(N, M, min(columns, limit), step.relu)
    return sizes


def sample_columns(layer: Layer, output: Tensor, limit: int, seed: int) -> Tensor | None:
    """Sorted indices of ``limit`` random columns of a convolution's problem; None where all are used."""
    total = len(output) * positions(layer, output)
    if not isinstance(layer, nn.Conv2d) or total <= limit:
        return None
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:limit].sort().values


@torch.no_grad()
def layer_problem(
    layer: Layer,
    inputs: Tensor,
    targets: Tensor,
    relu: bool,
    *,
    columns: Tensor | None = None,
    pruned_inputs: bool = False,
    gamma: float | None = GAMMA,
) -> LayerProblem:
    """The problem of a layer: its inputs, and the outputs (after the activation) that it must keep.

    inputs, targets: as torch has them, a sample first. columns: which columns to keep (None: all).
    """
    if isinstance(layer, nn.Conv2d):
        X, Y = _patches(layer, inputs, columns), _maps(targets, columns)
    else:
        X, Y = inputs.flatten(0, -2).T, targets.flatten(0, -2).T
    if layer.bias is not None:
        X = torch.cat([X, X.new_ones(1, X.shape[1])])
    return LayerProblem(
        X=X.contiguous(),
        Y=Y.contiguous(),
        W=weights_of(layer),
        relu=relu,
        bias=layer.bias is not None,
        pruned_inputs=pruned_inputs,
        gamma=gamma,
    )


def _patches(layer: nn.Conv2d, images: Tensor, columns: Tensor | None) -> Tensor:
    """(C kh kw, patches): the im2col matrix, image by image, position by position."""
    parts, seen = [], 0
    for batch in images.split(IMAGES_AT_A_TIME):
        unfolded = functional.unfold(_pad(layer, batch), layer.kernel_size, layer.dilation, 0, layer.stride)
        flat = unfolded.transpose(0, 1).flatten(1)
        if columns is not None:
            here = columns[(columns >= seen) & (columns < seen + flat.shape[1])] - seen
            seen += flat.shape[1]
            flat = flat[:, here.to(flat.device)]
        parts.append(flat)
    return torch.cat(parts, 1)


def _maps(output: Tensor, columns: Tensor | None) -> Tensor:
    flat = output.flatten(2).transpose(0, 1).flatten(1)
    return flat if columns is None else flat[:, columns.to(flat.device)]


def _pad(layer: nn.Conv2d, images: Tensor) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(images, layer._reversed_padding_repeated_twice, mode=mode)


@torch.no_grad()
def operator_norm(layer: Layer, inputs: Tensor) -> float:
    """||.||_2 of the layer as a linear map on inputs of this shape, without its bias.

    A convolution's is that of the whole operator, by power iteration on its square (accurate to about 1e-3 and never
    above the true value, so it is enlarged by 1e-2 to stay a bound).
    """
    if isinstance(layer, nn.Linear):
        return float(torch.linalg.matrix_norm(layer.weight.double(), 2))
    weight = layer.weight.double()
    v = torch.randn(1, *inputs.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(
        weight.device
    )
    norm = 0.0
    for _ in range(POWER_ITERATIONS):
        v = v.requires_grad_()
        with torch.enable_grad():
            response = functional.conv2d(_pad(layer, v), weight, None, layer.stride, 0, layer.dilation)
            energy = response.square().sum() / 2
            (gradient,) = torch.autograd.grad(energy, v)  # A'Av
        size = float(torch.linalg.vector_norm(gradient))
        if size == 0:
            return 0.0
        previous, norm = norm, math.sqrt(size)
        v = gradient / size
        if abs(norm - previous) <= 1e-6 * norm:
            break
    return norm * 1.01


def lipschitz(module: nn.Module) -> float | None:
    """How much a weightless module can stretch a Frobenius distance; None if that is not known."""
    if isinstance(module, (nn.ReLU, nn.Flatten, nn.Unflatten, *PASS_THROUGH)):
        return 1.0
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        sizes = [_pair(v) for v in (module.kernel_size, module.stride)]
        covering = math.prod(math.ceil(k / s) for k, s in zip(*sizes, strict=True))  # windows over one pixel
        cells = math.prod(sizes[0]) if isinstance(module, nn.AvgPool2d) else 1
        return math.sqrt(covering / cells)
    return None


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)
