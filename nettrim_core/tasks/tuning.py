"""Retraining pruned networks: every epoch as it ends, with the weights where it is the best so far."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from safetensors.torch import load
from torch import Tensor

from nettrim_core.bundle import Bundle
from nettrim_core.evaluate import evaluate
from nettrim_core.export import packed, unpacked
from nettrim_core.finetune import Epoch, Training
from nettrim_core.masks import masks_of
from nettrim_core.plan import Plan, method_from
from nettrim_core.report import finite
from nettrim_core.retrain import Keeper, retrain
from nettrim_core.rounds import prune_rounds
from nettrim_core.workbench import Workbench


def tune(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "methods": [[name, settings], ...], "training"}`` -> for each method in turn ``{"method",
    "report"}`` of the pruning, ``{"method", "epoch", ...}`` for every epoch, and ``{"method", "test"}``.

    An epoch that is the best so far brings ``"weights"``, base64 of model.safetensors, and ``"zeros"``, counted in it
    among the weights of the pruned layers. ``"test"`` is a Share of the test rows.
    """
    plan, how = Plan.from_dict(request["plan"]), Training(**request["training"])
    bundle = bench.bundle(plan.bundle)
    for name, settings in request["methods"]:
        method = method_from(name, settings)
        kept = bench.kept.retraining(bundle, plan, ["tune", name, dataclasses.asdict(method), request["training"]])
        model = bundle.model
        for moment in retrain(
            partial(bench.pruned, plan, method), model, bundle.train, bundle.validation, how, kept
        ):  # fmt: skip
            model = moment.model
            if moment.epoch is None:
                yield {"method": name, "report": moment.report.to_dict()}
            else:
                yield {"method": name, **_epoch(moment.epoch, moment.model, moment.masks, moment.exact)}
        yield {"method": name, "test": _test(model, bundle)}


def rounds(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"plan", "method", "settings", "targets", "training"}`` -> the answers of :func:`tune` with ``"round"``, 1,
    2, ..., in place of ``"method"``; a round's report is of pruning what the round before left."""
    plan, how = Plan.from_dict(request["plan"]), Training(**request["training"])
    bundle, method = bench.bundle(plan.bundle), method_from(request["method"], request["settings"])

    def keeper(number: int) -> Keeper:
        asked = request["method"], dataclasses.asdict(method), request["targets"][:number], request["training"]
        return bench.kept.retraining(bundle, plan, ["rounds", *asked])

    steps = prune_rounds(
        bundle.model, plan.inputs(bundle), method, request["targets"], bundle.train, bundle.validation, how,
        cascade=plan.cascade or False, layers=list(plan.layers), test=bundle.validation, keeper=keeper,
        memory_limit=bench.memory, **plan.options(),
    )  # fmt: skip
    model, masks = bundle.model, {}
    for step in steps:
        if step.epoch is None:
            if step.round > 1:
                yield {"round": step.round - 1, "test": _test(model, bundle)}
            masks = masks_of(step.model, [layer.name for layer in step.report.layers])
            yield {"round": step.round, "report": step.report.to_dict()}
        else:
            yield {"round": step.round, **_epoch(step.epoch, step.model, masks, step.exact)}
        model = step.model
    yield {"round": len(request["targets"]), "test": _test(model, bundle)}


def judge(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """``{"bundle", "weights"}`` -> ``{"test"}``: the weights of an epoch, base64, on the test rows."""
    bundle = bench.bundle(request["bundle"])
    yield {"test": _test(unpacked(bundle.model, base64.b64decode(request["weights"])), bundle)}


def _epoch(epoch: Epoch, model: Any, masks: Mapping[str, Tensor], exact: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"epoch": finite(dataclasses.asdict(epoch))}
    if epoch.best and exact:
        data = packed(model, masks)
        loaded = load(data)
        zeros = sum(int((loaded[name] == 0).sum()) for name in masks if name.rpartition(".")[2] == "weight")
        answer |= {"weights": base64.b64encode(data).decode(), "zeros": zeros}
    return answer


def _test(model: Any, bundle: Bundle) -> dict[str, Any]:
    accuracy = evaluate(model, bundle.test, noise=()).accuracy
    assert accuracy is not None  # retraining has refused data without labels
    return {**dataclasses.asdict(accuracy), "samples": len(bundle.test[0])}
