"""The operator as a process that is killed and comes back, as a Deployment would see to."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from benchmarks.own_operator import start

RESYNC_SECONDS = 4
"""A watch that missed something is repaired after this; minutes on a real cluster, which no test should wait."""
BACK_AFTER_SECONDS = 0.2
PROBE_SECONDS, FAILURES = 1.0, 5
"""The liveness probe of the chart, with 1 s for its 20 s: an operator that answered once, and then not so often in a
row, is killed, as the kubelet would kill it."""


@dataclass
class Operator:
    """One operator, started again whenever it ends.

    Args:
        folder: for its kubeconfig and log.
        url: of the API server, or of a proxy before it.
        namespace: where it believes to run itself.
        name: for its files, and what it calls itself in a Lease.
        elect: whether it works only while it holds the Lease.
    """

    folder: Path
    url: str
    namespace: str
    name: str = "operator"
    elect: bool = False
    starts: int = 0
    killed: int = 0
    hung: int = 0
    """How often the liveness probe ended it."""
    _port: int = 0
    _process: asyncio.subprocess.Process | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def log(self) -> Path:
        """What it said, of all its lives."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def crashes(self) -> int:
        """How often it ended without being killed."""
        return self.starts - self.killed - self.hung - (self.pid is not None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Operator"]:
        """Keeps it running until the block ends."""
        self._wanted.set()
        tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._probe())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self._end()

    async def kill(self) -> None:
        """SIGKILL, as the kernel would: no handler runs, nothing is flushed. It comes back by itself."""
        if self.pid:
            self.killed += 1
        await self._end()

    async def down(self) -> None:
        """Kills it, and it stays away."""
        self._wanted.clear()
        await self.kill()

    def up(self) -> None:
        """Lets it come back."""
        self._wanted.set()

    async def _keep(self) -> None:
        while True:
            await self._wanted.wait()
            await self._start()
            assert self._process is not None
            await self._process.wait()
            await asyncio.sleep(BACK_AFTER_SECONDS)

    async def _probe(self) -> None:
        timeout = aiohttp.ClientTimeout(total=PROBE_SECONDS * 5)
        probed, answered, failures = 0, False, 0
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                await asyncio.sleep(PROBE_SECONDS)
                if probed != self.starts or self.pid is None:
                    probed, answered, failures = self.starts, False, 0
                    continue
                well = await _answers(session, self._port)
                answered, failures = answered or well, 0 if well or not answered else failures + 1
                if failures >= FAILURES:
                    self.hung += 1
                    await self._end()

    async def _start(self) -> None:
        self.starts += 1
        started = await start(
            self._kubeconfig(),
            self.log,
            ATTUNE_IDENTITY=self.name,
            ATTUNE_LEADER_ELECTION=str(self.elect),
            ATTUNE_NAMESPACE=self.namespace,
            ATTUNE_RESYNC_SECONDS=str(RESYNC_SECONDS),
        )
        self._process, self._port = started

    async def _end(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            await self._process.wait()

    def _kubeconfig(self) -> Path:
        path = self.folder / f"{self.name}.kubeconfig"
        named = {"cluster": "world", "user": "world", "namespace": self.namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "world", "cluster": {"server": self.url}}],
            "users": [{"name": "world", "user": {"token": "the-proxy-has-it"}}],
            "contexts": [{"name": "world", "context": named}],
            "current-context": "world",
        }
        path.write_text(json.dumps(config))
        return path


async def _answers(session: aiohttp.ClientSession, port: int) -> bool:
    """Whether it answers at all: that its resync is late says nothing where that is asked for every few seconds."""
    try:
        async with session.get(f"http://127.0.0.1:{port}/healthz"):
            return True
    except (aiohttp.ClientError, TimeoutError):
        return False
