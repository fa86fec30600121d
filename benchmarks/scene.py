"""What the bench needs in the cluster, made before and removed after: fake nodes, a runtime for them, namespaces."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.apiserver import APIServer, BenchError
from benchmarks.manifests import NAME, namespace, node, runtime

IDLE, BURST = NAMESPACES = (f"{NAME}-idle", f"{NAME}-burst")
NODES = tuple(f"{NAME}-{number}" for number in range(10))
NODES_PATH = "/api/v1/nodes"
NAMESPACES_PATH = "/api/v1/namespaces"
RUNTIMES_PATH = "/apis/attune.dev/v1alpha1/tuningruntimes"
READY_SECONDS = 60
GONE_SECONDS = 300
LOOK_SECONDS = 0.5


def runs_path(namespace: str) -> str:
    """The FineTuneJobs of a namespace."""
    return f"/apis/attune.dev/v1alpha1/namespaces/{namespace}/finetunejobs"


def jobs_path(namespace: str) -> str:
    """The Jobs of a namespace."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def pods_path(namespace: str) -> str:
    """The Pods of a namespace."""
    return f"{NAMESPACES_PATH}/{namespace}/pods"


@asynccontextmanager
async def scene(api: APIServer, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Makes everything, waits until it is ready, and removes it in the end, whatever happened in between."""
    await clear(api, say)
    try:
        await api.post(RUNTIMES_PATH, runtime())
        for name in NODES:
            await api.post(NODES_PATH, node(name))
        for name in NAMESPACES:
            await api.post(NAMESPACES_PATH, namespace(name))
        await _until(partial(_nodes_ready, api), READY_SECONDS, "the fake nodes; is kwok running? `up --with kwok`")
        await _until(
            partial(_accounts_there, api), READY_SECONDS, "service accounts: is the controller manager running?"
        )
        yield
    finally:
        await clear(api, say)


async def clear(api: APIServer, say: Callable[[str], None]) -> None:
    """Deletes what the bench made, now or in an earlier run that was killed, and waits until it is gone."""
    started = time.monotonic()
    if found := await _namespaces_left(api):
        say(f"removing {' and '.join(found)} with everything in them")
    # A namespace deletes its Pods before its Jobs, and a Job keeps its finalizer on a Pod until that has ended, which
    # the Pods of a fake node never do. So the Jobs go first.
    for path in (path(name) for name in found for path in (runs_path, jobs_path)):
        await api.delete(path)
    await _until(partial(_no_jobs, api, found), GONE_SECONDS, f"the Jobs of {' and '.join(found)} to go")
    for name in found:
        await api.delete(f"{NAMESPACES_PATH}/{name}")
    await _until(partial(_all_gone, api), GONE_SECONDS, f"{' and '.join(found)} to go; `kubectl describe ns` says why")
    await api.delete(f"{RUNTIMES_PATH}/{NAME}")
    # Last: the pods of a node that is gone would be deleted by nobody.
    for name in NODES:
        await api.delete(f"{NODES_PATH}/{name}")
    if found:
        say(f"removed after {time.monotonic() - started:.0f} s, nothing is left")


async def _nodes_ready(api: APIServer) -> bool:
    nodes = (await api.get(f"{NODES_PATH}?labelSelector={NAME}"))["items"]
    ready = [
        c for n in nodes for c in n["status"].get("conditions", []) if (c["type"], c["status"]) == ("Ready", "True")
    ]
    return len(ready) == len(NODES)


async def _accounts_there(api: APIServer) -> bool:
    paths = [f"{NAMESPACES_PATH}/{name}/serviceaccounts/default" for name in NAMESPACES]
    return all([await api.find(path) for path in paths])


async def _namespaces_left(api: APIServer) -> list[str]:
    return [name for name in NAMESPACES if await api.find(f"{NAMESPACES_PATH}/{name}")]


async def _no_jobs(api: APIServer, namespaces: list[str]) -> bool:
    lists = [await api.get(f"{path(name)}?limit=1") for name in namespaces for path in (jobs_path, pods_path)]
    return not any(found["items"] for found in lists)


async def _all_gone(api: APIServer) -> bool:
    return not await _namespaces_left(api)


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            raise BenchError(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(LOOK_SECONDS)
