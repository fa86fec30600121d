"""Which version is champion: by the figures, by a person, and back again."""

import json
from datetime import timedelta
from typing import Any

import pytest

from attune_contract.enums import OutcomeState, Stage
from attune_contract.monitoring import Comparison, InputDrift, MetricDrop, Monitoring, VariantFigures
from attune_contract.outcome import Outcome
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.tunedmodel import TunedModelStatus
from attune_operator.finetunejob.snapshot import LookView
from attune_operator.timing.moments import stamp
from attune_operator.tunedmodel.build import asked
from attune_operator.tunedmodel.stories import stories
from attune_operator.tunedmodel.versions import MOST_VERSIONS
from retraining import NOW, UID, Model, at, finished, tuned_model

MONITOR: dict[str, Any] = {"cron": {"schedule": "0 * * * *"}, "source": "s3://data/fresh/", "historyLimit": 2}


def condition(model: Model, kind: ConditionType) -> tuple[str, str]:
    (found,) = [c for c in model.status.conditions if c.type == kind]
    return found.status, found.reason


def test_a_model_without_versions_says_so() -> None:
    model = Model()
    model.step()
    assert (model.champion, condition(model, ConditionType.READY)) == (None, ("True", Reason.NO_VERSION))


def test_the_first_version_becomes_champion_with_all_that_is_known_of_it() -> None:
    model = Model()
    model.run(1)
    (version,) = model.status.versions
    assert (model.champion, version.state, version.run) == (1, "Champion", "run-1")
    assert version.model_uri == "s3://models/out/runs/00000001-0000-4000-8000-000000000000/model"
    assert version.run_uri == "s3://models/out/runs/00000001-0000-4000-8000-000000000000"
    assert (version.data_digest, version.test_digest, version.base) == (
        "sha256:train",
        "sha256:test",
        "s3://models/base",
    )
    assert version.secrets == {"model": "model-store", "data": "data-store", "output": "model-store"}
    assert (version.results[0].metric, version.results[0].tuned) == ("Accuracy", 0.9)
    assert model.status.champion is not None
    assert model.status.champion.since == stamp(NOW)


def test_a_run_becomes_one_version_however_often_it_is_seen_and_after_it_is_gone() -> None:
    model = Model()
    model.run(1)
    model.step()
    model.runs.clear()
    model.step()
    assert model.states == {1: "Champion"}


@pytest.mark.parametrize(
    ("policy", "state"), [("Delete", "Retired"), ("Retain", "Candidate")], ids=["its files went with it", "they stay"]
)
def test_a_version_whose_files_are_gone_can_be_used_no_more(policy: str, state: str) -> None:
    model = Model(promotion="Manual", promote=2)
    for number in (1, 2, 3):
        model.run(number, output={"deletionPolicy": policy})
    assert model.champion == 2
    model.runs.clear()
    model.step()
    assert model.states == {1: state, 2: "Champion", 3: "Challenger"}, "those in use are kept from going"
    model.spec["promote"] = 1
    model.step()
    assert model.champion == (2 if policy == "Delete" else 1)


def deleted(run: FineTuneJob) -> FineTuneJob:
    meta = run.metadata.model_copy(update={"deletion_timestamp": stamp(NOW)})
    return run.model_copy(update={"metadata": meta})


def test_a_run_that_is_being_deleted_with_its_files_becomes_no_version() -> None:
    model = Model()
    model.runs.append(deleted(finished(1, output={"deletionPolicy": "Delete"})))
    model.step()
    assert model.states == {}


def test_a_version_that_is_compared_while_its_run_is_being_deleted_keeps_its_files_until_that_is_decided() -> None:
    """The sweep waits for as long as the TunedModel needs them; that it waits must not end the need."""
    model = Model()
    model.run(1)
    model.run(2, output={"deletionPolicy": "Delete"})
    assert model.states[2] in {"Candidate", "Comparing"}
    model.runs[1] = deleted(model.runs[1])
    model.step()
    assert model.states[2] in {"Candidate", "Comparing"}
    assert tuned_model(model.status).needs(model.runs[1].metadata.uid)
    del model.runs[1]
    model.step()
    assert model.states[2] == "Retired", "it is gone, as somebody took its finalizer away"


def test_a_version_that_nobody_needs_is_retired_when_its_run_is_deleted() -> None:
    model = Model(promotion="Manual", promote=1)
    for number in (1, 2, 3):
        model.run(number, output={"deletionPolicy": "Delete"})
    model.runs[1] = deleted(model.runs[1])
    model.step()
    assert model.states == {1: "Champion", 2: "Retired", 3: "Challenger"}


