"""When the API server told of an object: what every latency here is taken from."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
from benchmarks.apiserver import APIServer, BenchError

JSON = dict[str, Any]
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""For a burst: to read a thousand whole Jobs would take CPU from those who make them."""
WHOLE = "application/json"


class Watch:
    """What there is in a collection, and when each object was first told of.

    Args:
        api: the API server.
        path: the collection.
        accept: WHOLE or METADATA_ONLY.
        clock: seconds that only grow.
    """

    def __init__(self, api: APIServer, path: str, accept: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._path = path
        self._accept = accept
        self._clock = clock
        self._told = asyncio.Event()
        self._broken = ""
        self.seen: dict[str, float] = {}
        """When an object was told of for the first time, by name, in seconds of the clock."""
        self.objects: dict[str, JSON] = {}
        """The objects that there are now, by name."""

    async def until(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits until something holds of what was seen.

        Args:
            holds: looked at after every event.
            seconds: how long to wait.
            what: is waited for, for the message if it does not come.

        Raises:
            BenchError: it did not come in time, or the watch broke.
        """
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    if self._broken:
                        raise BenchError(f"{self._broken}; run the bench again")
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            raise BenchError(f"waited {seconds:.0f} s for {what}; look at the operator's log") from None

    async def follow(self, version: str) -> None:
        """Takes in events from a resourceVersion on, until it is cancelled or the API server ends the watch."""
        try:
            async for event in self._api.events(self._path, version, self._accept):
                self._take(event, self._clock())
            self._broken = f"the API server ended the watch of {self._path}"
        except (aiohttp.ClientError, BenchError, OSError) as error:
            self._broken = f"the watch of {self._path} broke: {error}"
        self._told.set()

    def _take(self, event: JSON, now: float) -> None:
        if event["type"] == "ERROR":
            raise BenchError(str(event["object"].get("message")))
        name = event["object"]["metadata"]["name"]
        if event["type"] == "DELETED":
            self.objects.pop(name, None)
        else:
            self.seen.setdefault(name, now)
            self.objects[name] = event["object"]
        self._told.set()


@asynccontextmanager
async def watching(api: APIServer, path: str, accept: str = WHOLE) -> AsyncIterator[Watch]:
    """Watches a collection from now on."""
    watch = Watch(api, path, accept, time.monotonic)
    listed = await api.get(f"{path}?limit=1")
    task = asyncio.create_task(watch.follow(listed["metadata"]["resourceVersion"]))
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
