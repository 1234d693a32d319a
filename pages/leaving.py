"""Sessions that nobody comes back to.

Streamlit keeps a session for a while after its line broke, and then forgets it only when another one's breaks: on a
quiet server what a visitor held would stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from streamlit.runtime import get_instance

EVERY = 10.0  # seconds


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """As long as the server runs, end sessions when they have been kept long enough."""
    looking = asyncio.create_task(_look())
    yield
    looking.cancel()


async def _look() -> None:
    while True:
        await asyncio.sleep(EVERY)
        end_sessions()


def end_sessions() -> None:
    """To be called where the server's own loop runs, which alone may touch the sessions."""
    kept: Any = get_instance()._session_mgr
    for _, info in kept._session_storage._cache.expire():
        info.session.shutdown()