def test_a_status_never_outgrows_what_etcd_takes() -> None:
    model = Model(promotion="Manual", promote=1, historyLimit=3, monitor={**MONITOR, "historyLimit": 200})
    model.runs = [finished(number, champion=(1, 0.9)) for number in range(1, MOST_VERSIONS + 100)]
    model.step()
    kept = [v.version for v in model.status.versions]
    assert (len(kept), kept[-1], model.champion) == (MOST_VERSIONS + 1, 1, 1), "the champion stays"
    assert len(json.dumps(model.status.dump())) < 1_000_000
    before = model.states
    model.step()
    assert model.states == before, "runs of versions that were dropped are not new"


def test_runs_become_versions_in_the_order_in_which_they_ended() -> None:
    model = Model(promotion="Manual")
    model.runs = [finished(3), finished(1), finished(2)]
    model.step()
    assert {v.version: v.run for v in model.status.versions} == {1: "run-1", 2: "run-2", 3: "run-3"}


@pytest.mark.parametrize(
    ("accuracy", "champion", "state"),
    [
        pytest.param(0.95, 2, "Champion", id="better"),
        pytest.param(0.90, 1, "Declined", id="the same"),
        pytest.param(0.80, 1, "Declined", id="worse"),
    ],
)
def test_only_what_is_better_on_the_same_rows_is_promoted(accuracy: float, champion: int, state: str) -> None:
    model = Model()
    model.run(1, accuracy=0.9)
    model.run(2, accuracy=accuracy, champion=(1, 0.9))
    assert (model.champion, model.states[2]) == (champion, state)
    assert "on the same 96 rows" in model.status.versions[0].message


def test_the_one_before_is_remembered() -> None:
    model = Model()
    model.run(1)
    model.run(2, accuracy=0.95, champion=(1, 0.9))
    assert model.states == {1: "Previous", 2: "Champion"}
    assert model.status.previous_champion is not None
    assert model.status.previous_champion.version == 1


def test_lower_is_better_where_the_metric_counts_so() -> None:
    model = Model()
    model.run(1)
    run = finished(2, accuracy=8.0, champion=(1, 9.0))
    assert run.status.evaluation is not None
    results = tuple(r.model_copy(update={"metric": "Perplexity"}) for r in run.status.evaluation.results)
    evaluation = run.status.evaluation.model_copy(update={"results": results})
    model.runs.append(run.model_copy(update={"status": run.status.model_copy(update={"evaluation": evaluation})}))
    model.step()
    assert model.champion == 2


def test_a_gate_that_asks_for_more_than_the_champion_has_decided_already() -> None:
    model = Model()
    model.run(1)
    require = [{"metric": "Accuracy", "maxRegression": 0.05, "over": "champion"}]
    gate = {"metrics": [{"name": "Accuracy"}], "gate": {"require": require}}
    model.run(2, accuracy=0.89, champion=(1, 0.9), evaluation=gate)
    assert model.champion == 2


def test_a_run_that_was_not_published_is_told_and_changes_nothing() -> None:
    model = Model()
    model.run(1)
    model.run(2, published=False)
    model.step()
    assert (model.champion, model.states) == (1, {1: "Champion"})
    (declined,) = model.status.declined
    assert (declined.run, declined.verdict, declined.message) == ("run-2", "Failed", "GatePassed.")


def test_ten_runs_without_a_version_are_remembered_and_the_list_settles() -> None:
    model = Model()
    for number in range(1, 14):
        model.run(number, published=False)
    before = model.status
    model.step()
    assert [d.run for d in model.status.declined] == [f"run-{n}" for n in range(13, 3, -1)]
    assert model.status == before


def test_a_person_promotes_and_nobody_else() -> None:
    model = Model(promotion="Manual")
    model.run(1)
    model.run(2)
    assert (model.champion, model.states) == (None, {1: "Candidate", 2: "Challenger"})
    assert condition(model, ConditionType.READY) == ("True", Reason.AWAITING_PROMOTION)
    model.spec["promote"] = 1
    model.step()
    assert (model.champion, model.states[2]) == (1, "Challenger")
    model.spec["promote"] = 2
    model.step()
    assert (model.champion, model.states) == (2, {1: "Previous", 2: "Champion"})


