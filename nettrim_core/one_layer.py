"""One layer of a network: its problem, and its pruned weights as the network's pruning makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nettrim_core.assemble import Solved
from nettrim_core.cascade import Cascade
from nettrim_core.dense import MAX_PATCHES, MEMORY_LIMIT
from nettrim_core.known import Known
from nettrim_core.network import Network
from nettrim_core.problem import LayerProblem, Method
from nettrim_core.prune import named


def layer_problem(
    model: nn.Module,
    inputs: Tensor,
    name: str,
    *,
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
) -> LayerProblem:
    """The problem of one layer on the dense network's signals, which a method's ``prune`` takes.

    name: of a Linear, Conv1d or Conv2d module. Other arguments as in :func:`nettrim_core.prune`. X (N, P) holds the
    layer's inputs, W (N, M) its weights, Y (M, P) its outputs after the batch norm (folded into W) and the ReLU that
    follow it; of a convolution a column of X is a patch, the place where its filters look once, and a column of W a
    filter.

    Raises ValueError for a layer that is not there or cannot be pruned, and for inputs that do not fit.
    """
    network = Network(model, inputs, [name], max_patches=max_patches, seed=seed, memory_limit=memory_limit)
    return network.problem(network.selected[0])


def prune_layer(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    name: str,
    layers: Sequence[str] | None = None,
    cascade: bool | Cascade = False,
    *,
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
    scale: Mapping[str, float] | None = None,
) -> Solved:
    """The problem and the result of one layer, as :func:`nettrim_core.prune` with the same arguments solves it: in a
    cascade on the signals of the network pruned so far, and with methods that decide layers together beside the others.

    Raises ValueError for a ``name`` that is none of ``layers``, and for all that ``prune`` refuses.
    """
    chosen = named(method)[1]
    network = Network(
        model, inputs, layers, max_patches=max_patches, seed=seed, memory_limit=memory_limit, scale=scale
    )  # fmt: skip
    network.check_names([name])
    if not cascade and not chosen.joint:
        return network.solved(chosen, name, Known().within(""))
    place = [target.name for target in network.selected].index(name)
    return next(iter(network.solve(chosen, [chosen.epsilon], cascade)))[place]
