"""`/healthz` and `/metrics` over HTTP.

Liveness fails when the resync is stale: an operator that no longer gets through a full list is dead.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

STALE_AFTER = 3.0
"""Resync intervals without a complete resync after which the operator counts as dead."""


class Heartbeat:
    """Remembers the last complete resync.

    Args:
        interval: seconds between resyncs.
        clock: seconds that only grow.
    """

    def __init__(self, interval: float, clock: Callable[[], float]) -> None:
        self._interval = interval
        self._clock = clock
        self._last = clock()

    def beat(self) -> None:
        """Called after each complete resync."""
        self._last = self._clock()

    @property
    def age(self) -> float:
        """Seconds since the last complete resync."""
        return self._clock() - self._last

    @property
    def alive(self) -> bool:
        """Whether the last complete resync is recent enough."""
        return self.age <= STALE_AFTER * self._interval


def application(heartbeat: Heartbeat, registry: CollectorRegistry) -> web.Application:
    """The HTTP application."""

    async def healthz(_: web.Request) -> web.Response:
        text = f"last complete resync {heartbeat.age:.0f} s ago\n"
        return web.Response(text=text, status=200 if heartbeat.alive else 503)

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", metrics)])
    return app


async def serve(app: web.Application, port: int) -> web.AppRunner:
    """Starts serving on all addresses; `cleanup()` of the result ends it."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
