"""Which watch events wake which run; a run that is woken for nothing costs three requests."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from attune_operator.controller import Controller
from attune_operator.metrics import Metrics
from attune_operator.naming import JOB_ANNOTATION
from attune_operator.retraining import Retraining
from attune_operator.workqueue import Key, WorkQueue
from factories import NAME, NAMESPACE, raw

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
