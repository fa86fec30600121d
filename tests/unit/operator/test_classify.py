"""From what a Job and its pods show to state, reason and whether it counts against spec.retryLimit."""

import time
from typing import Any

import pytest

from attune_contract.enums import OutcomeState, Stage, StopReason
from attune_contract.outcome import Artifact
from attune_contract.progress import Progress
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.attempts import Settled, settle
from attune_operator.finetunejob.masking import masked
from attune_operator.finetunejob.retries import counted, is_final
from attune_operator.finetunejob.snapshot import JobState, PodView, QueueView
from factories import UID, attempt, job, outcome, pod, run, seen

S = AttemptState
RUNNING = attempt(Stage.TRAIN, S.RUNNING)
GONE = "2026-01-02T03:04:00Z"


def said(state: OutcomeState, **fields: Any) -> str:
    return outcome(state, Stage.TRAIN, **fields)


def settled(*pods: PodView, state: JobState = JobState.FAILED, **fields: Any) -> Settled:
    return settle(
        seen(run=run(attempts=(RUNNING,)), job=job(state, **fields.pop("job_fields", {})), pods=pods, **fields)
    )


def last(of: Settled) -> Attempt:
    assert of.last is not None
    return of.last


CHECKPOINT = Artifact(path="checkpoints/300/", digest="sha256:1", size_bytes=5, stage=Stage.TRAIN)
STOPPED = {"reason": "Terminated", "stop_reason": StopReason.SIGNAL, "checkpoint": CHECKPOINT}


