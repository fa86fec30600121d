"""Ten thousand FineTuneJobs through all their stages, on a control plane of their own, and an operator that is killed.

Pods are played and end with recorded Outcomes. Reactions are taken from a watch: from the moment in which the API
server tells of a new FineTuneJob until it tells of the operator's first write to it.
"""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.apiserver import APIServer, BenchError, connect
from benchmarks.manifests import finetunejob, namespace
from benchmarks.observed import PROC, REQUESTS, Usage, process
from benchmarks.own_operator import Started, start
from benchmarks.played import BAD
from benchmarks.report import Figure, percentile, shares
from benchmarks.scene import NAMESPACES_PATH, runs_path
from benchmarks.watching import METADATA_ONLY
from prometheus_client.parser import text_string_to_metric_families

from attune_devcluster.alone import Alone
from attune_devcluster.kube_api import CONTEXT

JSON = dict[str, Any]
ALL_RUNS = "/apis/attune.dev/v1alpha1/finetunejobs"
SENDERS = 16
IN_A_NAMESPACE = 500
LOOK_SECONDS = 2.0
SECONDS_EACH, SECONDS_MORE = 1.0, 300.0
"""How long all of it may take: by the number of runs, and beside it."""


@dataclass(frozen=True)
class Scale:
    """What was measured.

    Attributes:
        count: FineTuneJobs.
        whole: those of them that go through all stages; the data of the others cannot be used.
        posting: seconds from the first POST until the last one was answered.
        finishing: seconds from the first POST until all runs had ended as they should.
        reactions: seconds from a new FineTuneJob to the first write to it, one for each.
        requests: of the operator to the API server, by what they were.
        peak: most memory that the operator had, in MiB.
        cpu_seconds: of the operator.
        resynced: seconds from the start of a killed operator until it had listed all runs.
        back: seconds from that start until its first write to a run that was new.
        rested: its memory then, in MiB.
    """

    count: int
    whole: int
    posting: float
    finishing: float
    reactions: list[float]
    requests: dict[str, int]
    peak: float
    cpu_seconds: float
    resynced: float
    back: float
    rested: float


async def measure(alone: Alone, folder: Path, count: int, whole: int, say: Callable[[str], None]) -> Scale:
    """Runs them all, then kills the operator and lets it come back.

    Args:
        alone: the control plane.
        folder: for the operator's log.
        count: FineTuneJobs.
        whole: so many of them, evenly among the others, have data that can be used.
        say: told of progress.
    """
    log = folder / "operator.log"
    async with connect(str(alone.kubeconfig), CONTEXT) as api, aiohttp.ClientSession() as session:
        names = [f"scale-{number}" for number in range(math.ceil(count / IN_A_NAMESPACE))]
        await _namespaces(api, names)
        async with _told(api) as told, _operator(alone, log) as first:
            await _resynced(session, first)
            begun = time.monotonic()
            looking = asyncio.create_task(_finished(session, first, count, whole, say))
            await _post(api, names, count, whole)
            posting = time.monotonic() - begun
            say(f"all {count} are created")
            peak = await looking
            finishing = time.monotonic() - begun
            requests, used = await _requests(session, first), _usage(first)
            first.process.kill()
            await first.process.wait()
            reactions = told.reactions()
            async with _operator(alone, log) as second:
                again = time.monotonic()
                await api.post(runs_path(names[0]), finetunejob("late"))
                await told.until(f"{names[0]}/late", SECONDS_MORE)
                back = time.monotonic() - again
                await _resynced(session, second)
                resynced = time.monotonic() - again
                rested = _usage(second).mebibytes
    return Scale(
        count=count,
        whole=whole,
        posting=posting,
        finishing=finishing,
        reactions=reactions,
        requests=dict(requests),
        peak=peak,
        cpu_seconds=used.cpu_seconds or 0.0,
        resynced=resynced,
        back=back,
        rested=rested,
    )