def test_what_waits_for_a_person_is_compared_for_them() -> None:
    model = compared(promotion="Manual", promote=1)
    assert (model.champion, model.status.challenger and model.status.challenger.version) == (1, 2)
    assert model.status.look is not None
    assert model.status.look.purpose == "Compare"
    model.step(look=outcome(comparisons=(BETTER,)))
    assert (model.champion, model.states[2]) == (1, "Challenger")
    assert "Accuracy +0.5" in model.status.versions[0].message


def test_a_version_that_is_not_there_cannot_be_promoted_and_the_champion_stays() -> None:
    model = Model(promotion="Manual", promote=1)
    model.run(1)
    model.spec["promote"] = 7
    model.step()
    assert model.champion == 1
    assert condition(model, ConditionType.STALLED) == ("True", Reason.VERSION_NOT_FOUND)
    assert "spec.promote: there is no version 7" in model.status.message


def test_a_rollback_holds_for_as_long_as_it_stands() -> None:
    model = Model()
    model.run(1)
    model.run(2, accuracy=0.95, champion=(1, 0.9))
    model.spec["rollbackTo"] = 1
    model.step()
    assert (model.champion, model.states) == (1, {1: "Champion", 2: "RolledBack"})
    model.run(3, accuracy=0.99, champion=(1, 0.9))
    assert (model.champion, model.states[3]) == (1, "Candidate")
    del model.spec["rollbackTo"]
    model.step()
    assert (model.champion, model.states) == (3, {1: "Previous", 2: "RolledBack", 3: "Champion"})


def test_versions_beyond_the_limit_keep_their_figures_and_cannot_come_back() -> None:
    model = Model(promotion="Manual", historyLimit=2, promote=1)
    for number in range(1, 5):
        model.run(number)
    assert model.states == {1: "Champion", 2: "Retired", 3: "Candidate", 4: "Challenger"}
    assert model.status.version(2) is not None
    model.spec["promote"] = 2
    model.step()
    assert (model.champion, condition(model, ConditionType.STALLED)[1]) == (1, Reason.VERSION_NOT_FOUND)


# A version whose run was not compared with the champion of the day.


def outcome(stage: Stage = Stage.MONITOR, at: str = "", **fields: Any) -> LookView:
    found = Monitoring(at=at, rows=96, **fields)
    told = Outcome(run_id=UID, stage=stage, attempt=1, state=OutcomeState.SUCCEEDED, monitoring=found)
    return LookView(over=True, outcome=told)


BETTER = Comparison(about="Accuracy", delta=0.5, low=0.4, high=0.6, rows=96)


def comparison(delta: float, low: float, high: float, **fields: Any) -> LookView:
    return outcome(comparisons=(Comparison(about="Accuracy", delta=delta, low=low, high=high, rows=96, **fields),))


def compared(**spec: Any) -> Model:
    """Two versions, neither of which knows of the other."""
    model = Model(**spec)
    model.run(1)
    model.run(2, accuracy=0.95)
    return model


def test_a_version_that_was_not_compared_is_compared_on_the_same_rows_before_anything_else() -> None:
    model = compared()
    assert (model.champion, model.states[2]) == (1, "Comparing")
    look = model.status.look
    assert look is not None
    assert (look.purpose, look.champion, look.challenger, look.state) == ("Compare", 1, 2, "Pending")
    what = asked(tuned_model(model.status), look, model.status.versions[1])
    assert what.source == "s3://models/out/runs/00000002-0000-4000-8000-000000000000/data/test.parquet"
    assert [(v.variant, v.version) for v in what.variants] == [("champion", "1"), ("challenger", "2")]


@pytest.mark.parametrize(
    ("view", "champion"),
    [
        pytest.param(comparison(0.02, -0.01, 0.05), 2, id="better"),
        pytest.param(comparison(-0.02, -0.05, 0.01), 1, id="worse"),
        pytest.param(comparison(-0.02, -0.05, 0.01, lower_is_better=True), 2, id="less is better"),
        pytest.param(outcome(), 1, id="nothing could be compared"),
    ],
)
def test_what_the_comparison_finds_decides(view: LookView, champion: int) -> None:
    model = compared()
    model.step(look=view)
    assert (model.champion, model.status.look) == (champion, None)


def test_a_comparison_with_a_champion_that_is_no_longer_one_is_made_again() -> None:
    model = compared(promotion="Automatic")
    model.spec["rollbackTo"] = 2
    model.step()
    del model.spec["rollbackTo"]
    model.run(3, accuracy=0.99, champion=(1, 0.9))
    assert model.states[3] == "Comparing"
    assert model.status.look is not None
    assert (model.status.look.champion, model.status.look.challenger) == (2, 3)


