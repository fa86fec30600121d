"""The estimate of a run from preflight to the end of training: refined once by what was measured, then compared."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from attune_contract.enums import OutcomeState, Stage
from attune_contract.outcome import ActualFigures, CostRange, DurationRange, Estimate, TrainingFigures, Validation
from attune_contract.progress import Progress
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import FineTuneJobStatus
from attune_operator.finetunejob.plan import plan
from attune_operator.finetunejob.runconfig import run_config
from attune_operator.finetunejob.snapshot import JobState, Snapshot
from attune_operator.finetunejob.stories import stories
from attune_operator.finetunejob.summarize import summarize
from attune_operator.metrics import Metrics
from attune_operator.settings import Settings
from attune_operator.workqueue import Key
from factories import NOW, UID, attempt, job, outcome, pod, run, runtime, seen, stamp

S = AttemptState
ASSUMED = Estimate(
    steps=540,
    tokens=570699,
    memory_per_gpu="9Gi",
    duration=DurationRange(low="6m", high="20m"),
    cost=CostRange(low="0.48", high="1.60", currency="USD"),
    assumptions=("Each accelerator does 247 to 494 of its 989 TFLOP/s.",),
)
WORDS = "540 steps, 6m to 20m, 0.48 to 1.60 USD, 9Gi of memory each"
FIGURES = TrainingFigures(
    steps=540,
    epochs=3.0,
    tokens=570699,
    train_loss=0.25,
    seconds=600.0,
    parameters=10,
    trainable_parameters=1,
    seconds_per_step=1.1,
    measured_steps=20,
    peak_memory_bytes=8 * 2**30,
)


def status(of: Snapshot) -> FineTuneJobStatus:
    return summarize(of, plan(of), Settings())


def after_preflight(**spec: Any) -> Snapshot:
    """The moment at which preflight's Job completed."""
    said = outcome(OutcomeState.SUCCEEDED, Stage.PREFLIGHT, estimate=ASSUMED, validation=Validation(rows=861))
    open_run = run(attempts=(attempt(Stage.PREFLIGHT, S.RUNNING),), **spec)
    return seen(run=open_run, job=job(JobState.COMPLETE), pods=(pod(termination_message=said),))


def training(estimate: Estimate = ASSUMED, started_ago: float = 90, **fields: Any) -> Snapshot:
    """Training since a minute and a half, of which thirty seconds went by before the first step."""
    begun = attempt(Stage.TRAIN, S.RUNNING).model_copy(
        update={"start_time": stamp(NOW - timedelta(seconds=started_ago))}
    )
    stored = run({"estimate": estimate.model_dump(mode="json", exclude_none=True)}, (*_preflight(), begun))
    return seen(**{"run": stored, "job": job(), "pods": (pod(),), **fields})


def _preflight() -> tuple[Any, ...]:
    return (attempt(Stage.PREFLIGHT, S.SUCCEEDED),)


def sample(**fields: Any) -> Progress:
    told = {"step": 60, "total_steps": 540, "seconds_per_step": 1.0, "measured_steps": 20, **fields}
    return Progress(run_id=UID, stage=Stage.TRAIN, attempt=1, updated_at=stamp(NOW), **told)


def estimate_of(of: Snapshot) -> Estimate:
    found = status(of).estimate
    assert found is not None
    return found


def test_preflight_s_estimate_is_in_the_status_and_in_words_where_a_person_looks() -> None:
    approving = status(after_preflight(approval="Required"))
    assert approving.estimate == ASSUMED
    assert approving.message == (
        f"Preflight is done. Training is estimated at {WORDS}. Set spec.approved to true to train."
    )
    assert status(after_preflight()).message.endswith(f"is starting. Estimate: {WORDS}.")


def test_a_refusal_by_the_estimate_ends_the_run_with_its_figures() -> None:
    said = outcome(
        OutcomeState.FAILED,
        Stage.PREFLIGHT,
        reason="DoesNotFit",
        message="Training would need about 172Gi of memory.",
        estimate=ASSUMED,
        validation=Validation(rows=861),
    )
    open_run = run(attempts=(attempt(Stage.PREFLIGHT, S.RUNNING),))
    failed = seen(run=open_run, job=job(JobState.FAILED), pods=(pod(termination_message=said, exit_code=11),))
    result = status(failed)
    assert (result.phase, result.estimate) == ("Failed", ASSUMED)
    assert result.validation is not None
    assert [c.reason for c in result.conditions if c.type in {"Validated", "Failed"}] == ["DoesNotFit"] * 2


