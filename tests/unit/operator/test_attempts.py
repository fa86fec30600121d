from datetime import timedelta
from typing import Any

import pytest

from attune_contract.enums import OutcomeState, Stage, StopReason
from attune_contract.outcome import Artifact
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.attempts import settle
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.retries import failures, is_final, wait_before_next
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView
from attune_operator.finetunejob.summarize import summarize
from attune_operator.settings import Settings
from factories import NOW, attempt, job, outcome, pod, run, seen

S = AttemptState
RUNNING = attempt(Stage.TRAIN, S.RUNNING)
FAILED = job(JobState.FAILED)


@pytest.mark.parametrize(
    ("seen_job", "pods", "state", "reason"),
    [
        pytest.param(job(), (pod(phase="Pending"),), S.PENDING, "", id="pod not started: still pending"),
        pytest.param(job(), (pod(phase="Running"),), S.RUNNING, "", id="pod runs: running"),
        pytest.param(
            job(JobState.COMPLETE), (pod(termination_message=outcome()),), S.SUCCEEDED, Reason.DONE, id="complete"
        ),
        pytest.param(job(JobState.COMPLETE), (), S.FAILED, Reason.JOB_LOST, id="complete, pods gone: told again"),
        pytest.param(job(JobState.COMPLETE), (pod(),), S.PENDING, "", id="complete, pods of earlier: looked again"),
        pytest.param(
            job(JobState.COMPLETE),
            (pod(phase="Succeeded", exit_code=0, termination_message="done!"),),
            S.FAILED,
            Reason.OUTCOME_LOST,
            id="complete, and no Outcome: told again, but not for ever",
        ),
        pytest.param(
            FAILED,
            (
                pod(
                    exit_code=10,
                    termination_message=outcome(OutcomeState.FAILED, reason="InvalidData", message="row 17"),
                ),
            ),
            S.FAILED,
            Reason.INVALID_DATA,
            id="the pod's own word counts",
        ),
        pytest.param(
            FAILED,
            (pod(exit_code=20, termination_message=outcome(OutcomeState.BLOCKED, reason="SecretNotFound")),),
            S.BLOCKED,
            Reason.SECRET_NOT_FOUND,
            id="blocked",
        ),
        pytest.param(
            FAILED, (pod(exit_code=137, terminated_reason="OOMKilled"),), S.FAILED, Reason.OUT_OF_MEMORY, id="oom"
        ),
        pytest.param(
            FAILED, (pod(exit_code=143, disrupted="preempted"),), S.FAILED, Reason.POD_DISRUPTED, id="preempted"
        ),
        pytest.param(FAILED, (pod(terminated_reason="Evicted"),), S.FAILED, Reason.POD_DISRUPTED, id="evicted"),
        pytest.param(FAILED, (pod(exit_code=13),), S.FAILED, Reason.DIVERGED, id="exit code alone"),
        pytest.param(FAILED, (pod(exit_code=1, termination_message="boom"),), S.FAILED, Reason.POD_FAILED, id="crash"),
        pytest.param(FAILED, (), S.FAILED, Reason.JOB_LOST, id="failed and pods gone"),
    ],
)
def test_an_open_attempt_is_judged_by_its_job_and_pods(
    seen_job: JobView, pods: tuple[PodView, ...], state: AttemptState, reason: str
) -> None:
    settled = settle(seen(run=run(attempts=(attempt(Stage.PREFLIGHT, S.PENDING),)), job=seen_job, pods=pods))
    assert settled.last is not None
    assert (settled.last.state, settled.last.reason) == (state, reason)


def test_the_pod_that_says_why_is_believed_before_those_that_were_told_to_stop() -> None:
    pods = (
        pod(index=0, exit_code=143),
        pod(
            index=1,
            exit_code=12,
            termination_message=outcome(OutcomeState.FAILED, Stage.TRAIN, reason="OutOfMemory", message="GPU 1"),
        ),
    )
    settled = settle(seen(run=run(attempts=(RUNNING,)), job=FAILED, pods=pods))
    assert settled.last is not None
    assert (settled.last.reason, settled.last.message, settled.last.exit_code) == ("OutOfMemory", "GPU 1", 12)


def test_a_job_that_was_never_created_leaves_its_attempt_pending() -> None:
    assert settle(seen(run=run(attempts=(attempt(Stage.TRAIN, S.PENDING),)))).open is not None


