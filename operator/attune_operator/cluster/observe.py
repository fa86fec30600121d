"""Gathers all that is known of one run, read afresh from the API server."""

from collections.abc import AsyncIterator
from typing import Any

from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.cluster.client import Kube, pages, path_to
from attune_operator.errors import NotFoundError
from attune_operator.finetunejob.snapshot import PodView
from attune_operator.finetunejob.views import pod_view
from attune_operator.naming import API_VERSION, JOB_NAME_LABEL, RUN_LABEL
from attune_operator.workqueue import Key

JSON = dict[str, Any]


async def finetunejob(client: Kube, key: Key) -> JSON | None:
    """The FineTuneJob as stored now, or None where it is gone."""
    try:
        return await client.get(path_to(API_VERSION, "finetunejobs", key.namespace, key.name))
    except NotFoundError:
        return None


async def runtime(client: Kube, name: str) -> JSON | None:
    """The TuningRuntime of that name, or None where there is none."""
    try:
        return await client.get(path_to(API_VERSION, "tuningruntimes", name=name))
    except NotFoundError:
        return None


async def namespace_labels(client: Kube, runtime: TuningRuntime | None, namespace: str) -> dict[str, str]:
    """Labels of the run's namespace; not asked for where the runtime admits every namespace."""
    if runtime is None or runtime.spec.namespaces is None:
        return {}
    found = await client.get(path_to("v1", "namespaces", name=namespace))
    return dict(found["metadata"].get("labels", {}))


async def job_and_pods(
    client: Kube, run: FineTuneJob, attempt: Attempt | None
) -> tuple[JSON | None, tuple[PodView, ...]]:
    """The Job of an attempt and its pods, by index; None for a Job that is not there, or somebody else's."""
    if attempt is None:
        return None, ()
    namespace, uid = run.metadata.namespace, run.metadata.uid
    # First the Job, then its pods: pods older than the Job's end would look like pods without an Outcome.
    found = await _job(client, namespace, attempt.job_name)
    job = found if found is not None and is_ours(found, uid) else None
    selector = f"{JOB_NAME_LABEL}={attempt.job_name},{RUN_LABEL}={uid}"
    listed = (await client.get(path_to("v1", "pods", namespace, labelSelector=selector)))["items"]
    # A label is anybody's to set; an owner reference with the Job's UID is what counts while there is a Job.
    mine = [p for p in listed if job is None or is_ours(p, job["metadata"]["uid"])]
    views = sorted((pod_view(p) for p in mine), key=lambda p: p.index)
    return job, tuple(views)


async def jobs_of(client: Kube, namespace: str, uid: str) -> list[JSON]:
    """Every Job of a run, of whichever attempt."""
    selector = f"{RUN_LABEL}={uid}"
    return [
        j async for j in pages(client, lambda q: path_to("batch/v1", "jobs", namespace, labelSelector=selector, **q))
    ]


async def pods_of(client: Kube, namespace: str, uid: str) -> list[PodView]:
    """Every pod of a run, of whichever attempt."""
    selector = f"{RUN_LABEL}={uid}"
    listed = pages(client, lambda q: path_to("v1", "pods", namespace, labelSelector=selector, **q))
    return [pod_view(p) async for p in listed]


async def job(client: Kube, namespace: str, name: str) -> JSON | None:
    """The Job of that name, whoever made it, or None where there is none."""
    return await _job(client, namespace, name)


async def all_keys(client: Kube) -> AsyncIterator[tuple[Key, JSON]]:
    """Every FineTuneJob in the cluster with its object, page by page."""
    async for item in pages(client, lambda query: path_to(API_VERSION, "finetunejobs", **query)):
        meta = item["metadata"]
        yield Key(meta["namespace"], meta["name"]), item


def is_ours(raw: JSON, uid: str) -> bool:
    """Whether the controlling owner of an object is the run with this UID; a name alone proves nothing."""
    return any(o.get("controller") and o.get("uid") == uid for o in raw["metadata"].get("ownerReferences", []))


async def _job(client: Kube, namespace: str, name: str) -> JSON | None:
    try:
        return await client.get(path_to("batch/v1", "jobs", namespace, name))
    except NotFoundError:
        return None
