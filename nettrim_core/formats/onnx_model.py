"""model.onnx: the network for other engines, checked with one of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source
from nettrim_core.formats.quiet import following, quiet

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def _needed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"the format onnx needs the packages {', '.join(NEEDED)}, and {name} is not installed: "
            f"pip install {' '.join(NEEDED)}"
        ) from error


def _write(source: Source, path: Path) -> None:
    with quiet():
        for name in NEEDED:
            _needed(name)
    example = torch.cat([source.rows[:1]] * 2)  # a batch of one would be taken for the only size there is
    with following("torch.onnx", path):
        # not optimized: the weights keep their names and values, and engines fold what they like themselves
        torch.onnx.export(
            source.model, (example,), path, dynamo=True, optimize=False, verbose=False, external_data=False,
            input_names=["input"], output_names=["output"], dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip


def _check(source: Source, path: Path) -> str:
    onnx, onnxruntime = _needed("onnx"), _needed("onnxruntime")
    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # of several kinds, none of them public
        raise ValueError(f"{path}: onnx.checker refuses it: {error}") from error
    total = _same_weights(
        source, {part.name: onnx.numpy_helper.to_array(part) for part in model.graph.initializer}, path
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def engine(rows: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"input": rows.numpy()})[0])

    near = compare.outputs(source, engine, path)
    return (
        f"{path.name} passed onnx.checker and ran in onnxruntime {onnxruntime.__version__}: every weight equal bit for "
        f"bit, {total:,} exact zeros as reported; {near}"
    )


def _same_weights(source: Source, found: dict[str, Any], path: Path) -> int:
    """Every parameter must be an initializer under its own name; the zeros among the pruned weights."""
    loaded = {}
    for name, parameter in source.model.named_parameters():
        if name not in found:
            raise ValueError(f"{path}: {name} is not among its initializers")
        loaded[name] = torch.from_numpy(found[name].copy())
        if not torch.equal(loaded[name], parameter.detach()):
            raise ValueError(f"{path}: {name} differs from the pruned network after loading")
    return compare.zeros(source, loaded, path)


FORMAT = Format(
    "Whole network (ONNX)",
    "model.onnx",
    "Weights and computation in the exchange format that phones, browsers and other engines run, for any batch size.",
    _write,
    _check,
    needs_inputs=True,
)
