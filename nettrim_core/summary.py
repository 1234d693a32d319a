"""A result in a few sentences."""

from __future__ import annotations

from nettrim_core.methods import titled
from nettrim_core.report import Report


def summary(report: Report) -> list[str]:
    """What happened, in sentences."""
    how = "as a cascade" if report.cascade is not None else "in parallel"
    said = [
        f"{titled(report.method)} pruned {', '.join(layer.name for layer in report.layers)} {how} on "
        f"{report.samples:,} calibration samples. Of the {sum(x.weights for x in report.layers):,} weights of these "
        f"layers {report.sparsity:.1%} are exactly zero; of all {report.network_weights:,} weights of the network, "
        f"{report.network_sparsity:.1%}. Biases are counted apart."
    ]
    interval = report.accuracy_interval
    if report.accuracy is not None and report.accuracy_before is not None and interval is not None:
        said.append(
            f"The pruned network is right on {report.accuracy:.2%} of {report.test_samples:,} test samples (95 % "
            f"interval {interval[0]:.2%} to {interval[1]:.2%}), the dense one on {report.accuracy_before:.2%}."
        )
    else:
        said.append("There are no labels, so nothing is said about accuracy.")
    said.append(f"The network's outputs changed by {report.output_error:.3g} of their size.")
    if report.retraining is not None:
        tuned = report.retraining
        accuracy = "" if tuned.accuracy is None else f"; it is right on {tuned.accuracy:.2%} of the test samples then"
        said.append(
            f"Retraining with zeros held kept the weights of epoch {tuned.best} of {tuned.epochs}{accuracy}. The "
            "layers' figures are of the network before it."
        )
    return said
