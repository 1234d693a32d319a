"""A GPU that is none. Its tensors lie in the CPU's memory and say that they are on cuda; what they refuse is what a
GPU's refuse: to become arrays, and to be used together with the CPU's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda", 0)
MAKERS = (
    "arange", "as_tensor", "empty", "empty_like", "eye", "full", "full_like", "linspace", "new_empty", "new_full",
    "new_ones", "new_tensor", "new_zeros", "ones", "ones_like", "rand", "randint", "randn", "randperm",
    "scalar_tensor", "tensor", "to", "zeros", "zeros_like",
)  # fmt: skip
ARRAYS = ("numpy", "__array__", "__dlpack__")
ALIKE = ("copy_", "__set__", "to", "_has_compatible_shallow_copy_type")  # what looks at devices for itself


class There(Tensor):
    """A tensor on the GPU."""


class _Pretending(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        there = [value for value in tensors if isinstance(value, There)]
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return CUDA if there else func(*args)
        if there and name in ARRAYS:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if there and name == "__deepcopy__":
            return args[1].setdefault(id(args[0]), _copied(args[0]))
        _check(name, args, tensors, there)
        asked = torch.device("cpu") if name == "cpu" else None
        if name in MAKERS:
            asked = _asked(args, kwargs)
            args, kwargs = tree_map(_here, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass() if there else nullcontext():  # torch.fx needs it elsewhere
            made = func(*args, **kwargs)
        if asked is not None:
            return tree_map(_placed if asked.type == "cuda" else _plain, made)
        return tree_map(_placed, made) if there else made


def _check(name: str, args: tuple[Any, ...], tensors: list[Tensor], there: list[There]) -> None:
    """Refuse what mixes devices. A single number goes with any, and so do indices from the CPU."""
    mixed = there and any(value.dim() > 0 for value in tensors if not isinstance(value, There))
    if name == "__setitem__":
        given = args[2]
        mixed = isinstance(given, Tensor) and given.dim() > 0 and isinstance(given, There) != isinstance(args[0], There)
    elif name == "__getitem__":
        mixed = there and not isinstance(args[0], There)
    elif name in ALIKE:
        mixed = False
    if mixed:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} was given some on cuda and cpu")


def _asked(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device | None:
    """The device that is asked for, if one is."""
    for value in (*args[1:], kwargs.get("device"), *args[:1]):
        if isinstance(value, torch.device) or value in ("cpu", "cuda"):
            return torch.device(value)
        if isinstance(value, There) and value is not args[0]:
            return CUDA
    return None


def _here(value: Any) -> Any:
    is_device = isinstance(value, torch.device) or (isinstance(value, str) and value == "cuda")
    return torch.device("cpu") if is_device else value


def _plain(value: Any) -> Any:
    return value.as_subclass(Tensor) if isinstance(value, There) else value


def _placed(value: Any) -> Any:
    return value.as_subclass(There) if isinstance(value, Tensor) and not isinstance(value, There) else value


def _copied(value: Tensor) -> Tensor:
    copied = _plain(value).detach().clone().as_subclass(There)
    if isinstance(value, nn.Parameter):
        return nn.Parameter(copied, requires_grad=value.requires_grad)
    return copied.requires_grad_(value.requires_grad)


@contextmanager
def pretended() -> Iterator[None]:
    """Meanwhile, there is a GPU."""
    was = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with pytest.MonkeyPatch.context() as patch, _Pretending():
            patch.setattr(torch.cuda, "is_available", lambda: True)
            patch.setattr(torch.cuda, "device_count", lambda: 1)
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(was)
