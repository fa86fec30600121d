"""The way to the object store, with a door in it: it can be shut, go silent, say 503, and be narrow.

Bytes are passed on as they are, so that signatures hold: the client signs the door's own address, and the store checks
what it is sent.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

CHUNK = 1 << 16
_REQUEST = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WAITS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_BODY = b"<Error><Code>SlowDown</Code><Message>injected by the fault suite</Message></Error>"
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)


class Mode(StrEnum):
    """How the store behaves as seen from the pods."""

    OPEN = "open"
    SHUT = "refuses connections, and cuts those that there are"
    SILENT = "takes requests and never answers"
    BUSY = "answers 503"
    SLOW = "passes a few bytes a second"


class Asked(NamedTuple):
    """A request that came by."""

    verb: str
    path: str


Trap = Callable[[Asked], Mode | None]
"""Looks at each request; the first mode that it gives is taken on at once, before that request goes on."""


@dataclass
class Door:
    """A proxy before a store.

    Args:
        host: address to listen on, which pods can reach.
        upstream: the store, as host and port.
        rate: bytes a second of one connection where it is slow.
    """

    host: str
    upstream: tuple[str, int]
    rate: int = 64 * 1024
    asked: list[Asked] = field(default_factory=list)
    refused: int = 0
    """Requests and connections that were not let through."""
    port: int = 0
    mode: Mode = Mode.OPEN
    sprung: threading.Event = field(default_factory=threading.Event)
    """Set when the trap closed."""
    _trap: Trap | None = None
    _server: asyncio.Server | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """What to give to pods as the store's endpoint."""
        return f"http://{self.host}:{self.port}"

    @contextmanager
    def serving(self) -> Iterator["Door"]:
        """Serves in a thread of its own until the block ends."""
        thread = threading.Thread(target=self._loop.run_forever, name="door", daemon=True)
        thread.start()
        try:
            self._run(self._listen())
            yield self
        finally:
            self._run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def become(self, mode: Mode) -> None:
        """Changes how the store behaves; connections that are open are cut."""
        self._run(self._become(mode))

    def lead_to(self, upstream: tuple[str, int]) -> None:
        """Leads to another store from now on; connections that are open are cut."""
        self.upstream = upstream
        self._run(self._cut())

    def set_trap(self, trap: Trap) -> None:
        """Waits for a request, and changes the mode just then."""
        self.sprung.clear()
        self._trap = trap

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._handle, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server:
            self._server.close()
        await self._cut()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _become(self, mode: Mode) -> None:
        before, self.mode = self.mode, mode
        if mode is Mode.SHUT and self._server:
            self._server.close()  # nobody listens: connections are refused, as by a host without a store
        elif before is Mode.SHUT:
            await self._listen()
        await self._cut()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            far_reader, far_writer = await asyncio.open_connection(*self.upstream)
            self._writers.add(far_writer)
            ways = [self._requests(reader, writer, far_writer), self._answers(far_reader, writer)]
            try:
                await _first(ways)
            finally:
                self._writers.discard(far_writer)
                far_writer.close()
        self._writers.discard(writer)
        writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, far: asyncio.StreamWriter
    ) -> None:
        """From pod to store; a request begins where a chunk does, for nobody asks before the last answer is there."""
        while chunk := await reader.read(CHUNK):
            begins = _REQUEST.match(chunk)
            if begins:
                await self._note(Asked(begins[1].decode(), begins[2].decode()))
            if self.mode is Mode.SILENT:
                self.refused += 1
                await asyncio.sleep(3600)  # until the connection is cut
            if self.mode is Mode.BUSY and begins:
                self.refused += 1
                await _drain(reader, chunk)
                writer.write(_BUSY)
                await writer.drain()
                return
            await self._pass_on(chunk, far)

    async def _answers(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await far.read(CHUNK if self.mode is not Mode.SLOW else max(1, self.rate // 4)):
            await self._pass_on(chunk, writer)

    async def _pass_on(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.SLOW:
            await asyncio.sleep(len(chunk) / self.rate)
        writer.write(chunk)
        await writer.drain()

    async def _note(self, asked: Asked) -> None:
        self.asked.append(asked)
        mode = self._trap(asked) if self._trap else None
        if mode is None:
            return
        self._trap = None
        self.sprung.set()
        self.refused += 1
        await self._become(mode)


async def _first(ways: list[Coroutine[Any, Any, None]]) -> None:
    """Until one of them ends: then the connection is over."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _drain(reader: asyncio.StreamReader, chunk: bytes) -> None:
    """Takes in the rest of a request, so that its sender gets to read the answer."""
    while b"\r\n\r\n" not in chunk:
        more = await reader.read(CHUNK)
        if not more:
            return
        chunk += more
    head, _, body = chunk.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length is None or _WAITS.search(head):
        return
    left = int(length[1]) - len(body)
    while left > 0 and (more := await reader.read(min(left, CHUNK))):
        left -= len(more)
