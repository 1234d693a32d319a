"""A visitor without a browser: Streamlit's websocket protocol, as far as moving the knob and watching a sweep need it.

What goes out is what a browser sends (tests/test_load.py holds it against one); what comes in is kept as the page's
parts, by their place on it. https://github.com/streamlit/streamlit/tree/develop/proto has the messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import time
from typing import Any, Self

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

KNOB = "nettrim_knob"
EVENTS = "$$STREAMLIT_INTERNAL_KEY_{}__events"  # where a component's triggers are sent to
BIGGEST = 200_000_000  # bytes of a message
PATIENCE = 60.0  # seconds for an answer


class Visitor:
    """One session. query: of the page's address, as the page has it. parts: what is on the page, by place; troubles:
    what a person would see as an error."""

    def __init__(self, address: str, query: str) -> None:
        self.address, self.query = address.replace("http", "ws", 1), query
        self.parts: dict[tuple[int, ...], Element] = {}
        self.troubles: list[str] = []
        self._page = self._fragment = ""
        self._run: set[tuple[int, ...]] = set()  # the places that the present run has written
        self._idle = asyncio.Event()
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._socket: ClientConnection | None = None
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        cookie = {"Cookie": f"nettrim_visit={secrets.token_hex(16)}"}
        self._socket = await connect(
            f"{self.address}/_stcore/stream", subprotocols=["streamlit"], additional_headers=cookie,  # type: ignore[list-item]
            max_size=BIGGEST, compression=None, ping_interval=None,
        )  # fmt: skip
        self._listener = asyncio.create_task(self._listen())
        await self._send()
        await self.settled()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in [*self._timers.values(), self._listener]:
            if task is not None:
                task.cancel()
        if self._socket is not None:
            await self._socket.close()

    @property
    def knob(self) -> Element:
        found = next(filter(_is_knob, self.parts.values()), None)
        if found is None:
            raise ValueError(f"{self.query}: the page has no knob; it says {self.troubles}")
        return found

    @property
    def at(self) -> int:
        """Where the knob is."""
        found = re.search(r'"index": ?(\d+)', self.knob.bidi_component.json)
        assert found is not None
        return int(found[1])

    @property
    def curves(self) -> list[list[dict[str, Any] | None]]:
        """Every method's points at the knob's stops."""
        return [series["curve"] for series in json.loads(self.knob.bidi_component.json)[0]["series"]]

    async def release(self, stop: int) -> float:
        """Release the knob at a stop; the seconds until all that follows it has come."""
        began = time.perf_counter()
        await self._send(self._fragment, trigger=(self.knob.bidi_component.id, stop))
        while True:
            await self.settled()
            if self.at == stop:
                return time.perf_counter() - began
            self._idle.clear()  # that was another run, which looked at a sweep

    def seen(self) -> str:
        """A digest of all that the page shows beside its controls."""
        digest = hashlib.blake2b(digest_size=16)
        for place, part in sorted(self.parts.items()):
            kind = part.WhichOneof("type")
            if kind == "bidi_component":
                digest.update(f"{place} {part.bidi_component.json}".encode())
            elif kind in ("markdown", "html"):
                digest.update(f"{place} {getattr(part, kind).body}".encode())
        return digest.hexdigest()

    async def settled(self) -> None:
        """Wait until no run of the page is under way and there is a knob. A look at a sweep that follows a whole run at
        once takes the place of what that one has to say of the knob, and comes after its end."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._idle.wait()
                while not self.troubles and not any(map(_is_knob, self.parts.values())):
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            raise TimeoutError(f"{self.query}: no answer within {PATIENCE:g} s") from None

    async def _send(self, fragment: str = "", trigger: tuple[str, int] | None = None, auto: bool = False) -> None:
        self._idle.clear()
        message = BackMsg()
        run = message.rerun_script
        run.query_string, run.page_script_hash, run.fragment_id = self.query, self._page, fragment
        run.is_auto_rerun = auto
        if trigger is not None:
            component, stop = trigger
            value = json.dumps([{"event": "at", "value": stop}], separators=(",", ":"))
            run.widget_states.widgets.add(id=EVENTS.format(component), json_trigger_value=value)
        assert self._socket is not None
        await self._socket.send(message.SerializeToString())

    async def _listen(self) -> None:
        assert self._socket is not None
        try:
            async for data in self._socket:
                message = ForwardMsg()
                message.ParseFromString(data)  # type: ignore[arg-type]
                self._take(message)
        except Exception as error:
            self.troubles.append(f"{type(error).__name__}: {error}")
        else:
            self.troubles.append("the server hung up")
        self._idle.set()

    def _take(self, message: ForwardMsg) -> None:
        kind, place = message.WhichOneof("type"), tuple(message.metadata.delta_path)
        if kind == "new_session":
            self._idle.clear()
            self._run = set()
            if not message.metadata.run.fragment_ids:
                self._stop_timers()
        elif kind == "delta":
            self._run.add(place)
            if message.delta.WhichOneof("type") == "new_element":
                self._show(place, message.delta)
        elif kind == "navigation":
            self._page = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            again = message.auto_rerun
            self._timers[again.fragment_id] = asyncio.create_task(self._look(again.fragment_id, again.interval))
        elif kind == "script_finished":
            self._finish(message.script_finished)
        elif kind == "session_event" and message.session_event.HasField("script_compilation_exception"):
            self.troubles.append(message.session_event.script_compilation_exception.message)

    def _show(self, place: tuple[int, ...], delta: Any) -> None:
        part = self.parts[place] = delta.new_element
        if _is_knob(part):
            self._fragment = delta.fragment_id
        elif part.WhichOneof("type") == "exception":
            self.troubles.append(f"{part.exception.type}: {part.exception.message}")
        elif part.WhichOneof("type") == "alert":
            self.troubles.append(part.alert.body)

    def _finish(self, status: Any) -> None:
        if status == ForwardMsg.FINISHED_SUCCESSFULLY:  # what it has not written is no longer there
            self.parts = {place: part for place, part in self.parts.items() if place in self._run}
        elif status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self.troubles.append("the page does not compile")
        if status != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self._idle.set()

    async def _look(self, fragment: str, interval: float) -> None:
        """Look at a sweep again and again, as the page asks for it."""
        with contextlib.suppress(Exception):  # the listener says what happened to the line
            while True:
                await asyncio.sleep(interval)
                await self._send(fragment, auto=True)

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()


def _is_knob(part: Element) -> bool:
    return part.bidi_component.component_name == KNOB
