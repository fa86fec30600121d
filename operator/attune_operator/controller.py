"""Where watch events go: which of them wake which run."""

import random
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from attune_operator.api.meta import is_finished
from attune_operator.api.problems import as_mapping
from attune_operator.cluster import objects
from attune_operator.cluster.client import Kube
from attune_operator.finetunejob.snapshot import JobView, PodView
from attune_operator.finetunejob.views import job_view, newborn, pod_view
from attune_operator.metrics import Metrics
from attune_operator.naming import FINETUNEJOBS, JOB_ANNOTATION, TUNED_MODELS
from attune_operator.retraining import Retraining
from attune_operator.workqueue import Key, WorkQueue

JSON = dict[str, Any]
CHILD_EVENT_SECONDS = 0.2
"""Pods and Jobs change in bursts: a moment's wait makes one reconcile of many events."""
RETIRE_SECONDS = 300.0
"""Over so long are the runs spread that had ended before this operator started and still have Jobs."""
RESYNC_PATIENCE_SECONDS = 600.0
"""What a resync found is looked at in quiet moments; in so long, and up to twice that, even if there are none."""


class _Named(NamedTuple):
    """What a run names, and is woken by."""

    runtime: str
    tuned_model: str


class Controller:
    """Where watch events go. What it remembers of runs and children is a hint: it only says whom to wake."""

    def __init__(
        self,
        queue: WorkQueue,
        metrics: Metrics,
        retraining: Retraining,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._queue = queue
        self._jitter = jitter
        self._metrics = metrics
        self.retraining = retraining
        self._named: dict[Key, _Named] = {}
        self._children: dict[str, tuple[Key | None, JobView | PodView]] = {}
        self._leftovers: dict[Key, set[str]] = {}
        self._retired: dict[Key, _Named] = {}
        self._forget_runtime: Callable[[str], None] = lambda _: None

    def on_runtime_change(self, forget: Callable[[str], None]) -> None:
        """Tells whom to tell of a runtime that changed, before its runs are woken."""
        self._forget_runtime = forget

    def finetunejob_changed(self, body: JSON, *, gone: bool) -> None:
        """A FineTuneJob was created, changed or deleted."""
        meta, status = body["metadata"], as_mapping(body.get("status"))
        key = Key(meta["namespace"], meta["name"])
        if gone or is_finished(status):
            self._named.pop(key, None)
        else:
            self._named[key] = _names(body)
        if gone:
            self._retired.pop(key, None)
        leaves = "deletionTimestamp" in meta
        current = status.get("observedGeneration") == meta.get("generation") and not leaves
        if not gone and current and is_finished(status) and key not in self._metrics:
            # Ended before this operator started: counted, and otherwise left in peace.
            self._metrics.seen(key, str(status.get("phase", "")))
            return
        if gone or not current:
            # Else only the status changed, which only operators write: whoever wrote it has done what follows from it.
            self._queue.add(key)

    def child_changed(self, body: JSON, *, gone: bool) -> None:
        """A Job or Pod of ours was created, changed or deleted; its run is woken if that says anything new to the plan.

        Most of the dozen events of a healthy pod do not: it was bound to a node, a finalizer came or went.
        """
        meta = body["metadata"]
        view = pod_view(body) if body["kind"] == "Pod" else job_view(body)
        name = meta.get("annotations", {}).get(JOB_ANNOTATION)
        key = Key(meta["namespace"], name) if name is not None else None
        _, known = self._children.pop(meta["uid"], (key, newborn(view)))
        if not gone:
            self._children[meta["uid"]] = (key, view)
        if key is not None and isinstance(view, JobView):
            self._note(key, meta["uid"], gone=gone)
        if not gone and view == known:
            return
        if key is not None:
            self._queue.add(key, CHILD_EVENT_SECONDS)
        else:
            self.retraining.child_changed(meta)

    def _note(self, key: Key, uid: str, *, gone: bool) -> None:
        """Remembers which runs have Jobs left: those are the ones that may have to be cleaned up."""
        if not gone:
            self._leftovers.setdefault(key, set()).add(uid)
        elif left := self._leftovers.get(key):
            left.discard(uid)
            if not left:
                del self._leftovers[key]

    def runtime_changed(self, name: str) -> None:
        """A TuningRuntime was created, changed or deleted: whoever names it is looked at again."""
        self._forget_runtime(name)
        for key, named in (*self._named.items(), *self._retired.items()):
            if named.runtime == name:
                self._queue.add(key)

    def retraining_changed(self, plural: str, body: Mapping[str, Any], *, gone: bool) -> None:
        """An object of a kind about retraining was created, changed or deleted; runs may wait for a TunedModel."""
        self.retraining.changed(plural, body, gone=gone)
        meta = body["metadata"]
        for key, named in self._named.items() if plural == TUNED_MODELS else ():
            if (key.namespace, named.tuned_model) == (meta["namespace"], meta["name"]):
                self._queue.add(key)

    async def resync(self, client: Kube) -> None:
        """Lists every FineTuneJob and queues those that have not ended. Repairs what a watch missed."""
        alive: set[Key] = set()
        async for key, body in objects.everywhere(client, FINETUNEJOBS):
            alive.add(key)
            if not is_finished(body.get("status")) or "deletionTimestamp" in body["metadata"]:
                self._named[key] = _names(body)
                self._queue.add_idle(key, RESYNC_PATIENCE_SECONDS * (1.0 + self._jitter()))
            elif key in self._leftovers and key not in self._retired:
                # Once is enough: what is not due yet comes back by itself when it is. And not all at once.
                self._retired[key] = _names(body)
                self._queue.add(key, RETIRE_SECONDS * self._jitter())
        for key in (set(self._named) | self._metrics.keys()) - alive:
            self._named.pop(key, None)
            self._queue.add(key)
        for key in self._retired.keys() - alive:
            del self._retired[key]
        # Of a child that went while its watch was down nobody tells; with its run it went as well.
        for uid in [uid for uid, (key, _) in self._children.items() if key is not None and key not in alive]:
            del self._children[uid]
        for key in self._leftovers.keys() - alive:
            del self._leftovers[key]


def _names(body: JSON) -> _Named:
    spec = as_mapping(body.get("spec"))
    return _Named(str(spec.get("runtime", "")), str(as_mapping(spec.get("output")).get("register", "")))