@pytest.mark.parametrize(
    ("seen_pod", "expected"),
    [
        pytest.param(
            {"exit_code": 137, "terminated_reason": "OOMKilled"},
            (S.FAILED, Reason.OUT_OF_MEMORY, True, True),
            id="memory limit: final",
        ),
        pytest.param({"exit_code": 137}, (S.FAILED, Reason.POD_FAILED, True, False), id="SIGKILL: retried, counted"),
        pytest.param({"exit_code": 139}, (S.FAILED, Reason.POD_FAILED, True, False), id="crash: retried, counted"),
        pytest.param({"exit_code": 10}, (S.FAILED, Reason.INVALID_DATA, True, True), id="bad input: final"),
        pytest.param({"exit_code": 11}, (S.FAILED, Reason.INVALID_CONFIGURATION, True, True), id="bad spec: final"),
        pytest.param({"exit_code": 13}, (S.FAILED, Reason.DIVERGED, True, True), id="diverged: final"),
        pytest.param({"exit_code": 14}, (S.FAILED, Reason.NO_PROGRESS, True, False), id="stalled: retried"),
        pytest.param({"exit_code": 20}, (S.FAILED, Reason.STORE_UNREACHABLE, True, False), id="store: retried"),
        pytest.param({"exit_code": 30}, (S.STOPPED, Reason.STOPPED, False, False), id="stopped, its Outcome lost"),
        pytest.param(
            {"exit_code": 30, "termination_message": said(OutcomeState.STOPPED, **STOPPED)},
            (S.STOPPED, "Terminated", False, False),
            id="stopped by a signal",
        ),
        pytest.param(
            {
                "exit_code": 30,
                "termination_message": said(
                    OutcomeState.STOPPED, reason="BudgetExceeded", stop_reason=StopReason.BUDGET, checkpoint=CHECKPOINT
                ),
            },
            (S.STOPPED, Reason.BUDGET_EXCEEDED, False, False),
            id="stopped at the end of its budget",
        ),
        pytest.param(
            {"exit_code": 143, "disrupted": "EvictionByEvictionAPI"},
            (S.FAILED, Reason.POD_DISRUPTED, False, False),
            id="evicted through the API",
        ),
        pytest.param(
            {"terminated_reason": "Evicted", "termination_message": "The node was low on resource: memory."},
            (S.FAILED, Reason.POD_DISRUPTED, False, False),
            id="evicted by its node",
        ),
        pytest.param(
            {
                "exit_code": 137,
                "disrupted": "Pod ephemeral local storage usage exceeds the total limit of containers 2Gi. ",
            },
            (S.FAILED, Reason.POD_FAILED, True, False),
            id="evicted for the disk that it filled: the next one would do the same",
        ),
        pytest.param(
            {
                "terminated_reason": "Evicted",
                "termination_message": 'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". ',
            },
            (S.FAILED, Reason.POD_FAILED, True, False),
            id="evicted for the volume that it filled, by a kubelet without conditions",
        ),
        pytest.param(
            {"terminated_reason": "Evicted", "termination_message": "The node was low on resource: ephemeral-storage."},
            (S.FAILED, Reason.POD_DISRUPTED, False, False),
            id="evicted as its node is short of disk",
        ),
        *(
            pytest.param(
                {"terminated_reason": reason, "termination_message": "Pod was rejected: no healthy devices present"},
                (S.FAILED, Reason.POD_DISRUPTED, False, False),
                id=f"refused by its kubelet: {reason}",
            )
            for reason in ("UnexpectedAdmissionError", "OutOfnvidia.com/gpu", "TopologyAffinityError", "SomethingNew")
        ),
        pytest.param(
            {"exit_code": 137, "leaving_at": GONE},
            (S.FAILED, Reason.POD_DISRUPTED, False, False),
            id="deleted by somebody",
        ),
        pytest.param(
            {"exit_code": 137, "terminated_reason": "OOMKilled", "disrupted": "DeletionByTaintManager"},
            (S.FAILED, Reason.POD_DISRUPTED, False, False),
            id="killed while its node was drained",
        ),
        pytest.param(
            {"exit_code": 13, "disrupted": "PreemptionByScheduler"},
            (S.FAILED, Reason.POD_DISRUPTED, False, False),
            id="preempted, with an exit code that would be final and no word of why",
        ),
        pytest.param(
            {
                "exit_code": 30,
                "disrupted": "PreemptionByScheduler",
                "termination_message": said(OutcomeState.STOPPED, **STOPPED),
            },
            (S.STOPPED, Reason.POD_DISRUPTED, False, False),
            id="preempted, with a checkpoint saved",
        ),
        pytest.param(
            {
                "exit_code": 13,
                "disrupted": "PreemptionByScheduler",
                "termination_message": said(OutcomeState.FAILED, reason="Diverged"),
            },
            (S.FAILED, "Diverged", True, True),
            id="what is final stays so, though it was preempted as well",
        ),
    ],
)
def test_every_end_has_its_reason_and_counts_or_not(
    seen_pod: dict[str, Any], expected: tuple[AttemptState, str, bool, bool]
) -> None:
    ended = last(settled(pod(phase="Failed", **seen_pod)))
    assert (ended.state, ended.reason, counted(ended), is_final(ended)) == expected


def test_a_checkpoint_saved_under_preemption_is_not_lost_from_the_story() -> None:
    message = said(OutcomeState.STOPPED, message="Saved checkpoint 300.", **STOPPED)
    found = settled(pod(phase="Failed", exit_code=30, disrupted="node drained", termination_message=message))
    assert "node drained" in last(found).message
    assert "Saved checkpoint 300." in last(found).message
    assert found.outcome is not None
    assert found.outcome.checkpoint == CHECKPOINT


def test_peers_that_are_taken_down_after_a_failure_do_not_explain_it() -> None:
    peer = said(OutcomeState.FAILED, reason="UnexpectedError", message="connection closed")
    found = settled(
        pod(index=0, phase="Failed", exit_code=1, termination_message=peer, leaving_at=GONE),
        pod(index=1, phase="Failed", exit_code=137, name="job-1-x"),
    )
    assert "job-1-x" in last(found).message
    assert counted(last(found))


def test_a_node_that_refuses_a_pod_is_quoted() -> None:
    why = "Pod was rejected: Allocate failed due to no healthy devices present"
    ended = last(settled(pod(phase="Failed", terminated_reason="UnexpectedAdmissionError", termination_message=why)))
    assert why in ended.message
    assert "None" not in ended.message


