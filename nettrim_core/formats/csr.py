"""model_csr.pt: the state dict with pruned weights as sparse matrices, row by row.

A dict of ``tensors``, by the names of the state dict, and ``shapes`` of those that are compressed sparse rows (CSR): a
convolution's kernel is stored as the matrix (filters, channels x kernel).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor

from nettrim_core.formats import compare
from nettrim_core.formats.format import Format, Source

MOST = 2**31 - 1  # what an index of 32 bits reaches


def compressed_rows(weight: Tensor) -> Tensor:
    """(outputs, inputs) CSR with indices of 32 bits where they reach; a convolution's kernel is flattened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that CSR is young
        rows = weight.detach().flatten(1).to_sparse_csr()
        if max(rows.shape[1], len(rows.values())) > MOST:
            return rows
        indices = rows.crow_indices().int(), rows.col_indices().int()
        return torch.sparse_csr_tensor(*indices, rows.values(), rows.shape)


def dense_state(path: str | Path) -> dict[str, Tensor]:
    """The dense state dict that model_csr.pt was made from, zeros put back.

    Raises ValueError naming the file and the reason for what is no such file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = torch.load(path, weights_only=True)
            tensors, shapes = found["tensors"], found["shapes"]
            return {
                key: value.to_dense().reshape(shapes[key]) if key in shapes else value for key, value in tensors.items()
            }
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"{path}: not a file of sparse weights: {type(error).__name__}: {error}") from error


def _write(source: Source, path: Path) -> None:
    tensors = dict(source.state)
    shapes = {}
    for layer in source.report.layers:
        key = f"{layer.name}.weight"
        shapes[key] = list(tensors[key].shape)
        tensors[key] = compressed_rows(tensors[key])
    torch.save({"tensors": tensors, "shapes": shapes}, path)


def _check(source: Source, path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        stored = torch.load(path, weights_only=True)["tensors"]
    for layer in source.report.layers:
        kept = len(stored[f"{layer.name}.weight"].values())
        if kept != layer.weights - layer.weight_zeros:
            left = layer.weights - layer.weight_zeros
            raise ValueError(f"{path}: {layer.name} has {kept} stored weights; the report says {left}")
    return compare.state(source, dense_state(path), path) + "; of the pruned weights only the others are stored"


FORMAT = Format(
    "Sparse weights (PyTorch CSR)",
    "model_csr.pt",
    "Pruned weights as sparse matrices that PyTorch multiplies with, only those that are left, each with its place.",
    _write,
    _check,
)
