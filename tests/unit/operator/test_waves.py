"""Waves: who starts when, and never more at once than allowed, however often operators die."""

import random
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleStatus, Wave
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import WaveOrder, WaveState
from attune_operator.api.finetuneschedule import FineTuneScheduleStatus, WaveRequest
from attune_operator.clusterfinetuneschedule.order import ordered
from attune_operator.clusterfinetuneschedule.places import HELD, watched
from attune_operator.clusterfinetuneschedule.plan import Plan, may_begin, plan, problems, progress, underway
from attune_operator.clusterfinetuneschedule.snapshot import Candidate, MemberView, Name, Snapshot, member_view
from attune_operator.clusterfinetuneschedule.summarize import summarize
from attune_operator.finetuneschedule import matrix
from retraining import schedule, wave_schedule

SUNDAY = datetime.fromisoformat("2026-01-04T02:00:00+00:00")
SATURDAY = SUNDAY.replace(day=3)
S = WaveState


def names(count: int) -> list[Name]:
    return [Name(f"team-{i:02d}", "weekly") for i in range(count)]


class Fleet:
    """A ClusterFineTuneSchedule over time, with schedules that are a dictionary of requests."""

    def __init__(self, count: int = 4, now: datetime = SATURDAY, **spec: Any) -> None:
        self.spec = spec
        self.status = ClusterFineTuneScheduleStatus()
        self.annotations: dict[str, str] = {}
        self.candidates = tuple(Candidate(name) for name in names(count))
        self.requests: dict[Name, WaveRequest | None] = dict.fromkeys(names(count))
        self.unreadable: dict[Name, str] = {}
        self.step(now)

    def seen(self, now: datetime) -> Snapshot:
        made = wave_schedule(**self.spec)
        meta = made.metadata.model_copy(update={"annotations": self.annotations})
        made = made.model_copy(update={"status": self.status, "metadata": meta})
        going = underway(self.status.wave)
        needed = watched(self.status.wave, made.spec) if self.status.wave and going else ()
        views = {n: self.view(n) for n in needed if n in self.requests}
        return Snapshot(made, now, problems(made.spec), () if going else self.candidates, views)

    def view(self, name: Name) -> MemberView:
        takes = next(c.takes for c in self.candidates if c.name == name)
        request = self.requests[name]
        expected = takes if request is not None and request.state in HELD else Decimal(0)
        return MemberView(request, expected=expected, takes=takes, unreadable=self.unreadable.get(name, ""))

    def step(self, now: datetime, *, ask: bool = True) -> Plan:
        """One reconcile, as `clusterfinetuneschedule/reconcile.py` does it; an operator that dies does not ask."""
        seen = self.seen(now)
        decision = plan(seen)
        self.status = summarize(seen, decision)
        for name in decision.ask if ask else ():
            self.ask(name)
        for name in decision.turn if ask else ():
            request = self.requests[name]
            assert request is not None
            self.requests[name] = request.model_copy(update={"paused": decision.paused})
        return decision

    def ask(self, name: Name) -> None:
        asked = self.requests[name]
        if self.status.wave is not None and (asked is None or asked.wave != self.wave.id):
            self.requests[name] = WaveRequest(wave=self.wave.id, state=S.CLAIMED)

    def becomes(self, name: Name, state: WaveState, cost: str = "1") -> None:
        """A schedule says something of its runs."""
        asked = self.requests[name]
        assert asked is not None
        self.requests[name] = asked.model_copy(update={"state": state, "cost": cost, "message": "told"})

    @property
    def wave(self) -> Wave:
        assert self.status.wave is not None
        return self.status.wave

    def states(self) -> list[WaveState]:
        return [m.state for m in self.wave.members]


def test_a_wave_begins_at_its_time_and_takes_as_many_as_it_may() -> None:
    fleet = Fleet(5, maxConcurrent=3)
    assert fleet.status.wave is None
    fleet.step(SUNDAY)
    assert fleet.states() == [S.CLAIMED] * 3 + [S.PENDING] * 2
    assert [r is not None for r in fleet.requests.values()] == [True] * 3 + [False] * 2


def test_a_place_is_taken_in_the_record_before_its_holder_is_asked() -> None:
    fleet = Fleet(5, maxConcurrent=3)
    fleet.step(SUNDAY, ask=False)
    assert fleet.states() == [S.CLAIMED] * 3 + [S.PENDING] * 2
    assert set(fleet.requests.values()) == {None}
    again = fleet.step(SUNDAY)
    assert list(again.ask) == names(5)[:3], "whoever comes next asks"
    assert fleet.step(SUNDAY).ask == ()


