"""New data and drift: what counts as either, and what does not."""

from dataclasses import replace
from typing import Any

import pytest

from attune_contract.datafacts import DataFacts
from attune_contract.enums import Method, OutputFormat
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import VersionState
from attune_operator.api.tunedmodel import Current, LookEntry, MonitorStatus, Moved, TunedModelStatus, Version
from attune_operator.finetuneschedule.plan import plan
from attune_operator.finetuneschedule.snapshot import PollView
from attune_operator.timing.moments import stamp
from retraining import NOW, Scheduler, at, tuned_model

NEW_DATA = {"newData": {"minNewRows": 10, "pollInterval": "1h"}}


def found(digest: str, rows: int) -> PollView:
    return PollView(over=True, found=DataFacts(digest=digest, objects=1, rows=rows))


def look(scheduler: Scheduler, hour: float, poll: PollView) -> None:
    """A look begins at an hour, and ends a minute later."""
    scheduler.step(at(hours=hour))
    scheduler.poll = poll
    scheduler.step(at(hours=hour, minutes=1))
    scheduler.poll = None


@pytest.mark.parametrize(
    ("least", "second", "starts"),
    [
        pytest.param(10, ("b", 110), True, id="rows enough"),
        pytest.param(10, ("b", 109), False, id="too few more"),
        pytest.param(10, ("a", 100), False, id="the same"),
        pytest.param(10, ("b", 90), False, id="fewer rows"),
        pytest.param(0, ("b", 90), True, id="fewer rows, where any change counts"),
        pytest.param(0, ("a", 100), False, id="the same, where any change counts"),
    ],
)
def test_new_data_starts_a_run(least: int, second: tuple[str, int], starts: bool) -> None:
    weekly = Scheduler(triggers={"newData": {"minNewRows": least, "pollInterval": "1h"}})
    look(weekly, 0, found("a", 100))
    assert weekly.made == [], "what is there at the first look is what there was before"
    look(weekly, 1.1, found(*second))
    assert bool(weekly.made) is starts
    if starts:
        assert weekly.status.last_trigger is not None
        assert weekly.status.last_trigger.trigger == "NewData"


def test_what_a_run_was_started_with_is_new_no_more() -> None:
    weekly = Scheduler(triggers=NEW_DATA)
    look(weekly, 0, found("a", 100))
    look(weekly, 1.1, found("b", 200))
    weekly.end()
    look(weekly, 2.2, found("b", 200))
    look(weekly, 3.3, found("c", 209))
    assert len(weekly.made) == 1
    look(weekly, 4.4, found("d", 210))
    assert len(weekly.made) == 2


def test_new_rows_add_up_over_looks() -> None:
    weekly = Scheduler(triggers=NEW_DATA)
    for hour, rows in enumerate((100, 104, 108, 112)):
        look(weekly, 1.1 * hour, found(str(rows), rows))
    assert len(weekly.made) == 1


def test_new_data_waits_for_the_active_run() -> None:
    weekly = Scheduler(triggers={**NEW_DATA, "cron": {"schedule": "0 13 * * *"}})
    look(weekly, 0, found("a", 100))
    weekly.step(at(hours=1))
    look(weekly, 1.01, found("a", 100))
    look(weekly, 2.1, found("b", 200))
    assert len(weekly.made) == 1
    assert "It waits" not in weekly.status.message
    weekly.end()
    weekly.step(at(hours=2.2))
    assert len(weekly.made) == 2


def test_what_came_since_the_last_look_is_what_a_run_has() -> None:
    weekly = Scheduler(triggers={**NEW_DATA, "cron": {"schedule": "0 13 * * *"}})
    look(weekly, 0, found("a", 100))
    weekly.step(at(hours=1))
    weekly.end()
    assert weekly.step(at(hours=1, minutes=1)).poll, "it looks at once"
    weekly.poll = found("b", 200)
    weekly.step(at(hours=1, minutes=2))
    weekly.poll = None
    look(weekly, 2.2, found("b", 200))
    assert len(weekly.made) == 1
    look(weekly, 3.3, found("c", 210))
    assert len(weekly.made) == 2


def test_a_look_that_was_under_way_at_a_start_says_nothing_of_its_data() -> None:
    weekly = Scheduler(triggers={**NEW_DATA, "cron": {"schedule": "0 13 * * *"}})
    look(weekly, 0, found("a", 100))
    weekly.step(at(hours=1, minutes=-0.5))
    weekly.status = weekly.status.model_copy(
        update={"data": weekly.status.data and weekly.status.data.model_copy(update={"poll": "old"})}
    )
    weekly.step(at(hours=1))
    decision = weekly.step(at(hours=1, minutes=1))
    assert decision.data is not None
    assert decision.data.poll not in (None, "old")


