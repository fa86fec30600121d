"""Objects of ours, of every kind: read afresh, listed, deleted, and rid of an annotation."""

from collections.abc import AsyncIterator
from typing import Any

from attune_operator import naming
from attune_operator.cluster.client import Kube, pages, path_to
from attune_operator.errors import NotFoundError
from attune_operator.workqueue import Key

JSON = dict[str, Any]


async def get(client: Kube, plural: str, key: Key) -> JSON | None:
    """An object as stored now, or None where it is gone. Objects of the cluster have no namespace."""
    try:
        return await client.get(path_to(naming.API_VERSION, plural, key.namespace or None, key.name))
    except NotFoundError:
        return None


async def everywhere(client: Kube, plural: str) -> AsyncIterator[tuple[Key, JSON]]:
    """Every object of a kind, page by page."""
    async for item in pages(client, lambda query: path_to(naming.API_VERSION, plural, **query)):
        meta = item["metadata"]
        yield Key(meta.get("namespace", ""), meta["name"]), item


async def runs_of(client: Kube, namespace: str, schedule_uid: str) -> list[JSON]:
    """FineTuneJobs that a schedule made; a label is anybody's to set, an owner reference is what counts."""
    selector = f"{naming.SCHEDULE_LABEL}={schedule_uid}"
    path = path_to(naming.API_VERSION, naming.FINETUNEJOBS, namespace, labelSelector=selector)
    return [item for item in (await client.get(path))["items"] if is_ours(item, schedule_uid)]


async def within(client: Kube, plural: str, namespace: str) -> list[JSON]:
    """Every object of a kind in a namespace."""
    found = pages(client, lambda query: path_to(naming.API_VERSION, plural, namespace, **query))
    return [item async for item in found]


async def config_map(client: Kube, namespace: str, name: str) -> JSON | None:
    """A ConfigMap, or None where there is none."""
    try:
        return await client.get(path_to("v1", "configmaps", namespace, name))
    except NotFoundError:
        return None


async def delete(client: Kube, plural: str, namespace: str, name: str, uid: str) -> None:
    """Deletes an object of ours, if it is still the one with this UID."""
    try:
        await client.delete(path_to(naming.API_VERSION, plural, namespace, name), uid)
    except NotFoundError:
        return


async def unmark(client: Kube, plural: str, stored: JSON, annotation: str) -> JSON:
    """Removes an annotation of an object, if nobody has written the object since it was read."""
    meta = stored["metadata"]
    path = path_to(naming.API_VERSION, plural, meta.get("namespace"), meta["name"])
    body = {"metadata": {"resourceVersion": meta["resourceVersion"], "annotations": {annotation: None}}}
    return await client.patch(path, body)


def is_ours(raw: JSON, uid: str) -> bool:
    """Whether the controlling owner of an object is the one with this UID; a name alone proves nothing."""
    return any(o.get("controller") and o.get("uid") == uid for o in raw["metadata"].get("ownerReferences", []))
