"""What the cluster shows of one run: its Jobs and their pods; read afresh from the API server."""

from typing import Any

from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.cluster import objects
from attune_operator.cluster.client import Kube, pages, path_to
from attune_operator.cluster.objects import is_ours
from attune_operator.errors import NotFoundError
from attune_operator.finetunejob.snapshot import PodView
from attune_operator.finetunejob.views import pod_view
from attune_operator.naming import JOB_NAME_LABEL, RUN_LABEL, TUNED_MODELS
from attune_operator.workqueue import Key

JSON = dict[str, Any]


async def tuned_model(client: Kube, run: FineTuneJob) -> TunedModel | None:
    """The TunedModel that a run registers with; not asked for where it registers nowhere."""
    name = run.spec.output.register_
    if name is None:
        return None
    found = await objects.get(client, TUNED_MODELS, Key(run.metadata.namespace, name))
    if found is None:
        return None
    model, problems = TunedModel.parse(found)
    # One that cannot be used says so itself; for the run it is as if it were not there yet.
    return None if problems else model


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
    found = await job(client, namespace, attempt.job_name)
    own = found if found is not None and is_ours(found, uid) else None
    selector = f"{JOB_NAME_LABEL}={attempt.job_name},{RUN_LABEL}={uid}"
    listed = (await client.get(path_to("v1", "pods", namespace, labelSelector=selector)))["items"]
    # A label is anybody's to set; an owner reference with the Job's UID is what counts while there is a Job.
    mine = [p for p in listed if own is None or is_ours(p, own["metadata"]["uid"])]
    views = sorted((pod_view(p) for p in mine), key=lambda p: p.index)
    return own, tuple(views)


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
    try:
        return await client.get(path_to("batch/v1", "jobs", namespace, name))
    except NotFoundError:
        return None
