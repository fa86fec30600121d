"""Many FineTuneJobs at once: how fast the operator makes Jobs of them, and what it weighs afterwards."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.apiserver import APIServer, BenchError
from benchmarks.manifests import finetunejob
from benchmarks.observed import Operator, Writes, memory, writes
from benchmarks.report import Figure, shares
from benchmarks.scene import BURST, jobs_path, pods_path, runs_path
from benchmarks.watching import METADATA_ONLY, Watch, watching

SENDERS = 16
"""POSTs side by side: quick enough not to be what is measured."""
BURST_SECONDS = 300
SETTLE_SECONDS = 120
SAY_SECONDS = 2.0
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Burst:
    """What was measured.

    Attributes:
        count: FineTuneJobs.
        posting: seconds from the first POST until the last one was answered.
        until_last: seconds from the first POST until the last Job was told of.
        jobs: Jobs that there were in the end; one each is right.
        until_running: seconds from the first POST until all Pods ran.
        written: the operator's writes until nothing was left to write.
        memory_before: resident memory of the operator in MiB.
        memory_after: the same once nothing was left to write.
    """

    count: int
    posting: float
    until_last: float
    jobs: int
    until_running: float
    written: Writes
    memory_before: float
    memory_after: float


async def measure(api: APIServer, operator: Operator, count: int, say: Callable[[str], None]) -> Burst:
    """Creates `count` FineTuneJobs as fast as the API server takes them, and waits until all their Pods run."""
    before, memory_before = await writes(api, operator), await memory(api, operator)
    async with watching(api, jobs_path(BURST), METADATA_ONLY) as jobs:
        started = time.monotonic()
        progress = asyncio.create_task(_tell(jobs, count, say))
        try:
            await _post_all(api, count)
            posting = time.monotonic() - started
            await jobs.until(lambda: len(jobs.seen) >= count, BURST_SECONDS, f"{count} Jobs")
        finally:
            progress.cancel()
        last = max(jobs.seen.values())
        say(f"all {count} Jobs are there; waiting for their Pods")
        await _until_running(api, count)
        until_running = time.monotonic() - started
        after = await _settled(api, operator)
        return Burst(
            count=count,
            posting=posting,
            until_last=last - started,
            jobs=len(jobs.seen),
            until_running=until_running,
            written=after - before,
            memory_before=memory_before,
            memory_after=await memory(api, operator),
        )


async def _post_all(api: APIServer, count: int) -> None:
    bodies = iter([finetunejob(f"run-{number}") for number in range(count)])

    async def send() -> None:
        for body in bodies:
            await api.post(runs_path(BURST), body)

    await asyncio.gather(*(send() for _ in range(SENDERS)))


async def _tell(jobs: Watch, count: int, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(SAY_SECONDS)
        say(f"{len(jobs.seen)} of {count} Jobs")


async def _until_running(api: APIServer, count: int) -> None:
    path = f"{pods_path(BURST)}?fieldSelector=status.phase=Running"
    deadline = time.monotonic() + BURST_SECONDS
    while (running := len((await api.get(path, METADATA_LIST))["items"])) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"only {running} of {count} Pods run after {BURST_SECONDS} s; is kwok running?")
        await asyncio.sleep(1)


async def _settled(api: APIServer, operator: Operator) -> Writes:
    """The operator's writes once it has no more to write."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = await writes(api, operator)
    while time.monotonic() < deadline:
        await asyncio.sleep(SAY_SECONDS)
        now = await writes(api, operator)
        if now == before:
            return now
        before = now
    raise BenchError(f"the operator still writes {SETTLE_SECONDS} s after the burst; look at its log")


def figures(burst: Burst) -> list[Figure]:
    """The lines of the report."""
    rate = burst.count / burst.until_last
    return [
        Figure(
            what=f"Jobs created per second, burst of {burst.count}",
            value=rate,
            unit="/s",
            aim=100,
            at_least=True,
            beside=f"Kubeflow Trainer: 20/s; the FineTuneJobs came in at {burst.count / burst.posting:.0f}/s",
        ),
        Figure("Jobs made of them", burst.jobs, "", beside="one each"),
        Figure("first FineTuneJob created → all Pods run", burst.until_running, "s"),
        Figure(
            what="API writes per FineTuneJob in the burst, all told",
            value=burst.written.total() / burst.count,
            unit="",
            beside=shares(burst.written, burst.count),
        ),
        Figure(
            what="operator memory after the burst",
            value=burst.memory_after,
            unit="MiB",
            aim=200,
            beside=f"{burst.memory_before:.0f} MiB before",
        ),
    ]