def test_a_look_that_fails_is_tried_again_under_another_name() -> None:
    model = compared()
    first = model.status.look
    model.step(look=LookView(over=True, words="boom"))
    second = model.status.look
    assert first is not None
    assert second is not None
    assert (second.number, second.state) == (2, "Pending")
    assert second.job_name != first.job_name
    assert "boom" in second.message
    assert model.champion == 1


def test_a_look_that_the_cluster_ends_is_tried_again_after_a_while_and_never_given_up() -> None:
    model = Model(monitor=MONITOR)
    model.run(1)
    now, waited = at(hours=1), []
    model.step(now)
    for number in (1, 2, 3, 4):
        begun = now
        while model.status.look is not None and model.status.look.number == number:
            now += timedelta(seconds=30)
            model.step(now, LookView(over=True, words="refused", disrupted=True))
        waited.append((now - begun).total_seconds())
    assert waited == [30 + pause for pause in (60, 120, 240, 480)], "after it was seen to have ended"
    assert model.status.look is not None
    assert (model.status.look.number, model.status.look.failures) == (5, 0)
    assert "refused" in model.status.message


FAILED = LookView(over=True, words="out of memory")


def test_a_comparison_that_fails_is_told_tried_more_rarely_and_lets_the_monitor_look() -> None:
    model, begun = compared(monitor=MONITOR), []
    for minute in range(1, 60):
        number = model.status.look and model.status.look.number
        model.step(at(minutes=minute), FAILED)
        if model.status.look and model.status.look.number != number:
            begun.append(minute)
    assert begun == [1, 2, 11, 28], "at once, at once, and then after 8 and 16 minutes"
    assert condition(model, ConditionType.STALLED) == ("True", "ComparisonFailed")
    assert "out of memory" in model.status.message
    model.step(at(hours=1), FAILED)
    assert model.status.look is not None
    assert model.status.look.purpose == "Monitor"


@pytest.mark.parametrize(
    "spec", [{"rollbackTo": 1}, {"promote": 2, "promotion": "Manual"}], ids=["pinned", "decided by a person"]
)
def test_a_comparison_that_nobody_waits_for_is_dropped(spec: dict[str, Any]) -> None:
    model = compared()
    model.spec |= spec
    model.step(look=FAILED)
    assert model.status.look is None


def test_an_answer_to_another_question_is_none() -> None:
    model = compared()
    model.step(look=outcome(at=stamp(at(days=1)), comparisons=(BETTER,)))
    assert (model.champion, model.states[2]) == (1, "Comparing")
    assert model.status.look is not None
    assert model.status.look.number == 2


def test_a_champion_is_known_by_where_it_lies_and_not_by_its_number() -> None:
    model = Model()
    model.run(7, accuracy=0.95)
    model.run(9, accuracy=0.8, champion=(1, 0.7))
    assert (model.champion, model.states[2]) == (1, "Comparing")


def test_a_look_whose_job_was_deleted_is_made_again() -> None:
    model = compared()
    model.step(look=LookView(over=False))
    assert model.status.look is not None
    assert model.status.look.state == "Running"
    assert model.step(look=None).start


# The monitor.


def drifted(*, moved: bool = True) -> LookView:
    inputs = InputDrift(score=0.8, threshold=0.6, p_value=0.01, rows=96, drifted=moved)
    drop = MetricDrop(
        metric="Accuracy", before=0.9, before_rows=96, now=0.8, rows=96, bar=0.85, p_value=0.01, drop=0.1, dropped=moved
    )
    return outcome(drifted=moved, inputs=inputs, metrics=(drop,), sentence="The world moved.")


def test_the_monitor_looks_at_its_times_and_keeps_a_history() -> None:
    model = Model(monitor=MONITOR)
    model.run(1)
    assert model.status.look is None
    for hour in (1, 2, 3):
        model.step(at(hours=hour))
        look = model.status.look
        assert look is not None
        assert (look.purpose, look.at) == ("Monitor", stamp(at(hours=hour)))
        model.step(at(hours=hour, minutes=5), drifted())
        assert model.status.look is None
    assert model.status.monitor is not None
    assert len(model.status.monitor.history) == 2, "as many as historyLimit"
    entry = model.status.monitor.history[0]
    assert (entry.version, entry.drifted, entry.score, entry.metrics[0].drop) == (1, True, 0.8, 0.1)
    assert model.status.summary is not None
    assert model.status.summary.drift == "inputs, Accuracy"
    assert "The world moved." in model.status.message


