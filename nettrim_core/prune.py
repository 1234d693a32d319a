"""Pruning a network layer by layer, in parallel or as a cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from nettrim_core.cascade import Cascade
from nettrim_core.dense import MAX_PATCHES, MEMORY_LIMIT
from nettrim_core.methods import METHODS, method_name
from nettrim_core.network import Network
from nettrim_core.problem import Method
from nettrim_core.report import Report
from nettrim_core.rows import Rows


def prune(
    model: nn.Module,
    inputs: Tensor,
    method: str | Method,
    layers: Sequence[str] | None = None,
    cascade: bool | Cascade = False,
    test: Rows | None = None,
    *,
    max_patches: int | None = MAX_PATCHES,
    seed: int = 0,
    memory_limit: float = MEMORY_LIMIT,
    batchnorm: str = "reestimate",
    scale: Mapping[str, float] | None = None,
) -> tuple[nn.Module, Report]:
    """A pruned copy of ``model`` (in eval mode) and the report of what was done. ``model`` is never touched.

    inputs: (samples, ...) calibration inputs, without labels. method: a value such as ``NetTrim(epsilon=0.1)`` or a
    name in METHODS. layers: module names (None: every layer that can be pruned). test: (inputs, labels) to measure
    accuracy on; without labels, (inputs, None), there is none. max_patches: a convolution's problem uses at most this
    many patches, drawn with ``seed``; None for all of them, its inputs then stay images, which take less memory and
    more time (the operator form). memory_limit: bytes that the layers' inputs and outputs, which are held at once, and
    the solver may take. batchnorm: "reestimate" the statistics of batch norms after pruning, or "keep" them. scale:
    layer -> factor on the method's epsilon, 1 for those not named; what comes to 1 or more is taken as a little less.

    Raises ValueError for inputs that do not fit, unknown or unsupported layers, NaN or Inf anywhere, and more memory.
    """
    method = named(method)[1]
    network = Network(
        model, inputs, layers, test,
        max_patches=max_patches, seed=seed, memory_limit=memory_limit, batchnorm=batchnorm, scale=scale,
    )  # fmt: skip
    return next(network.points(method, [method.epsilon], cascade))


def named(method: str | Method) -> tuple[str, Method]:
    """(name, value) of a method given as either; ValueError for an unknown name."""
    if not isinstance(method, str):
        return method_name(method), method
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known methods: {', '.join(METHODS)}")
    return method, METHODS[method]
