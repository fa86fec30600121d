"""Warning Events, read once for all runs and looks of a namespace.

The API server keeps Events without an index: whoever asks for those about one object has it go through all that the
namespace has. Runs that wait would each ask, the longer the more of them wait, and slow down the server that they wait
for. So a namespace is read as a whole, one after the other, and the rarer the longer that takes.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from attune_operator.cluster.client import Kube, pages, path_to
from attune_operator.errors import UnavailableError
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, Warned

JSON = dict[str, Any]
FRESH_SECONDS = 5.0
PAUSE_FACTOR = 20
"""After a reading, its namespace is left alone for so many times as long as that took."""
LONGEST_PAUSE = 300.0
_FORGOTTEN_AFTER = 600.0
RECENT = timedelta(minutes=2)
"""Older warnings are about something that has passed: what lasts is warned of again."""
LATE_TO_START = timedelta(seconds=4)
"""A pod that starts normally has warnings of passing things; only one that still waits after this is asked for them."""


class _Read(NamedTuple):
    """What the last reading of a namespace found: its Warning Events by the object that they are about."""

    fresh_until: float
    about: dict[str, list[JSON]]


class Warnings:
    """Reads Warning Events.

    Args:
        client: the API server.
        clock: seconds that only grow.
    """

    def __init__(self, client: Kube, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, _Read] = {}
        self._turn = asyncio.Lock()

    async def about(self, namespace: str, names: tuple[str, ...], since: datetime) -> tuple[Warned, ...]:
        """Those about these objects since a moment, newest first; of what was read last, while another reading waits.

        They only explain: where they cannot be read, there are none.
        """
        # Nobody waits for another namespace's turn: a run that learns nothing now looks again in seconds.
        if self._is_due(namespace) and not self._turn.locked():
            async with self._turn:
                await self._read(namespace)
        known = self._known.get(namespace)
        found = [e for name in names for e in known.about.get(name, ())] if known else []
        recent = sorted((e for e in found if _when(e) >= since), key=_when, reverse=True)
        return tuple(Warned(e.get("reason", ""), e.get("message", "")) for e in recent)

    async def of_start(
        self, namespace: str, job: JobView | None, pods: tuple[PodView, ...], now: datetime
    ) -> tuple[Warned, ...]:
        """Recent ones about a Job that may run, and whose pods do not, newest first.

        A Job that has only just been made has none.
        """
        running = bool(pods) and all(p.phase != "Pending" for p in pods)
        if job is None or job.state is not JobState.ACTIVE or running or now - job.created <= LATE_TO_START:
            return ()
        return await self.about(namespace, (job.name, *(p.name for p in pods)), max(job.created, now - RECENT))

    def _is_due(self, namespace: str) -> bool:
        known = self._known.get(namespace)
        return known is None or self._clock() >= known.fresh_until

    async def _read(self, namespace: str) -> None:
        began, about = self._clock(), dict[str, list[JSON]]()
        only = {"fieldSelector": "type=Warning"}
        try:
            async for event in pages(self._client, lambda query: path_to("v1", "events", namespace, **only, **query)):
                about.setdefault(event.get("involvedObject", {}).get("name", ""), []).append(event)
        except UnavailableError:
            about = {}
        now = self._clock()
        pause = min(max(FRESH_SECONDS, PAUSE_FACTOR * (now - began)), LONGEST_PAUSE)
        self._known = {n: r for n, r in self._known.items() if now < r.fresh_until + _FORGOTTEN_AFTER}
        self._known[namespace] = _Read(now + pause, about)


def _when(event: JSON) -> datetime:
    series = event.get("series") or {}
    text = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return datetime.fromisoformat(text or event["metadata"]["creationTimestamp"])
