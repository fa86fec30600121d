"""Which watch events wake which run; a run that is woken for nothing costs three requests."""

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from attune_operator.controller import Controller
from attune_operator.metrics import Metrics
from attune_operator.naming import JOB_ANNOTATION, TUNED_MODELS
from attune_operator.retraining import Retraining
from attune_operator.workqueue import Key, WorkQueue, work
from factories import NAME, NAMESPACE, raw
from memory_kube import MemoryKube

KEY = Key(NAMESPACE, NAME)
FINISHED = {"type": "Finished", "status": "True"}


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue(lambda: 0.0)


@pytest.fixture
def controller(queue: WorkQueue) -> Controller:
    return Controller(queue, Metrics(CollectorRegistry()), Retraining(lambda: 0.0))


def pod(**status: Any) -> dict[str, Any]:
    meta = {"name": "p", "namespace": NAMESPACE, "uid": "u", "annotations": {JOB_ANNOTATION: NAME}}
    return {"kind": "Pod", "metadata": meta, "status": status}


@pytest.mark.parametrize(
    ("status", "gone", "wakes"),
    [
        pytest.param({}, False, True, id="new"),
        pytest.param({"observedGeneration": 1}, False, False, id="only the status changed, which operators write"),
        pytest.param({"observedGeneration": 0}, False, True, id="the spec changed"),
        pytest.param({"observedGeneration": 1}, True, True, id="deleted"),
        pytest.param({"observedGeneration": 1, "conditions": [FINISHED]}, False, False, id="over"),
        pytest.param({"observedGeneration": 0, "conditions": [FINISHED]}, False, True, id="over, and its spec changed"),
    ],
)
def test_a_finetunejob_wakes_its_run_when_there_is_something_to_do(
    controller: Controller, queue: WorkQueue, status: dict[str, Any], gone: bool, wakes: bool
) -> None:
    controller.finetunejob_changed(raw(status), gone=gone)
    assert len(queue) == int(wakes)


def test_a_pod_wakes_its_run_by_what_the_plan_judges_by_and_by_nothing_else(
    controller: Controller, queue: WorkQueue
) -> None:
    controller.child_changed(pod(), gone=False)
    assert len(queue) == 0, "a pod was made, as whoever made its Job expects"
    controller.child_changed(pod(conditions=[{"type": "PodScheduled", "status": "True"}]), gone=False)
    assert len(queue) == 0, "it was bound to a node"
    controller.child_changed(pod(phase="Running"), gone=False)
    assert len(queue) == 1


def test_a_pod_that_goes_wakes_its_run(controller: Controller, queue: WorkQueue) -> None:
    controller.child_changed(pod(), gone=True)
    assert len(queue) == 1


def test_a_runtime_wakes_those_that_name_it(controller: Controller, queue: WorkQueue) -> None:
    controller.finetunejob_changed(raw({"observedGeneration": 1}), gone=False)
    controller.runtime_changed("another")
    assert len(queue) == 0
    controller.runtime_changed("default")
    assert len(queue) == 1


def job(name: str = "j") -> dict[str, Any]:
    meta = {"name": name, "namespace": NAMESPACE, "uid": name, "annotations": {JOB_ANNOTATION: NAME}}
    return {"kind": "Job", "metadata": {**meta, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}, "status": {}}


LIST = "/apis/attune.dev/v1alpha1/finetunejobs"


def resync(controller: Controller, *bodies: dict[str, Any]) -> None:
    kube = MemoryKube(**{f"{LIST}/{i}": body for i, body in enumerate(bodies)})
    asyncio.run(controller.resync(kube))  # type: ignore[arg-type]  # has its methods


def test_a_run_that_is_being_deleted_is_seen_to_though_it_is_over(controller: Controller, queue: WorkQueue) -> None:
    body = raw({"observedGeneration": 1, "conditions": [FINISHED]})
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    controller.finetunejob_changed(body, gone=False)
    assert len(queue) == 1


@pytest.mark.parametrize(("name", "wakes"), [("router", True), ("other", False)])
def test_a_run_that_may_wait_for_a_tuned_model_is_woken_by_it(
    controller: Controller, queue: WorkQueue, name: str, wakes: bool
) -> None:
    controller.finetunejob_changed(raw({"observedGeneration": 1}, output={"register": "router"}), gone=False)
    controller.retraining_changed(TUNED_MODELS, {"metadata": {"name": name, "namespace": NAMESPACE}}, gone=False)
    assert len(queue) == int(wakes)


async def test_what_happens_goes_before_what_a_resync_found(controller: Controller, queue: WorkQueue) -> None:
    first, second = raw({"observedGeneration": 1}), raw({"observedGeneration": 1})
    second["metadata"]["name"] = "second"
    await controller.resync(MemoryKube(**{f"{LIST}/1": first, f"{LIST}/2": second}))  # type: ignore[arg-type]
    second["metadata"]["generation"] = 2
    controller.finetunejob_changed(second, gone=False)
    assert [(await queue.get()).name, (await queue.get()).name] == ["second", first["metadata"]["name"]]


def test_a_run_that_is_over_is_looked_at_once_while_it_has_jobs_left(queue: WorkQueue) -> None:
    controller = Controller(queue, Metrics(CollectorRegistry()), Retraining(lambda: 0.0), jitter=lambda: 0.5)
    over = raw({"observedGeneration": 1, "conditions": [FINISHED]})
    resync(controller, over)
    assert len(queue) == 0, "nothing of it is left"
    controller.child_changed(job(), gone=False)
    resync(controller, over)
    assert len(queue) == 1


def test_nothing_is_remembered_of_children_whose_end_no_watch_told(controller: Controller) -> None:
    controller.child_changed(job(), gone=False)
    controller.child_changed(pod(), gone=False)
    resync(controller, raw())
    assert (len(controller._children), len(controller._leftovers)) == (2, 1)
    resync(controller)
    assert (len(controller._children), len(controller._leftovers)) == (0, 0), "their run is gone, and so are they"


@pytest.mark.parametrize(
    "status",
    [{"conditions": "all fine"}, {"conditions": [7, {"type": "Finished"}]}, "over", None, {"conditions": None}],
    ids=["text", "numbers", "no mapping", "null", "no conditions"],
)
def test_a_poisoned_status_stops_neither_the_watch_nor_the_resync(
    controller: Controller, queue: WorkQueue, status: Any
) -> None:
    body = raw()
    body["status"] = status
    controller.finetunejob_changed(body, gone=False)
    good = raw()
    good["metadata"]["name"] = "good"
    resync(controller, body, good)
    assert len(queue) == 2


def test_a_queue_that_is_closed_lets_its_workers_end_what_they_are_at(queue: WorkQueue) -> None:
    ended: list[Key] = []

    async def reconcile(key: Key) -> None:
        queue.close()
        await asyncio.sleep(0)
        ended.append(key)

    async def drained() -> None:
        workers = [asyncio.create_task(work(queue, reconcile, lambda *_: None)) for _ in range(3)]
        queue.add(KEY)
        await asyncio.wait_for(asyncio.gather(*workers), 5)

    asyncio.run(drained())
    assert ended == [KEY]