def test_a_running_job_that_somebody_deleted_is_lost() -> None:
    last = settle(seen(run=run(attempts=(RUNNING,)))).last
    assert last is not None
    assert last.reason == Reason.JOB_LOST


def test_an_attempt_ends_when_its_pods_did_even_if_the_operator_looks_later() -> None:
    said = outcome(stage=Stage.TRAIN)
    ended = pod(exit_code=0, termination_message=said, finished_at="2026-01-02T02:00:00Z")
    last = settle(seen(run=run(attempts=(RUNNING,)), job=job(JobState.COMPLETE), pods=(ended,))).last
    assert last is not None
    assert last.end_time == "2026-01-02T02:00:00Z"


def test_a_node_whose_clock_is_ahead_does_not_stretch_the_wait() -> None:
    ahead = attempt(Stage.TRAIN, S.FAILED, ended_ago=-3600, reason="PodFailed")
    assert wait_before_next((ahead,), NOW) == timedelta(seconds=10)


def test_a_preempted_pod_explains_the_failure_of_its_peers() -> None:
    peer = outcome(OutcomeState.FAILED, Stage.TRAIN, reason="UnexpectedError", message="NCCL: connection closed")
    pods = (pod(index=0, exit_code=1, termination_message=peer), pod(index=1, exit_code=143, disrupted="preempted"))
    last = settle(seen(run=run(attempts=(RUNNING,)), job=FAILED, pods=pods)).last
    assert last is not None
    assert last.reason == Reason.POD_DISRUPTED


def test_a_disrupted_pod_that_is_gone_left_its_reason_on_the_job() -> None:
    last = settle(seen(run=run(attempts=(RUNNING,)), job=job(JobState.FAILED, disrupted="node drained"))).last
    assert last is not None
    assert last.reason == Reason.POD_DISRUPTED
    assert "node drained" in last.message


def test_an_outcome_of_another_attempt_is_not_believed() -> None:
    forged = outcome(OutcomeState.SUCCEEDED, Stage.PREFLIGHT)
    complete = job(JobState.COMPLETE)
    ended = pod(phase="Succeeded", exit_code=0, termination_message=forged)
    last = settle(seen(run=run(attempts=(RUNNING,)), job=complete, pods=(ended,))).last
    assert last is not None
    assert (last.state, last.reason) == (S.FAILED, Reason.OUTCOME_LOST)


def test_a_deleted_job_is_not_lost_before_its_pods_are_gone() -> None:
    assert settle(seen(run=run(attempts=(RUNNING,)), pods=(pod(),))).open is not None


def test_a_closed_record_is_never_reopened() -> None:
    record = (attempt(Stage.PREFLIGHT, S.FAILED, reason="InvalidData", exit_code=10),)
    settled = settle(
        seen(run=run(attempts=record), job=job(JobState.COMPLETE), pods=(pod(termination_message=outcome()),))
    )
    assert settled.attempts == record


CHECKPOINT = Artifact(path="checkpoints/300/", digest="sha256:1", size_bytes=5, stage=Stage.TRAIN)
HELD = "2026-01-02T01:00:00Z"


def ended_from_outside(reason: str, **fields: Any) -> Attempt:
    """As the operator recorded it at 03:04:05, before its pods had ended."""
    return attempt(Stage.TRAIN, S.STOPPED, reason=reason, message="Ended.", held_since=HELD, **fields)


@pytest.mark.parametrize("reason", ["Suspended", "BudgetExceeded", "EvictedByQueue"])
def test_what_the_pods_say_after_their_attempt_was_ended_is_added_to_its_record(reason: str) -> None:
    said = outcome(
        OutcomeState.STOPPED,
        Stage.TRAIN,
        reason="Terminated",
        message="Checkpoint 300 is saved.",
        stop_reason=StopReason.SIGNAL,
        checkpoint=CHECKPOINT,
        resumed_from_step=0,
        warnings=("Checkpoint 290 did not get to the store.",),
    )
    pods = (
        pod(index=0, phase="Failed", exit_code=143, finished_at="2026-01-02T03:05:00Z"),
        pod(index=1, phase="Failed", exit_code=30, termination_message=said, finished_at="2026-01-02T03:06:00Z"),
    )
    before = seen(run=run(attempts=(ended_from_outside(reason),)), job=job(deleting=True), pods=pods)
    settled = settle(before)
    last = settled.last
    assert last is not None
    assert (last.state, last.reason, last.exit_code) == (S.STOPPED, reason, 30), "why it ended stays as it was"
    assert (last.end_time, last.resumed_from_step) == ("2026-01-02T03:06:00Z", 0)
    assert (last.message, last.warnings) == (
        "Ended. Checkpoint 300 is saved.",
        ("Checkpoint 290 did not get to the store.",),
    )
    status = summarize(before, plan(before), Settings())
    assert status.progress is not None
    assert status.progress.checkpoint_step == 300
    again = settle(seen(run=run(attempts=settled.attempts), pods=pods))
    assert (again.attempts, again.outcome) == (settled.attempts, None), "heard once"


