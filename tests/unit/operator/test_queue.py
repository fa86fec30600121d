"""Jobs in a queue: what they are labelled with, what their run says while they wait, and what eviction does."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from attune_contract.enums import Stage
from attune_operator import naming
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState, Phase
from attune_operator.cluster.client import Kube
from attune_operator.cluster.kueue import Kueue
from attune_operator.errors import ForbiddenError
from attune_operator.finetunejob.build import build
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.snapshot import JobState, QueueView
from attune_operator.finetunejob.summarize import summarize
from attune_operator.settings import Settings
from factories import NAMESPACE, NOW, attempt, job, pod, run, runtime, seen, stamp
from memory_kube import MemoryKube

S = AttemptState
QUEUE = {"name": "team-a", "priorityClass": "production"}
DONE = attempt(Stage.PREFLIGHT, S.SUCCEEDED)
WAITING = run(attempts=(DONE, attempt(Stage.TRAIN, S.PENDING)), queue=QUEUE)


def made(stage: Stage, settings: Settings | None = None, **spec: Any) -> dict[str, Any]:
    record = attempt(stage, S.PENDING)
    return build(run(**spec), runtime(), record, settings or Settings())[-1]


@pytest.mark.parametrize("stage", [Stage.TRAIN, Stage.EVALUATE])
def test_what_takes_accelerators_waits_suspended_in_its_queue(stage: Stage) -> None:
    of = made(stage, queue=QUEUE)
    assert of["spec"]["suspend"] is True
    assert of["metadata"]["labels"][naming.QUEUE_LABEL] == "team-a"
    assert of["metadata"]["labels"][naming.PRIORITY_LABEL] == "production"


@pytest.mark.parametrize("stage", [Stage.PREFLIGHT, Stage.PUBLISH])
def test_data_is_checked_without_waiting_for_quota(stage: Stage) -> None:
    of = made(stage, queue=QUEUE)
    assert "suspend" not in of["spec"]
    assert naming.QUEUE_LABEL not in of["metadata"]["labels"]


def test_where_kueue_manages_every_job_every_stage_is_queued() -> None:
    assert made(Stage.PREFLIGHT, Settings(queue_all_stages=True), queue=QUEUE)["spec"]["suspend"] is True


def test_a_run_without_a_queue_is_not_held() -> None:
    assert "suspend" not in made(Stage.TRAIN)["spec"]


@pytest.mark.parametrize(
    ("view", "reason", "stalled", "says"),
    [
        pytest.param(None, Reason.WAITING, False, "suspended", id="nothing known yet"),
        pytest.param(
            QueueView(True, "team-a", message="insufficient unused quota for nvidia.com/gpu", position=2),
            Reason.WAITING,
            False,
            "waits in queue team-a (2 before it): insufficient unused quota for nvidia.com/gpu",
            id="quota and position",
        ),
        pytest.param(
            QueueView(True, "team-a", reason="Inadmissible", message="LocalQueue team-a doesn't exist"),
            Reason.QUEUE_REFUSED,
            True,
            "LocalQueue team-a doesn't exist",
            id="no such queue",
        ),
        pytest.param(
            QueueView(True, "team-a", active=False), Reason.QUEUE_REFUSED, True, "deactivated", id="deactivated"
        ),
        pytest.param(
            QueueView(True, "team-a", known=False),
            Reason.WAITING,
            False,
            "does not look after Jobs of this namespace",
            id="Kueue has not taken it up",
        ),
        pytest.param(QueueView(False, "team-a"), Reason.KUEUE_NOT_INSTALLED, True, "no Kueue", id="Kueue is gone"),
    ],
)
def test_a_run_that_waits_says_so_in_the_queues_own_words(
    view: QueueView | None, reason: Reason, stalled: bool, says: str
) -> None:
    snapshot = seen(run=WAITING, job=job(JobState.SUSPENDED), queue=view)
    decision = plan(snapshot)
    assert decision.hold is not None
    assert (decision.hold.reason, decision.hold.stalled) == (reason, stalled)
    assert says in decision.hold.message
    expected = Phase.PENDING if reason is Reason.KUEUE_NOT_INSTALLED else Phase.QUEUED
    assert summarize(snapshot, decision, Settings()).phase is expected


def test_an_evicted_attempt_is_ended_before_another_is_queued() -> None:
    evicted = QueueView(True, "team-a", evicted_reason="Preempted", evicted_message="for a workload of team-b")
    running = run(attempts=(DONE, attempt(Stage.TRAIN, S.RUNNING)), queue=QUEUE, retryLimit=0)
    first = plan(seen(run=running, job=job(JobState.SUSPENDED), pods=(pod(),), queue=evicted))
    assert first.stop is not None
    assert (first.start, first.stop.reason) == (None, Reason.EVICTED_BY_QUEUE)

    recorded = run(attempts=first.attempts, queue=QUEUE, retryLimit=0)
    leaving = plan(seen(run=recorded, job=job(JobState.SUSPENDED, deleting=True), pods=(pod(),), queue=evicted))
    assert (leaving.start, leaving.stop, leaving.end) == (None, None, None), "attempts never overlap"

    gone = seen(run=recorded, queue=QueueView(True), now=NOW + timedelta(seconds=2))
    start = plan(gone).start
    assert start is not None
    assert start.number == 2


DEACTIVATED = QueueView(
    True, "team-a", active=False, evicted_reason="Deactivated", evicted_message="The workload is deactivated"
)


def test_a_workload_that_is_deactivated_while_it_runs_is_not_gone_round() -> None:
    running = run(attempts=(DONE, attempt(Stage.TRAIN, S.RUNNING)), queue=QUEUE)
    held = seen(run=running, job=job(JobState.SUSPENDED), pods=(pod(leaving_at=stamp(NOW)),), queue=DEACTIVATED)
    decision = plan(held)
    assert (decision.start, decision.stop) == (None, None), "its Job stays, as the sign that it shall not run"
    assert decision.attempts[-1].end_time is not None, "and it costs nothing meanwhile"
    assert decision.hold is not None
    assert (decision.hold.reason, decision.hold.stalled) == (Reason.QUEUE_REFUSED, True)
    assert "set its spec.active to true" in decision.hold.message
    assert summarize(held, decision, Settings()).phase is Phase.QUEUED

    recorded, later = run(attempts=decision.attempts, queue=QUEUE), NOW + timedelta(hours=1)
    still = plan(seen(run=recorded, now=later, job=job(JobState.SUSPENDED), queue=DEACTIVATED))
    assert (still.start, still.stop) == (None, None)
    let = plan(seen(run=recorded, now=later, job=job(JobState.SUSPENDED), queue=QueueView(True, "team-a")))
    assert let.stop == decision.attempts[-1], "a new attempt with a new Job, as after every eviction"
    assert plan(seen(run=recorded, now=later, queue=QueueView(True))).start is not None


def test_a_job_that_waits_is_made_anew_where_its_runtime_was_mended() -> None:
    snapshot = seen(run=WAITING, job=job(JobState.SUSPENDED, runtime="old"), queue=QueueView(True))
    decision = plan(snapshot)
    assert decision.stop is not None
    assert decision.stop.reason == Reason.RUNTIME_CHANGED
    same = seen(run=WAITING, job=job(JobState.SUSPENDED, runtime=runtime().digest), queue=QueueView(True))
    assert plan(same).stop is None
    of_an_older_operator = seen(run=WAITING, job=job(JobState.SUSPENDED), queue=QueueView(True))
    assert plan(of_an_older_operator).stop is None


GROUPS = {
    "/apis/kueue.x-k8s.io": {"preferredVersion": {"version": "v1beta2"}},
    "/apis/visibility.kueue.x-k8s.io": {"preferredVersion": {"version": "v1beta2"}},
}
WORKLOADS = f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/workloads"
PENDING = f"/apis/visibility.kueue.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/localqueues/team-a/pendingworkloads"
JOB = {"metadata": {"uid": "j1", "labels": {naming.QUEUE_LABEL: "team-a"}}}


def workload(*conditions: dict[str, str]) -> dict[str, Any]:
    meta = {"name": "job-x", "uid": "w", "labels": {naming.WORKLOAD_JOB_LABEL: "j1"}}
    return {"metadata": meta, "spec": {"active": True}, "status": {"conditions": list(conditions)}}


def about(**objects: Any) -> QueueView:
    kube: Kube = MemoryKube(**objects)  # type: ignore[assignment]  # has its methods
    return asyncio.run(Kueue(kube, lambda: 0.0).about(NAMESPACE, JOB, "team-a"))


def test_without_its_api_there_is_no_kueue() -> None:
    assert about() == QueueView(installed=False, name="team-a")


def test_a_job_without_a_workload_yet_is_only_known_to_be_queued() -> None:
    assert about(**GROUPS) == QueueView(installed=True, name="team-a", known=False)


def test_reason_and_position_are_read_from_the_workload_and_from_the_queue() -> None:
    lacking = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "1 more needed"}
    order = {"items": [{"metadata": {"name": "job-x"}, "positionInLocalQueue": 3}]}
    found = about(**GROUPS, **{f"{WORKLOADS}/job-x": workload(lacking), PENDING: order})
    assert (found.reason, found.message, found.position) == ("Pending", "1 more needed", 3)


def test_an_eviction_is_read_only_while_it_lasts() -> None:
    evicted = {"type": "Evicted", "status": "True", "reason": "Preempted", "message": "for another"}
    assert about(**GROUPS, **{f"{WORKLOADS}/job-x": workload(evicted)}).evicted_reason == "Preempted"
    over = {**evicted, "status": "False"}
    assert about(**GROUPS, **{f"{WORKLOADS}/job-x": workload(over)}).evicted_reason == ""


def test_an_operator_that_may_not_read_workloads_says_so_and_goes_on() -> None:
    class Closed(MemoryKube):
        """Has no right to list Workloads, as where a role was written by hand."""

        async def get(self, path: str) -> dict[str, Any]:
            if "/workloads" in path:
                raise ForbiddenError("workloads.kueue.x-k8s.io is forbidden")
            return await super().get(path)

    kube: Any = Closed(**GROUPS)
    found = asyncio.run(Kueue(kube, lambda: 0.0).about(NAMESPACE, JOB, "team-a"))
    assert "workloads.kueue.x-k8s.io is forbidden" in found.message