@pytest.mark.parametrize(
    ("state", "next_one"),
    [(S.CLAIMED, False), (S.RUNNING, False), (S.DONE, True), (S.FAILED, True), (S.SKIPPED, True)],
)
def test_a_place_is_given_back_when_its_holder_says_that_its_runs_are_over(state: WaveState, next_one: bool) -> None:
    fleet = Fleet(2, maxConcurrent=1)
    fleet.step(SUNDAY)
    fleet.becomes(names(2)[0], state)
    fleet.step(SUNDAY)
    assert fleet.states() == [state, S.CLAIMED if next_one else S.PENDING]


def test_progress_is_told_in_words_and_figures() -> None:
    fleet = Fleet(4, maxConcurrent=2)
    fleet.step(SUNDAY)
    fleet.becomes(names(4)[0], S.DONE)
    fleet.becomes(names(4)[1], S.FAILED)
    fleet.step(SUNDAY)
    assert progress(fleet.wave) == "1 of 4 done, 2 running, 1 failed"
    assert fleet.status.message == "1 of 4 done, 2 running, 1 failed."
    for name in names(4)[2:]:
        fleet.becomes(name, S.DONE)
    fleet.step(SUNDAY)
    assert fleet.wave.completion_time == "2026-01-04T02:00:00Z"
    assert fleet.status.message.startswith("Last wave: 3 of 4 done, 1 failed.")


def test_a_wave_says_who_waits_for_a_person() -> None:
    fleet = Fleet(4, maxConcurrent=2)
    fleet.step(SUNDAY)
    for name in names(2):
        fleet.becomes(name, S.RUNNING)
    decision = fleet.step(SUNDAY)
    assert decision.state.message == "0 of 4 done, 2 running. team-00/weekly (and 1 more): told"


def test_a_schedule_that_is_deleted_gives_its_place_back() -> None:
    fleet = Fleet(2, maxConcurrent=1)
    fleet.step(SUNDAY)
    del fleet.requests[names(2)[0]]
    fleet.step(SUNDAY)
    assert fleet.states() == [S.SKIPPED, S.CLAIMED]


def test_a_schedule_of_another_wave_is_left_to_it() -> None:
    fleet = Fleet(2, maxConcurrent=1)
    fleet.requests[names(2)[0]] = WaveRequest(wave="other/1", state=S.RUNNING)
    fleet.step(SUNDAY, ask=False)
    fleet.step(SUNDAY)
    assert fleet.states() == [S.SKIPPED, S.CLAIMED]
    assert "another wave, other/1" in fleet.wave.members[0].message


@pytest.mark.parametrize(
    "now_there",
    [
        pytest.param(None, id="deleted and made again"),
        pytest.param(WaveRequest(wave="other/1", state=S.DONE), id="asked by a wave that has had its runs"),
    ],
)
def test_a_running_member_that_knows_of_its_wave_no_more_gives_its_place_back(now_there: WaveRequest | None) -> None:
    fleet = Fleet(2, maxConcurrent=1)
    fleet.step(SUNDAY)
    fleet.becomes(names(2)[0], S.RUNNING)
    fleet.step(SUNDAY)
    fleet.requests[names(2)[0]] = now_there
    fleet.step(SUNDAY)
    assert fleet.states() == [S.SKIPPED, S.CLAIMED]
    assert "made again" in fleet.wave.members[0].message


def test_one_whose_status_cannot_be_read_keeps_its_place_and_the_wave_says_so() -> None:
    fleet = Fleet(2, maxConcurrent=1)
    fleet.step(SUNDAY)
    first = names(2)[0]
    fleet.becomes(first, S.RUNNING)
    fleet.step(SUNDAY)
    asked, fleet.requests[first] = fleet.requests[first], None
    fleet.unreadable[first] = "status.wave.state: must be one of Claimed."
    decision = fleet.step(SUNDAY)
    assert fleet.states() == [S.RUNNING, S.PENDING]
    assert "team-00/weekly: Its status cannot be read: status.wave.state" in decision.state.message
    fleet.requests[first] = asked
    fleet.becomes(first, S.DONE)
    fleet.step(SUNDAY)
    assert fleet.states() == [S.DONE, S.CLAIMED]


WINDOW = {"start": "02:00", "end": "04:00"}