def test_the_monitor_waits_for_a_champion() -> None:
    model = Model(monitor=MONITOR)
    model.step(at(hours=0))
    model.step(at(hours=1))
    assert model.status.look is None


def test_a_look_that_fails_three_times_is_given_up_and_told() -> None:
    model = Model(monitor=MONITOR)
    model.run(1)
    model.step(at(hours=1))
    for minute in (1, 2, 3):
        model.step(at(hours=1, minutes=minute), LookView(over=True, words="no such bucket"))
    assert model.status.look is None
    assert model.status.monitor is not None
    assert model.status.monitor.message == "no such bucket"
    model.step(at(hours=2))
    assert model.status.look is not None


# Rollout by steps.

STEPS = {"steps": [{"challengerPercent": 10, "duration": "1h"}, {"challengerPercent": 50, "duration": "1h"}]}


def live(hour: float, delta: float, low: float, high: float, version: str = "2") -> LookView:
    found = Monitoring(
        at=stamp(at(hours=hour)),
        rows=96,
        variants=(VariantFigures(variant="challenger", version=version, rows=96),),
        comparisons=(Comparison(about="Accuracy", delta=delta, low=low, high=high, rows=96),),
    )
    told = Outcome(run_id=UID, stage=Stage.MONITOR, attempt=1, state=OutcomeState.SUCCEEDED, monitoring=found)
    return LookView(over=True, outcome=told)


def rolling() -> Model:
    model = Model(rollout=STEPS, monitor=MONITOR)
    model.run(1)
    model.run(2, accuracy=0.95, champion=(1, 0.9))
    return model


def percent(model: Model) -> int | None:
    return model.status.rollout.challenger_percent if model.status.rollout else None


def test_a_better_version_goes_step_by_step() -> None:
    model = rolling()
    assert (model.champion, model.states[2], percent(model)) == (1, "Challenger", 10)
    model.step(at(hours=1))
    assert percent(model) == 10, "nobody has looked at it yet"
    model.step(at(hours=1, minutes=5), live(1, 0.01, -0.01, 0.03))
    assert (model.champion, percent(model)) == (1, 50)
    model.step(at(hours=2))
    model.step(at(hours=2, minutes=4), live(2, 0.01, -0.01, 0.03))
    assert percent(model) == 50, "not an hour yet"
    model.step(at(hours=2, minutes=6))
    assert (model.champion, percent(model)) == (2, None)


def test_a_version_that_is_worse_on_live_figures_is_declined() -> None:
    model = rolling()
    model.step(at(hours=1))
    model.step(at(hours=1, minutes=5), live(1, -0.05, -0.08, -0.02))
    assert (model.champion, model.states[2], percent(model)) == (1, "Declined", None)
    assert "fresh rows" in model.status.versions[0].message


def test_figures_of_another_version_or_from_before_the_step_say_nothing() -> None:
    model = rolling()
    model.step(at(hours=1))
    model.step(at(hours=1, minutes=5), live(1, 0.01, -0.01, 0.03, version="1"))
    assert percent(model) == 10
    model.step(at(hours=2))
    model.step(at(hours=2, minutes=5), live(-1, 0.01, -0.01, 0.03))
    assert percent(model) == 10


def test_a_rollout_that_a_person_takes_over_is_over() -> None:
    model = rolling()
    model.step()
    model.spec = {"promotion": "Manual"}
    model.step()
    assert (model.status.rollout, model.states[2]) == (None, "Challenger")
    assert condition(model, ConditionType.READY) == ("True", "AwaitingPromotion")


def test_a_rollback_ends_a_rollout() -> None:
    model = rolling()
    model.spec["rollbackTo"] = 1
    model.step()
    assert (model.champion, percent(model)) == (1, None)


def test_the_story_is_told_once() -> None:
    model = Model()
    before = TunedModelStatus()
    model.run(1)
    model.run(2, accuracy=0.95, champion=(1, 0.9))
    told = [s.reason for s in stories(before, model.status)]
    assert told == ["VersionRegistered", "VersionRegistered", "VersionPrevious", "VersionChampion"]
    assert stories(model.status, model.status) == []


def test_looking_again_changes_nothing() -> None:
    model = rolling()
    model.step(NOW + timedelta(seconds=1))
    before = model.status
    model.step(NOW + timedelta(seconds=2))
    assert model.status == before
