"""What a run's status says, from its snapshot and the plan."""

from typing import Any

import pytest

from attune_contract.enums import MetricName, OutcomeState, Stage
from attune_contract.gate import Check, Checks
from attune_contract.outcome import Artifact, MetricResult, TrainingFigures, Validation
from attune_contract.progress import Progress
from attune_operator.api.conditions import ConditionType
from attune_operator.api.enums import AttemptState, Phase
from attune_operator.api.finetunejob import FineTuneJobStatus, OutputStatus
from attune_operator.api.problems import FieldProblem
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.snapshot import JobState, Snapshot
from attune_operator.finetunejob.stories import stories
from attune_operator.finetunejob.summarize import span, summarize
from attune_operator.settings import Settings
from factories import UID, attempt, done, job, outcome, pod, run, seen

S = AttemptState
SETTINGS = Settings()
ACCURACY = MetricResult(metric=MetricName.ACCURACY, tuned=0.91, baseline="base", value=0.42, delta=0.49, rows=96)


def status(of: Snapshot) -> FineTuneJobStatus:
    return summarize(of, plan(of), SETTINGS)


def conditions(of: FineTuneJobStatus) -> dict[str, str]:
    return {c.type: c.status for c in of.conditions}


def ended(stage: Stage, **said: Any) -> Snapshot:
    """The moment at which a stage's Job completed with this Outcome."""
    before = tuple(s for s in Stage if list(Stage).index(s) < list(Stage).index(stage))
    open_run = run(attempts=(*done(*before), attempt(stage, S.RUNNING)))
    message = outcome(OutcomeState.SUCCEEDED, stage, **said)
    return seen(run=open_run, job=job(JobState.COMPLETE), pods=(pod(termination_message=message),))


def test_every_condition_is_there_from_the_first_write_on() -> None:
    assert set(conditions(status(seen()))) == set(ConditionType)


@pytest.mark.parametrize(
    ("snapshot", "phase", "expected"),
    [
        pytest.param(seen(), Phase.VALIDATING, {"Reconciling": "True", "Stalled": "False", "Ready": "False"}, id="new"),
        pytest.param(
            seen(runtime=None),
            Phase.PENDING,
            {"Reconciling": "False", "Stalled": "True", "Ready": "False"},
            id="stalled",
        ),
        pytest.param(
            seen(spec_problems=(FieldProblem("spec.x", "is bad."),)),
            Phase.PENDING,
            {"Stalled": "True", "Approved": "Unknown"},
            id="a spec that cannot be read",
        ),
        pytest.param(
            seen(run=run(attempts=done(Stage.PREFLIGHT), approval="Required")),
            Phase.AWAITING_APPROVAL,
            {"Validated": "True", "Approved": "False", "Reconciling": "True", "Stalled": "False"},
            id="waits for approval",
        ),
        pytest.param(
            seen(run=run(attempts=done(Stage.PREFLIGHT, Stage.TRAIN))),
            Phase.EVALUATING,
            {"Trained": "True", "Evaluated": "Unknown", "Finished": "False"},
            id="evaluates",
        ),
        pytest.param(
            seen(run=run(suspend=True)), Phase.SUSPENDED, {"Reconciling": "True", "Stalled": "False"}, id="paused"
        ),
        pytest.param(
            seen(run=run(attempts=done(*Stage))),
            Phase.SUCCEEDED,
            {
                "Succeeded": "True",
                "Failed": "False",
                "Finished": "True",
                "Ready": "True",
                "Reconciling": "False",
                "Stalled": "False",
            },
            id="succeeded",
        ),
        pytest.param(
            seen(run=run(attempts=(attempt(Stage.PREFLIGHT, S.FAILED, reason="InvalidData", exit_code=10),))),
            Phase.FAILED,
            {
                "Validated": "False",
                "Succeeded": "False",
                "Failed": "True",
                "Finished": "True",
                "Ready": "False",
                "Stalled": "True",
                "Reconciling": "False",
            },
            id="failed",
        ),
    ],
)
def test_phase_and_conditions_follow_from_the_record(
    snapshot: Snapshot, phase: Phase, expected: dict[str, str]
) -> None:
    result = status(snapshot)
    assert result.phase is phase
    assert {k: v for k, v in conditions(result).items() if k in expected} == expected


def test_a_pod_that_no_node_can_take_is_pending_and_says_what_is_lacking() -> None:
    waiting = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.PENDING)))
    lacking = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    result = status(seen(run=waiting, job=job(), pods=(pod(phase="Pending", unschedulable=lacking),)))
    assert result.phase is Phase.PENDING
    assert "Insufficient nvidia.com/gpu" in result.message
    assert conditions(result)["Stalled"] == "False"


