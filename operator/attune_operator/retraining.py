"""Which events wake which schedule, wave or TunedModel. What it remembers is a hint: it only says whom to wake."""

from collections.abc import Callable, Mapping
from typing import Any

from attune_operator import naming
from attune_operator.api.meta import is_finished
from attune_operator.api.problems import as_mapping
from attune_operator.cluster import objects
from attune_operator.cluster.client import Kube
from attune_operator.workqueue import Key, WorkQueue

JSON = dict[str, Any]
SOON_SECONDS = 0.2
"""Runs and pods change in bursts: a moment's wait makes one reconcile of many events."""


class Retraining:
    """Where watch events about retraining go.

    Args:
        clock: seconds that only grow, such as `loop.time`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.schedules, self.waves, self.models = WorkQueue(clock), WorkQueue(clock), WorkQueue(clock)
        self._known: dict[str, set[Key]] = {plural: set() for plural in self.queues}

    @property
    def queues(self) -> Mapping[str, WorkQueue]:
        """The queue of each kind, by its plural."""
        return {
            naming.SCHEDULES: self.schedules,
            naming.CLUSTER_SCHEDULES: self.waves,
            naming.TUNED_MODELS: self.models,
        }

    def changed(self, plural: str, body: Mapping[str, Any], *, gone: bool) -> None:
        """An object of one of the three kinds was created, changed or deleted."""
        key = Key(body["metadata"].get("namespace", ""), body["metadata"]["name"])
        (self._known[plural].discard if gone else self._known[plural].add)(key)
        self.queues[plural].add(key)
        if plural == naming.SCHEDULES:
            self._add_all(naming.CLUSTER_SCHEDULES, lambda _: True)
        if plural == naming.TUNED_MODELS:
            self._add_all(naming.SCHEDULES, lambda other: other.namespace == key.namespace)

    def run_changed(self, body: Mapping[str, Any], *, gone: bool) -> None:
        """A FineTuneJob was created, changed or deleted: its schedule and its TunedModel want to know of its end."""
        if not gone and not is_finished(body.get("status")):
            return
        meta = body["metadata"]
        if name := meta.get("annotations", {}).get(naming.SCHEDULE_ANNOTATION):
            self.schedules.add(Key(meta["namespace"], name), SOON_SECONDS)
        if name := as_mapping(as_mapping(body.get("spec")).get("output")).get("register"):
            self.models.add(Key(meta["namespace"], name), SOON_SECONDS)

    def child_changed(self, meta: Mapping[str, Any]) -> None:
        """A Job or Pod that looks at data or versions says something new."""
        marks = meta.get("annotations", {})
        if name := marks.get(naming.SCHEDULE_ANNOTATION):
            self.schedules.add(Key(meta["namespace"], name), SOON_SECONDS)
        if name := marks.get(naming.TUNED_MODEL_ANNOTATION):
            self.models.add(Key(meta["namespace"], name), SOON_SECONDS)

    def wake_all(self) -> None:
        """Everything is looked at again, as when the clock was moved."""
        for plural in self.queues:
            self._add_all(plural, lambda _: True)

    async def resync(self, client: Kube) -> None:
        """Lists every object of the three kinds and queues it. Repairs what a watch missed."""
        for plural, queue in self.queues.items():
            self._known[plural] = {key async for key, _ in objects.everywhere(client, plural)}
            for key in self._known[plural]:
                queue.add(key)

    def _add_all(self, plural: str, wanted: Callable[[Key], bool]) -> None:
        for key in self._known[plural]:
            if wanted(key):
                self.queues[plural].add(key, SOON_SECONDS)
