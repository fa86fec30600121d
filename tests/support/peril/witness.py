"""What really happened in a namespace, told by the API server itself and not through the proxy."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.apiserver import APIServer
from benchmarks.scene import jobs_path, runs_path

JSON = dict[str, Any]


class Try(NamedTuple):
    """One attempt: what there may be one Job for, and no more."""

    run: str
    stage: str
    attempt: str


class Said(NamedTuple):
    """A status as a user would have seen it."""

    at: float
    phase: str
    message: str


@dataclass
class Witness:
    """Follows the FineTuneJobs and Jobs of a namespace from its beginning."""

    api: APIServer
    namespace: str
    made: dict[Try, set[str]] = field(default_factory=dict)
    """UIDs of all Jobs that there ever were, by attempt."""
    overlaps: list[str] = field(default_factory=list)
    """Attempts that began while another of the same run had not ended."""
    runs: dict[str, JSON] = field(default_factory=dict)
    """The FineTuneJobs as they are."""
    said: dict[str, list[Said]] = field(default_factory=dict)
    """What each run's status said, oldest first."""
    again: list[str] = field(default_factory=list)
    """Runs that did something after their end."""
    open: dict[str, Try] = field(default_factory=dict)
    """Attempts under way, by the UID of their Job."""
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator["Witness"]:
        """Watches until the block ends."""
        takers = {jobs_path(self.namespace): self._job, runs_path(self.namespace): self._run}
        tasks = [asyncio.create_task(self._follow(path, taker)) for path, taker in takers.items()]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def finished(self, names: list[str], seconds: float) -> bool:
        """Waits until all these runs are over; whether they are."""
        return await self.until(lambda: all(is_over(self.runs.get(name, {})) for name in names), seconds)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Waits until something holds; whether it does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not holds():
                    self._told.clear()
                    await self._told.wait()
        return holds()

    async def _follow(self, path: str, taker: Callable[[str, JSON], None]) -> None:
        version = (await self.api.get(path))["metadata"]["resourceVersion"]
        while True:  # the API server ends each watch after half an hour or more
            async for event in self.api.events(path, version, "application/json"):
                taker(event["type"], event["object"])
                version = event["object"]["metadata"]["resourceVersion"]
                self._told.set()

    def _job(self, happened: str, job: JSON) -> None:
        meta, labels = job["metadata"], job["metadata"]["labels"]
        which = Try(*(labels[f"attune.dev/{name}"] for name in ("run", "stage", "attempt")))
        if happened == "ADDED":
            self.made.setdefault(which, set()).add(meta["uid"])
            others = [other for other in self.open.values() if other.run == which.run]
            self.overlaps += [f"{which} began while {other} had not ended" for other in others]
        ended = any(
            c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in job["status"].get("conditions", [])
        )
        if ended or happened == "DELETED":
            self.open.pop(meta["uid"], None)
        else:
            self.open[meta["uid"]] = which

    def _run(self, _: str, run: JSON) -> None:
        name, status = run["metadata"]["name"], run.get("status", {})
        if is_over(self.runs.get(name, {})) and status.get("attempts") != self.runs[name]["status"].get("attempts"):
            self.again.append(f"{name} went on after its end")
        self.runs[name] = run
        said = Said(time.monotonic(), status.get("phase", ""), status.get("message", ""))
        self.said.setdefault(name, []).append(said)


def is_over(run: JSON) -> bool:
    """Whether a run has its result."""
    return condition(run, "Finished").get("status") == "True"


def condition(run: JSON, kind: str) -> JSON:
    """A condition of a FineTuneJob; empty where it has none."""
    found = (c for c in run.get("status", {}).get("conditions", []) if c["type"] == kind)
    return next(found, {})
