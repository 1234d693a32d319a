"""How pruned networks answer, sample by sample, beside the dense network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from nettrim_core.bundle import Bundle
from nettrim_core.capture import run
from nettrim_core.classes import by_class
from nettrim_core.evaluate import Changes, evaluate
from nettrim_core.plan import Plan, method_from
from nettrim_core.record import make_point
from nettrim_core.report import finite
from nettrim_core.workbench import Workbench

NOISE_SAMPLES = 2000  # test rows that get noise, evenly spread: each costs ten passes through a network


def behaviour(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"candidates": [{"plan", "method", "settings"}, ...]}`` -> for each as it finishes ``{"candidate": its place,
    "point": {...}, judged on the validation rows, and what it does on the test rows: "evaluation": {...}, "classes":
    [...] with a :class:`ClassAccuracy` each, "noise_samples": how many rows got noise}``.

    Without labels, classes are empty and the evaluation has what can be said against the dense network alone.
    """
    for place, wanted in enumerate(request["candidates"]):
        plan = Plan.from_dict(wanted["plan"])
        method = method_from(wanted["method"], wanted["settings"])
        bundle = bench.bundle(plan.bundle)
        pruned, report = bench.pruned(plan, method)
        point = make_point(wanted["method"], method.epsilon, pruned, report, bundle)
        yield {"candidate": place, "point": point.to_dict(), **_judged(pruned, bundle)}


def _judged(pruned: Any, bundle: Bundle) -> dict[str, Any]:
    whole = evaluate(pruned, _labelled(bundle), bundle.model, noise=())
    step = math.ceil(len(bundle.test[0]) / NOISE_SAMPLES)
    noisy = evaluate(pruned, _labelled(bundle, step), bundle.model)
    evaluation = dataclasses.replace(whole, noise=noisy.noise, noise_dense=noisy.noise_dense)
    inputs, labels = bundle.test
    classes = []
    if whole.changes is not None and labels is not None:
        old = run(bundle.model, inputs.to(bundle.device)).argmax(1).cpu()
        classes = [dataclasses.asdict(entry) for entry in by_class(old, _changed(old, whole.changes), labels)]
    return finite({"evaluation": evaluation.to_dict(), "classes": classes, "noise_samples": noisy.samples})


def _labelled(bundle: Bundle, step: int = 1) -> Tensor | tuple[Tensor, Tensor]:
    """Every so many test rows: with their labels, where the bundle has labels."""
    inputs, labels = bundle.test
    return inputs[::step] if labels is None else (inputs[::step], labels[::step])


def _changed(old: Tensor, changes: Changes) -> Tensor:
    """The pruned network's classes, from the dense network's."""
    new = old.clone()
    new[list(changes.indices)] = new.new_tensor(changes.new)
    return new