def test_when_the_window_closes_nothing_starts_and_what_runs_goes_on() -> None:
    fleet = Fleet(3, maxConcurrent=1, window=WINDOW)
    fleet.step(SUNDAY)
    fleet.becomes(names(3)[0], S.RUNNING)
    fleet.step(SUNDAY.replace(hour=4))
    assert fleet.states() == [S.RUNNING, S.PENDING, S.PENDING]
    fleet.becomes(names(3)[0], S.DONE)
    decision = fleet.step(SUNDAY.replace(hour=4, minute=1))
    assert fleet.states() == [S.DONE, S.PENDING, S.PENDING]
    assert decision.state.reason == Reason.OUTSIDE_WINDOW
    fleet.step(SUNDAY.replace(day=5))
    assert fleet.states() == [S.DONE, S.CLAIMED, S.PENDING], "what is left starts when it opens again"


def paused(fleet: Fleet) -> list[bool]:
    return [r.paused for r in fleet.requests.values() if r is not None]


def test_outside_the_window_the_next_run_of_a_matrix_waits_too() -> None:
    fleet = Fleet(3, maxConcurrent=2, window=WINDOW)
    fleet.step(SUNDAY)
    fleet.becomes(names(3)[0], S.RUNNING)
    fleet.step(SUNDAY)
    assert paused(fleet) == [False, False]
    fleet.step(SUNDAY.replace(hour=4))
    assert paused(fleet) == [True, True]
    assert fleet.step(SUNDAY.replace(hour=5)).turn == (), "told once"
    fleet.step(SUNDAY.replace(day=5))
    assert paused(fleet) == [False, False]


def test_suspended_the_next_run_of_a_matrix_waits_too() -> None:
    fleet = Fleet(1)
    fleet.step(SUNDAY)
    fleet.becomes(names(1)[0], S.RUNNING)
    fleet.spec["suspend"] = True
    fleet.step(SUNDAY)
    assert paused(fleet) == [True]
    fleet.spec["suspend"] = False
    fleet.step(SUNDAY)
    assert paused(fleet) == [False]


def test_a_budget_that_is_spent_pauses_nobody() -> None:
    fleet = Fleet(2, maxConcurrent=1, budget={"maxCost": "15"})
    fleet.step(SUNDAY)
    fleet.becomes(names(2)[0], S.RUNNING, cost="20")
    assert fleet.step(SUNDAY).turn == ()


def test_who_has_a_place_and_was_not_asked_is_asked_when_the_window_opens() -> None:
    fleet = Fleet(1, window=WINDOW)
    fleet.step(SUNDAY, ask=False)
    fleet.step(SUNDAY.replace(hour=4))
    assert fleet.requests[names(1)[0]] is None
    fleet.step(SUNDAY.replace(day=5))
    assert fleet.requests[names(1)[0]] is not None


def test_no_wave_begins_while_one_is_under_way() -> None:
    fleet = Fleet(2)
    fleet.step(SUNDAY)
    first = fleet.wave.id
    fleet.step(SUNDAY.replace(day=11))
    assert fleet.wave.id == first
    assert fleet.status.skipped[0].reason == Reason.WAVE_RUNNING


def test_the_next_wave_begins_anew() -> None:
    fleet = Fleet(1)
    fleet.step(SUNDAY)
    fleet.becomes(names(1)[0], S.DONE)
    fleet.step(SUNDAY)
    fleet.step(SUNDAY.replace(day=11))
    assert fleet.states() == [S.CLAIMED]
    assert fleet.requests[names(1)[0]] == WaveRequest(wave="sundays/2026-01-11T02:00:00Z", state=S.CLAIMED)


def test_an_operator_that_was_down_over_two_times_begins_one_wave() -> None:
    fleet = Fleet(1)
    fleet.step(SUNDAY.replace(day=12))
    assert fleet.wave.id == "sundays/2026-01-12T02:00:00Z"
    assert [s.reason for s in fleet.status.skipped] == [Reason.MISSED]


def test_a_wave_of_nobody_is_skipped_and_says_so() -> None:
    fleet = Fleet(0)
    fleet.step(SUNDAY)
    assert fleet.status.wave is None
    assert fleet.status.skipped[0].reason == Reason.NO_MATCH


def test_a_person_begins_a_wave() -> None:
    fleet = Fleet(1)
    fleet.annotations = {"attune.dev/trigger": "now"}
    decision = fleet.step(SUNDAY.replace(day=3))
    assert decision.fired is not None
    assert (decision.fired.trigger, decision.handled) == ("Manual", "now")


