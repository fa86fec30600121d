from typing import Any

import pytest

from attune_contract.enums import OutcomeState, Stage
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.problems import FieldProblem
from attune_operator.finetunejob.plan import KEPT_UNCOUNTED, plan
from attune_operator.finetunejob.snapshot import JobState, QueueView, Warned
from factories import NAMESPACE, attempt, done, job, outcome, pod, run, runtime, seen

S = AttemptState
LONG_AGO = 10_000.0


def test_a_new_run_starts_with_preflight() -> None:
    decision = plan(seen())
    assert decision.start is not None
    assert (decision.start.stage, decision.start.number, decision.start.state) == (Stage.PREFLIGHT, 1, S.PENDING)
    assert decision.attempts == (decision.start,)


@pytest.mark.parametrize(
    ("succeeded", "follows"),
    [
        ((Stage.PREFLIGHT,), Stage.TRAIN),
        ((Stage.PREFLIGHT, Stage.TRAIN), Stage.EVALUATE),
        ((Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE), Stage.PUBLISH),
    ],
)
def test_stages_follow_each_other(succeeded: tuple[Stage, ...], follows: Stage) -> None:
    decision = plan(seen(run=run(attempts=done(*succeeded))))
    assert decision.start is not None
    assert decision.start.stage is follows


def test_a_run_whose_stages_are_all_done_has_succeeded() -> None:
    decision = plan(seen(run=run(attempts=done(*Stage))))
    assert decision.end is not None
    assert decision.end.succeeded


@pytest.mark.parametrize(
    ("p_pass", "starts"), [pytest.param(0.001, Stage.PUBLISH, id="passed"), pytest.param(0.5, None, id="inconclusive")]
)
def test_the_gate_decides_on_publishing_though_the_operator_was_started_anew(
    p_pass: float, starts: Stage | None
) -> None:
    check = {"requirement": 0, "metric": "Accuracy", "kind": "Minimum", "bar": 0.5, "value": 0.9, "estimate": 0.9}
    checks = {"confidence": 0.95, "listed": [{**check, "rows": 96, "pPass": p_pass, "pFail": 1.0}]}
    result = {"metric": "Accuracy", "tuned": 0.9, "baseline": "base", "value": 0.4, "delta": 0.5, "rows": 96}
    known = {"evaluation": {"verdict": "Passed", "results": [result], "checks": checks}}
    gate = {"metrics": [{"name": "Accuracy"}], "gate": {"require": [{"metric": "Accuracy", "minimum": 0.5}]}}
    before = done(Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE)
    decision = plan(seen(run=run(known, before, evaluation=gate)))

    assert (decision.start.stage if decision.start else None) is starts
    assert (decision.end is not None and decision.end.succeeded) is (starts is None)


def test_a_stage_that_ended_just_now_hands_over_in_the_same_step_and_its_outcome_is_kept() -> None:
    open_run = run(attempts=(attempt(Stage.PREFLIGHT, S.RUNNING),))
    decision = plan(seen(run=open_run, job=job(JobState.COMPLETE), pods=(pod(termination_message=outcome()),)))
    assert [a.stage for a in decision.attempts] == [Stage.PREFLIGHT, Stage.TRAIN]
    assert decision.outcome is not None


def test_a_recorded_attempt_without_its_job_gets_it() -> None:
    waiting = attempt(Stage.TRAIN, S.PENDING)
    decision = plan(seen(run=run(attempts=(*done(Stage.PREFLIGHT), waiting))))
    assert decision.start == waiting


def test_an_attempt_with_its_job_is_left_alone() -> None:
    decision = plan(seen(run=run(attempts=(attempt(Stage.TRAIN, S.RUNNING),)), job=job(), pods=(pod(),)))
    assert (decision.start, decision.stop, decision.hold, decision.end) == (None, None, None, None)


