"""Multilayer perceptrons of scikit-learn, without importing it: their fitted attributes say all."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nettrim_core.architecture import filled

ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "identity": None,
}  # fmt: skip


def from_sklearn(estimator: Any) -> nn.Sequential:
    """The network of a fitted ``MLPClassifier`` or ``MLPRegressor``: linear layers fc1, fc2, ... with what stands
    between them, in eval mode, float32.

    A classifier's outputs (samples, classes), in the order of its ``classes_``, are what ``predict_proba`` is the
    softmax of; with two classes, where it has one output z, they are -z/2 and z/2. A regressor's are (samples, outputs)
    as ``predict`` gives them. Raises ValueError for what is not such an estimator, not fitted, or has several labels a
    sample.
    """
    kind = type(estimator).__name__
    coefs, intercepts = getattr(estimator, "coefs_", None), getattr(estimator, "intercepts_", None)
    if not isinstance(coefs, Sequence) or not isinstance(intercepts, Sequence) or not 0 < len(coefs) == len(intercepts):
        raise ValueError(
            f"a {kind} without coefs_ and intercepts_ is no fitted MLPClassifier or MLPRegressor: fit it first; of a "
            "pipeline, give that step itself, and inputs as the steps before it make them"
        )
    if estimator.activation not in ACTIVATIONS:
        raise ValueError(f"a {kind} with the activation {estimator.activation!r}; known: {', '.join(ACTIVATIONS)}")
    weights = [(_tensor(coef).T, _tensor(intercept)) for coef, intercept in zip(coefs, intercepts, strict=True)]
    weights[-1] = _outputs(estimator, kind, *weights[-1])
    return filled(_chain(weights, estimator.activation), _state(weights))


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))


def _outputs(estimator: Any, kind: str, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The last layer, so that its outputs are logits or predictions."""
    last = estimator.out_activation_
    if last == "logistic" and len(bias) == 1:
        return torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
    if last == "logistic":
        raise ValueError(f"a {kind} with several labels a sample: fit one for each, or for one label of all")
    if last not in ("softmax", "identity"):
        raise ValueError(f"a {kind} whose outputs are {last!r} of its last layer's: fit it with the squared error")
    return weight, bias


def _chain(weights: Sequence[tuple[Tensor, Tensor]], activation: str) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    between = ACTIVATIONS[activation]
    for place, (weight, _) in enumerate(weights, 1):
        layers[f"fc{place}"] = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        if between is not None and place < len(weights):
            layers[f"{activation}{place}"] = between()
    return nn.Sequential(layers)


def _state(weights: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    pairs = enumerate(weights, 1)
    return {
        f"fc{place}.{name}": value
        for place, pair in pairs
        for name, value in zip(("weight", "bias"), pair, strict=True)
    }
