"""Carries out what was planned: creates children, deletes Jobs, writes status, records Events. Decides nothing."""

import contextlib
import time
from typing import Any

from attune_operator import naming
from attune_operator.cluster.client import Kube, path_to
from attune_operator.cluster.objects import is_ours
from attune_operator.errors import AlreadyExistsError, APIError, ForbiddenError, InvalidError, NotFoundError

JSON = dict[str, Any]
PLURALS = {
    "Job": "jobs",
    "Service": "services",
    "NetworkPolicy": "networkpolicies",
    "ConfigMap": "configmaps",
    naming.KIND: naming.FINETUNEJOBS,
}
_OF_THE_CLUSTER = "default"
"""Namespace of Events about objects that have none."""


class TakenError(Exception):
    """An object of the wanted name is there and belongs to somebody else; the message names both."""


class RejectedError(Exception):
    """The API server does not let the object be made; the message is its own."""


async def create(client: Kube, wanted: JSON, uid: str) -> bool:
    """Creates an object unless it is there already and ours.

    Args:
        client: the API server.
        wanted: the object.
        uid: the owner's UID; a name alone proves nothing.

    Returns:
        Whether it was created now.

    Raises:
        TakenError: an object of that name belongs to somebody else.
        RejectedError: quota, admission or validation refuses it.
    """
    kind, meta = wanted["kind"], wanted["metadata"]
    plural, namespace = PLURALS[kind], meta["namespace"]
    try:
        await client.create(path_to(wanted["apiVersion"], plural, namespace), wanted)
    except AlreadyExistsError:
        found = await client.get(path_to(wanted["apiVersion"], plural, namespace, meta["name"]))
        if not is_ours(found, uid):
            raise TakenError(
                f"{kind} {namespace}/{meta['name']} exists and belongs to somebody else; "
                "delete or rename it, and everything goes on by itself."
            ) from None
        return False
    except (ForbiddenError, InvalidError) as error:
        raise RejectedError(f"{kind} {namespace}/{meta['name']} cannot be created: {error}") from error
    return True


async def create_unowned(client: Kube, wanted: JSON) -> None:
    """Creates a Job that belongs to nobody, unless one of its name is there. Raises RejectedError."""
    meta = wanted["metadata"]
    try:
        await client.create(path_to("batch/v1", "jobs", meta["namespace"]), wanted)
    except AlreadyExistsError:
        return
    except (ForbiddenError, InvalidError) as error:
        raise RejectedError(f"Job {meta['namespace']}/{meta['name']} cannot be created: {error}") from error


async def delete_job(client: Kube, namespace: str, name: str, uid: str) -> None:
    """Deletes a Job with its pods, if it is there and is ours."""
    path = path_to("batch/v1", "jobs", namespace, name)
    try:
        found = await client.get(path)
        if is_ours(found, uid):
            await client.delete(path, found["metadata"]["uid"])
    except NotFoundError:
        return


async def prune_job(client: Kube, job: JSON) -> None:
    """Deletes a Job that ended; its pods go after it."""
    meta = job["metadata"]
    try:
        path = path_to("batch/v1", "jobs", meta["namespace"], meta["name"])
        await client.delete(path, meta["uid"], foreground=False)
    except NotFoundError:
        return


async def release_pod(client: Kube, namespace: str, name: str) -> None:
    """Takes a pod on a lost node out of the API; nothing else will."""
    path = path_to("v1", "pods", namespace, name)
    try:
        found = await client.get(path)
        await client.delete(path, found["metadata"]["uid"], foreground=False, at_once=True)
    except NotFoundError:
        return


async def set_finalizers(client: Kube, stored: JSON, finalizers: list[str]) -> JSON:
    """Replaces the finalizers of a FineTuneJob, and nothing else of it. Raises ConflictError where it changed since."""
    meta = stored["metadata"]
    path = path_to(naming.API_VERSION, naming.FINETUNEJOBS, meta["namespace"], meta["name"])
    change = {"finalizers": finalizers, "resourceVersion": meta["resourceVersion"]}
    return await client.patch(path, {"metadata": change})


async def write_status(client: Kube, stored: JSON, status: JSON, plural: str = naming.FINETUNEJOBS) -> JSON:
    """Replaces the status of an object of ours.

    Args:
        client: the API server.
        stored: the object as it was read; its resourceVersion makes sure that nobody wrote it since.
        status: the whole new status.
        plural: the resource.

    Returns:
        The object as stored now.

    Raises:
        ConflictError: somebody wrote it since; read afresh.
    """
    meta = stored["metadata"]
    path = path_to(naming.API_VERSION, plural, meta.get("namespace"), meta["name"], "status")
    return await client.replace(path, {**stored, "status": status})


async def record_event(
    client: Kube, stored: JSON, *, kind: str, reason: str, message: str, now: str, name: str = ""
) -> None:
    """Records an Event about an object of ours, for `kubectl describe`.

    Args:
        client: the API server.
        stored: the object.
        kind: Normal or Warning.
        reason: CamelCase word.
        message: a sentence; cut at 1,024 bytes, which is the API's limit.
        now: RFC 3339 with whole seconds, UTC.
        name: of the Event; left out: one of its own. An Event of a name that is there already is not recorded again.
    """
    meta = stored["metadata"]
    namespace = meta.get("namespace", _OF_THE_CLUSTER)
    about = {
        "apiVersion": naming.API_VERSION,
        "kind": stored.get("kind", naming.KIND),
        "name": meta["name"],
        **({"namespace": namespace} if "namespace" in meta else {}),
        "uid": meta["uid"],
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        # Named by time, as client-go does: Events of one second are listed, and so described, in their order.
        "metadata": {"name": name or f"{meta['name']}.{time.time_ns():x}", "namespace": namespace},
        "involvedObject": about,
        "type": kind,
        "reason": reason,
        "message": message.encode()[:1024].decode(errors="ignore"),
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "source": {"component": naming.MANAGER},
        "reportingComponent": f"{naming.GROUP}/operator",
        "reportingInstance": naming.MANAGER,
    }
    try:
        await client.create(path_to("v1", "events", namespace), event)
    except AlreadyExistsError:
        if not name:
            raise


async def try_event(client: Kube, stored: JSON, *, kind: str, reason: str, message: str, name: str = "") -> None:
    """Records an Event where nothing depends on it: what the API server says against it is passed over."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(APIError):
        await record_event(client, stored, kind=kind, reason=reason, message=message, now=now, name=name)
