"""A visitor is gone, and what they brought with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nettrim_core.workbench import Workbench


def forget(request: dict[str, Any], bench: Workbench) -> Iterator[dict[str, Any]]:
    """Let go of everything that is held; no answer. What is asked next is read and solved anew."""
    bench.forget()
    yield from ()
