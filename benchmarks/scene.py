"""What the bench needs in the cluster, made before and removed after: fake nodes, a runtime for them, namespaces."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

from benchmarks.apiserver import APIServer, BenchError
from benchmarks.manifests import NAME, namespace, node, runtime

NODES = tuple(f"{NAME}-{number}" for number in range(10))
NODES_PATH = "/api/v1/nodes"
NAMESPACES_PATH = "/api/v1/namespaces"
RUNTIMES_PATH = "/apis/attune.dev/v1alpha1/tuningruntimes"
READY_SECONDS = 60
GONE_SECONDS = 300
LOOK_SECONDS = 0.5


class Scene(NamedTuple):
    """Namespaces of this run of the bench.

    Their names are new each time: for half a minute after a namespace was deleted, the API server looks a namespace of
    that name up in etcd with each request, and that would be measured too.
    """

    idle: str
    burst: str


def named(suffix: str) -> Scene:
    """The namespaces with a suffix that tells runs of the bench apart."""
    return Scene(f"{NAME}-idle-{suffix}", f"{NAME}-burst-{suffix}")


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
async def set_up(api: APIServer, made: Scene, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Makes everything, waits until it is ready, and removes it in the end, whatever happened in between."""
    await clear(api, say)
    try:
        await api.post(RUNTIMES_PATH, runtime())
        for name in NODES:
            await api.post(NODES_PATH, node(name))
        for name in made:
            await api.post(NAMESPACES_PATH, namespace(name))
        await _until(partial(_nodes_ready, api), READY_SECONDS, "the fake nodes; is kwok running? `up --with kwok`")
        await _until(partial(_accounts_there, api, made), READY_SECONDS, "service accounts; is their controller up?")
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


async def _accounts_there(api: APIServer, made: Scene) -> bool:
    paths = [f"{NAMESPACES_PATH}/{name}/serviceaccounts/default" for name in made]
    return all([await api.find(path) for path in paths])


async def _namespaces_left(api: APIServer) -> list[str]:
    return [found["metadata"]["name"] for found in (await api.get(f"{NAMESPACES_PATH}?labelSelector={NAME}"))["items"]]


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