@dataclass
class _Told:
    """What a watch of all FineTuneJobs told: when each was new, and when it was first written to."""

    new: dict[str, float] = field(default_factory=dict)
    written: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, api: APIServer) -> None:
        version = (await api.get(f"{ALL_RUNS}?limit=1"))["metadata"]["resourceVersion"]
        while True:  # the API server ends each watch after half an hour or more
            async for event in api.events(ALL_RUNS, version, METADATA_ONLY):
                meta = event["object"]["metadata"]
                version = meta["resourceVersion"]
                times = self.new if event["type"] == "ADDED" else self.written
                times.setdefault(f"{meta['namespace']}/{meta['name']}", time.monotonic())
                self._changed.set()

    async def until(self, name: str, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while name not in self.written:
                    self._changed.clear()
                    await self._changed.wait()
                return
        raise BenchError(f"nothing was written to {name} in {seconds:.0f} s; look at the operator's log")

    def reactions(self) -> list[float]:
        return [at - self.new[name] for name, at in self.written.items() if name in self.new]


@asynccontextmanager
async def _told(api: APIServer) -> AsyncIterator[_Told]:
    told = _Told()
    task = asyncio.create_task(told.follow(api))
    try:
        yield told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _operator(alone: Alone, log: Path) -> AsyncIterator[Started]:
    started = await start(alone.kubeconfig, log, ATTUNE_NAMESPACE="default")
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.process.kill()
        await started.process.wait()


async def _namespaces(api: APIServer, names: list[str]) -> None:
    for name in names:
        await api.post(NAMESPACES_PATH, namespace(name))
    for name in names:
        while not await api.find(f"{NAMESPACES_PATH}/{name}/serviceaccounts/default"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def _post(api: APIServer, names: list[str], count: int, whole: int) -> None:
    def each() -> Iterator[tuple[str, bytes]]:
        for number in range(count):
            good = (number + 1) * whole // count > number * whole // count
            yield runs_path(names[number % len(names)]), finetunejob(f"{'run' if good else BAD}-{number}")

    bodies = each()

    async def send() -> None:
        for path, body in bodies:
            await api.post(path, body)

    await asyncio.gather(*(send() for _ in range(SENDERS)))


async def _finished(
    session: aiohttp.ClientSession, operator: Started, count: int, whole: int, say: Callable[[str], None]
) -> float:
    """Waits until all runs have ended as they should; the most memory that the operator had, in MiB."""
    deadline = time.monotonic() + SECONDS_EACH * count + SECONDS_MORE
    peak, done = 0.0, 0
    while done < count:
        await asyncio.sleep(LOOK_SECONDS)
        phases = _values(await _metrics(session, operator), "attune_finetunejobs", "phase")
        failed, succeeded = int(phases.get("Failed", 0)), int(phases.get("Succeeded", 0))
        if failed > count - whole:
            raise BenchError(f"{failed} runs failed, {count - whole} should have; look at the operator's log")
        done = failed + succeeded
        peak = max(peak, _usage(operator).mebibytes)
        say(f"{done} of {count} ended, {succeeded} of them well, {peak:.0f} MiB")
        if time.monotonic() > deadline:
            raise BenchError(f"only {done} of {count} runs ended: {json.dumps(phases)}")
    return peak


async def _requests(session: aiohttp.ClientSession, operator: Started) -> Counter[str]:
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(await _metrics(session, operator)):
        for sample in family.samples:
            if sample.name == REQUESTS:
                found[f"{sample.labels['verb']} {sample.labels['resource']}"] += int(sample.value)
    return found


async def _resynced(session: aiohttp.ClientSession, operator: Started) -> None:
    deadline = time.monotonic() + SECONDS_MORE
    while not _values(await _metrics(session, operator), "attune_last_resync_timestamp_seconds").get(""):
        if time.monotonic() > deadline:
            raise BenchError(f"no complete resync in {SECONDS_MORE:.0f} s; look at the operator's log")
        await asyncio.sleep(0.1)


async def _metrics(session: aiohttp.ClientSession, operator: Started) -> str:
    """The operator's figures; nothing while it does not answer yet."""
    if operator.process.returncode is not None:
        raise BenchError(f"the operator ended with {operator.process.returncode}; look at its log")
    try:
        async with session.get(f"http://127.0.0.1:{operator.port}/metrics") as answer:
            return await answer.text()
    except aiohttp.ClientConnectionError:
        return ""


def _values(metrics: str, name: str, label: str = "") -> dict[str, float]:
    """The values of a metric, by one of its labels."""
    return {
        sample.labels.get(label, ""): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == name
    }


def _usage(operator: Started) -> Usage:
    return process(*((PROC / str(operator.process.pid) / name).read_text() for name in ("status", "stat")))


def figures(scale: Scale) -> list[Figure]:
    """The lines of the report."""
    reacted = sorted(scale.reactions)
    made = 3 * scale.whole + scale.count
    beside = f"{made / scale.finishing:.0f} Jobs/s; they came in at {scale.count / scale.posting:.0f}/s"
    return [
        Figure(
            what=f"runs finished per second, {scale.count} FineTuneJobs, {scale.whole} of them through four stages",
            value=scale.count / scale.finishing,
            unit="/s",
            beside=beside,
        ),
        Figure("FineTuneJob created → first status, p50", percentile(reacted, 50), "s"),
        Figure("FineTuneJob created → first status, p99", percentile(reacted, 99), "s"),
        Figure("operator memory, most", scale.peak, "MiB", beside=f"{scale.rested:.0f} MiB when it comes back"),
        Figure("CPU time of the operator per run", scale.cpu_seconds / scale.count * 1000, "ms"),
        Figure(
            what="API requests per run, all told",
            value=sum(scale.requests.values()) / scale.count,
            unit="",
            beside=shares(scale.requests, scale.count),
        ),
        Figure(f"operator killed with {scale.count} runs stored → all listed", scale.resynced, "s", aim=60),
        Figure("the same → first write to a new run", scale.back, "s"),
    ]
