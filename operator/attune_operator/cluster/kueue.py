"""What Kueue says: whether it is there, and why it holds a Job. Read only; Kueue alone writes its objects."""

from collections.abc import Callable
from typing import Any

from attune_operator.cluster.client import Kube, path_to
from attune_operator.errors import APIError, ForbiddenError, NotFoundError
from attune_operator.finetunejob.snapshot import QueueView
from attune_operator.naming import QUEUE_LABEL, WORKLOAD_JOB_LABEL

JSON = dict[str, Any]
GROUP = "kueue.x-k8s.io"
VISIBILITY = "visibility.kueue.x-k8s.io"
KNOWN_SECONDS = 30.0
"""How long it counts as known whether Kueue is installed, and in which order a queue stands."""


class Kueue:
    """Asks for what a run that waits in a queue should say. What it remembers is only politeness.

    Args:
        client: the API server.
        clock: seconds that only grow.
    """

    def __init__(self, client: Kube, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._versions: dict[str, tuple[float, str | None]] = {}
        self._orders: dict[tuple[str, str], tuple[float, dict[str, int]]] = {}

    async def installed(self, queue: str) -> QueueView:
        """Whether there is a Kueue; nothing of a Job."""
        return QueueView(installed=await self._version(GROUP) is not None, name=queue)

    async def about(self, namespace: str, job: JSON, queue: str) -> QueueView:
        """What Kueue says of a Job that is suspended.

        Args:
            namespace: of the Job.
            job: the Job as read.
            queue: the queue that the run asked for, where the Job's label does not say.
        """
        meta = job["metadata"]
        name = str(meta.get("labels", {}).get(QUEUE_LABEL, queue))
        if (version := await self._version(GROUP)) is None:
            return QueueView(installed=False, name=name)
        selector = f"{WORKLOAD_JOB_LABEL}={meta['uid']}"
        try:
            path = path_to(f"{GROUP}/{version}", "workloads", namespace, labelSelector=selector)
            found = await self._client.get(path)
        except ForbiddenError as error:  # no reason to say nothing, or to look at nothing else of the run
            return QueueView(installed=True, name=name, message=f"why is not known ({error})")
        if not found.get("items"):
            return QueueView(installed=True, name=name, known=False)
        workload = found["items"][0]
        reserved, evicted = _condition(workload, "QuotaReserved"), _condition(workload, "Evicted")
        waits = reserved.get("status") != "True"
        gone = evicted.get("status") == "True"
        return QueueView(
            installed=True,
            name=name,
            active=workload.get("spec", {}).get("active", True),
            reason=reserved.get("reason", "") if waits else "",
            message=reserved.get("message", "") if waits else "",
            evicted_reason=evicted.get("reason", "") if gone else "",
            evicted_message=evicted.get("message", "") if gone else "",
            position=await self._position(namespace, name, workload["metadata"]["name"]) if waits else None,
        )

    async def _version(self, group: str) -> str | None:
        """The version in which a group is served, or None where it is not."""
        known = self._versions.get(group)
        if known is not None and self._clock() < known[0]:
            return known[1]
        try:
            version: str | None = (await self._client.get(f"/apis/{group}"))["preferredVersion"]["version"]
        except NotFoundError:
            version = None
        self._versions[group] = (self._clock() + KNOWN_SECONDS, version)
        return version

    async def _position(self, namespace: str, queue: str, workload: str) -> int | None:
        """How many stand before a Workload in its LocalQueue, where Kueue's visibility API is served and open to us."""
        key = (namespace, queue)
        known = self._orders.get(key)
        if known is None or self._clock() >= known[0]:
            self._orders[key] = known = (self._clock() + KNOWN_SECONDS, await self._order(namespace, queue))
        return known[1].get(workload)

    async def _order(self, namespace: str, queue: str) -> dict[str, int]:
        try:
            version = await self._version(VISIBILITY)
            if version is None or not queue:
                return {}
            path = path_to(f"{VISIBILITY}/{version}", "localqueues", namespace, queue, "pendingworkloads")
            items = (await self._client.get(path)).get("items", [])
        except APIError:
            return {}
        return {i["metadata"]["name"]: int(i.get("positionInLocalQueue", 0)) for i in items}


def _condition(workload: JSON, kind: str) -> JSON:
    conditions = workload.get("status", {}).get("conditions", [])
    return next((dict(c) for c in conditions if c.get("type") == kind), {})
