"""All experiments, by name."""

from benchmarks.papers import bounds, recovery, robustness, solvers, spirals

EXPERIMENTS = {module.EXPERIMENT.name: module.EXPERIMENT for module in (spirals, recovery, bounds, robustness, solvers)}