@pytest.mark.parametrize("verdict", ["Succeeded", "Failed"])
def test_a_run_that_is_over_is_never_touched_again(verdict: str) -> None:
    finished = {"type": "Finished", "status": "True", "reason": verdict, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    decision = plan(seen(run=run({"conditions": [finished]}, done(Stage.PREFLIGHT))))
    assert (decision.start, decision.stop, decision.hold, decision.end) == (None, None, None, None)


@pytest.mark.parametrize(
    ("fields", "reason", "says", "stalled"),
    [
        pytest.param({"runtime": None}, Reason.RUNTIME_NOT_FOUND, "'default'", True, id="no such runtime"),
        pytest.param(
            {"runtime": None, "runtime_problems": (FieldProblem("spec.image", "is required."),)},
            Reason.RUNTIME_INVALID,
            "spec.image: is required.",
            True,
            id="bad runtime",
        ),
        pytest.param(
            {"runtime": runtime(namespaces={"matchLabels": {"gpu": "yes"}})},
            Reason.NAMESPACE_NOT_ALLOWED,
            NAMESPACE,
            True,
            id="namespace not selected",
        ),
        pytest.param(
            {"runtime": runtime(allowedURIs=["s3://models/"])},
            Reason.URI_NOT_ALLOWED,
            "spec.dataset.train[0]: s3://data/train.jsonl",
            True,
            id="data outside the allowed prefixes",
        ),
        pytest.param(
            {"run": run(suspend=True)}, Reason.SUSPENDED, "spec.suspend", False, id="suspended from the start"
        ),
        pytest.param(
            {"spec_problems": (FieldProblem("spec.a", "is bad."), FieldProblem("spec.b", "is worse."))},
            Reason.INVALID_SPEC,
            "spec.a: is bad. spec.b: is worse.",
            True,
            id="every problem at once",
        ),
        pytest.param(
            {"spec_problems": (FieldProblem("spec.output.newer", "there is no such field", unknown=True),)},
            Reason.NOT_SUPPORTED,
            "does not know spec.output.newer: the cluster's CustomResourceDefinitions are of a newer one",
            True,
            id="a field that only newer CRDs have",
        ),
        pytest.param(
            {"run": run(evaluation={"baselines": [{"name": "old", "source": "pvc://claim/old"}]})},
            Reason.NOT_SUPPORTED,
            "spec.evaluation.baselines[0].source",
            True,
            id="not supported yet",
        ),
        pytest.param(
            {"run": run(queue={"name": "team-a"}), "queue": QueueView(installed=False)},
            Reason.KUEUE_NOT_INSTALLED,
            "'team-a'",
            True,
            id="a queue, and no Kueue",
        ),
        pytest.param(
            {"run": run(attempts=done(Stage.PREFLIGHT), approval="Required")},
            Reason.AWAITING_APPROVAL,
            "spec.approved",
            False,
            id="waits for approval after preflight",
        ),
    ],
)
def test_nothing_starts_while_something_is_in_the_way(
    fields: dict[str, Any], reason: Reason, says: str, stalled: bool
) -> None:
    decision = plan(seen(**fields))
    assert decision.start is None
    assert decision.hold is not None
    assert (decision.hold.reason, decision.hold.stalled) == (reason, stalled)
    assert says in decision.hold.message


def test_an_approved_run_trains() -> None:
    decision = plan(seen(run=run(attempts=done(Stage.PREFLIGHT), approval="Required", approved=True)))
    assert decision.start is not None


def test_a_runtime_that_vanishes_does_not_disturb_an_attempt_under_way() -> None:
    decision = plan(seen(run=run(attempts=(attempt(Stage.TRAIN, S.RUNNING),)), runtime=None, job=job(), pods=(pod(),)))
    assert decision.hold is None


def test_suspending_ends_the_attempt_and_records_it_first() -> None:
    decision = plan(seen(run=run(attempts=(attempt(Stage.TRAIN, S.RUNNING),), suspend=True), job=job(), pods=(pod(),)))
    assert decision.stop is not None
    assert decision.attempts[-1].state is S.STOPPED
    assert decision.attempts[-1] == decision.stop


@pytest.mark.parametrize(
    ("last", "says"),
    [
        pytest.param({"exit_code": 10, "reason": "InvalidData", "message": "2 bad rows"}, "2 bad rows", id="bad data"),
        pytest.param({"exit_code": 137, "reason": "OutOfMemory", "message": "killed"}, "killed", id="out of memory"),
    ],
)
def test_final_failures_end_the_run_at_once(last: dict[str, Any], says: str) -> None:
    decision = plan(seen(run=run(attempts=(attempt(Stage.PREFLIGHT, S.FAILED, **last),))))
    assert decision.end is not None
    assert not decision.end.succeeded
    assert decision.end.reason == last["reason"]
    assert says in decision.end.message


def test_other_failures_are_tried_again_up_to_the_limit() -> None:
    record = tuple(attempt(Stage.PREFLIGHT, S.FAILED, n, LONG_AGO, reason="PodFailed", exit_code=1) for n in (1, 2))
    again = plan(seen(run=run(attempts=record, retryLimit=2)))
    assert again.start is not None
    assert again.start.number == 3
    over = plan(seen(run=run(attempts=record, retryLimit=1)))
    assert over.end is not None
    assert over.end.reason is Reason.RETRIES_EXHAUSTED


def test_the_next_attempt_waits_for_its_time() -> None:
    decision = plan(seen(run=run(attempts=(attempt(Stage.PREFLIGHT, S.FAILED, ended_ago=4, reason="PodFailed"),))))
    assert decision.start is None
    assert decision.again == pytest.approx(6)
    assert decision.hold is not None
    assert not decision.hold.stalled


def test_what_is_missing_stalls_the_run_and_is_looked_for_again() -> None:
    missing = attempt(Stage.PREFLIGHT, S.BLOCKED, reason="SecretNotFound", message="Secret team-a/x does not exist.")
    waits = plan(seen(run=run(attempts=(missing,))))
    assert waits.hold is not None
    assert (waits.hold.reason, waits.hold.stalled) == (Reason.SECRET_NOT_FOUND, True)
    later = missing.model_copy(update={"end_time": "2020-01-01T00:00:00Z"})
    assert plan(seen(run=run(attempts=(later,), retryLimit=0))).start is not None


def test_a_long_wait_does_not_fill_the_record_and_numbers_go_on() -> None:
    record = tuple(attempt(Stage.PREFLIGHT, S.BLOCKED, n, LONG_AGO, reason="BucketNotFound") for n in range(40, 50))
    decision = plan(seen(run=run(attempts=record)))
    assert decision.start is not None
    assert decision.start.number == 50
    assert len(decision.attempts) == KEPT_UNCOUNTED + 1


@pytest.mark.parametrize(
    ("pod_fields", "reason", "stalled"),
    [
        ({"unschedulable": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."}, Reason.UNSCHEDULABLE, False),
        ({"unschedulable": 'persistentvolumeclaim "m" not found'}, Reason.UNSCHEDULABLE, True),
        ({"waiting_reason": "ImagePullBackOff", "waiting_message": "no such image"}, Reason.IMAGE_PULL_FAILED, True),
        ({"waiting_reason": "CreateContainerConfigError", "waiting_message": "x"}, Reason.POD_FAILED, True),
    ],
    ids=["no node fits", "no such claim", "no such image", "cannot start"],
)
def test_a_pod_that_does_not_start_says_why(pod_fields: dict[str, str], reason: Reason, stalled: bool) -> None:
    waiting = run(attempts=(attempt(Stage.TRAIN, S.PENDING),))
    decision = plan(seen(run=waiting, job=job(), pods=(pod(phase="Pending", **pod_fields),)))
    assert decision.hold is not None
    assert (decision.hold.reason, decision.hold.stalled) == (reason, stalled)
    assert next(iter(pod_fields.values())).split()[0] in decision.hold.message


@pytest.mark.parametrize(
    ("reason", "stalled"),
    [("FailedScheduling", None), ("FailedMount", False), ("FailedCreate", True)],
    ids=["the pod itself says it better", "mostly passes", "no pod can be made"],
)
def test_warnings_stall_a_run_only_where_a_person_must_act(reason: str, stalled: bool | None) -> None:
    waiting = run(attempts=(attempt(Stage.TRAIN, S.PENDING),))
    pods = () if reason == "FailedCreate" else (pod(phase="Pending"),)
    decision = plan(seen(run=waiting, job=job(), pods=pods, warnings=(Warned(reason, "words"),)))
    assert (decision.hold.stalled if decision.hold else None) is stalled


def test_a_gang_of_which_one_pod_finds_no_node_is_not_running() -> None:
    half = (pod(index=0), pod(index=1, phase="Pending", unschedulable="0/2 nodes are available"))
    decision = plan(seen(run=run(attempts=(attempt(Stage.TRAIN, S.RUNNING),)), job=job(), pods=half))
    assert decision.hold is not None
    assert decision.hold.reason == Reason.UNSCHEDULABLE


def test_a_suspended_attempt_whose_job_is_still_there_is_stopped_again() -> None:
    stopped = attempt(Stage.TRAIN, S.STOPPED, reason="Suspended")
    crashed = plan(seen(run=run(attempts=(*done(Stage.PREFLIGHT), stopped), suspend=True), job=job(), pods=(pod(),)))
    assert crashed.stop == stopped
    resumed = run(attempts=(*done(Stage.PREFLIGHT), stopped))
    leaving = plan(seen(run=resumed, job=job(deleting=True), pods=(pod(),)))
    assert (leaving.stop, leaving.start) == (None, None), "attempts never overlap"
    gone = plan(seen(run=resumed))
    assert gone.start is not None


def test_a_recorded_attempt_gets_no_job_under_a_runtime_that_no_longer_allows_it() -> None:
    decision = plan(seen(run=run(attempts=(attempt(Stage.TRAIN, S.PENDING),)), runtime=None))
    assert decision.start is None
    assert decision.hold is not None
    assert decision.hold.reason == Reason.RUNTIME_NOT_FOUND


def test_while_it_looks_again_a_blocked_run_stays_stalled_and_its_last_job_goes() -> None:
    blocked = attempt(Stage.PREFLIGHT, S.BLOCKED, 1, LONG_AGO, reason="SecretNotFound", message="Secret x is missing.")
    again = plan(seen(run=run(attempts=(blocked,))))
    assert again.start is not None
    assert again.stop == blocked
    assert again.hold is not None
    assert again.hold.stalled
    looking = again.start.model_copy(update={"state": S.RUNNING})
    decision = plan(seen(run=run(attempts=(blocked, looking)), job=job(), pods=(pod(),)))
    assert decision.hold is not None
    assert "Secret x is missing" in decision.hold.message


def test_a_missing_service_account_is_named() -> None:
    warning = (
        'Error creating: pods "x" is forbidden: error looking up service account team-a/tuner: '
        'serviceaccount "tuner" not found'
    )
    waiting = run(attempts=(attempt(Stage.TRAIN, S.PENDING),))
    decision = plan(seen(run=waiting, job=job(), warnings=(Warned("FailedCreate", warning),)))
    assert decision.hold is not None
    assert decision.hold.reason is Reason.SERVICE_ACCOUNT_NOT_FOUND
    assert "team-a/tuner" in decision.hold.message


def test_an_outcome_with_the_stage_blocked_is_not_counted_as_a_failure() -> None:
    said = outcome(OutcomeState.BLOCKED, reason="BucketNotFound", message="s3://data: no such bucket")
    open_run = run(attempts=(attempt(Stage.PREFLIGHT, S.RUNNING),), retryLimit=0)
    decision = plan(seen(run=open_run, job=job(JobState.FAILED), pods=(pod(exit_code=20, termination_message=said),)))
    assert decision.end is None
    assert decision.hold is not None
    assert "s3://data: no such bucket" in decision.hold.message


GONE_AN_HOUR = "2026-01-02T02:04:05Z"


def test_a_pod_on_a_lost_node_is_given_up_and_only_then_follows_another_attempt() -> None:
    stuck = pod(leaving_at=GONE_AN_HOUR, node="n1")
    lost = {stuck.name: "node n1 has been out of reach since 02:00."}
    running = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.RUNNING)))
    first = plan(seen(run=running, job=job(), pods=(stuck,), lost=lost))
    assert first.stop is not None
    assert (first.start, first.release, first.stop.reason) == (None, (stuck,), Reason.NODE_LOST)
    recorded = run(attempts=first.attempts)
    assert plan(seen(run=recorded, pods=(stuck,), lost=lost)).release == (stuck,), "asked for again until it is gone"
    assert plan(seen(run=recorded)).start is None, "after a disruption a second is waited"


