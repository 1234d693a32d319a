"""Linear layers and convolutions as layer problems see them: the only place that turns torch's orientation round.

Torch stores weights as (outputs, inputs) and samples as rows; a LayerProblem has weights (inputs, outputs) and samples
as columns. A convolution is a layer whose sample is a patch and whose neuron is a filter (im2col), in the order
(channel, row, column) of its weight, so that groups of channels are groups of inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from nettrim_core.patches import Pair, Patches, windows

Layer = nn.Linear | nn.Conv1d | nn.Conv2d
KINDS: tuple[type[Layer], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d)
POWER_ITERATIONS = 200


def is_layer(module: nn.Module) -> bool:
    """Is it a supported layer, or a subclass that computes the same?"""
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in KINDS)


def groups_of(layer: Layer) -> int:
    return 1 if isinstance(layer, nn.Linear) else layer.groups


def weights_of(layer: Layer) -> Tensor:
    """(N, M): a column for each neuron or filter, with the inputs of its group; a bias is the last row."""
    return joined(layer.weight.detach(), None if layer.bias is None else layer.bias.detach())


def joined(weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, M) from what torch stores apart: weights with the bias as their last row, or the same of masks."""
    W = weight.flatten(1).T
    return W.clone() if bias is None else torch.cat([W, bias[None]])


@torch.no_grad()
def write_weights(layer: Layer, U: Tensor) -> None:
    """The inverse of :func:`weights_of`, in place."""
    if layer.bias is not None:
        layer.bias.copy_(U[-1])
        U = U[:-1]
    layer.weight.copy_(U.T.reshape(layer.weight.shape))


def positions(layer: Layer, output: Tensor) -> int:
    """How many samples (columns of the problem) one network input gives: output positions of the layer."""
    return math.prod(output.shape[1:-1] if isinstance(layer, nn.Linear) else output.shape[2:])


def input_columns(layer: Layer, inputs: Tensor, columns: Tensor | None = None) -> Tensor:
    """(inputs, columns) a copy of the layer's inputs, its row of ones included: for a convolution the im2col matrix,
    sample by sample, position by position. columns: which of them (None: all)."""
    linear = isinstance(layer, nn.Linear)
    X = (
        inputs.flatten(0, -2).T
        if linear
        else windows(images_of(layer, inputs), *_geometry(layer)).flatten(3).flatten(0, 2)
    )
    X = X.clone() if columns is None else X[:, columns.to(X.device)]
    return X if layer.bias is None else torch.cat([X, X.new_ones(1, X.shape[1])])


def images_of(layer: nn.Conv1d | nn.Conv2d, inputs: Tensor) -> Tensor:
    """(samples, channels, height, width): a convolution's inputs, padded; in one dimension with a height of 1."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    return padded[:, :, None] if isinstance(layer, nn.Conv1d) else padded


def patches_of(layer: nn.Conv1d | nn.Conv2d, images: Sequence[Tensor]) -> Patches:
    """The columns of :func:`input_columns`, all of them, still as images, a tensor for each call."""
    kernel, stride, dilation = _geometry(layer)
    return Patches(images, kernel, stride, dilation, layer.groups, None if layer.bias is None else 1.0)


def _geometry(layer: nn.Conv1d | nn.Conv2d) -> tuple[Pair, Pair, Pair]:
    """(kernel, stride, dilation) in two dimensions."""
    kernel, stride, dilation = (
        (1, *sides) if isinstance(layer, nn.Conv1d) else sides
        for sides in (layer.kernel_size, layer.stride, layer.dilation)
    )
    return kernel, stride, dilation  # type: ignore[return-value]


def output_columns(layer: Layer, output: Tensor, columns: Tensor | None = None) -> Tensor:
    """(outputs, columns) a copy of the layer's output, in the same order."""
    Y = output.flatten(0, -2).T if isinstance(layer, nn.Linear) else output.flatten(2).transpose(0, 1).flatten(1)
    return Y.clone() if columns is None else Y[:, columns.to(Y.device)]


@torch.no_grad()
def operator_norm(layer: Layer, shape: torch.Size, scale: Tensor | None = None) -> float:
    """||diag(scale) .||_2 of the layer as a linear map on one input of this shape (without the batch), its bias left
    out; scale: (outputs,), None for ones.

    A convolution's is that of the whole operator, by power iteration on its square (accurate to about 1e-3 and never
    above the true value, so it is enlarged by 1e-2 to stay a bound).
    """
    weight = layer.weight.double()
    if scale is not None:
        weight = weight * scale.double().reshape(-1, *[1] * (weight.ndim - 1))
    if isinstance(layer, nn.Linear):
        return float(torch.linalg.matrix_norm(weight, 2))
    v = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(weight.device)
    norm = 0.0
    for _ in range(POWER_ITERATIONS):
        v = v.requires_grad_()
        with torch.enable_grad():
            energy = layer._conv_forward(v, weight, None).square().sum() / 2
            (gradient,) = torch.autograd.grad(energy, v)  # A'Av
        size = float(torch.linalg.vector_norm(gradient))
        if size == 0:
            return 0.0
        previous, norm = norm, math.sqrt(size)
        v = gradient / size
        if abs(norm - previous) <= 1e-6 * norm:
            break
    return norm * 1.01