def test_another_dataset_in_the_template_is_not_new_data_too() -> None:
    weekly = Scheduler(triggers={"newData": {"pollInterval": "1h"}})
    look(weekly, 0, found("a", 100))
    weekly.spec["jobTemplate"] = {"spec": {"dataset": {"train": ["s3://data/other.jsonl"]}}}
    weekly.step(at(minutes=10))
    weekly.end()
    for hour in (0.2, 1.5):
        look(weekly, hour, found("other", 300))
    assert [s.trigger for s in (weekly.status.last_trigger,) if s] == ["Template"]
    assert len(weekly.made) == 1


def test_a_matrix_with_more_data_than_one_look_can_see_is_refused() -> None:
    train = [f"s3://data/{{{{lang}}}}/{i}.jsonl" for i in range(26)]
    spec = {"jobTemplate": {"matrix": {"lang": ["de", "en", "fr", "pl"]}, "spec": {"dataset": {"train": train}}}}
    assert Scheduler(**spec).status.conditions[0].reason != Reason.INVALID_SPEC, "nobody looks"
    weekly = Scheduler(**spec, triggers=NEW_DATA)
    assert "spec.triggers.newData: would look at 104 URIs" in weekly.status.message


def test_the_store_is_asked_at_intervals_and_not_while_suspended() -> None:
    weekly = Scheduler(triggers=NEW_DATA)
    first = weekly.status.data
    assert first is not None
    assert first.poll is not None
    look(weekly, 0, found("a", 100))
    weekly.step(at(minutes=59))
    assert weekly.status.data is not None
    assert weekly.status.data.poll is None
    weekly.spec["suspend"] = True
    assert weekly.step(at(minutes=70)).again is None, "not even a timer"
    assert weekly.status.data.poll is None
    weekly.spec["suspend"] = False
    weekly.step(at(minutes=71))
    assert weekly.status.data.poll not in (None, first.poll)


@pytest.mark.parametrize(
    ("poll", "hours", "message"),
    [
        pytest.param(PollView(over=True, message="AccessDenied: no"), 0.1, "AccessDenied: no", id="it failed"),
        pytest.param(PollView(over=False), 0.6, "did not end within 30 minutes", id="it hangs"),
        pytest.param(None, 0.6, "did not end within 30 minutes", id="it was never made"),
    ],
)
def test_a_look_that_fails_is_told_and_tried_again(poll: PollView | None, hours: float, message: str) -> None:
    weekly = Scheduler(triggers=NEW_DATA)
    weekly.poll = poll
    weekly.step(at(hours=hours))
    weekly.poll = None
    assert weekly.status.data is not None
    assert message in weekly.status.data.message
    weekly.step(at(hours=hours + 0.1))
    assert message in weekly.status.message
    weekly.step(at(hours=hours + 1.1))
    assert weekly.status.data.poll is not None
    weekly.poll = found("a", 1)
    weekly.step(at(hours=hours + 1.2))
    assert weekly.status.data.message == ""


def entry(hour: float, *, version: int = 1, drifted: bool = True, score: float = 0.8, drop: float = 0.1) -> LookEntry:
    moved = Moved(metric="Accuracy", before=0.9, now=0.9 - drop, drop=drop, dropped=drifted)
    fields: dict[str, Any] = {"score": score, "score_threshold": 0.6, "metrics": (moved,)}
    return LookEntry(at=stamp(at(hours=hour)), version=version, drifted=drifted, **fields)


def drifting(*entries: LookEntry, champion: int = 1) -> TunedModelStatus:
    current = Current(version=champion, run="r", model_uri="s3://m", since=stamp(NOW))
    return TunedModelStatus(champion=current, monitor=MonitorStatus(history=entries))


BY_ITSELF: dict[str, Any] = {"tunedModel": "router"}
DROP: dict[str, Any] = {**BY_ITSELF, "metric": "Accuracy", "maxDrop": 0.05}
SCORE: dict[str, Any] = {**BY_ITSELF, "maxScore": 0.7}


