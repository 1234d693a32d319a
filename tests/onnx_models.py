"""ONNX models written by hand, and an engine to run them: what the reader is held against."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

from nettrim_core import load_model

Shape = list[int | str]


def graph(nodes: str, shape: Shape, held: dict[str, Any] | None = None, *, opset: int = 18) -> ModelProto:
    """A model of nodes as in "Conv x w strides=[2,2]; Relu v0": an operator, its inputs (_ for none) and attributes.

    The input is x; each node gives a value called after its place, v0, v1, ..., and the last one's is the output.
    held: initializers.
    """
    made = []
    for i, (kind, *words) in enumerate(node.split() for node in nodes.split(";")):
        inputs = ["" if word == "_" else word for word in words if "=" not in word]
        attributes = dict(word.split("=") for word in words if "=" in word)
        values = {name: _value(text) for name, text in attributes.items()}
        made.append(helper.make_node(kind, inputs, [f"v{i}"], name=f"n{i}", **values))
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (held or {}).items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info(made[-1].output[0], TensorProto.FLOAT, None)
    body = helper.make_graph(made, "g", [x], [y], initializers)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def _value(text: str) -> Any:
    return text if text[0].isalpha() else ast.literal_eval(text)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def session(path: Path) -> onnxruntime.InferenceSession:
    """With one thread and the graph as it is."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def saved(model: ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


def read_alike(path: Path, *shape: int, scale: float = 1.0) -> nn.Module:
    """The network that is read, after its outputs were found to be onnxruntime's, to 1e-5 of the largest: for batches
    of 1 and 4, or where the file is for one size of the batch, part by part."""
    read, engine = load_model(path), session(path)
    (given,) = engine.get_inputs()
    generator = torch.Generator().manual_seed(1)
    fixed = given.shape[0] if isinstance(given.shape[0], int) else None
    for batch in (1, 4):
        rows = scale * torch.randn(batch * (fixed or 1), *shape, generator=generator)
        parts = rows.split(fixed or batch)
        with torch.no_grad():
            found = read(rows)
        wanted = torch.cat([torch.from_numpy(engine.run(None, {given.name: part.numpy()})[0]) for part in parts])
        assert found.shape == wanted.shape
        assert float((found - wanted).abs().max()) <= 1e-5 * max(float(wanted.abs().max()), 1e-30)
    return read
