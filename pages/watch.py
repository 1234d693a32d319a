"""What is told to those who look after the server: its health, at /healthz. It is only looked at: what nobody has
needed yet is not made for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nettrim_core.configuration import Storage
from nettrim_core.intake import Door
from nettrim_core.jobs import Pool
from nettrim_core.tally import Condition

PATH = "healthz"  # relative to the app's own address
OK, DEGRADED, DOWN = "ok", "degraded", "down"
ROOM = 50_000_000  # bytes that are to be free where results are kept
IDLE = Condition(able=True, workers=0, pids=(), running=0, waiting=0)  # a pool that nobody has needed


@dataclass
class Server:
    """The parts of this server, each once there is one."""

    pool: Pool | None = None
    door: Door | None = None

    @property
    def condition(self) -> Condition:
        return IDLE if self.pool is None else self.pool.condition()


SERVER = Server()
STORAGE = Storage.configured()


def health(server: Server, storage: Storage) -> dict[str, Any]:
    """How the server is. status: "ok", "degraded" (it works, but does not keep everything) or "down" (no job is worked
    on); because: sentences that say why it is not ok."""
    pool = server.condition
    kept = trouble(storage.place) if storage.on else ""
    because = [] if pool.able else ["The worker processes do not come up, or the pool has ended: see the log."]
    because += [f"Results cannot be kept: {kept}."] if kept else []
    return {
        "status": DOWN if not pool.able else DEGRADED if kept else OK,
        "because": because,
        "workers": {"wanted": pool.workers, "alive": len(pool.pids)},
        "jobs": {"running": pool.running, "waiting": pool.waiting},
        "store": "off" if not storage.on else kept or "writable",
    }


def trouble(folder: Path) -> str:
    """Why nothing could be written to a folder, which may be still to be made; "" if it could. Says no path."""
    here = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not here.is_dir() or not os.access(here, os.W_OK | os.X_OK):
        return "the folder cannot be written"
    found = os.statvfs(here)
    free = found.f_bavail * found.f_frsize
    return "" if free >= ROOM else f"the disk has {free / 1e6:,.0f} MB left"


async def serve(_: Request) -> Response:
    found = health(SERVER, STORAGE)
    status = 503 if found["status"] == DOWN else 200
    return JSONResponse(found, status_code=status, headers={"Cache-Control": "no-store"})