def test_suspended_nothing_begins_and_what_has_begun_starts_nobody() -> None:
    fleet = Fleet(2, maxConcurrent=1)
    fleet.step(SUNDAY)
    fleet.spec["suspend"] = True
    fleet.becomes(names(2)[0], S.DONE)
    fleet.step(SUNDAY)
    assert fleet.states() == [S.DONE, S.PENDING]
    fleet.spec["suspend"] = False
    fleet.step(SUNDAY)
    assert fleet.states() == [S.DONE, S.CLAIMED]


def test_a_month_s_budget_holds_a_wave_and_each_member_is_counted_once() -> None:
    fleet = Fleet(4, maxConcurrent=1, budget={"maxCost": "15"})
    fleet.step(SUNDAY)
    for name in names(4)[:2]:
        fleet.becomes(name, S.DONE)
        seen = fleet.seen(SUNDAY)
        seen = replace(seen, members={n: replace(v, cost=Decimal(10)) for n, v in seen.members.items()})
        decision = plan(seen)
        fleet.status = summarize(seen, decision)
        for asked in decision.ask:
            fleet.ask(asked)
    assert fleet.status.spend is not None
    assert fleet.status.spend.amount == "20.00"
    assert fleet.states() == [S.DONE, S.DONE, S.PENDING, S.PENDING]
    assert "20.00 of 15.00" in fleet.status.message
    fleet.step(datetime.fromisoformat("2026-02-01T00:00:00+00:00"))
    assert fleet.states() == [S.DONE, S.DONE, S.CLAIMED, S.PENDING]


def test_what_active_runs_may_still_cost_is_spent_already() -> None:
    fleet = Fleet(4, maxConcurrent=2, budget={"maxCost": "15.00"})
    fleet.step(SUNDAY)
    fleet.becomes(names(4)[0], S.DONE)
    seen = fleet.seen(SUNDAY)
    seen = replace(
        seen, members={n: replace(v, cost=Decimal(1), expected=Decimal(14)) for n, v in seen.members.items()}
    )
    decision = plan(seen)
    assert decision.wave is not None
    assert [m.state for m in decision.wave.members] == [S.DONE, S.CLAIMED, S.PENDING, S.PENDING]
    assert decision.state.reason == Reason.BUDGET_REACHED


def dear(count: int, takes: str, **spec: Any) -> Fleet:
    """A fleet of schedules whose runs may take so much each."""
    fleet = Fleet(0, **spec)
    fleet.candidates = tuple(Candidate(name, takes=Decimal(takes)) for name in names(count))
    fleet.requests = dict.fromkeys(names(count))
    return fleet


def test_places_are_taken_only_for_as_long_as_the_money_lasts_for_what_each_may_take() -> None:
    fleet = dear(4, "0.60", maxConcurrent=3, budget={"maxCost": "1.00"})
    decision = fleet.step(SUNDAY, ask=False)
    assert fleet.states() == [S.CLAIMED, *[S.PENDING] * 3]
    assert decision.state.reason == Reason.BUDGET_REACHED
    assert "0.60 of 1.00 is spent this month, or will be, and team-01/weekly may take 0.60" in fleet.status.message
    fleet.step(SUNDAY)
    assert fleet.states() == [S.CLAIMED, *[S.PENDING] * 3], "who was not asked yet counts as well"
    fleet.becomes(names(4)[0], S.DONE, cost="0.10")
    fleet.step(SUNDAY)
    assert fleet.states() == [S.DONE, S.CLAIMED, S.PENDING, S.PENDING]


def test_who_may_take_more_than_a_month_has_is_skipped_and_holds_up_nobody() -> None:
    fleet = dear(2, "5", maxConcurrent=1, budget={"maxCost": "10"})
    first, second = fleet.candidates
    fleet.candidates = (replace(first, takes=Decimal(20)), second)
    fleet.step(SUNDAY)
    fleet.step(SUNDAY)
    assert fleet.states() == [S.SKIPPED, S.CLAIMED]
    assert fleet.wave.members[0].message == "BudgetReached: its runs may take 20, and the wave 10 in a month."


