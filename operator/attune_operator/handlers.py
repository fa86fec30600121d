"""kopf's decorators, and no decisions: every event only tells the controller, which puts a key on its queue.

`on.event` neither retries nor writes to the object (no finalizers, no annotations of kopf's), which is what a
level-triggered operator wants: what there is to do is read afresh by the worker.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import kopf
from prometheus_client import CollectorRegistry

from attune_operator import naming
from attune_operator.cluster.client import PAGE
from attune_operator.running import running
from attune_operator.settings import Settings

OWN = "attune.dev/v1alpha1"
IDLE_SECONDS = 0.1
"""So long does kopf keep an object after its last event, and the task that handed it on."""


class NoDiffs(kopf.DiffBaseStorage):  # type: ignore[misc]
    """Compares nothing. kopf would copy every object of every event to find out what changed in it; nobody asks."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing of the object."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Nothing is remembered."""
        return None

    def store(self, **_: Any) -> None:
        """Nothing is stored."""


def register(registry: kopf.OperatorRegistry, own: Settings) -> None:
    """Registers every handler with a kopf registry.

    Args:
        registry: kopf's registry.
        own: the operator's settings.
    """
    stack = AsyncExitStack()

    @kopf.on.login(registry=registry)  # type: ignore[untyped-decorator]
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.startup(registry=registry)  # type: ignore[untyped-decorator]
    async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
        _configure(settings)
        memo.controller = await stack.enter_async_context(running(own, CollectorRegistry()))

    @kopf.on.cleanup(registry=registry)  # type: ignore[untyped-decorator]
    async def stop(**_: Any) -> None:
        await stack.aclose()

    @kopf.on.event(OWN, "finetunejobs", registry=registry)  # type: ignore[untyped-decorator]
    async def finetunejob(body: kopf.Body, type: str | None, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
        memo.controller.finetunejob_changed(body, gone=type == "DELETED")
        memo.controller.retraining.run_changed(body, gone=type == "DELETED")

    for plural in (naming.SCHEDULES, naming.CLUSTER_SCHEDULES, naming.TUNED_MODELS):
        kopf.on.event(OWN, plural, registry=registry)(_changed(plural))

    @kopf.on.event(OWN, "tuningruntimes", registry=registry)  # type: ignore[untyped-decorator]
    async def tuningruntime(name: str, memo: kopf.Memo, **_: Any) -> None:
        memo.controller.runtime_changed(name)

    @kopf.on.event("batch/v1", "jobs", labels={naming.RUN_LABEL: kopf.PRESENT}, registry=registry)  # type: ignore[untyped-decorator]
    @kopf.on.event("v1", "pods", labels={naming.RUN_LABEL: kopf.PRESENT}, registry=registry)  # type: ignore[untyped-decorator]
    async def child(body: kopf.Body, type: str | None, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
        memo.controller.child_changed(body, gone=type == "DELETED")


def _changed(plural: str) -> Callable[..., Awaitable[None]]:
    async def changed(body: kopf.Body, type: str | None, memo: kopf.Memo, **_: Any) -> None:  # noqa: A002 - kopf's name
        memo.controller.retraining_changed(plural, body, gone=type == "DELETED")

    return changed


def _configure(settings: kopf.OperatorSettings) -> None:
    settings.posting.enabled = False  # Events are ours, and only after what they report succeeded
    settings.persistence.diffbase_storage = NoDiffs()
    settings.scanning.disabled = True  # the controller waits for the CRDs itself; no right to list CRDs is needed
    # A cluster has a hundred thousand Jobs and Pods that are not ours: the server leaves them out.
    settings.watching.label_selectors["batch/v1", "jobs"] = naming.RUN_LABEL
    settings.watching.label_selectors["v1", "pods"] = naming.RUN_LABEL
    # A list of every FineTuneJob at once, and a task that keeps each of them for seconds: memory grew with their number
    # whenever a watch had to begin anew, and did not shrink again.
    settings.watching.chunk_size = PAGE
    settings.queueing.idle_timeout = IDLE_SECONDS
