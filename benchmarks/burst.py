"""Many FineTuneJobs at once: how fast the operator makes Jobs of them, and what it weighs afterwards."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.apiserver import APIServer, BenchError
from benchmarks.manifests import finetunejob
from benchmarks.observed import Operator, Usage, Writes, usage, writes
from benchmarks.report import Figure, shares
from benchmarks.scene import jobs_path, pods_path, runs_path
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
        before: memory and CPU time of the operator before the first POST.
        at_last: the same when the last Job was told of.
        after: the same once nothing was left to write.
    """

    count: int
    posting: float
    until_last: float
    jobs: int
    until_running: float
    written: dict[str, int]
    before: Usage
    at_last: Usage
    after: Usage


async def measure(api: APIServer, operator: Operator, namespace: str, count: int, say: Callable[[str], None]) -> Burst:
    """Creates `count` FineTuneJobs as fast as the API server takes them, and waits until all their Pods run."""
    written, before = await writes(api, operator), await usage(api, operator)
    async with watching(api, jobs_path(namespace), METADATA_ONLY) as jobs:
        started = time.monotonic()
        progress = asyncio.create_task(_tell(jobs, count, say))
        try:
            await _post_all(api, namespace, count)
            posting = time.monotonic() - started
            await jobs.until(lambda: len(jobs.seen) >= count, BURST_SECONDS, f"{count} Jobs")
        finally:
            progress.cancel()
        at_last = await usage(api, operator)
        last = max(jobs.seen.values())
        say(f"all {count} Jobs are there; waiting for their Pods")
        await _until_running(api, namespace, count)
        until_running = time.monotonic() - started
        settled = await _settled(api, operator)
        return Burst(
            count=count,
            posting=posting,
            until_last=last - started,
            jobs=len(jobs.seen),
            until_running=until_running,
            written=dict(settled - written),
            before=before,
            at_last=at_last,
            after=await usage(api, operator),
        )


async def _post_all(api: APIServer, namespace: str, count: int) -> None:
    bodies = iter([finetunejob(f"run-{number}") for number in range(count)])

    async def send() -> None:
        for body in bodies:
            await api.post(runs_path(namespace), body)

    await asyncio.gather(*(send() for _ in range(SENDERS)))


async def _tell(jobs: Watch, count: int, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(SAY_SECONDS)
        say(f"{len(jobs.seen)} of {count} Jobs")


async def _until_running(api: APIServer, namespace: str, count: int) -> None:
    path = f"{pods_path(namespace)}?fieldSelector=status.phase=Running"
    deadline = time.monotonic() + BURST_SECONDS
    while (running := len((await api.get(path, METADATA_LIST))["items"] or [])) < count:
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
    return [
        Figure(
            what=f"Jobs created per second, burst of {burst.count}",
            value=burst.count / burst.until_last,
            unit="/s",
            aim=100,
            at_least=True,
            beside=f"Kubeflow Trainer: 20/s; the FineTuneJobs came in at {burst.count / burst.posting:.0f}/s",
        ),
        *_cpu(burst),
        Figure("Jobs made of them", burst.jobs, "", beside="one each is right"),
        Figure("first FineTuneJob created → all Pods run", burst.until_running, "s"),
        Figure(
            what="API writes per FineTuneJob in the burst, all told",
            value=sum(burst.written.values()) / burst.count,
            unit="",
            beside=shares(burst.written, burst.count),
        ),
        Figure(
            what="operator memory after the burst",
            value=burst.after.mebibytes,
            unit="MiB",
            aim=200,
            beside=f"{burst.before.mebibytes:.0f} MiB before",
        ),
    ]


def _cpu(burst: Burst) -> list[Figure]:
    """Whether it was the operator that held the burst up, or the control plane that shares the machine with it."""
    begun, ended = burst.before.cpu_seconds, burst.at_last.cpu_seconds
    if begun is None or ended is None or ended <= begun:
        return []
    each = (ended - begun) / burst.count
    beside = f"with a core of its own that is {1 / each:.0f} Jobs/s; the cluster's own programs take the rest"
    return [Figure("CPU time of the operator per Job in the burst", each * 1000, "ms", beside=beside)]
