"""What a schedule does over time: starts, what stands in their way, and what is counted."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from attune_contract.enums import Method, OutputFormat
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.enums import VersionState, WaveState
from attune_operator.api.finetuneschedule import WaveRequest
from attune_operator.api.tunedmodel import TunedModelStatus, Version
from attune_operator.finetuneschedule.history import in_use
from attune_operator.finetuneschedule.plan import plan
from attune_operator.finetuneschedule.snapshot import run_view
from attune_operator.finetuneschedule.summarize import summarize
from attune_operator.timing.moments import stamp
from factories import SPEC
from retraining import HOURLY, NOW, Scheduler, at, tuned_model, view

FIRST, SECOND = "weekly-20260101-1300", "weekly-20260101-1400"


def reasons(scheduler: Scheduler) -> list[str]:
    return [s.reason for s in scheduler.status.skipped]


def condition(scheduler: Scheduler, kind: ConditionType) -> tuple[str, str]:
    (found,) = [c for c in scheduler.status.conditions if c.type == kind]
    return found.status, found.reason


def test_a_new_schedule_waits_for_its_time_and_says_when() -> None:
    weekly = Scheduler(triggers=HOURLY)
    assert weekly.made == []
    assert weekly.status.next_run_time == "2026-01-01T13:00:00Z"
    assert condition(weekly, ConditionType.READY) == ("True", Reason.SCHEDULED)


def test_a_run_starts_at_its_time_named_by_it() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(minutes=59))
    assert weekly.made == []
    weekly.step(at(hours=1))
    weekly.step(at(hours=1, minutes=1))
    assert weekly.made == [FIRST]
    assert weekly.status.last_trigger is not None
    assert weekly.status.last_trigger.trigger == "Cron"
    assert condition(weekly, ConditionType.READY) == ("True", Reason.RUN_ACTIVE)


def test_the_same_snapshot_gives_the_same_plan_so_that_two_operators_make_one_run() -> None:
    weekly = Scheduler(triggers=HOURLY)
    seen = weekly.seen(at(hours=1))
    assert plan(seen) == plan(seen)
    assert [r.name for r in plan(seen).create] == [FIRST]
    recorded = summarize(seen, plan(seen))
    weekly.status = recorded
    assert [r.name for r in plan(weekly.seen(at(hours=1, minutes=1))).create] == [FIRST], "recorded, not created yet"


def test_a_run_that_was_created_by_an_operator_that_died_is_taken_over() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.status = summarize(weekly.seen(at(hours=1)), plan(weekly.seen(at(hours=1))))
    weekly.runs[FIRST] = view(FIRST)
    decision = weekly.step(at(hours=1, minutes=1))
    assert decision.create == ()
    assert [(r.name, r.created) for r in weekly.status.runs] == [(FIRST, True)]


@pytest.mark.parametrize(
    ("policy", "made", "active", "skipped"),
    [
        ("Forbid", [FIRST], [FIRST], [Reason.RUN_ACTIVE]),
        ("Allow", [FIRST, SECOND], [FIRST, SECOND], []),
        ("Replace", [FIRST, SECOND], [SECOND], []),
    ],
)
def test_a_run_that_is_still_active_when_it_is_time(
    policy: str, made: list[str], active: list[str], skipped: list[str]
) -> None:
    weekly = Scheduler(triggers=HOURLY, concurrencyPolicy=policy)
    weekly.step(at(hours=1))
    weekly.step(at(hours=2))
    weekly.step(at(hours=2, minutes=1))
    assert (weekly.made, sorted(weekly.runs), reasons(weekly)) == (made, active, skipped)
    assert [r.name for r in weekly.status.runs] == active


def test_what_a_replaced_run_cost_is_spent() -> None:
    weekly = Scheduler(triggers=HOURLY, concurrencyPolicy="Replace")
    weekly.step(at(hours=1))
    weekly.runs[FIRST] = view(FIRST, cost="2.50")
    weekly.step(at(hours=2))
    assert weekly.status.spend is not None
    assert weekly.status.spend.amount == "2.50"


def test_an_operator_that_was_down_over_two_times_starts_one_run_and_says_what_it_missed() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(hours=2, minutes=30))
    assert weekly.made == [SECOND]
    assert reasons(weekly) == [Reason.MISSED]
    assert "1 time before this one" in weekly.status.skipped[0].message


def test_a_start_that_comes_too_late_is_skipped() -> None:
    weekly = Scheduler(triggers={"cron": {"schedule": "0 * * * *", "startingDeadline": "10m"}})
    weekly.step(at(hours=1, minutes=11))
    assert (weekly.made, reasons(weekly)) == ([], [Reason.DEADLINE_MISSED])
    weekly.step(at(hours=2, minutes=9))
    assert weekly.made == [SECOND]


def test_while_suspended_nothing_starts_and_nothing_is_made_good() -> None:
    weekly = Scheduler(triggers=HOURLY, suspend=True)
    weekly.step(at(hours=1))
    weekly.trigger(at(hours=1, minutes=1))
    assert (weekly.made, weekly.status.next_run_time, reasons(weekly)) == ([], None, [Reason.SUSPENDED])
    weekly.spec["suspend"] = False
    weekly.step(at(hours=1, minutes=30))
    assert weekly.made == []
    weekly.step(at(hours=2))
    assert weekly.made == [SECOND]


def test_a_person_starts_a_run_at_once_and_the_annotation_is_taken_once() -> None:
    weekly = Scheduler(cooldown="24h")
    weekly.trigger(at(minutes=1))
    assert weekly.made == ["weekly-20260101-120100"]
    weekly.step(at(minutes=2))
    weekly.end()
    weekly.trigger(at(minutes=3))
    assert weekly.made == ["weekly-20260101-120100", "weekly-20260101-120300"], "no cooldown for people"


def test_an_annotation_that_was_acted_on_and_not_removed_starts_nothing_more() -> None:
    weekly = Scheduler(concurrencyPolicy="Allow")
    weekly.annotations = {"attune.dev/trigger": "now"}
    weekly.status = summarize(weekly.seen(at(minutes=1)), plan(weekly.seen(at(minutes=1))))
    assert weekly.status.handled_trigger == "now"
    assert plan(weekly.seen(at(minutes=2))).fired is None


@pytest.mark.parametrize(("minutes", "made"), [pytest.param(30, 1, id="within"), pytest.param(121, 2, id="after")])
def test_a_cooldown_keeps_starts_apart(minutes: int, made: int) -> None:
    weekly = Scheduler(triggers={"cron": {"schedule": "*/10 * * * *"}}, cooldown="2h")
    weekly.step(at(minutes=10))
    weekly.end()
    weekly.step(at(minutes=10 + minutes))
    assert len(weekly.made) == made


def test_a_template_that_becomes_another_starts_a_run_and_the_same_one_applied_again_does_not() -> None:
    weekly = Scheduler()
    weekly.step(at(minutes=1))
    assert weekly.made == []
    weekly.spec["jobTemplate"] = {"spec": {"training": {"epochs": 4}}}
    weekly.step(at(minutes=2))
    weekly.end()
    weekly.step(at(minutes=3))
    weekly.step(at(minutes=4))
    assert weekly.made == ["weekly-20260101-120200"]


def test_a_template_change_waits_for_the_active_run() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(hours=1))
    weekly.spec["jobTemplate"] = {"spec": {"training": {"epochs": 4}}}
    weekly.step(at(hours=1, minutes=1))
    assert weekly.made == [FIRST]
    weekly.end()
    weekly.step(at(hours=1, minutes=2))
    assert weekly.made == [FIRST, "weekly-20260101-130200"]


def test_a_template_change_starts_nothing_where_that_is_switched_off() -> None:
    weekly = Scheduler(triggers={"templateChange": False})
    weekly.spec["jobTemplate"] = {"spec": {"training": {"epochs": 4}}}
    weekly.step(at(minutes=1))
    weekly.spec["triggers"] = {"templateChange": True}
    weekly.step(at(minutes=2))
    assert weekly.made == [], "switched on again, it begins with the template of that moment"


def hours(scheduler: Scheduler, first: int, last: int, **end: Any) -> None:
    for hour in range(first, last + 1):
        scheduler.step(at(hours=hour))
        scheduler.end(**end)
        scheduler.step(at(hours=hour, minutes=1))


def test_the_breaker_opens_after_so_many_failures_and_says_so() -> None:
    weekly = Scheduler(triggers=HOURLY, breaker={"failures": 2})
    hours(weekly, 1, 4, succeeded=False)
    assert len(weekly.made) == 2
    assert condition(weekly, ConditionType.STALLED) == ("True", Reason.BREAKER_OPEN)
    assert condition(weekly, ConditionType.READY)[0] == "False"
    assert reasons(weekly)[0] == Reason.BREAKER_OPEN


def test_a_success_closes_the_breaker_s_count() -> None:
    weekly = Scheduler(triggers=HOURLY, breaker={"failures": 2})
    hours(weekly, 1, 1, succeeded=False)
    hours(weekly, 2, 2, succeeded=True)
    hours(weekly, 3, 3, succeeded=False)
    assert weekly.status.failures_in_a_row == 1


def test_an_open_breaker_lets_a_person_try_and_closes_when_that_succeeds() -> None:
    weekly = Scheduler(triggers=HOURLY, breaker={"failures": 1})
    hours(weekly, 1, 2, succeeded=False)
    weekly.trigger(at(hours=2, minutes=30))
    assert len(weekly.made) == 2
    weekly.end(succeeded=True)
    weekly.step(at(hours=2, minutes=31))
    assert condition(weekly, ConditionType.STALLED) == ("False", Reason.SCHEDULED)
    weekly.step(at(hours=3))
    assert len(weekly.made) == 3


def test_a_mended_template_closes_the_breaker() -> None:
    weekly = Scheduler(triggers=HOURLY, breaker={"failures": 1})
    hours(weekly, 1, 1, succeeded=False)
    weekly.spec["jobTemplate"] = {"spec": {"training": {"epochs": 1}}}
    weekly.step(at(hours=1, minutes=30))
    assert len(weekly.made) == 2


def test_a_run_that_somebody_deletes_is_no_failure() -> None:
    weekly = Scheduler(triggers=HOURLY, breaker={"failures": 1})
    weekly.step(at(hours=1))
    weekly.runs.clear()
    weekly.step(at(hours=1, minutes=1))
    assert (weekly.status.runs, weekly.status.failures_in_a_row) == ((), 0)


def test_a_month_s_budget_ends_starts_until_the_next_month() -> None:
    weekly = Scheduler(triggers=HOURLY, budget={"maxCost": "2.50"})
    hours(weekly, 1, 5, cost="1.00")
    assert len(weekly.made) == 3
    assert reasons(weekly)[0] == Reason.BUDGET_REACHED
    assert "3.00 of 2.50 USD" in weekly.status.message
    assert "2026-02-01" in weekly.status.message
    assert condition(weekly, ConditionType.READY) == ("True", Reason.BUDGET_REACHED)
    weekly.step(datetime.fromisoformat("2026-02-01T00:00:00+00:00"))
    assert len(weekly.made) == 4
    assert weekly.status.spend is not None
    assert (weekly.status.spend.month, weekly.status.spend.amount) == ("2026-02", "0.00")


@pytest.mark.parametrize(
    ("limit", "starts"), [pytest.param("3", True, id="room for the cap"), pytest.param("2.99", False, id="no room")]
)
def test_what_a_new_run_may_take_must_fit_into_the_month(limit: str, starts: bool) -> None:
    capped = {"spec": {"budget": {"maxCost": "2"}}}
    weekly = Scheduler(triggers=HOURLY, budget={"maxCost": limit}, jobTemplate=capped)
    hours(weekly, 1, 1, cost="1")
    weekly.step(at(hours=2))
    assert (len(weekly.made) == 2) is starts


def test_what_active_runs_are_expected_to_cost_is_held_back() -> None:
    weekly = Scheduler(triggers=HOURLY, budget={"maxCost": "5"}, concurrencyPolicy="Allow")
    weekly.step(at(hours=1))
    weekly.runs[FIRST] = view(FIRST, cost="0.10", expected="5.00")
    weekly.step(at(hours=2))
    assert weekly.made == [FIRST]


@pytest.mark.parametrize(
    ("limit", "made"), [pytest.param("5.99", 1, id="no room beside it"), pytest.param("6", 2, id="room for both")]
)
def test_a_run_without_an_estimate_is_held_at_what_it_may_take(limit: str, made: int) -> None:
    capped = {"spec": {"budget": {"maxCost": "3"}}}
    weekly = Scheduler(triggers=HOURLY, budget={"maxCost": limit}, concurrencyPolicy="Allow", jobTemplate=capped)
    weekly.step(at(hours=1))
    weekly.step(at(hours=2))
    assert len(weekly.made) == made


@pytest.mark.parametrize(("limit", "starts"), [("11.99", False), ("12", True)])
def test_runs_that_wait_for_their_turn_are_held_too(limit: str, starts: bool) -> None:
    template = {**LANGUAGES, "maxParallel": 1, "spec": {"budget": {"maxCost": "2"}}}
    weekly = Scheduler(triggers=HOURLY, budget={"maxCost": limit}, concurrencyPolicy="Allow", jobTemplate=template)
    weekly.step(at(hours=1))
    weekly.step(at(hours=2))
    assert (len({r.time for r in weekly.status.runs}) == 2) is starts


def test_runs_that_are_replaced_make_room_for_those_that_replace_them() -> None:
    capped = {"spec": {"budget": {"maxCost": "3"}}}
    weekly = Scheduler(triggers=HOURLY, budget={"maxCost": "4"}, concurrencyPolicy="Replace", jobTemplate=capped)
    weekly.step(at(hours=1))
    weekly.step(at(hours=2))
    assert weekly.made == [FIRST, SECOND]


LANGUAGES = {"matrix": {"lang": ["de", "en", "fr"]}, "maxParallel": 2}


def test_a_matrix_runs_so_many_at_once_and_then_the_rest() -> None:
    weekly = Scheduler(triggers=HOURLY, jobTemplate=LANGUAGES)
    weekly.step(at(hours=1))
    assert weekly.made == [f"{FIRST}-de", f"{FIRST}-en"]
    weekly.step(at(hours=1, minutes=1))
    assert len(weekly.made) == 2
    weekly.end()
    weekly.step(at(hours=1, minutes=2))
    assert weekly.made[2:] == [f"{FIRST}-fr"]
    weekly.end()
    weekly.step(at(hours=1, minutes=3))
    assert weekly.status.runs == ()


def test_the_rest_of_a_matrix_is_not_started_once_the_breaker_is_open() -> None:
    weekly = Scheduler(triggers=HOURLY, jobTemplate=LANGUAGES, breaker={"failures": 2})
    weekly.step(at(hours=1))
    weekly.end(succeeded=False)
    weekly.step(at(hours=1, minutes=1))
    assert len(weekly.made) == 2
    assert weekly.status.runs == ()
    assert "1 of its runs were not started" in weekly.status.skipped[0].message


@pytest.mark.parametrize("change", [{"training": {"epochs": 4}}, {"output": {"register": "router-{{size}}"}}])
@pytest.mark.parametrize("triggers", [HOURLY, {**HOURLY, "templateChange": False}], ids=["starts anew", "does not"])
def test_runs_that_wait_are_not_made_from_another_template(change: dict[str, Any], triggers: dict[str, Any]) -> None:
    weekly = Scheduler(triggers=triggers, jobTemplate=LANGUAGES)
    weekly.step(at(hours=1))
    size = {"size": ["s", "m"]} if "output" in change else LANGUAGES["matrix"]
    weekly.spec["jobTemplate"] = {"matrix": size, "spec": change}
    decision = weekly.step(at(hours=1, minutes=1))
    assert decision.create == ()
    assert [r.name for r in weekly.status.runs] == [f"{FIRST}-de", f"{FIRST}-en"], "active ones go on"
    assert reasons(weekly) == [Reason.TEMPLATE_CHANGED]
    assert weekly.status.skipped[0].message.startswith("1 of its runs were not started: spec.jobTemplate is another")
    weekly.end()
    weekly.step(at(hours=1, minutes=2))
    assert bool(weekly.made[2:]) is (triggers is HOURLY)


def test_what_the_api_server_would_refuse_is_told_before_a_run_of_it_is_recorded() -> None:
    weekly = Scheduler(
        triggers={"newData": {}}, jobTemplate={"matrix": {"c": ["DE"]}, "spec": {"output": {"register": "m-{{c}}"}}}
    )
    assert condition(weekly, ConditionType.STALLED) == ("True", Reason.INVALID_SPEC)
    assert weekly.status.message.startswith("spec.jobTemplate.spec.output.register: ")
    assert "m-DE" in weekly.status.message
    weekly.trigger(at(minutes=1))
    assert weekly.status.runs == ()


@pytest.mark.parametrize(("successful", "failed", "left"), [(3, 3, 4), (1, 3, 3), (0, 0, 0), (2, 1, 3)])
def test_old_runs_are_deleted_beyond_the_limits(successful: int, failed: int, left: int) -> None:
    weekly = Scheduler(
        triggers=HOURLY, successfulRunsHistoryLimit=successful, failedRunsHistoryLimit=failed, breaker={"failures": 9}
    )
    for hour, good in enumerate([True, False, True, False], start=1):
        weekly.step(at(hours=hour))
        weekly.end(succeeded=good, ended=at(hours=hour))
        weekly.step(at(hours=hour, minutes=1))
    assert len(weekly.runs) == left


def test_a_run_that_published_stays_until_its_tuned_model_knows_of_it() -> None:
    weekly = Scheduler(triggers=HOURLY, successfulRunsHistoryLimit=0)
    weekly.step(at(hours=1))
    weekly.end(published=True)
    seen = weekly.seen(at(hours=1, minutes=1))
    unknown = type(seen)(**{**seen.__dict__, "registered": frozenset()})
    assert plan(unknown).delete == ()
    assert [v.name for v in plan(seen).delete] == [FIRST]


@pytest.mark.parametrize(("sweeps", "in_use", "kept"), [(True, True, True), (True, False, False), (False, True, False)])
def test_a_run_whose_files_go_with_it_stays_while_they_are_in_use(sweeps: bool, in_use: bool, kept: bool) -> None:
    weekly = Scheduler(triggers=HOURLY, successfulRunsHistoryLimit=0)
    weekly.step(at(hours=1))
    weekly.end(published=True, sweeps=sweeps)
    weekly.in_use = frozenset(v.uid for v in weekly.runs.values()) if in_use else frozenset()
    weekly.step(at(hours=1, minutes=1))
    assert bool(weekly.runs) is kept


@pytest.mark.parametrize(
    ("state", "promotion", "kept"),
    [
        (VersionState.CANDIDATE, "Automatic", True),
        (VersionState.COMPARING, "Automatic", True),
        (VersionState.DECLINED, "Automatic", False),
        (VersionState.CANDIDATE, "Manual", False),
    ],
)
def test_files_of_a_version_that_is_not_decided_on_are_in_use(state: VersionState, promotion: str, kept: bool) -> None:
    texts = {"run": "r", "run_id": "uid-r", "model_uri": "s3://m", "base": "b", "published_at": stamp(NOW)}
    version = Version(version=2, state=state, method=Method.SFT, format=OutputFormat.ADAPTER, **texts)
    model = tuned_model(TunedModelStatus(versions=(version,)), promotion=promotion)
    assert bool(in_use((view("r", registers="router"),), {"router": model})) is kept


def test_a_spec_that_cannot_be_used_stalls_and_still_counts_what_is_over() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(hours=1))
    weekly.end(cost="4")
    weekly.spec["triggers"] = {"cron": {"schedule": "0 0 31 2 *"}}
    weekly.step(at(hours=1, minutes=1))
    assert condition(weekly, ConditionType.STALLED) == ("True", Reason.INVALID_SPEC)
    assert weekly.status.spend is not None
    assert weekly.status.spend.amount == "4.00"


def asked(weekly: Scheduler, now: datetime) -> WaveRequest | None:
    weekly.status = weekly.status.model_copy(update={"wave": WaveRequest(wave="w/1", state=WaveState.CLAIMED)})
    weekly.step(now)
    return weekly.status.wave


def test_a_wave_s_request_starts_runs_one_at_a_time_and_is_answered_when_all_are_over() -> None:
    weekly = Scheduler(jobTemplate=LANGUAGES)
    wave = asked(weekly, at(minutes=1))
    for _ in range(3):
        assert wave is not None
        assert wave.state is WaveState.RUNNING
        assert sum(not r.over for r in weekly.runs.values()) == 1
        weekly.end(cost="1.50")
        weekly.step(at(minutes=2))
        wave = weekly.status.wave
    assert wave is not None
    assert (wave.state, wave.cost, len(weekly.made)) == (WaveState.DONE, "4.50", 3)


def pause(weekly: Scheduler, *, paused: bool) -> None:
    assert weekly.status.wave is not None
    wave = weekly.status.wave.model_copy(update={"paused": paused})
    weekly.status = weekly.status.model_copy(update={"wave": wave})


def test_while_a_wave_is_held_up_no_further_run_of_its_matrix_starts() -> None:
    weekly = Scheduler(jobTemplate=LANGUAGES)
    asked(weekly, at(minutes=1))
    pause(weekly, paused=True)
    weekly.end()
    weekly.step(at(minutes=2))
    weekly.step(at(hours=9))
    assert len(weekly.made) == 1
    assert condition(weekly, ConditionType.READY) == ("True", Reason.WAVE_PAUSED)
    assert weekly.status.message == "Wave w/1 is held up: 2 runs wait until it goes on."
    pause(weekly, paused=False)
    weekly.step(at(hours=10))
    assert len(weekly.made) == 2


def test_a_wave_whose_run_is_replaced_learns_of_it_and_of_its_cost() -> None:
    weekly = Scheduler(triggers=HOURLY, concurrencyPolicy="Replace")
    asked(weekly, at(minutes=1))
    (name,) = weekly.runs
    weekly.runs[name] = view(name, cost="50")
    weekly.step(at(hours=1))
    weekly.step(at(hours=1, minutes=1))
    wave = weekly.status.wave
    assert wave is not None
    assert (wave.state, wave.cost, wave.failed) == (WaveState.FAILED, "50.00", 1)
    assert wave.message == "Replaced by runs that Cron started (concurrencyPolicy)."
    assert weekly.made == [name, FIRST]


def test_a_wave_learns_of_runs_that_were_not_started() -> None:
    weekly = Scheduler(jobTemplate=LANGUAGES, budget={"maxCost": "1"})
    asked(weekly, at(minutes=1))
    weekly.end(cost="1.50")
    weekly.step(at(minutes=2))
    wave = weekly.status.wave
    assert wave is not None
    assert (wave.state, wave.cost, wave.failed) == (WaveState.FAILED, "1.50", 2)
    assert "not started: 1.50 of 1.00 USD is spent" in wave.message


STOPPED = [{"stage": "Preflight", "endTime": stamp(at(hours=3))}, {"stage": "Train", "endTime": stamp(at(hours=7))}]


@pytest.mark.parametrize(
    ("phase", "attempts", "since"),
    [
        pytest.param("Suspended", STOPPED, stamp(at(hours=7)), id="suspended"),
        pytest.param("Suspended", [*STOPPED[:1], {"stage": "Train"}], "", id="suspended, and about to stop"),
        pytest.param("Suspended", [], stamp(at(hours=1)), id="suspended before anything"),
        pytest.param("AwaitingApproval", STOPPED[:1], stamp(at(hours=3)), id="not approved"),
        pytest.param("Training", STOPPED, "", id="at work"),
        pytest.param("Queued", STOPPED, "", id="in a queue, which moves by itself"),
    ],
)
def test_a_run_that_somebody_stopped_or_must_approve_waits_for_a_person(
    phase: str, attempts: list[dict[str, Any]], since: str
) -> None:
    begun = {"number": 1, "jobName": "x", "state": "Stopped", "startTime": stamp(at(hours=1))}
    status = {"phase": phase, "attempts": [{**begun, **a} for a in attempts], "startTime": stamp(at(hours=1))}
    assert run_view({"metadata": {"name": "r", "uid": "u"}, "spec": SPEC, "status": status}).stalled_since == since


def stall(weekly: Scheduler, since: datetime) -> None:
    for name, run in weekly.runs.items():
        if not run.over:
            weekly.runs[name] = replace(run, stalled_since=stamp(since), message="there is no Secret keys.")


def test_a_schedule_whose_runs_wait_for_a_person_says_so() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(hours=1))
    stall(weekly, at(hours=1))
    weekly.step(at(hours=1, minutes=30))
    assert condition(weekly, ConditionType.STALLED) == ("True", Reason.RUN_STALLED)
    assert weekly.status.message == f"Run {FIRST} waits for a person: there is no Secret keys."
    weekly.step(at(days=9))
    assert list(weekly.runs) == [FIRST], "it is waited for"


def test_a_run_that_waited_for_too_long_is_given_up_and_has_failed() -> None:
    weekly = Scheduler(triggers=HOURLY, stalledDeadline="2h", failedRunsHistoryLimit=9)
    weekly.step(at(hours=1))
    stall(weekly, at(hours=1))
    weekly.step(at(hours=2, minutes=59))
    assert list(weekly.runs) == [FIRST]
    weekly.step(at(hours=3, minutes=30))
    assert FIRST not in weekly.runs
    assert weekly.status.failures_in_a_row == 1
    told = [s for s in weekly.status.skipped if s.reason == Reason.RUN_STALLED]
    assert len(told) == 1
    assert told[0].message.endswith("longer than 2h (stalledDeadline): there is no Secret keys.")


def test_a_wave_learns_what_a_run_waits_for_and_gets_its_place_back() -> None:
    weekly = Scheduler(stalledDeadline="2h")
    asked(weekly, at(minutes=1))
    stall(weekly, at(minutes=1))
    weekly.step(at(minutes=2))
    assert weekly.status.wave is not None
    assert weekly.status.wave.state is WaveState.RUNNING
    assert "no Secret keys" in weekly.status.wave.message
    weekly.step(at(hours=3))
    assert weekly.status.wave.state is WaveState.FAILED
    assert "waited for a person" in weekly.status.wave.message


def test_what_a_run_waited_for_is_forgotten_once_it_is_done() -> None:
    weekly = Scheduler()
    asked(weekly, at(minutes=1))
    stall(weekly, at(minutes=1))
    weekly.step(at(minutes=2))
    weekly.end()
    weekly.step(at(minutes=3))
    assert weekly.status.wave is not None
    assert (weekly.status.wave.state, weekly.status.wave.message) == (WaveState.DONE, "")


def test_a_wave_learns_of_a_failed_run() -> None:
    weekly = Scheduler()
    asked(weekly, at(minutes=1))
    weekly.end(succeeded=False, message="out of memory")
    weekly.step(at(minutes=2))
    assert weekly.status.wave is not None
    assert (weekly.status.wave.state, weekly.status.wave.failed) == (WaveState.FAILED, 1)
    assert "out of memory" in weekly.status.wave.message


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param({"suspend": True}, Reason.SUSPENDED, id="suspended"),
        pytest.param({"triggers": {"cron": {"schedule": "0 0 31 2 *"}}}, Reason.INVALID_SPEC, id="unusable"),
        pytest.param({"budget": {"maxCost": "0"}}, Reason.BUDGET_REACHED, id="no money"),
    ],
)
def test_a_wave_does_not_wait_for_a_schedule_that_cannot_start(spec: dict[str, Any], reason: str) -> None:
    wave = asked(Scheduler(**spec), at(minutes=1))
    assert wave is not None
    assert wave.state is WaveState.SKIPPED
    assert wave.message.startswith(reason)


def test_a_wave_skips_a_schedule_whose_run_is_active() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(hours=1))
    wave = asked(weekly, at(hours=1, minutes=1))
    assert wave is not None
    assert wave.state is WaveState.SKIPPED
    assert weekly.made == [FIRST]


def test_looking_again_changes_nothing() -> None:
    weekly = Scheduler(triggers=HOURLY)
    weekly.step(at(hours=1))
    weekly.step(at(hours=1, minutes=1))
    before = weekly.status
    weekly.step(at(hours=1, minutes=2))
    assert weekly.status == before


def test_the_next_look_is_due_with_the_next_time() -> None:
    weekly = Scheduler(triggers=HOURLY)
    again = weekly.step(NOW).again
    assert again is not None
    assert 3600 <= again < 3601
