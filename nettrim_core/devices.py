"""Where torch computes."""

from __future__ import annotations

import torch


def device_of(name: str) -> torch.device:
    """The device of this name: "cpu", "cuda" or "cuda:1". Raises ValueError, one sentence, for what torch does not know
    or does not find here."""
    try:
        found = torch.device(name)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ValueError(f"device = {name!r} is no place to compute; there is cpu, cuda, and cuda:1 for a second GPU")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= count:
        there = f"{count} GPU{'s' * (count > 1)}" if count else "no GPU"
        raise ValueError(f"device = {name!r}: torch {torch.__version__} finds {there} here; cpu is always there")
    return torch.device("cuda", found.index or 0) if found.type == "cuda" else found


def bound_memory(name: str, memory: int) -> None:
    """Let this process take so many bytes of that GPU's memory and no others; a CPU's are not bounded here. Raises as
    :func:`device_of`."""
    there = device_of(name)
    if there.type == "cuda":
        part = memory / torch.cuda.get_device_properties(there).total_memory
        torch.cuda.set_per_process_memory_fraction(min(part, 1.0), there)