def test_a_pod_that_does_not_end_on_a_node_that_answers_is_waited_for_and_spoken_of() -> None:
    stuck = pod(leaving_at=GONE_AN_HOUR, node="n1")
    running = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.RUNNING)))
    decision = plan(seen(run=running, job=job(), pods=(stuck,)))
    assert (decision.stop, decision.release, decision.start) == (None, (), None)
    assert decision.hold is not None
    assert "n1" in decision.hold.message
    assert "out-of-service" in decision.hold.message


def test_a_pause_on_a_lost_node_does_not_hang() -> None:
    stuck = pod(leaving_at=GONE_AN_HOUR, node="n1")
    stopped = attempt(Stage.TRAIN, S.STOPPED, reason="Suspended")
    paused = run(attempts=(*done(Stage.PREFLIGHT), stopped), suspend=True)
    lost = {stuck.name: "its node n1 is no longer in the cluster."}
    decision = plan(seen(run=paused, pods=(stuck,), lost=lost))
    assert decision.release == (stuck,)
    assert decision.hold is not None
    assert decision.hold.reason == Reason.SUSPENDED


def test_an_attempt_that_cannot_start_is_made_anew_when_its_runtime_is_mended() -> None:
    waiting = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.PENDING)))
    no_image = pod(phase="Pending", waiting_reason="ImagePullBackOff", waiting_message="no such image")
    decision = plan(seen(run=waiting, job=job(runtime="before"), pods=(no_image,)))
    assert decision.stop is not None
    assert (decision.stop.reason, decision.stop.state) == (Reason.RUNTIME_CHANGED, S.STOPPED)
    again = plan(seen(run=run(attempts=decision.attempts, retryLimit=0)))
    assert again.start is not None
    assert again.start.number == 2


def test_a_job_whose_pods_start_is_left_alone_though_its_runtime_changed() -> None:
    waiting = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.PENDING)))
    starting = pod(phase="Pending", waiting_reason="")
    assert plan(seen(run=waiting, job=job(runtime="before"), pods=(starting,))).stop is None
