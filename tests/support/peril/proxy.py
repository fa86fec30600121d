"""A proxy between one operator and the API server that does harm as it is told, and remembers every request.

It shows the operator one namespace as if it were the whole cluster, so that many operators can run beside each other on
one control plane and each has its own world.
"""

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from attune_devcluster.alone import Alone
from peril.faults import READS, STATUS, Asked, Kind, Script, healthy

JSON = dict[str, Any]
_CLUSTER_WIDE = re.compile(r"^(/apis/attune\.dev/v1alpha1|/apis/batch/v1|/api/v1)/(finetunejobs|jobs|pods)(?=\?|$)")
_OBJECT = re.compile(r"/namespaces/[^/?]+/([a-z]+)(?:/[^/?]+)?(/[a-z]+)?")
_NOT_A_STEP = frozenset({"leases", "events"})
"""Writes that say nothing about how far a run is."""
STALLED_BY_DEFAULT = 2.0


@dataclass(frozen=True)
class Done:
    """A request as it went."""

    asked: Asked
    at: float
    """Monotonic seconds when the operator had its answer, or lost it."""
    status: int
    """HTTP's; 0 where there was no answer."""
    fault: Kind | None = None

    @property
    def is_step(self) -> bool:
        """Whether it brought a run on: a write that succeeded, of a status or a child."""
        plural = self.asked.what.partition(" ")[2]
        return bool(self.asked.write) and 200 <= self.status < 300 and plural not in _NOT_A_STEP


class CutError(Exception):
    """The connection to the operator is to be cut."""


@dataclass
class Proxy:
    """One operator's way to the API server.

    Args:
        alone: the control plane.
        namespace: the operator's world.
        script: what goes wrong.
        kill: ends the operator; for scripts that ask for it.
        stall: seconds that a stalled request waits.
        mangle: changes FineTuneJobs on their way to the operator.
    """

    alone: Alone
    namespace: str
    script: Script = healthy
    kill: Callable[[], Awaitable[None]] | None = None
    stall: float = STALLED_BY_DEFAULT
    mangle: Callable[[JSON], JSON] | None = None
    done: list[Done] = field(default_factory=list)
    _writes: int = 0
    _requests: int = 0
    _remembered: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    """The last two answers to each read: the older one is the news that a stale read tells."""
    _session: aiohttp.ClientSession | None = None

    @property
    def faults(self) -> list[Done]:
        """Everything that went wrong so far."""
        return [done for done in self.done if done.fault]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serves on a free port of loopback; yields the URL."""
        tls = ssl.create_default_context(cafile=str(self.alone.authority))
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT  # its own certificate is its authority
        headers = {"Authorization": f"Bearer {self.alone.token}"}
        connector = aiohttp.TCPConnector(ssl=tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            self.alone.url, headers=headers, connector=connector, timeout=timeout, read_bufsize=2**21
        ) as self._session:
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                host, port = runner.addresses[0][:2]
                yield f"http://{host}:{port}"
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = _CLUSTER_WIDE.sub(rf"\1/namespaces/{self.namespace}/\2", request.path_qs)
        asked = self._ask(request.method, path)
        try:
            return await self._answer(request, asked)
        except (CutError, aiohttp.ClientError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

    def _ask(self, verb: str, path: str, *, event: bool = False) -> Asked:
        self._requests += 1
        # A lease is renewed for ever; it is no step of a run.
        writes = verb not in READS and "/leases" not in path
        self._writes += writes
        return Asked(
            number=self._requests,
            write=self._writes if writes else 0,
            verb=verb,
            path=path,
            what=_what(verb, path),
            watch="watch=" in path,
            event=event,
            known=path in self._remembered,
        )

    def _note(self, asked: Asked, status: int, fault: Kind | None = None) -> None:
        self.done.append(Done(asked, time.monotonic(), status, fault))

    async def _answer(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        fault = self.script(asked)
        body = await request.read()
        if fault in STATUS:
            return self._refuse(asked, fault)
        if fault is Kind.RESET:
            self._note(asked, 0, fault)
            raise CutError
        if fault is Kind.KILL_BEFORE:
            self._note(asked, 0, fault)
            await self._killed()
        if fault is Kind.STALL:
            self._note(asked, 0, fault)
            await asyncio.sleep(self.stall)
            fault = None
        if fault is Kind.STALE:
            status, text = self._remembered[asked.path][0]
            self._note(asked, status, fault)
            return web.Response(status=status, body=text, content_type="application/json")
        if asked.watch:
            return await self._watch(request, asked)
        status, text = await self._forward(request, asked, body)
        if fault in {Kind.LOST, Kind.KILL_AFTER}:
            self._note(asked, 0, fault)
            await (self._killed() if fault is Kind.KILL_AFTER else asyncio.sleep(0))
            raise CutError
        self._note(asked, status)
        return web.Response(status=status, body=text, content_type="application/json")

    async def _killed(self) -> None:
        assert self.kill is not None, "a script that kills needs somebody to kill"
        await self.kill()
        raise CutError

    def _refuse(self, asked: Asked, fault: Kind) -> web.Response:
        code, reason = STATUS[fault]
        self._note(asked, code, fault)
        said = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": f"{reason}: injected by the fault suite",
            "reason": reason,
            "code": code,
        }
        headers = {"Retry-After": "1"} if fault is Kind.BUSY else {}
        return web.json_response(said, status=code, headers=headers)

    async def _forward(self, request: web.Request, asked: Asked, body: bytes) -> tuple[int, bytes]:
        assert self._session is not None, "only while it serves"
        headers = {
            name: request.headers[name] for name in ("Accept", "Content-Type", "User-Agent") if name in request.headers
        }
        async with self._session.request(asked.verb, asked.path, data=body or None, headers=headers) as answer:
            text = await answer.read()
        if asked.verb in READS:
            text = self._mangled(text)
            memory = self._remembered.setdefault(asked.path, [])
            memory.append((answer.status, text))
            del memory[:-2]
        return answer.status, text

    async def _watch(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        assert self._session is not None, "only while it serves"
        async with self._session.get(asked.path) as answer:
            self._note(asked, answer.status)
            stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await stream.prepare(request)
            async for line in answer.content:
                event = self._ask("GET", asked.path, event=True)
                fault = self.script(event)
                if fault is not None:
                    self._note(event, 0, fault)
                if fault is Kind.DROPPED:
                    continue
                if fault is Kind.CUT:
                    raise CutError
                if fault is Kind.EXPIRED:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    await stream.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
                    return stream
                await stream.write(self._mangled(line))
            return stream

    def _mangled(self, text: bytes) -> bytes:
        if self.mangle is None or b"FineTuneJob" not in text:
            return text
        whole = json.loads(text)
        if "items" in whole:
            whole["items"] = [self.mangle(item) for item in whole["items"]]
        elif "object" in whole:
            whole["object"] = self.mangle(whole["object"])
        else:
            whole = self.mangle(whole)
        return json.dumps(whole).encode() + b"\n"


def _what(verb: str, path: str) -> str:
    found = _OBJECT.search(path)
    return f"{verb} {found[1]}{found[2] or ''}" if found else f"{verb} {path.partition('?')[0]}"
