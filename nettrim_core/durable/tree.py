"""Nested dicts and lists of tensors and plain data, as plain data and arrays, and back: no pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def flattened(tree: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """(what JSON can carry, the tensors by the names that it has for them)."""
    arrays: dict[str, np.ndarray] = {}

    def plain(node: Any) -> Any:
        if isinstance(node, Tensor):
            name = f"t{len(arrays)}"
            arrays[name] = node.detach().cpu().numpy()
            return {"tensor": name}
        if isinstance(node, dict):
            return {"dict": [[key, plain(value)] for key, value in node.items()]}  # keys may be numbers
        if isinstance(node, list | tuple):
            return {type(node).__name__: [plain(value) for value in node]}
        return node

    return plain(tree), arrays


def restored(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What :func:`flattened` was given."""
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        return torch.from_numpy(arrays[value].copy())
    if kind == "dict":
        return {key: restored(entry, arrays) for key, entry in value}
    entries = [restored(entry, arrays) for entry in value]
    return tuple(entries) if kind == "tuple" else entries