@pytest.mark.parametrize(
    ("record", "pods"),
    [
        pytest.param(ended_from_outside("Suspended"), (pod(),), id="they still run"),
        pytest.param(ended_from_outside("Suspended"), (), id="they are gone"),
        pytest.param(ended_from_outside("Suspended"), (pod(phase="Failed"),), id="they never ran"),
        pytest.param(
            attempt(Stage.TRAIN, S.FAILED, reason="OutcomeLost"),
            (pod(phase="Succeeded", exit_code=0, termination_message=outcome(stage=Stage.TRAIN)),),
            id="it was judged by its pods",
        ),
    ],
)
def test_a_record_that_has_nothing_to_hear_stays_as_it_is(record: Attempt, pods: tuple[PodView, ...]) -> None:
    assert settle(seen(run=run(attempts=(record,)), pods=pods)).attempts == (record,)


def test_a_training_that_was_done_as_it_was_ended_is_reported_by_the_next_attempt() -> None:
    done = pod(phase="Succeeded", exit_code=0, termination_message=outcome(stage=Stage.TRAIN))
    settled = settle(seen(run=run(attempts=(ended_from_outside("Suspended"),)), pods=(done,)))
    assert settled.outcome is None
    assert settled.last is not None
    assert (settled.last.state, settled.last.exit_code) == (S.STOPPED, 0)


@pytest.mark.parametrize(
    ("exit_code", "reason", "final"),
    [
        (10, "InvalidData", True),
        (11, "InvalidConfiguration", True),
        (12, "OutOfMemory", True),
        (13, "Diverged", True),
        (137, "OutOfMemory", True),
        (14, "NoProgress", False),
        (20, "StoreUnreachable", False),
        (137, "PodFailed", False),
        (None, "JobLost", False),
    ],
)
def test_final_failures_are_those_that_would_only_repeat(exit_code: int | None, reason: str, final: bool) -> None:
    assert is_final(attempt(Stage.TRAIN, S.FAILED, exit_code=exit_code, reason=reason)) is final


def test_disruptions_and_waiting_do_not_count_as_failures() -> None:
    record = (
        attempt(Stage.PREFLIGHT, S.FAILED, reason="PodFailed"),
        attempt(Stage.TRAIN, S.FAILED, 1, reason="PodDisrupted"),
        attempt(Stage.TRAIN, S.BLOCKED, 2, reason="SecretNotFound"),
        attempt(Stage.TRAIN, S.STOPPED, 3, reason="Suspended"),
        attempt(Stage.TRAIN, S.FAILED, 4, reason="StoreUnreachable"),
    )
    assert failures(record) == 1


@pytest.mark.parametrize(
    ("states", "seconds"),
    [
        pytest.param([S.STOPPED], 0, id="after a pause at once"),
        pytest.param([S.FAILED], 10, id="first failure"),
        pytest.param([S.FAILED] * 3, 40, id="doubles"),
        pytest.param([S.FAILED] * 9, 300, id="bounded"),
        pytest.param([S.BLOCKED] * 9, 60, id="what is missing is looked for every minute"),
    ],
)
def test_the_next_attempt_waits_longer_after_each_failure_in_a_row(states: list[AttemptState], seconds: int) -> None:
    reasons = {S.STOPPED: "Suspended"}
    record = tuple(attempt(Stage.TRAIN, s, n, reason=reasons.get(s, "PodFailed")) for n, s in enumerate(states, 1))
    assert wait_before_next(record, NOW) == timedelta(seconds=seconds)
