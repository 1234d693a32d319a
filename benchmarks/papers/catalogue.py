"""All experiments, by name."""

from benchmarks.papers import bounds, calibration, recovered, recovery, robustness, solvers, spirals
from benchmarks.papers.tradeoffs import TRADEOFFS

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        spirals.EXPERIMENT,
        *TRADEOFFS,
        recovered.EXPERIMENT,
        calibration.EXPERIMENT,
        recovery.EXPERIMENT,
        bounds.EXPERIMENT,
        robustness.EXPERIMENT,
        solvers.EXPERIMENT,
    )
}
