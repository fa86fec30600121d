"""What the end of a look's Job means: what it found, what went wrong, and whether that was its own doing."""

from typing import Any

import pytest

from attune_contract.enums import OutcomeState, Stage
from attune_contract.monitoring import Monitoring
from attune_operator.api.enums import AttemptState
from attune_operator.finetunejob.looking import look_view
from attune_operator.finetunejob.snapshot import JobState, LookView, PodView, QueueView, Warned
from factories import attempt, job, outcome, pod

LOOK = attempt(Stage.MONITOR, AttemptState.RUNNING)
FOUND = Monitoring(at="2026-01-02T03:04:05Z", rows=96)
DONE = outcome(stage=Stage.MONITOR, monitoring=FOUND)
GONE = "2026-01-02T03:04:00Z"


def ended(*pods: PodView, state: JobState = JobState.FAILED, **fields: Any) -> LookView:
    return look_view(LOOK, job(state, **fields), pods, ())


def failed(message: str, **fields: Any) -> str:
    return outcome(OutcomeState.FAILED, Stage.MONITOR, reason="InvalidData", message=message, **fields)


def test_what_it_found_is_read_once_its_job_is_complete() -> None:
    view = ended(pod(phase="Succeeded", exit_code=0, termination_message=DONE), state=JobState.COMPLETE)
    assert view.outcome is not None
    assert (view.over, view.outcome.monitoring, view.words, view.disrupted) == (True, FOUND, "", False)


def test_a_pod_that_is_older_than_its_jobs_end_is_looked_at_again() -> None:
    assert not ended(pod(), state=JobState.COMPLETE).over


@pytest.mark.parametrize(
    ("seen_pod", "said"),
    [
        pytest.param({"exit_code": 10, "termination_message": failed("no rows")}, "InvalidData: no rows", id="says so"),
        pytest.param({"exit_code": 137, "terminated_reason": "OOMKilled"}, "used more memory than it may", id="memory"),
        pytest.param({"exit_code": 1, "termination_message": "boom"}, "exit code 1: boom", id="crashed"),
    ],
)
def test_a_failure_of_its_own_says_why(seen_pod: dict[str, Any], said: str) -> None:
    view = ended(pod(phase="Failed", finished_at=GONE, **seen_pod))
    assert (view.over, view.disrupted) == (True, False)
    assert said in view.words
    assert "spec.training" not in view.words


@pytest.mark.parametrize(
    "left",
    [
        pytest.param({"exit_code": 1, "termination_message": "AWS_SECRET_ACCESS_KEY=abcdefgh"}, id="last lines"),
        pytest.param({"exit_code": 10, "termination_message": failed("password: abcdefgh")}, id="outcome"),
    ],
)
def test_secrets_are_masked(left: dict[str, Any]) -> None:
    view = ended(pod(phase="Failed", **left))
    assert "[secret]" in view.words
    assert "abcdefgh" not in str(view)


@pytest.mark.parametrize(
    ("seen_pod", "said"),
    [
        pytest.param(
            {"phase": "Failed", "terminated_reason": "OutOfnvidia.com/gpu", "termination_message": "Node lacks GPUs"},
            "Node lacks GPUs",
            id="refused by its kubelet",
        ),
        pytest.param(
            {"phase": "Failed", "exit_code": 143, "disrupted": "EvictionByEvictionAPI"}, "EvictionBy", id="drained"
        ),
        pytest.param(None, "its pods are gone", id="deleted"),
    ],
)
def test_what_the_cluster_ended_is_nobodys_mistake(seen_pod: dict[str, Any] | None, said: str) -> None:
    view = ended(*([] if seen_pod is None else [pod(**seen_pod)]))
    assert (view.over, view.disrupted) == (True, True)
    assert said in view.words


@pytest.mark.parametrize("pods", [(), (pod(phase="Failed", exit_code=143, leaving_at=GONE),)], ids=["gone", "leaving"])
def test_one_that_hangs_has_failed_though_its_pods_are_ended_for_it(pods: tuple[PodView, ...]) -> None:
    view = ended(*pods, expired=True, failure="Job was active longer than specified deadline")
    assert (view.over, view.disrupted) == (True, False)
    assert view.words == "NoProgress: Job was active longer than specified deadline"


def test_one_that_does_not_start_says_why() -> None:
    view = look_view(LOOK, job(), (), (Warned("FailedCreate", "exceeded quota: small"),))
    assert (view.over, view.waits) == (False, "exceeded quota: small")


def test_a_look_that_waits_in_a_queue_says_what_kueue_says() -> None:
    queue = QueueView(installed=True, name="a", reason="Pending", message="insufficient unused quota for cpu")
    view = look_view(LOOK, job(JobState.SUSPENDED), (), (), queue)
    assert (view.over, view.queued) == (False, True)
    assert "insufficient unused quota" in view.waits