FELL = said(OutcomeState.FAILED, reason="UnexpectedError", message="connection closed by peer")


@pytest.mark.parametrize(
    ("victim", "culprit", "reason"),
    [
        pytest.param(
            {"exit_code": 1, "termination_message": FELL},
            {"exit_code": 20, "termination_message": said(OutcomeState.FAILED, reason="StoreUnreachable")},
            "StoreUnreachable",
            id="one that says what happened to it",
        ),
        pytest.param(
            {"exit_code": 1, "termination_message": FELL},
            {"exit_code": 137, "termination_message": said(OutcomeState.FAILED, reason="ProcessLost")},
            "ProcessLost",
            id="one of whose processes was killed",
        ),
        pytest.param(
            {"exit_code": 143, "termination_message": said(OutcomeState.FAILED, reason="Terminated")},
            {"exit_code": 14, "termination_message": said(OutcomeState.FAILED, reason="NoProgress")},
            "NoProgress",
            id="one that hung, and its peer was told to stop",
        ),
        pytest.param(
            {"exit_code": 1, "termination_message": FELL, "finished_at": "2026-01-02T03:04:02Z"},
            {"exit_code": 137, "finished_at": "2026-01-02T03:04:01Z"},
            Reason.POD_FAILED,
            id="one that was killed whole: it ended first",
        ),
        pytest.param(
            {"exit_code": 1, "termination_message": FELL},
            {"terminated_reason": "UnexpectedAdmissionError"},
            Reason.POD_DISRUPTED,
            id="one that its node refused",
        ),
    ],
)
def test_a_pod_that_fell_because_of_another_does_not_speak_for_the_gang(
    victim: dict[str, Any], culprit: dict[str, Any], reason: str
) -> None:
    pods = (pod(index=0, phase="Failed", **victim), pod(index=1, phase="Failed", **culprit))
    assert last(settled(*pods)).reason == reason


def test_a_pod_that_is_deleted_before_it_starts_as_its_peer_failed_excuses_nothing() -> None:
    found = settled(
        pod(index=0, phase="Failed", leaving_at=GONE),
        pod(index=1, phase="Failed", exit_code=1, termination_message=FELL),
    )
    assert (last(found).reason, counted(last(found))) == ("UnexpectedError", True)


def test_what_a_pod_says_is_shown_without_secrets_that_it_did_not_know() -> None:
    words = "Could not connect to the endpoint URL: http://user:pa55word@minio/x"
    message = said(OutcomeState.FAILED, reason="StoreUnreachable", message=words, warnings=(words,))
    found = settled(pod(phase="Failed", exit_code=20, termination_message=message))
    assert last(found).message == "Could not connect to the endpoint URL: http://[secret]@minio/x"
    assert found.outcome is not None
    assert "pa55word" not in f"{last(found)} {found.outcome}"


def test_a_warning_of_a_pod_that_runs_is_shown_without_secrets() -> None:
    warning = "http://user:pa55word@minio/x did not answer"
    sample = Progress(run_id=UID, stage=Stage.TRAIN, attempt=1, warnings=(warning,), updated_at="")
    assert last(settled(pod(), state=JobState.ACTIVE, progress=sample)).warnings == (
        "http://[secret]@minio/x did not answer",
    )


def test_the_success_of_one_pod_is_no_result_of_a_gang_that_failed() -> None:
    done = said(OutcomeState.SUCCEEDED)
    found = settled(
        pod(index=0, phase="Succeeded", exit_code=0, termination_message=done),
        pod(index=1, phase="Failed", exit_code=143, disrupted="drained"),
    )
    assert last(found).reason == Reason.POD_DISRUPTED
    assert found.outcome is None


