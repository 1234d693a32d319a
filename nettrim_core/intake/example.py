"""Files to try the intake with: a sample's network as a program of torch.export, and its data as a table."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nettrim_core.bundle import load_bundle

SAMPLE = "digits_mlp"
NETWORK, DATA = "digits.pt2", "digits.csv"


def example(request: dict[str, Any]) -> dict[str, Any]:
    """Write both files into the folder; their names."""
    bundle = load_bundle(SAMPLE)
    splits = (bundle.train, bundle.validation, bundle.test)
    inputs = torch.cat([rows for rows, _ in splits]).flatten(1)
    labels = torch.cat([labels for _, labels in splits if labels is not None])
    side = round(inputs.shape[1] ** 0.5)
    names = [f"pixel_{row}_{column}" for row in range(side) for column in range(side)]
    table = np.column_stack([labels.numpy(), inputs.numpy()])
    np.savetxt(DATA, table, "%.6g", ",", header=",".join(["label", *names]), comments="")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        batch = {0: torch.export.Dim("batch")}
        two = bundle.calibration[:2]  # a batch of one would be taken for the only size there is
        torch.export.save(torch.export.export(bundle.model, (two,), dynamic_shapes=(batch,)), Path(NETWORK))
    return {"files": [NETWORK, DATA]}
