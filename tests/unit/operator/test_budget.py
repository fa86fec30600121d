"""What spec.budget leaves, who ends a run at its end, and when it goes on."""

import json
from datetime import timedelta
from typing import Any

import pytest

from attune_contract.enums import OutcomeState, Stage, StopReason
from attune_contract.outcome import Artifact
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState, Phase
from attune_operator.finetunejob.build import build
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.retries import counted
from attune_operator.finetunejob.snapshot import JobState, Snapshot
from attune_operator.finetunejob.summarize import summarize
from attune_operator.naming import RUN_CONFIG_ANNOTATION
from attune_operator.settings import Settings
from factories import NOW, attempt, job, outcome, pod, run, runtime, seen, stamp

S = AttemptState
SETTINGS = Settings()
DONE = attempt(Stage.PREFLIGHT, S.SUCCEEDED, held_since="2026-01-02T03:04:05Z")
"""Took no time."""


def trained(minutes: int, state: AttemptState = S.STOPPED, number: int = 1, **fields: Any) -> Any:
    """An attempt at training whose pods ran for so long until 03:04:05, which is NOW."""
    return attempt(Stage.TRAIN, state, number, held_since=stamp(NOW - timedelta(minutes=minutes)), **fields)


def deadline(of: Snapshot) -> float | None:
    start = plan(of).start
    assert start is not None
    assert of.runtime is not None
    made = build(of.run.model_copy(update={"status": summarize(of, plan(of), SETTINGS)}), of.runtime, start, SETTINGS)
    annotations = made[-1]["spec"]["template"]["metadata"]["annotations"]
    found: float | None = json.loads(annotations[RUN_CONFIG_ANNOTATION]).get("deadlineSeconds")
    return found


# A training hour costs one GPU at 4.00 and eight cores at 0.10: 4.80.
@pytest.mark.parametrize(
    ("budget", "record", "seconds"),
    [
        pytest.param(None, (), None, id="no budget"),
        pytest.param({"maxDuration": "6h"}, (), 21600, id="all of the time"),
        pytest.param({"maxDuration": "1h"}, (trained(15, reason="Suspended"),), 2700, id="less what was used"),
        pytest.param({"maxCost": "4.80"}, (), 3600, id="money as time"),
        pytest.param(
            {"maxCost": "4.80"},
            (trained(30, S.FAILED, reason="EvictedByQueue", ended_ago=1),),
            1801,
            id="failed ones cost",
        ),
        pytest.param({"maxCost": "4.80", "maxDuration": "10m"}, (), 600, id="whichever is less"),
        pytest.param(
            {"maxDuration": "1h"},
            (attempt(Stage.TRAIN, S.STOPPED, reason="Suspended"),),
            3600,
            id="an hour in the queue is not counted",
        ),
    ],
)
def test_training_is_told_what_is_left(budget: dict[str, str] | None, record: tuple[Any, ...], seconds: float) -> None:
    spec = {"budget": budget} if budget else {}
    found = deadline(seen(run=run(attempts=(DONE, *record), **spec)))
    assert found == (pytest.approx(seconds) if seconds is not None else None)


def stopped_by_itself() -> Snapshot:
    checkpoint = Artifact(path="checkpoints/300/", digest="sha256:1", size_bytes=5, stage=Stage.TRAIN)
    said = outcome(
        OutcomeState.STOPPED,
        Stage.TRAIN,
        reason="BudgetExceeded",
        stop_reason=StopReason.BUDGET,
        checkpoint=checkpoint,
        message="Checkpoint 300 is saved.",
    )
    running = run(attempts=(DONE, trained(60, S.RUNNING)), budget={"maxDuration": "1h"})
    ended = pod(phase="Failed", exit_code=30, termination_message=said)
    return seen(run=running, job=job(JobState.FAILED), pods=(ended,))


def test_a_run_that_stopped_at_the_end_of_its_budget_says_so_and_keeps_its_checkpoint() -> None:
    snapshot = stopped_by_itself()
    decision = plan(snapshot)
    assert (decision.start, decision.end) == (None, None)
    status = summarize(snapshot, decision, SETTINGS)
    conditions = {c.type: c for c in status.conditions}
    assert status.phase is Phase.SUSPENDED
    assert (conditions["Stalled"].status, conditions["Stalled"].reason) == ("True", "BudgetExceeded")
    assert conditions["Finished"].status == "False"
    assert "maxDuration 1h" in status.message
    assert status.progress is not None
    assert status.progress.checkpoint_step == 300


@pytest.mark.parametrize(
    ("budget", "goes_on"),
    [
        pytest.param({"maxDuration": "1h"}, False, id="as it was"),
        pytest.param({"maxDuration": "61m"}, False, id="hardly more: not worth a start"),
        pytest.param({"maxDuration": "2h"}, True, id="raised"),
        pytest.param({}, True, id="removed"),
    ],
)
def test_it_goes_on_when_the_budget_has_grown(budget: dict[str, str], goes_on: bool) -> None:
    last = trained(60, reason=Reason.BUDGET_EXCEEDED, exit_code=30)
    decision = plan(seen(run=run(attempts=(DONE, last), budget=budget)))
    assert (decision.start is not None) is goes_on
    assert (decision.hold is not None and decision.hold.reason == Reason.BUDGET_EXCEEDED) is not goes_on