def test_what_a_stage_said_is_remembered_when_its_pods_are_gone() -> None:
    artifact = Artifact(path="data/train.parquet", digest="sha256:1", size_bytes=5, stage=Stage.PREFLIGHT)
    first = status(ended(Stage.PREFLIGHT, validation=Validation(rows=861), artifacts=(artifact,)))
    stored = run(first.dump(), first.attempts)
    later = status(seen(run=stored, job=job(), pods=(pod(),)))
    assert later.validation is not None
    assert later.validation.rows == 861
    assert later.artifacts == (artifact,)


def test_an_evaluation_gives_verdict_score_and_the_sentence_of_the_gate() -> None:
    result = status(ended(Stage.EVALUATE, evaluation=(ACCURACY,), report_uri="s3://models/r.json"))
    assert result.evaluation is not None
    assert (result.evaluation.verdict, result.evaluation.report_uri) == ("Passed", "s3://models/r.json")
    assert result.summary is not None
    assert result.summary.score == "0.42→0.91"
    gate = next(c for c in result.conditions if c.type == "GatePassed")
    assert "Accuracy 0.91, base 0.42 (+0.49 on 96 rows)" in gate.message


GATE = {
    "evaluation": {"metrics": [{"name": "Accuracy"}], "gate": {"require": [{"metric": "Accuracy", "minimum": 0.9}]}}
}


@pytest.mark.parametrize(
    ("sure", "verdict", "reason"),
    [
        pytest.param({"p_pass": 0.001, "p_fail": 1.0}, "Passed", "GateMet", id="passed"),
        pytest.param({"p_pass": 1.0, "p_fail": 0.001}, "Failed", "GateNotMet", id="failed"),
        pytest.param({"p_pass": 0.2, "p_fail": 0.9}, "Inconclusive", "GateInconclusive", id="inconclusive"),
        pytest.param(None, "Inconclusive", "GateInconclusive", id="not-measured"),
    ],
)
def test_only_a_model_whose_gate_passed_is_published(sure: dict[str, float] | None, verdict: str, reason: str) -> None:
    check = {"requirement": 0, "metric": "Accuracy", "kind": "Minimum", "bar": 0.9, "value": 0.91, "estimate": 0.91}
    listed = (Check.model_validate({**check, "rows": 96, **sure}),) if sure else ()
    before = tuple(attempt(stage, S.SUCCEEDED) for stage in (Stage.PREFLIGHT, Stage.TRAIN))
    attempts = (*before, attempt(Stage.EVALUATE, S.RUNNING))
    said = outcome(stage=Stage.EVALUATE, evaluation=(ACCURACY,), checks=Checks(listed=listed))
    snapshot = seen(
        run=run(attempts=attempts, **GATE), job=job(JobState.COMPLETE), pods=(pod(termination_message=said),)
    )
    result = status(snapshot)

    found = {c.type: c for c in result.conditions}
    assert result.evaluation is not None
    assert (result.evaluation.verdict, found["GatePassed"].reason) == (verdict, reason)
    assert found["GatePassed"].status == str(verdict == "Passed")
    assert (found["Published"].status, found["Finished"].status) == (
        ("Unknown", "False") if verdict == "Passed" else ("False", "True")
    )
    if verdict != "Passed":
        assert (found["Succeeded"].status, result.phase) == ("True", "Succeeded")
        assert "not published" in result.message


def test_training_figures_end_at_a_hundred_percent() -> None:
    figures = TrainingFigures(
        steps=540, epochs=3.0, tokens=5000, train_loss=0.25, seconds=10.0, parameters=10, trainable_parameters=1
    )
    result = status(ended(Stage.TRAIN, training=figures))
    assert result.progress is not None
    assert (result.progress.step, result.progress.percent, result.progress.loss) == (540, 100, 0.25)
    assert result.summary is not None
    assert result.summary.progress == "100%"


def test_a_published_model_has_its_place_digest_and_manifest() -> None:
    said = {"model_uri": "s3://m/model/", "digest": "sha256:9", "manifest_uri": "s3://m/manifest.json"}
    result = status(ended(Stage.PUBLISH, **said))
    assert result.output is not None
    assert result.output == OutputStatus(**said)
    assert "s3://m/model/" in result.message


