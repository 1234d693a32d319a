"""How much each layer alone matters: accuracy over its sparsity, all others left as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from nettrim_core.dense import MAX_PATCHES, MEMORY_LIMIT
from nettrim_core.network import Network
from nettrim_core.problem import Method, check_sparsity
from nettrim_core.prune import named
from nettrim_core.report import Report
from nettrim_core.rows import Rows

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


def sensitivity(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    sparsities: Iterable[float] = SPARSITIES,
    layers: Sequence[str] | None = None,
    test: Rows | None = None,
    *,
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
) -> Iterator[tuple[str, float, Report]]:
    """Yield (layer, fraction of zeros asked for, report) as they finish, layer by layer.

    Arguments as in :func:`nettrim_core.prune`; a layer's levels share their work. The report's accuracy and
    ``output_error`` say what the network lost. Bad arguments raise before the first result.
    """
    chosen, grid = named(method)[1], list(sparsities)
    for sparsity in grid:
        check_sparsity(sparsity)
    network = Network(model, inputs, layers, test, max_patches=max_patches, seed=seed, memory_limit=memory_limit)
    return (
        (target.name, sparsity, report)
        for target in network.selected
        for sparsity, (_, report) in zip(grid, network.alone(chosen, target.name, grid), strict=True)
    )
