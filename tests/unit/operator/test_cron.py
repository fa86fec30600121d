"""When it is time. Both clock changes of 2026: Berlin 29 March 02:00→03:00 and 25 October 03:00→02:00; New York 8 March
and 1 November; Lord Howe Island, by half an hour, 5 April and 4 October."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from attune_operator.api.schedules import Cron, CronSeen
from attune_operator.timing import cron as crons
from attune_operator.timing.moments import month, next_month, stamp

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
OWNER = "3f1c9a2b-0000-4000-8000-000000000000"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(schedule: str, zone: str, start: str, end: str) -> list[str]:
    cron, found, now = Cron(schedule=schedule, time_zone=zone), [], utc(start)
    while (following := crons.next_time(cron, now)) is not None and following <= utc(end):
        found.append(f"{following:%m-%dT%H:%M}")
        now = following
    return found


CHANGES = [
    pytest.param(
        "30 2 * * *",
        BERLIN,
        "2026-03-28",
        "2026-03-31",
        ["03-28T01:30", "03-29T01:00", "03-30T00:30"],
        id="the hour that is left out: at once when it is over",
    ),
    pytest.param(
        "0 3 * * SUN",
        BERLIN,
        "2026-03-22",
        "2026-04-06",
        ["03-22T02:00", "03-29T01:00", "04-05T01:00"],
        id="Sundays at three, over the change in spring",
    ),
    pytest.param(
        "30 2 * * *",
        BERLIN,
        "2026-10-24",
        "2026-10-27",
        ["10-24T00:30", "10-25T00:30", "10-26T01:30"],
        id="the hour that comes twice: the first time only",
    ),
    pytest.param(
        "0 3 * * SUN",
        BERLIN,
        "2026-10-18",
        "2026-11-02",
        ["10-18T01:00", "10-25T02:00", "11-01T02:00"],
        id="Sundays at three, over the change in autumn",
    ),
    pytest.param(
        "0 * * * *",
        BERLIN,
        "2026-03-29",
        "2026-03-29T03:00",
        ["03-29T01:00", "03-29T02:00", "03-29T03:00"],
        id="every hour goes on as hours pass, in spring",
    ),
    pytest.param(
        "0 * * * *",
        BERLIN,
        "2026-10-25",
        "2026-10-25T03:00",
        ["10-25T01:00", "10-25T02:00", "10-25T03:00"],
        id="every hour goes on as hours pass, in autumn",
    ),
    pytest.param(
        "30 2 * * *",
        NEW_YORK,
        "2026-03-07",
        "2026-03-10",
        ["03-07T07:30", "03-08T07:00", "03-09T06:30"],
        id="New York in spring",
    ),
    pytest.param(
        "30 1 * * *",
        NEW_YORK,
        "2026-10-31",
        "2026-11-03",
        ["10-31T05:30", "11-01T05:30", "11-02T06:30"],
        id="New York in autumn",
    ),
    pytest.param(
        "15 2 * * *",
        LORD_HOWE,
        "2026-10-02T12:00",
        "2026-10-04T20:00",
        ["10-02T15:45", "10-03T15:30", "10-04T15:15"],
        id="half an hour is left out",
    ),
    pytest.param(
        "30 2 * * *",
        "Etc/UTC",
        "2026-03-28",
        "2026-03-31",
        ["03-28T02:30", "03-29T02:30", "03-30T02:30"],
        id="UTC has no changes",
    ),
]


@pytest.mark.parametrize(("schedule", "zone", "start", "end", "expected"), CHANGES)
def test_times_over_a_clock_change(schedule: str, zone: str, start: str, end: str, expected: list[str]) -> None:
    assert times(schedule, zone, start, end) == expected


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, "America/Santiago"])
@pytest.mark.parametrize("schedule", ["30 2 * * *", "0 3 * * SUN", "15 */6 * * *"])
@pytest.mark.parametrize(("start", "last"), [("2026-03-06", "2026-04-08"), ("2026-10-01", "2026-11-04")])
def test_looking_back_and_looking_ahead_find_the_same_times(zone: str, schedule: str, start: str, last: str) -> None:
    """Over every clock change of the year in these zones."""
    cron, now, end = Cron(schedule=schedule, time_zone=zone), utc(start), utc(last)
    ahead = []
    while (following := crons.next_time(cron, now)) is not None and following < end:
        assert following > now
        ahead.append(following)
        now = following
    for before, after in itertools.pairwise(ahead):
        assert crons.previous_time(cron, before) == before, "a time is the last one at that time"
        assert crons.previous_time(cron, after - timedelta(seconds=1)) == before


@pytest.mark.parametrize("minutes", range(0, 6 * 60, 7))
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_every_moment_of_a_day_of_change_has_its_neighbours(day: str, minutes: int) -> None:
    cron, now = Cron(schedule="30 2 * * *", time_zone=BERLIN), utc(day) + timedelta(minutes=minutes)
    before, after = crons.previous_time(cron, now), crons.next_time(cron, now)
    assert before is not None
    assert after is not None
    assert before <= now < after
    assert timedelta(hours=22) < after - before < timedelta(hours=26)


def due(now: datetime, since: datetime, schedule: str = "0 * * * *", **fields: str) -> crons.Due:
    cron = Cron(schedule=schedule, **fields)  # type: ignore[arg-type]  # texts, each validated by the model
    seen = CronSeen(schedule=schedule, time_zone=cron.time_zone, since=stamp(since))
    return crons.due(cron, seen, OWNER, now)


NOON = utc("2026-01-01T12:00")


@pytest.mark.parametrize(
    ("minutes_since", "minutes_late", "time", "missed"),
    [
        pytest.param(59, -1, None, 0, id="not yet"),
        pytest.param(59, 0, NOON, 0, id="now"),
        pytest.param(59, 30, NOON, 0, id="half an hour ago"),
        pytest.param(61, 0, NOON, 1, id="one before it was missed"),
        pytest.param(60, 0, NOON, 0, id="the one before was acted on"),
        pytest.param(60 * 24, 0, NOON, 23, id="a day was missed"),
        pytest.param(60 * 24 * 365, 0, NOON, 100, id="a year was missed: counting ends at a hundred"),
        pytest.param(0, 30, None, 0, id="acted on"),
    ],
)
def test_only_the_last_time_is_made_good(
    minutes_since: int, minutes_late: int, time: datetime | None, missed: int
) -> None:
    found = due(NOON + timedelta(minutes=minutes_late), NOON - timedelta(minutes=minutes_since))
    assert (found.time, found.missed, found.late) == (time, missed, False)


@pytest.mark.parametrize(
    ("deadline", "minutes", "late"),
    [("10m", 9, False), ("10m", 10, False), ("10m", 11, True), ("45s", 1, True)],
)
def test_a_start_may_be_so_late_and_no_later(deadline: str, minutes: int, late: bool) -> None:
    found = due(NOON + timedelta(minutes=minutes), NOON - timedelta(minutes=1), starting_deadline=deadline)
    assert (found.time, found.late) == (NOON, late)


def test_jitter_is_the_same_for_an_owner_always_and_spreads_owners() -> None:
    cron = Cron(schedule="0 * * * *", jitter="30m")
    offsets = {owner: crons.offset(cron, owner) for owner in map(str, range(200))}
    assert offsets == {owner: crons.offset(cron, owner) for owner in map(str, range(200))}
    assert all(timedelta() <= o <= timedelta(minutes=30) for o in offsets.values())
    assert len(set(offsets.values())) > 150
    assert crons.offset(Cron(schedule="0 * * * *"), "anybody") == timedelta()


def test_jitter_moves_the_time_and_loses_none() -> None:
    cron = Cron(schedule="0 * * * *", jitter="50m")
    shift = crons.offset(cron, OWNER)
    assert shift > timedelta(minutes=1)
    before = due(NOON + shift - timedelta(seconds=1), NOON - timedelta(hours=1) + shift, jitter="50m")
    then = due(NOON + shift, NOON - timedelta(hours=1) + shift, jitter="50m")
    assert (before.time, before.next) == (None, NOON + shift)
    assert (then.time, then.missed, then.next) == (NOON + shift, 0, NOON + shift + timedelta(hours=1))


@pytest.mark.parametrize("jitter", ["10m", "30m", "2h", "0s"])
@pytest.mark.parametrize("before", ["0s", "45m"])
@pytest.mark.parametrize("minutes", [0, 5, 60, 120, 600])
def test_another_jitter_starts_nothing_a_second_time(before: str, jitter: str, minutes: int) -> None:
    schedule = "0 12 * * *"
    acted = NOON + crons.offset(Cron(schedule=schedule, jitter=before), OWNER)
    found = due(acted + timedelta(minutes=minutes), acted, schedule, jitter=jitter)
    shift = crons.offset(Cron(schedule=schedule, jitter=jitter), OWNER)
    assert (found.time, found.next) == (None, NOON + timedelta(days=1) + shift)


def test_another_jitter_loses_no_time_that_has_come() -> None:
    last = NOON - timedelta(days=1) + crons.offset(Cron(schedule="0 12 * * *", jitter="50m"), OWNER)
    assert due(NOON + timedelta(minutes=1), last, "0 12 * * *").time == NOON


def test_with_jitter_too_nothing_is_due_of_before_a_cron_began() -> None:
    shift = crons.offset(Cron(schedule="0 * * * *", jitter="50m"), OWNER)
    began = NOON + timedelta(seconds=30)
    found = due(NOON + shift, began, jitter="50m")
    assert (found.time, found.next) == (None, NOON + shift + timedelta(hours=1)), "what is said to come next does come"


def test_a_cron_that_was_changed_begins_anew() -> None:
    old = CronSeen(schedule="0 1 * * *", time_zone="Etc/UTC", since="2020-01-01T00:00:00Z")
    assert crons.seen(Cron(schedule="0 1 * * *"), old, NOON) == old
    assert crons.seen(Cron(schedule="0 2 * * *"), old, NOON).since == stamp(NOON)
    assert crons.seen(Cron(schedule="0 1 * * *", time_zone=BERLIN), old, NOON).since == stamp(NOON)
    assert crons.seen(Cron(schedule="0 1 * * *"), None, NOON).since == stamp(NOON)


@pytest.mark.parametrize(
    ("schedule", "zone", "paths"),
    [
        ("0 3 * * SUN", BERLIN, []),
        ("0 3 * * MON-FRI", "Etc/UTC", []),
        ("60 3 * * *", "Etc/UTC", ["c.schedule"]),
        ("0 3 31 2 *", "Etc/UTC", ["c.schedule"]),
        ("0 3 * * SOMEDAY", "Etc/UTC", ["c.schedule"]),
        ("0 3 * * *", "Europe/Atlantis", ["c.timeZone"]),
        ("a b c d e", "Mars/Base", ["c.schedule", "c.timeZone"]),
    ],
)
def test_what_is_wrong_with_a_cron_is_told_by_its_field(schedule: str, zone: str, paths: list[str]) -> None:
    assert [p.path for p in crons.problems(Cron(schedule=schedule, time_zone=zone), "c")] == paths


@pytest.mark.parametrize(
    ("now", "this", "following"),
    [("2026-01-31T23:59", "2026-01", "2026-02-01"), ("2026-12-01T00:00", "2026-12", "2027-01-01")],
)
def test_months_are_those_of_utc(now: str, this: str, following: str) -> None:
    assert (month(utc(now)), next_month(utc(now))) == (this, utc(following))