def test_a_job_that_its_queue_suspends_while_it_runs_is_evicted_with_the_queues_words() -> None:
    queue = QueueView(installed=True, evicted_reason="Preempted", evicted_message="to accommodate a workload")
    ended = last(settled(pod(), state=JobState.SUSPENDED, queue=queue))
    assert (ended.state, ended.reason, counted(ended)) == (S.FAILED, Reason.EVICTED_BY_QUEUE, False)
    assert "Preempted: to accommodate a workload" in ended.message


def test_a_job_that_waits_in_its_queue_has_not_ended() -> None:
    waiting = run(attempts=(attempt(Stage.TRAIN, S.PENDING),))
    assert settle(seen(run=waiting, job=job(JobState.SUSPENDED))).open is not None


def test_a_pod_on_a_lost_node_ends_its_attempt_and_is_not_counted() -> None:
    ended = last(settled(pod(leaving_at=GONE), state=JobState.ACTIVE, lost={"job-0-abcde": "node n1 is out of reach."}))
    assert (ended.reason, counted(ended)) == (Reason.NODE_LOST, False)
    assert "n1" in ended.message


def test_an_attempt_remembers_where_it_went_on_from_and_when_it_began_to_cost() -> None:
    message = said(OutcomeState.STOPPED, resumed_from_step=200, **STOPPED)
    ended = last(
        settled(pod(phase="Failed", exit_code=30, termination_message=message, started_at="2026-01-02T02:30:00Z"))
    )
    assert (ended.resumed_from_step, ended.held_since) == (200, "2026-01-02T02:30:00Z")


@pytest.mark.parametrize(
    ("message", "tail"),
    [
        pytest.param(
            said(OutcomeState.FAILED, reason="UnexpectedError", log_tail=("step 5", "boom")),
            ("step 5", "boom"),
            id="its Outcome's",
        ),
        pytest.param(
            "step 5\nAWS_SECRET_ACCESS_KEY=abcdefgh12345", ("step 5", "AWS_SECRET_ACCESS_KEY=[secret]"), id="masked"
        ),
    ],
)
def test_the_last_lines_of_the_log_are_at_hand_without_secrets(message: str, tail: tuple[str, ...]) -> None:
    assert settled(pod(phase="Failed", exit_code=1, termination_message=message)).log == tail


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key AKIAABCDEFGHIJKLMNOP here", "key [secret] here"),
        ("token hf_abcdefghijklmnopqrst", "token [secret]"),
        ('{"aws_secret_access_key": "s3cr3tvalue"}', '{"aws_secret_access_key": "[secret]"}'),
        ("GET https://user:pa55word@host/x", "GET https://[secret]@host/x"),
        ("url?X-Amz-Signature=0123abcdef&x=1", "url?X-Amz-Signature=[secret]&x=1"),
        ("loss 0.81 at step 310", "loss 0.81 at step 310"),
        ("tokens: 190233, tokens_per_second=1021.5", "tokens: 190233, tokens_per_second=1021.5"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "piece",
    ["a.", "secret.", "secret ", "secret=", "secret:    ", "://a:", "hf_", "bearer ", "token_", "X-Amz-Signature="],
)
def test_masking_takes_no_longer_than_the_text_is_long(piece: str) -> None:
    began = time.perf_counter()
    masked(piece * (8192 // len(piece)))
    assert time.perf_counter() - began < 0.3


def test_of_a_long_log_whole_lines_are_told() -> None:
    lines = [f"2026-11-21 20:49:{number:02d} step {number} of 600" for number in range(60)]
    found = settled(pod(phase="Failed", exit_code=137, termination_message="\n".join(lines)))
    told = last(found).message.splitlines()
    assert told[0].endswith("ended with exit code 137 (signal 9): " + lines[-len(told)])
    assert told[1:] == lines[1 - len(told) :]


@pytest.mark.parametrize("end", ["the cause", "the cause\n}"], ids=["alone", "before a short one"])
def test_of_one_long_line_its_end_is_told(end: str) -> None:
    found = settled(pod(phase="Failed", exit_code=1, termination_message="x" * 5000 + end))
    assert last(found).message.endswith(f"x{end}")
    assert len(last(found).message) < 1100
