"""Warning Events are read once for a namespace, and the rarer the longer that takes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from attune_operator.cluster.client import Kube
from attune_operator.cluster.warnings import FRESH_SECONDS, LONGEST_PAUSE, PAUSE_FACTOR, Warnings
from attune_operator.errors import UnavailableError
from factories import Clock

JSON = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EARLIER = NOW - timedelta(minutes=1)


def event(about: str, reason: str, seconds: int = 0) -> JSON:
    at = (NOW + timedelta(seconds=seconds)).isoformat()
    return {"involvedObject": {"name": about}, "reason": reason, "message": f"{reason}.", "lastTimestamp": at}


class Server:
    """An API server that has some Events, and takes its time."""

    def __init__(self, clock: Clock, *events: JSON, takes: float = 0.0, fails: bool = False) -> None:
        self.clock, self.events, self.takes, self.fails = clock, list(events), takes, fails
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def get(self, path: str) -> JSON:
        self.asked.append(path)
        if self.gate is not None:
            await self.gate.wait()
        self.clock.now += self.takes
        if self.fails:
            raise UnavailableError("TimeoutError")
        return {"items": self.events}


def over(server: Server) -> Warnings:
    typed: Kube = server  # type: ignore[assignment]  # all that is asked of it
    return Warnings(typed, server.clock)


async def reasons(warnings: Warnings, *names: str, namespace: str = "team", since: datetime = EARLIER) -> list[str]:
    return [w.reason for w in await warnings.about(namespace, names, since)]


async def test_many_runs_ask_and_the_namespace_is_read_once() -> None:
    server = Server(
        Clock(), event("job-1", "FailedCreate"), event("pod-1", "FailedMount", 3), event("pod-2", "BackOff")
    )
    warnings = over(server)
    assert await reasons(warnings, "job-1", "pod-1") == ["FailedMount", "FailedCreate"]
    assert await reasons(warnings, "pod-2") == ["BackOff"]
    assert await reasons(warnings, "pod-2", since=NOW + timedelta(seconds=1)) == []
    assert await reasons(warnings, "pod-3") == []
    assert len(server.asked) == 1
    assert "fieldSelector=type%3DWarning" in server.asked[0]


@pytest.mark.parametrize(("takes", "pause"), [(0.0, FRESH_SECONDS), (2.0, 2 * PAUSE_FACTOR), (30.0, LONGEST_PAUSE)])
async def test_what_takes_long_is_asked_for_the_more_rarely(takes: float, pause: float) -> None:
    server = Server(Clock(), takes=takes)
    warnings = over(server)
    await reasons(warnings, "pod-1")
    server.clock.now += pause - 0.1
    await reasons(warnings, "pod-1")
    assert len(server.asked) == 1
    server.clock.now += 0.2
    await reasons(warnings, "pod-1")
    assert len(server.asked) == 2


async def test_warnings_that_cannot_be_read_hold_nobody_up() -> None:
    server = Server(Clock(), event("pod-1", "FailedMount"), fails=True)
    warnings = over(server)
    assert await reasons(warnings, "pod-1") == []
    server.fails = False
    server.clock.now += FRESH_SECONDS
    assert await reasons(warnings, "pod-1") == ["FailedMount"]


async def test_nobody_waits_while_another_namespace_is_read() -> None:
    server = Server(Clock(), event("pod-1", "FailedMount"))
    warnings, server.gate = over(server), asyncio.Event()
    first = asyncio.create_task(reasons(warnings, "pod-1"))
    await asyncio.sleep(0)
    assert await reasons(warnings, "pod-1", namespace="other") == []
    server.gate.set()
    assert await first == ["FailedMount"]
    assert await reasons(warnings, "pod-1", namespace="other") == ["FailedMount"]
