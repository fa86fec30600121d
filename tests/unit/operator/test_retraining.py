"""Which watch events wake which schedule, wave and TunedModel."""

import asyncio
from typing import Any

import pytest

from attune_operator import naming
from attune_operator.cluster.client import Kube
from attune_operator.retraining import Retraining
from attune_operator.workqueue import Key
from factories import NAMESPACE, raw
from memory_kube import MemoryKube

FINISHED = {"conditions": [{"type": "Finished", "status": "True"}]}


class Watching(Retraining):
    """With the keys that wait, by kind."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)

    def waiting(self) -> dict[str, list[Key]]:
        return {plural: sorted(queue._due) for plural, queue in self.queues.items() if len(queue)}


def body(name: str, namespace: str | None = NAMESPACE) -> dict[str, Any]:
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}


def test_an_object_wakes_itself() -> None:
    watching = Watching()
    watching.changed(naming.TUNED_MODELS, body("m"), gone=False)
    assert watching.waiting() == {naming.TUNED_MODELS: [Key(NAMESPACE, "m")]}


def asked(wave: str, *, paused: bool = False) -> dict[str, Any]:
    """A schedule that a wave asked last."""
    return {**body("s"), "status": {"wave": {"wave": wave, "state": "Running", "paused": paused}}}


@pytest.mark.parametrize("gone", [False, True], ids=["changed", "deleted"])
def test_a_wave_has_no_namespace_and_is_woken_by_the_schedules_that_it_asked(gone: bool) -> None:
    watching = Watching()
    for name in ("w", "other"):
        watching.changed(naming.CLUSTER_SCHEDULES, body(name, None), gone=False)
    watching.waves._due.clear()
    watching.changed(naming.SCHEDULES, asked("w/2026-01-04T02:00:00Z"), gone=gone)
    assert watching.waiting()[naming.CLUSTER_SCHEDULES] == [Key("", "w")]


@pytest.mark.parametrize("status", [{}, {"wave": None}, {"wave": "garbage"}])
def test_a_schedule_that_no_wave_asked_wakes_none(status: dict[str, Any]) -> None:
    watching = Watching()
    watching.changed(naming.CLUSTER_SCHEDULES, body("w", None), gone=False)
    watching.waves._due.clear()
    watching.changed(naming.SCHEDULES, {**body("s"), "status": status}, gone=False)
    assert naming.CLUSTER_SCHEDULES not in watching.waiting()


GROUP = "/apis/attune.dev/v1alpha1"


def resync(watching: Watching, *schedules: dict[str, Any]) -> dict[str, list[Key]]:
    """What waits after a resync of a cluster with these schedules."""
    made = {f"{GROUP}/namespaces/{NAMESPACE}/finetuneschedules/{s['metadata']['name']}": s for s in schedules}
    client: Kube = MemoryKube(**made)  # type: ignore[assignment]  # has its methods
    asyncio.run(watching.resync(client))
    return watching.waiting()


@pytest.mark.parametrize("plural", [naming.SCHEDULES, naming.CLUSTER_SCHEDULES, naming.TUNED_MODELS])
def test_a_resync_wakes_what_has_gone_while_nobody_watched(plural: str) -> None:
    watching = Watching()
    watching.changed(plural, body("x"), gone=False)
    watching.queues[plural]._due.clear()
    assert resync(watching) == {plural: [Key(NAMESPACE, "x")]}
    watching.queues[plural]._due.clear()
    assert resync(watching) == {}, "once"


def test_a_resync_wakes_what_is_there() -> None:
    assert resync(Watching(), body("s")) == {naming.SCHEDULES: [Key(NAMESPACE, "s")]}


@pytest.mark.parametrize("paused", [True, False])
def test_a_resync_wakes_a_wave_that_is_gone_and_left_a_schedule_paused(paused: bool) -> None:
    found = resync(Watching(), asked("gone/2026-01-04T02:00:00Z", paused=paused))
    assert found.get(naming.CLUSTER_SCHEDULES, []) == ([Key("", "gone")] if paused else [])


def test_a_tuned_model_wakes_the_schedules_of_its_namespace() -> None:
    watching = Watching()
    for name, namespace in (("s", NAMESPACE), ("s", "elsewhere")):
        watching.changed(naming.SCHEDULES, body(name, namespace), gone=False)
    watching.schedules._due.clear()
    watching.changed(naming.TUNED_MODELS, body("m"), gone=False)
    assert watching.waiting()[naming.SCHEDULES] == [Key(NAMESPACE, "s")]


@pytest.mark.parametrize(
    ("status", "gone", "wakes"),
    [({}, False, False), (FINISHED, False, True), ({}, True, True)],
    ids=["under way", "over", "deleted"],
)
def test_a_run_wakes_its_schedule_and_its_tuned_model_by_its_end(
    status: dict[str, Any], gone: bool, wakes: bool
) -> None:
    made = raw(status, output={"register": "m"})
    made["metadata"]["annotations"] = {naming.SCHEDULE_ANNOTATION: "s"}
    watching = Watching()
    watching.run_changed(made, gone=gone)
    expected = {naming.SCHEDULES: [Key(NAMESPACE, "s")], naming.TUNED_MODELS: [Key(NAMESPACE, "m")]}
    assert watching.waiting() == (expected if wakes else {})


def test_a_run_of_nobody_wakes_nobody() -> None:
    watching = Watching()
    watching.run_changed(raw(FINISHED), gone=False)
    assert watching.waiting() == {}


@pytest.mark.parametrize(
    ("mark", "plural"),
    [(naming.SCHEDULE_ANNOTATION, naming.SCHEDULES), (naming.TUNED_MODEL_ANNOTATION, naming.TUNED_MODELS)],
)
def test_a_look_wakes_whoever_it_is_for(mark: str, plural: str) -> None:
    watching = Watching()
    watching.child_changed({"namespace": NAMESPACE, "name": "p", "annotations": {mark: "x"}})
    assert watching.waiting() == {plural: [Key(NAMESPACE, "x")]}


def test_a_clock_that_is_moved_wakes_everybody() -> None:
    watching = Watching()
    watching.changed(naming.SCHEDULES, body("s"), gone=False)
    watching.changed(naming.CLUSTER_SCHEDULES, body("w", None), gone=False)
    for queue in watching.queues.values():
        queue._due.clear()
    watching.wake_all()
    assert set(watching.waiting()) == {naming.SCHEDULES, naming.CLUSTER_SCHEDULES}
