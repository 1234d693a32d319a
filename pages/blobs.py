"""Pictures' data by address: large constant arrays that a browser fetches once, instead of with every message.

The address is the content's hash, so it can be kept for ever, and known only to those who were given it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

PATH = "blob"  # relative to the app's own address
KEYS = 10_000
LIMIT = 256e6  # bytes; the ones that were not asked for the longest go first


class Blobs:
    def __init__(self, limit: float = LIMIT) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._made: OrderedDict[bytes, str] = OrderedDict()
        self._bytes = 0

    def made(self, key: bytes, make: Callable[[], bytes]) -> str:
        """The relative address of what ``make`` returns, which is called unless it was for this key and is still held.
        key: a hash of all that it depends on."""
        with self._lock:
            name = self._made.get(key)
        if name is not None and self.get(name) is not None:
            return f"{PATH}/{name}"
        address = self.put(make())
        with self._lock:
            self._made[key] = address.removeprefix(f"{PATH}/")
            while len(self._made) > KEYS:
                self._made.popitem(last=False)
        return address

    def put(self, data: bytes) -> str:
        """The relative address of this content."""
        name = hashlib.blake2b(data, digest_size=20).hexdigest()
        with self._lock:
            if name not in self._held:
                self._held[name] = data
                self._bytes += len(data)
            self._held.move_to_end(name)
            while self._bytes > self.limit and len(self._held) > 1:
                self._bytes -= len(self._held.popitem(last=False)[1])
        return f"{PATH}/{name}"

    def drop(self, address: str) -> None:
        """Let go of what is at an address; who asks for it again makes it again."""
        with self._lock:
            self._bytes -= len(self._held.pop(address.removeprefix(f"{PATH}/"), b""))

    def get(self, name: str) -> bytes | None:
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
            return self._held.get(name)


BLOBS = Blobs()


async def serve(request: Request) -> Response:
    data = BLOBS.get(request.path_params["name"])
    if data is None:
        return Response("gone; reload the page", status_code=404, media_type="text/plain")
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return Response(data, media_type="application/octet-stream", headers=headers)