@pytest.mark.parametrize(
    ("budget", "least"),
    [
        pytest.param({"maxDuration": "61m"}, {"maxDuration": "64m"}, id="time"),
        pytest.param({"maxCost": "4.90"}, {"maxCost": "5.07"}, id="money"),
        pytest.param({"maxCost": "4.80", "maxDuration": "9h"}, {"maxCost": "5.07"}, id="only what is in the way"),
        pytest.param(
            {"maxCost": "4.80", "maxDuration": "1h"}, {"maxCost": "5.07", "maxDuration": "64m"}, id="both of them"
        ),
    ],
)
def test_a_budget_that_hardly_grew_names_the_smallest_that_is_enough(
    budget: dict[str, str], least: dict[str, str]
) -> None:
    record = (DONE, trained(60, reason=Reason.BUDGET_EXCEEDED, exit_code=30))
    hold = plan(seen(run=run(attempts=record, budget=budget))).hold
    assert hold is not None
    wanted = " and ".join(f"{name} {value}" for name, value in least.items())
    assert f"raise spec.budget to {wanted} at least, or remove it" in hold.message
    assert plan(seen(run=run(attempts=record, budget={**budget, **least}))).start is not None


@pytest.mark.parametrize(
    ("minutes", "ended"),
    [
        pytest.param(59, False, id="within its budget"),
        pytest.param(61, False, id="over it: training saves its checkpoint"),
        pytest.param(64, True, id="it does not stop"),
    ],
)
def test_an_attempt_that_does_not_stop_by_itself_is_ended(minutes: int, ended: bool) -> None:
    running = run(attempts=(DONE, trained(minutes, S.RUNNING)), budget={"maxDuration": "1h"})
    decision = plan(seen(run=running, job=job(), pods=(pod(),)))
    assert (decision.stop is not None) is ended
    if decision.stop:
        assert (decision.stop.state, decision.stop.reason) == (S.STOPPED, Reason.BUDGET_EXCEEDED)


@pytest.mark.parametrize(("stage", "ended"), [(Stage.PREFLIGHT, False), (Stage.EVALUATE, True)])
def test_preflight_comes_to_its_end_however_small_the_budget_is(stage: Stage, ended: bool) -> None:
    at_it = attempt(stage, S.RUNNING, held_since=stamp(NOW - timedelta(seconds=9)))
    decision = plan(seen(run=run(attempts=(at_it,), budget={"maxDuration": "1s"}), job=job(), pods=(pod(),)))
    assert (decision.stop is not None) is ended


@pytest.mark.parametrize(
    ("stage", "hours", "ended"),
    [
        pytest.param(Stage.EVALUATE, 23, False, id="an evaluation that takes long"),
        pytest.param(Stage.EVALUATE, 25, True, id="an evaluation that hangs"),
        pytest.param(Stage.PREFLIGHT, 25, True, id="preflight that hangs"),
        pytest.param(Stage.TRAIN, 250, False, id="training watches over itself"),
    ],
)
def test_a_stage_that_hangs_does_not_hold_its_accelerators_for_ever(stage: Stage, hours: int, ended: bool) -> None:
    at_it = attempt(stage, S.RUNNING, held_since=stamp(NOW - timedelta(hours=hours)))
    decision = plan(seen(run=run(attempts=(at_it,)), job=job(), pods=(pod(),)))
    assert (decision.stop is not None) is ended
    if decision.stop:
        assert (decision.stop.state, decision.stop.reason) == (S.FAILED, Reason.NO_PROGRESS)
        assert f"{stage} ran for more than 24 hours" in decision.stop.message
        assert counted(decision.stop), "the next would do the same, so not for ever"


def test_a_run_without_prices_is_not_stopped_by_its_cost() -> None:
    free = runtime(price={"perGPUHour": "0", "perCPUHour": "0"})
    decision = plan(
        seen(run=run(attempts=(DONE, trained(60, reason="Suspended")), budget={"maxCost": "1"}), runtime=free)
    )
    assert decision.start is not None


@pytest.mark.parametrize(
    ("measured", "grace"),
    [(None, 120), (5.0, 40), (90.0, 210), (100_000.0, 3600)],
    ids=["not measured", "short", "long", "bounded"],
)
def test_the_grace_period_is_set_from_how_long_checkpoints_took(measured: float | None, grace: int) -> None:
    progress = {"step": 1, "updatedAt": "2026-01-02T03:00:00Z", "checkpointSeconds": measured}
    status = {"progress": {k: v for k, v in progress.items() if v is not None}}
    made = build(run(status), runtime(), attempt(Stage.TRAIN, S.PENDING, 2), SETTINGS)[-1]["spec"]["template"]
    assert made["spec"]["terminationGracePeriodSeconds"] == grace
    assert json.loads(made["metadata"]["annotations"][RUN_CONFIG_ANNOTATION])["graceSeconds"] == grace