def test_progress_of_a_running_pod_is_told_in_words() -> None:
    sample = Progress(
        run_id=UID,
        stage=Stage.TRAIN,
        attempt=1,
        step=310,
        total_steps=540,
        loss=0.81,
        eta_seconds=240,
        updated_at="2026-01-02T03:04:05Z",
    )
    running = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.RUNNING)))
    result = status(seen(run=running, job=job(), pods=(pod(),), progress=sample))
    assert result.message == "step 310 of 540, 4 minutes left"
    assert result.summary is not None
    assert (result.summary.progress, result.summary.eta, result.summary.loss) == ("57%", "4 minutes", "0.81")


def test_a_status_that_is_read_and_judged_again_stays_the_same() -> None:
    first = status(seen())
    again = status(seen(run=run(first.dump(), first.attempts), job=job(), pods=(pod(phase="Pending"),)))
    assert again == first


def test_cost_is_hours_times_price_and_failed_attempts_count() -> None:
    record = (attempt(Stage.PREFLIGHT, S.SUCCEEDED), attempt(Stage.TRAIN, S.FAILED, exit_code=1, reason="PodFailed"))
    result = status(seen(run=run(attempts=record)))
    assert result.cost is not None
    # One hour each: 0.5 core of preflight, then 1 GPU and 8 cores of training; 4.00 a GPU hour, 0.10 a core hour.
    assert (result.cost.gpu_hours, result.cost.amount) == ("1.00", "4.85")


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 seconds"), (240, "4 minutes"), (11_520, "3.2 hours")])
def test_spans_are_words(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_events_tell_each_thing_once_and_in_order() -> None:
    before = run(attempts=(attempt(Stage.PREFLIGHT, S.RUNNING),))
    message = outcome(message="861 rows are good.")
    moment = seen(run=before, job=job(JobState.COMPLETE), pods=(pod(termination_message=message),))
    after = status(moment)
    assert [(s.kind, s.reason) for s in stories(before.status, after, after.attempts[-1])] == [
        ("Normal", "PreflightDone"),
        ("Normal", "TrainStarted"),
    ]
    assert [s.reason for s in stories(before.status, after)] == ["PreflightDone"], "no Job was created"
    assert stories(after, after) == []


def test_a_stall_is_told_once() -> None:
    first = status(seen(runtime=None))
    assert [(s.kind, s.reason) for s in stories(FineTuneJobStatus(), first)] == [("Warning", "RuntimeNotFound")]
    assert stories(first, status(seen(run=run(first.dump()), runtime=None))) == []


def test_a_failed_attempt_is_told_with_the_last_lines_of_its_log() -> None:
    before = run(attempts=(*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.RUNNING)))
    lines = tuple(f"line {i} {'x' * 90}" for i in range(20))
    said = outcome(OutcomeState.FAILED, Stage.TRAIN, reason="UnexpectedError", message="boom", log_tail=lines)
    moment = seen(
        run=before, job=job(JobState.FAILED), pods=(pod(phase="Failed", exit_code=1, termination_message=said),)
    )
    decision = plan(moment)
    told = stories(before.status, summarize(moment, decision, SETTINGS), log=decision.log)
    assert [s.reason for s in told] == ["TrainFailed", "TrainLog"]
    assert told[1].message.splitlines()[-1] == lines[-1]
    assert len(told[1].message.encode()) <= 1024


def test_a_checkpoint_that_could_not_be_used_is_told_once() -> None:
    sample = Progress(
        run_id=UID,
        stage=Stage.TRAIN,
        attempt=2,
        step=210,
        resumed_from_step=200,
        checkpoint_step=200,
        checkpoint_seconds=4.2,
        warnings=("Checkpoint 300 is corrupt; went on from 200.",),
        updated_at="2026-01-02T03:04:05Z",
    )
    record = (*done(Stage.PREFLIGHT), attempt(Stage.TRAIN, S.FAILED, reason="PodFailed", exit_code=1))
    running = run(attempts=(*record, attempt(Stage.TRAIN, S.RUNNING, 2)))
    first = status(seen(run=running, job=job(), pods=(pod(),), progress=sample))
    assert first.attempts[-1].resumed_from_step == 200
    assert first.progress is not None
    assert (first.progress.checkpoint_step, first.progress.checkpoint_seconds) == (200, 4.2)
    assert [s.reason for s in stories(running.status, first)] == ["TrainWarning"]
    again = status(seen(run=run(first.dump(), first.attempts), job=job(), pods=(pod(),), progress=sample))
    assert stories(first, again) == []
    assert again == first