@pytest.mark.parametrize(
    ("now", "marked", "expected"),
    [(SATURDAY, None, False), (SUNDAY, None, True), (SATURDAY, "now", True)],
    ids=["not its time", "its time", "by hand"],
)
def test_who_is_selected_matters_only_when_a_wave_may_begin(now: datetime, marked: str | None, expected: bool) -> None:
    fleet = Fleet(1)
    fleet.annotations = {"attune.dev/trigger": marked} if marked else {}
    assert may_begin(fleet.seen(now)) is expected


def test_what_a_matrix_may_take_is_known_without_making_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(matrix.itertools, "product")
    values = {name: [f"v{i}" for i in range(64)] for name in ("a", "b", "c", "d")}
    template = {"matrix": values, "spec": {"budget": {"maxCost": "1"}}}
    assert member_view(schedule(jobTemplate=template)).takes == 64**4


ESTIMATED = {"name": "a", "created": True, "trigger": "Wave", "time": "2026-01-04T02:00:00Z", "wave": "w/1"}


@pytest.mark.parametrize(
    ("state", "records", "expected"),
    [
        pytest.param("Claimed", [], "60", id="asked: each of its runs may take its budget"),
        pytest.param("Running", [{**ESTIMATED, "cost": "2"}], "33", id="one is over for 3, one has no estimate"),
        pytest.param("Running", [{**ESTIMATED, "cost": "2", "expected": "7"}], "10", id="its estimate"),
        pytest.param("Running", [{**ESTIMATED, "cost": "9", "expected": "7"}], "12", id="more than its estimate"),
        pytest.param("Running", [{**ESTIMATED, "wave": "another"}], "3", id="another's runs are not its own"),
    ],
)
def test_what_a_member_will_have_cost(state: str, records: list[dict[str, Any]], expected: str) -> None:
    over = "0" if state == "Claimed" else "3"
    status = FineTuneScheduleStatus.model_validate(
        {"wave": {"wave": "w/1", "state": state, "cost": over}, "runs": records}
    )
    template = {"matrix": {"lang": ["de", "fr"]}, "spec": {"budget": {"maxCost": "30"}}}
    assert member_view(schedule(status, jobTemplate=template)).expected == Decimal(expected)


@pytest.mark.parametrize("seed", range(20))
def test_never_more_than_allowed_hold_a_place_whatever_dies_and_whoever_is_late(seed: int) -> None:
    """Two operators over stale reads: each writes only if nobody wrote since it read, and may die before it asks."""
    draw = random.Random(seed)  # noqa: S311 - a seeded test
    fleet, most = Fleet(40, maxConcurrent=3), 0
    fleet.step(SUNDAY, ask=False)
    version = 0
    pending: list[tuple[int, Plan, Any]] = []
    for _ in range(4000):
        if not underway(fleet.status.wave):
            break
        deed = draw.random()
        if deed < 0.4:
            seen = fleet.seen(SUNDAY)
            pending.append((version, plan(seen), seen))
        elif pending and deed < 0.8:
            read_at, decision, seen = pending.pop(draw.randrange(len(pending)))
            if read_at == version:
                fleet.status = summarize(seen, decision)
                version += 1
                for name in decision.ask:
                    if draw.random() < 0.7:
                        fleet.ask(name)
        else:
            held = [n for n, r in fleet.requests.items() if r is not None and r.state in HELD]
            if held:
                name = draw.choice(held)
                request = fleet.requests[name]
                assert request is not None
                fleet.becomes(name, S.RUNNING if request.state is S.CLAIMED else draw.choice([S.DONE, S.FAILED]))
        running = sum(r is not None and r.state in HELD for r in fleet.requests.values())
        most = max(most, running)
        assert running <= 3
    assert most == 3
    assert fleet.wave.done + fleet.wave.failed == 40


def test_orders() -> None:
    a, b, c = Name("a", "x"), Name("a", "y"), Name("b", "x")
    found = [Candidate(c, "2026-01-02", 0.1), Candidate(b, "2026-01-01", 0.9), Candidate(a, "", 0.5)]
    told = {order: [x.name for x in ordered(found, order)] for order in WaveOrder}
    assert told == {
        WaveOrder.OLDEST_CHAMPION_FIRST: [a, b, c],
        WaveOrder.WORST_DRIFT_FIRST: [b, a, c],
        WaveOrder.ROUND_ROBIN: [a, c, b],
    }


def test_a_cron_that_cannot_be_used_stalls() -> None:
    fleet = Fleet(1, cron={"schedule": "0 0 31 2 *"})
    assert {c.type: c.status for c in fleet.status.conditions}["Stalled"] == "True"
