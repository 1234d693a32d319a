"""The same run with several seeds: what of a figure is the method's, and what is the draw's."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from scipy.stats import t
from torch import Tensor, nn

from nettrim_core.dense import checked_inputs
from nettrim_core.problem import Method
from nettrim_core.prune import named, prune
from nettrim_core.report import Report, finite
from nettrim_core.rows import Rows


@dataclass(frozen=True)
class Spread:
    """One figure of several runs: its mean, its standard deviation (of the sample: n - 1), and low and high, the 95 %
    interval of the mean by Student's t, mean -+ t deviation / sqrt(n). The last three are None for a single run."""

    values: tuple[float, ...]
    mean: float
    deviation: float | None = None
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return finite(dataclasses.asdict(self))


def spread(values: Iterable[float]) -> Spread:
    """The spread of one figure's values; ValueError for none, and for one that is not a finite number."""
    given = list(values)
    if not given or not all(isinstance(value, Real) and math.isfinite(value) for value in given):
        raise ValueError(f"values = {given} must be finite numbers, at least 1")
    seen = tuple(map(float, given))
    mean = statistics.fmean(seen)
    if len(seen) == 1:
        return Spread(seen, mean)
    deviation = statistics.stdev(seen)
    half = float(t.ppf(0.975, len(seen) - 1)) * deviation / math.sqrt(len(seen))
    return Spread(seen, mean, deviation, mean - half, mean + half)


def over_seeds(run: Callable[[int], Mapping[str, float]], seeds: Iterable[int]) -> dict[str, Spread]:
    """``run(seed)`` for every seed, and the spread of each figure it gives, by name.

    Raises ValueError for no seeds, a seed given twice, and a figure that is missing for a seed or not finite.
    """
    runs = {seed: run(seed) for seed in _checked_seeds(seeds)}
    names = list(next(iter(runs.values())))
    for seed, figures in runs.items():
        if set(figures) != set(names):
            raise ValueError(f"run must give the same figures for every seed, {names}; for {seed} it gave {[*figures]}")
    found = {}
    for name in names:
        try:
            found[name] = spread(figures[name] for figures in runs.values())
        except ValueError as error:
            raise ValueError(f"run's {name!r}: {error}") from error
    return found


def prune_seeds(
    model: nn.Module,
    pool: Tensor,
    method: str | Method,
    seeds: Iterable[int],
    samples: int,
    test: Rows | None = None,
    **options: Any,
) -> Iterator[tuple[int, Report]]:
    """Prune with other calibration inputs for every seed; yield (seed, report) as they finish.

    Each seed draws ``samples`` rows of ``pool`` without replacement, in their stored order, and is passed on to
    :func:`nettrim_core.prune` with the options. ValueError, before the first result, for an unknown method, seeds as in
    :func:`over_seeds`, and more samples than the pool has.
    """
    chosen, wanted, pool = named(method)[1], _checked_seeds(seeds), checked_inputs(pool, "pool")
    if not isinstance(samples, int) or not 1 <= samples <= len(pool):
        raise ValueError(f"samples = {samples} must be a whole number between 1 and {len(pool)}, the rows of pool")

    def drawn(seed: int) -> Tensor:
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
        return pool[order[:samples].sort().values]

    return ((seed, prune(model, drawn(seed), chosen, test=test, seed=seed, **options)[1]) for seed in wanted)


def _checked_seeds(seeds: Iterable[int]) -> list[int]:
    wanted = list(seeds)
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"seeds = {wanted} must hold at least one seed, and none twice: a run repeated is no new one")
    return wanted