@pytest.mark.parametrize(
    ("asked", "entries", "starts"),
    [
        pytest.param(BY_ITSELF, [], False, id="nobody looked"),
        pytest.param(BY_ITSELF, [entry(1)], True, id="the monitor says so"),
        pytest.param(BY_ITSELF, [entry(1, drifted=False)], False, id="the monitor does not"),
        pytest.param(BY_ITSELF, [entry(2, drifted=False), entry(1)], False, id="it did before, and no longer does"),
        pytest.param(BY_ITSELF, [entry(1, version=2)], False, id="of another champion"),
        pytest.param(DROP, [entry(1, drop=0.051, drifted=False)], True, id="a drop beyond the bound"),
        pytest.param(DROP, [entry(1, drop=0.05)], False, id="a drop at the bound"),
        pytest.param({**DROP, "metric": "MacroF1"}, [entry(1, drop=0.5)], False, id="of another metric"),
        pytest.param(SCORE, [entry(1, score=0.71, drifted=False)], True, id="a score beyond the bound"),
        pytest.param(SCORE, [entry(1, score=0.7, drop=0.5)], False, id="a score at the bound"),
        pytest.param({**DROP, "maxScore": 0.7}, [entry(1, score=0.71, drop=0)], True, id="one of two bounds"),
        pytest.param({**BY_ITSELF, "for": 2}, [entry(2), entry(1)], True, id="twice in a row"),
        pytest.param({**BY_ITSELF, "for": 2}, [entry(1)], False, id="once, and twice is asked for"),
        pytest.param({**BY_ITSELF, "for": 2}, [entry(3), entry(2, drifted=False), entry(1)], False, id="not in a row"),
        pytest.param({**BY_ITSELF, "for": 2}, [entry(2), entry(1, version=2)], False, id="in a row over a promotion"),
    ],
)
def test_drift_starts_a_run(asked: dict[str, Any], entries: list[LookEntry], starts: bool) -> None:
    weekly = Scheduler(triggers={"drift": asked})
    weekly.tuned = tuned_model(drifting(*entries))
    weekly.step(at(hours=5))
    assert bool(weekly.made) is starts
    if starts:
        assert weekly.status.last_trigger is not None
        assert "TunedModel router" in weekly.status.last_trigger.message


def test_drift_that_was_acted_on_starts_nothing_more_until_it_is_seen_again() -> None:
    weekly = Scheduler(triggers={"drift": BY_ITSELF})
    weekly.tuned = tuned_model(drifting(entry(1)))
    weekly.step(at(hours=2))
    weekly.end()
    weekly.step(at(hours=3))
    assert len(weekly.made) == 1
    weekly.tuned = tuned_model(drifting(entry(4), entry(1)))
    weekly.step(at(hours=5))
    assert len(weekly.made) == 2


def test_drift_that_was_seen_while_a_run_was_active_starts_none_after_it() -> None:
    weekly = Scheduler(triggers={"drift": BY_ITSELF}, concurrencyPolicy="Allow")
    weekly.tuned = tuned_model(drifting(entry(1)))
    weekly.step(at(hours=2))
    weekly.tuned = tuned_model(drifting(entry(3), entry(1)))
    weekly.step(at(hours=4))
    assert len(weekly.made) == 1, "the run that may mend it is active"
    weekly.end(ended=at(hours=5))
    weekly.step(at(hours=5, minutes=1))
    assert len(weekly.made) == 1, "what was seen before it was over says nothing of it"
    weekly.tuned = tuned_model(drifting(entry(6), entry(3), entry(1)))
    weekly.step(at(hours=7))
    assert len(weekly.made) == 2


def version(state: VersionState) -> Version:
    texts = dict.fromkeys(("run", "run_id", "model_uri", "base"), "x")
    return Version(
        version=2, state=state, method=Method.SFT, format=OutputFormat.ADAPTER, published_at=stamp(NOW), **texts
    )


@pytest.mark.parametrize(
    ("state", "spec", "starts"),
    [
        pytest.param(VersionState.CANDIDATE, {}, False, id="to be compared"),
        pytest.param(VersionState.COMPARING, {}, False, id="being compared"),
        pytest.param(VersionState.DECLINED, {}, True, id="found no better"),
        pytest.param(VersionState.CANDIDATE, {"promotion": "Manual"}, True, id="a person has the word"),
        pytest.param(VersionState.CANDIDATE, {"rollbackTo": 1}, True, id="nothing takes the champion's place"),
    ],
)
def test_a_version_that_may_take_the_champion_s_place_is_waited_for(
    state: VersionState, spec: dict[str, Any], starts: bool
) -> None:
    weekly = Scheduler(triggers={"drift": BY_ITSELF})
    status = drifting(entry(1)).model_copy(update={"versions": (version(state),)})
    weekly.tuned = tuned_model(status, **spec)
    weekly.step(at(hours=2))
    assert bool(weekly.made) is starts


def test_drift_waits_until_a_run_s_version_is_known() -> None:
    weekly = Scheduler(triggers={"drift": BY_ITSELF})
    weekly.trigger(at(hours=1))
    weekly.end(ended=at(hours=2), published=True, registers="router")
    weekly.step(at(hours=2))
    weekly.tuned = tuned_model(drifting(entry(3)))
    seen = weekly.seen(at(hours=4))
    assert plan(replace(seen, registered=frozenset())).fired is None
    assert plan(seen).fired is not None


def test_without_a_champion_there_is_no_drift() -> None:
    weekly = Scheduler(triggers={"drift": BY_ITSELF})
    weekly.tuned = tuned_model(TunedModelStatus(monitor=MonitorStatus(history=(entry(1),))))
    weekly.step(at(hours=2))
    assert weekly.made == []
