"""How much a stranger's files may take, each limit a value that the environment can set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from nettrim_core.problem import Settings, setting

PREFIX = "NETTRIM_UPLOAD_"


@dataclass(frozen=True)
class Limits(Settings):
    """Limits on one reading. Each is set by the variable NETTRIM_UPLOAD_ and its name: NETTRIM_UPLOAD_MB=500."""

    mb: int = setting(100, 1, 100_000, help="megabytes that a file may have")
    unpacked_mb: int = setting(400, 1, 100_000, help="megabytes that it may unpack to, and that the inputs may take")
    memory_mb: int = setting(3000, 100, 1_000_000, help="megabytes of memory for reading, beside the program's own")
    seconds: int = setting(60, 1, 100_000, help="for reading, by the clock and of the processor")
    at_once: int = setting(2, 1, 100, help="readings at the same time; others wait their turn")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """The limits that the environment sets, and the usual ones. Raises ValueError for what is no whole number, or
        out of range."""
        found = {}
        for f in fields(cls):
            name = PREFIX + f.name.upper()
            if text := environment.get(name, ""):
                if not text.isascii() or not text.isdigit():
                    raise ValueError(f"{name} = {text!r} is not a whole number: set it to one, such as {f.default}")
                found[f.name] = int(text)
        return cls(**found)