def test_measured_steps_refine_duration_and_cost() -> None:
    # 540 steps of a second, 10 % either way; 30 s of start-up; 4.80 an hour for a GPU and eight cores.
    refined = estimate_of(training(progress=sample()))
    assert refined.duration == DurationRange(low="8m", high="10m")
    assert refined.cost == CostRange(low="0.69", high="0.83", currency="USD")
    assert refined.measured_steps == 20
    assert "20 measured steps of 1 s" in refined.assumptions[0]
    assert (refined.steps, refined.memory_per_gpu, refined.actual) == (540, "9Gi", None)


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(None, id="no answer"),
        pytest.param(sample(measured_steps=19), id="too few steps"),
        pytest.param(sample(seconds_per_step=None, measured_steps=None), id="no speed yet"),
        pytest.param(sample(seconds_per_step=0.0), id="no time at all"),
        pytest.param(sample(total_steps=0), id="no total"),
        pytest.param(sample().model_copy(update={"attempt": 2}), id="another attempt"),
        pytest.param(sample().model_copy(update={"stage": Stage.EVALUATE}), id="another stage"),
    ],
)
def test_without_enough_measured_steps_the_estimate_stays_as_it_was(told: Progress | None) -> None:
    assert estimate_of(training(progress=told)) == ASSUMED


def test_a_refined_estimate_does_not_change_with_every_look() -> None:
    once = estimate_of(training(progress=sample()))
    later = training(once, started_ago=300, progress=sample(step=270, seconds_per_step=1.5))
    assert estimate_of(later) == once


def test_a_run_without_an_estimate_gets_none() -> None:
    stored = run(attempts=(*_preflight(), attempt(Stage.TRAIN, S.RUNNING)))
    assert status(seen(run=stored, job=job(), pods=(pod(),), progress=sample())).estimate is None


def ended(estimate: Estimate, **figures: Any) -> Snapshot:
    trained = FIGURES.model_copy(update=figures)
    said = outcome(OutcomeState.SUCCEEDED, Stage.TRAIN, training=trained)
    pods = (pod(termination_message=said, phase="Succeeded", finished_at=stamp(NOW)),)
    return training(estimate, started_ago=660, job=job(JobState.COMPLETE), pods=pods)


def test_the_end_of_training_puts_the_actual_figures_beside_the_estimate() -> None:
    actual = estimate_of(ended(ASSUMED.model_copy(update={"measured_steps": 20}))).actual
    assert actual == ActualFigures(steps=540, duration="10m", memory_per_gpu="8Gi", cost="0.88")


def test_an_estimate_that_no_look_caught_is_refined_by_the_training_s_outcome() -> None:
    refined = estimate_of(ended(ASSUMED))
    assert refined.measured_steps == 20
    # 540 steps of 1.1 s; all but 594 s of 660 went by before the first step.
    assert refined.duration == DurationRange(low="9m", high="11m")
    assert refined.cost == CostRange(low="0.80", high="0.96", currency="USD")


def test_a_training_too_short_to_be_measured_keeps_the_assumed_estimate() -> None:
    kept = estimate_of(ended(ASSUMED, steps=5, measured_steps=4))
    assert (kept.measured_steps, kept.duration) == (None, ASSUMED.duration)
    assert kept.actual is not None


def test_events_tell_of_the_refined_estimate_once_and_of_the_end() -> None:
    before = training(progress=sample())
    after = status(before)
    assert [s.reason for s in stories(before.run.status, after)] == ["EstimateRefined"]
    assert stories(after, after) == []
    end = ended(after.estimate or ASSUMED)
    told = {s.reason: s.message for s in stories(end.run.status, status(end))}
    assert set(told) == {"TrainDone"}
    assert told["TrainDone"].endswith("Training was estimated to take 8m to 10m and took 10m.")


def test_estimates_are_compared_with_what_came_once_for_prometheus() -> None:
    registry, key = CollectorRegistry(), Key("team-a", "support-router")
    metrics = Metrics(registry)
    metrics.record(key, status(training()))
    done = status(ended(ASSUMED))
    metrics.record(key, done)
    metrics.record(key, done)
    for figure, ratio in (("duration", 600 / 600), ("memory", 8 / 9), ("cost", 0.88 / 0.88)):
        labels = {"figure": figure}
        assert registry.get_sample_value("attune_estimate_ratio_count", labels) == 1
        assert registry.get_sample_value("attune_estimate_ratio_sum", labels) == pytest.approx(ratio)


def test_a_training_that_was_over_before_this_operator_started_is_not_compared_again() -> None:
    registry = CollectorRegistry()
    Metrics(registry).record(Key("team-a", "old"), status(ended(ASSUMED)))
    assert registry.get_sample_value("attune_estimate_ratio_count", {"figure": "duration"}) is None


def test_pods_are_told_the_accelerator_the_prices_and_the_budget() -> None:
    at = runtime(accelerator={"memory": "80Gi", "tflops": 989})
    made = run_config(run(budget={"maxCost": "5"}), at, attempt(Stage.PREFLIGHT, S.PENDING), Settings())
    facts = made.runtime
    assert (facts.accelerator_memory, facts.accelerator_tflops) == ("80Gi", 989)
    assert (facts.price_per_gpu_hour, facts.price_per_cpu_hour, facts.currency) == ("4.00", "0.10", "USD")
    assert made.budget is not None
    assert made.budget.max_cost == "5"
