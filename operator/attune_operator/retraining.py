"""Which events wake which schedule, wave or TunedModel. What it remembers is a hint: it only says whom to wake."""

from collections.abc import Callable, Mapping
from typing import Any

from attune_operator import naming
from attune_operator.api.clusterfinetuneschedule import asker
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
            wave = _asked_by(body)
            self._add_all(naming.CLUSTER_SCHEDULES, lambda other: other == wave)
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
        """Lists every object of the three kinds and queues it, and those that are gone. Repairs what a watch missed."""
        for plural, queue in self.queues.items():
            before, listed = frozenset(self._known[plural]), set[Key]()
            async for key, body in objects.everywhere(client, plural):
                listed.add(key)
                if plural == naming.SCHEDULES and (wave := _paused_by(body)):
                    self.waves.add(wave)  # it may be gone, and then only its key can end the pause
            gone = before - listed
            self._known[plural] = (self._known[plural] | listed) - gone
            for key in listed | gone:
                queue.add(key)

    def _add_all(self, plural: str, wanted: Callable[[Key], bool]) -> None:
        for key in self._known[plural]:
            if wanted(key):
                self.queues[plural].add(key, SOON_SECONDS)


def _asked_by(schedule: Mapping[str, Any]) -> Key:
    """The wave that asked a schedule last."""
    request = as_mapping(as_mapping(schedule.get("status")).get("wave"))
    return Key("", asker(str(request.get("wave", ""))))


def _paused_by(schedule: Mapping[str, Any]) -> Key | None:
    """The wave that a schedule's runs wait for."""
    request = as_mapping(as_mapping(schedule.get("status")).get("wave"))
    return _asked_by(schedule) if request.get("paused") is True else None
