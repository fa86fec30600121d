"""One FineTuneJob after another on an operator with nothing else to do, each beside a plain Job of the same shape."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from benchmarks.apiserver import APIServer, BenchError
from benchmarks.manifests import finetunejob, plain_job
from benchmarks.observed import Operator, Writes, writes
from benchmarks.report import Figure, percentile, shares
from benchmarks.scene import jobs_path, pods_path, runs_path
from benchmarks.watching import Watch, watching

JSON = dict[str, Any]
STEP_SECONDS = 60
PAUSE_SECONDS = 0.3
"""Between two runs, so that nobody still has to do with the one before."""
WARM_UP = 2
"""Runs that are not counted: connections and caches are those of an operator that has been up for a while."""
SAY_EVERY = 10
MILLISECONDS = 1000


class Watched(NamedTuple):
    """A namespace, and its three collections that are watched."""

    namespace: str
    runs: Watch
    jobs: Watch
    pods: Watch


@dataclass
class Samples:
    """What was measured; times in seconds, one for each run.

    Attributes:
        to_job: from the answer to the POST of a FineTuneJob until its Job is told of.
        to_pod: the same until its Pod is told of.
        plain_to_pod: from the answer to the POST of a plain Job until its Pod is told of.
        until_running: writes of the operator up to the moment in which the Pod is told to run.
        afterwards: those from then until the status says so.
    """

    to_job: list[float] = field(default_factory=list)
    to_pod: list[float] = field(default_factory=list)
    plain_to_pod: list[float] = field(default_factory=list)
    until_running: Writes = field(default_factory=Writes)
    afterwards: Writes = field(default_factory=Writes)


async def measure(
    api: APIServer, operator: Operator, namespace: str, count: int, say: Callable[[str], None]
) -> Samples:
    """Creates runs and plain Jobs in turn, so that whatever else the machine does meets both alike.

    Args:
        api: the API server.
        operator: whose writes are counted.
        namespace: where.
        count: how many of each.
        say: told how far it is.
    """
    samples = Samples()
    async with (
        watching(api, runs_path(namespace)) as runs,
        watching(api, jobs_path(namespace)) as jobs,
        watching(api, pods_path(namespace)) as pods,
    ):
        watched = Watched(namespace, runs, jobs, pods)
        for number in range(-WARM_UP, count):
            sample = Samples() if number < 0 else samples
            like = await _run(api, operator, watched, f"run-{number + WARM_UP}", sample)
            await _plain(api, watched, f"plain-{number + WARM_UP}", like, sample)
            if number > 0 and number % SAY_EVERY == 0:
                say(f"{number} of {count} runs one by one")
    return samples


async def _run(api: APIServer, operator: Operator, watched: Watched, name: str, samples: Samples) -> JSON:
    """One FineTuneJob from its creation to its end. Returns its Job."""
    namespace, runs, jobs, pods = watched
    before = await writes(api, operator)
    await api.post(runs_path(namespace), finetunejob(name))
    created = time.monotonic()
    try:
        await pods.until(lambda: _runs(pods, name), STEP_SECONDS, f"the Pod of FineTuneJob {name} to run")
    except BenchError as error:
        status = runs.objects.get(name, {}).get("status", {})
        raise BenchError(f"{error}; the FineTuneJob says: {status.get('message', 'nothing')}") from error
    running = await writes(api, operator)
    await jobs.until(lambda: bool(_of(jobs.seen, name)), STEP_SECONDS, f"the Job of FineTuneJob {name}")
    await runs.until(lambda: _reported(runs.objects.get(name)), STEP_SECONDS, f"the status of {name} to say Running")
    told = await writes(api, operator)
    samples.to_job.append(_of(jobs.seen, name)[0] - created)
    samples.to_pod.append(_of(pods.seen, name)[0] - created)
    samples.until_running += running - before
    samples.afterwards += told - running
    like: JSON = _of(jobs.objects, name)[0]
    await _remove(api, f"{runs_path(namespace)}/{name}", watched, name)
    return like


async def _plain(api: APIServer, watched: Watched, name: str, like: JSON, samples: Samples) -> None:
    """A plain Job with the same template, from its creation to its end."""
    namespace, pods = watched.namespace, watched.pods
    await api.post(jobs_path(namespace), plain_job(name, like))
    created = time.monotonic()
    await pods.until(lambda: _runs(pods, name), STEP_SECONDS, f"the Pod of plain Job {name} to run")
    samples.plain_to_pod.append(_of(pods.seen, name)[0] - created)
    await _remove(api, f"{jobs_path(namespace)}/{name}", watched, name)


async def _remove(api: APIServer, path: str, watched: Watched, name: str) -> None:
    await api.delete(path)
    for watch in (watched.runs, watched.jobs, watched.pods):
        await watch.until(lambda w=watch: not _of(w.objects, name), STEP_SECONDS, f"{path} to go")  # type: ignore[misc]
    await asyncio.sleep(PAUSE_SECONDS)


def _of(found: dict[str, Any], name: str) -> list[Any]:
    """What belongs to a run or a plain Job: all its children carry its name before a dash."""
    return [value for key, value in found.items() if key == name or key.startswith(f"{name}-")]


def _runs(pods: Watch, name: str) -> bool:
    return any(pod["status"].get("phase") == "Running" for pod in _of(pods.objects, name))


def _reported(run: JSON | None) -> bool:
    attempts = run.get("status", {}).get("attempts", []) if run else []
    return bool(attempts) and attempts[-1]["state"] == "Running"


def figures(samples: Samples) -> list[Figure]:
    """The lines of the report."""
    lines = []
    for percent, aim, theirs in ((50, 20, 25), (99, 40, 42)):
        lines.append(
            Figure(
                what=f"FineTuneJob created → Job created, idle, p{percent}",
                value=percentile(samples.to_job, percent) * MILLISECONDS,
                unit="ms",
                aim=aim,
                beside=f"Kubeflow Trainer 2.0 with JobSet: {theirs} ms",
            )
        )
    for percent in (50, 99):
        ours, plain = (percentile(s, percent) * MILLISECONDS for s in (samples.to_pod, samples.plain_to_pod))
        lines.append(Figure(f"FineTuneJob created → Pod created, idle, p{percent}", ours, "ms"))
        lines.append(Figure(f"plain Job created → Pod created, idle, p{percent}", plain, "ms"))
        lines.append(Figure(f"what a FineTuneJob adds to a plain Job, p{percent}", ours - plain, "ms", aim=50))
    count = len(samples.to_job)
    each = samples.until_running.total() / count
    made_of = shares(samples.until_running, count)
    lines.append(Figure("API writes per FineTuneJob until its Pod runs", each, "", aim=4, beside=made_of))
    after = samples.afterwards.total() / count
    lines.append(Figure("API writes to report that it runs", after, "", beside=shares(samples.afterwards, count)))
    return lines
