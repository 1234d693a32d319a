"""Methods x epsilons: results as they finish. Progress is the caller's loop; to cancel is to stop asking."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from nettrim_core.cascade import Cascade
from nettrim_core.dense import MAX_PATCHES, MEMORY_LIMIT
from nettrim_core.network import Network
from nettrim_core.problem import Method
from nettrim_core.prune import named
from nettrim_core.report import Report
from nettrim_core.rows import Rows


def sweep(
    model: nn.Module,
    inputs: Tensor,
    methods: Iterable[str | Method],
    epsilons: Iterable[float],
    layers: Sequence[str] | None = None,
    cascade: bool | Cascade = False,
    test: Rows | None = None,
    *,
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
    batchnorm: str = "reestimate",
    scale: Mapping[str, float] | None = None,
) -> Iterator[tuple[str, float, nn.Module, Report]]:
    """Yield (method name, epsilon, pruned model, report) as they finish: method by method, epsilons in their order.

    Arguments as in :func:`nettrim_core.prune`; a method's path over the epsilons shares its work (warm starts for
    Net-Trim, one ranking for the others). Bad arguments raise before the first result.
    """
    chosen = [named(method) for method in methods]
    grid = list(epsilons)
    for _, method in chosen:
        for epsilon in grid:
            dataclasses.replace(method, epsilon=epsilon)
    network = Network(
        model, inputs, layers, test,
        max_patches=max_patches, seed=seed, memory_limit=memory_limit, batchnorm=batchnorm, scale=scale,
    )  # fmt: skip
    return (
        (name, epsilon, pruned, report)
        for name, method in chosen
        for epsilon, (pruned, report) in zip(grid, network.points(method, grid, cascade), strict=True)
    )
