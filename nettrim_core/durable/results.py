"""Results as sealed files, and back."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from nettrim_core.durable.sealed import Sealed
from nettrim_core.durable.tree import flattened, restored
from nettrim_core.finetune import Epoch
from nettrim_core.problem import LayerResult
from nettrim_core.record import Point
from nettrim_core.report import Report, finite
from nettrim_core.retrain import Saved

NEURON, MASK = "neuron.", "mask."


def layer_sealed(result: LayerResult) -> Sealed:
    """The weights that are left, and where they are."""
    U = result.U.detach().cpu().numpy()
    bits = np.ascontiguousarray(U).reshape(-1)
    kept = bits.view(f"u{bits.itemsize}") != 0  # all but +0.0: what comes back has the same bits
    arrays = {"kept": np.packbits(kept), "values": bits[kept]}
    arrays |= {NEURON + name: values.detach().cpu().numpy() for name, values in result.neurons.items()}
    stats = {name: value if math.isfinite(value) else str(value) for name, value in result.stats.items()}
    return Sealed({"shape": list(U.shape), "converged": result.converged, "stats": stats}, arrays)


def layer_unsealed(content: Sealed) -> LayerResult:
    about, values = content.about, content.arrays["values"]
    kept = np.unpackbits(content.arrays["kept"], count=math.prod(about["shape"])).astype(bool)
    U = np.zeros(kept.shape, values.dtype)
    U[kept] = values
    return LayerResult(
        torch.from_numpy(U.reshape(about["shape"])),
        about["converged"],
        {name: float(value) for name, value in about["stats"].items()},
        {
            name.removeprefix(NEURON): torch.from_numpy(array)
            for name, array in content.arrays.items()
            if name.startswith(NEURON)
        },
    )


def point_sealed(point: Point) -> Sealed:
    arrays = {MASK + name: bits for name, bits in point.masks.items()}
    if point.regions is not None:
        arrays["regions"] = point.regions
    return Sealed({"method": point.method, "epsilon": point.epsilon, "report": point.report.to_dict()}, arrays)


def point_unsealed(content: Sealed) -> Point:
    about = content.about
    masks = {name.removeprefix(MASK): bits for name, bits in content.arrays.items() if name.startswith(MASK)}
    return Point(
        about["method"], float(about["epsilon"]), Report.from_dict(about["report"]), masks,
        content.arrays.get("regions"),
    )  # fmt: skip


def retraining_sealed(saved: Saved) -> Sealed:
    plain, arrays = flattened({"masks": saved.masks, "state": saved.state})
    epochs = [finite(dataclasses.asdict(epoch)) for epoch in saved.epochs]
    return Sealed({"report": saved.report.to_dict(), "epochs": epochs, "tree": plain}, arrays)


def retraining_unsealed(content: Sealed) -> Saved:
    about, tree = content.about, restored(content.about["tree"], content.arrays)
    epochs = [Epoch(**entry) for entry in about["epochs"]]
    return Saved(Report.from_dict(about["report"]), tree["masks"], epochs, tree["state"])
