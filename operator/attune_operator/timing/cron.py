"""Due times of a cron with a time zone, jitter and a deadline. Pure.

What a cron means, clock changes included, is cronsim's business, which does as Debian's cron: a job at a fixed hour
that falls into the hour that is left out runs as soon as that hour is over, and one in the hour that comes twice runs
the first time only; a job of every hour or minute follows the hours as they really pass. What is ours: nothing is made
good but the last time that was missed, and every time has an owner's own offset.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import Cron, CronSeen
from attune_operator.timing.moments import length, moment, stamp

_OVERLAP = timedelta(hours=3)
"""More than any clock is ever put back: looking back begins so much later, lest the second of two equal hours hides the
first."""
_MOST_COUNTED = 100
_FARTHEST = 4
"""Times that are looked at for one that lies ahead; in an hour that comes twice the first may lie behind."""


class Due(NamedTuple):
    """What a cron says now."""

    time: datetime | None
    """The newest time that has come and was not acted on; None where there is none. Jitter is in it."""
    late: bool
    """Whether that is longer ago than the deadline allows."""
    missed: int
    """Times before it that were not acted on either; they are not made good. Counted up to 100."""
    next: datetime | None
    """The next time, jitter included; None where the schedule never comes (30 February)."""


def problems(cron: Cron, path: str) -> tuple[FieldProblem, ...]:
    """What is wrong with a cron that its patterns let through.

    Args:
        cron: as in the spec.
        path: where it is, such as `spec.triggers.cron`.
    """
    found = []
    try:
        CronSim(cron.schedule, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        message = f"{error}: write minute, hour, day of month, month and day of week, such as `0 3 * * SUN`."
        found.append(FieldProblem(f"{path}.schedule", message))
    return (*found, *zone_problems(cron.time_zone, path))


def zone_problems(name: str, path: str) -> tuple[FieldProblem, ...]:
    """What is wrong with the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"there is no time zone {name!r} in the IANA database; names are such as Europe/Berlin."
        return (FieldProblem(f"{path}.timeZone", message),)
    return ()


def seen(cron: Cron, before: CronSeen | None, now: datetime) -> CronSeen:
    """How far a cron has been followed; one that is new or was changed begins now."""
    if before is not None and (before.schedule, before.time_zone) == (cron.schedule, cron.time_zone):
        return before
    return CronSeen(schedule=cron.schedule, time_zone=cron.time_zone, since=stamp(now))


def due(cron: Cron, followed: CronSeen, owner: str, now: datetime) -> Due:
    """What a cron says at a moment.

    Args:
        cron: free of problems.
        followed: how far it has been followed.
        owner: UID of whose cron it is; the jitter follows from it.
        now: the moment.
    """
    shift = offset(cron, owner)
    since, until = _since(cron, moment(followed.since), shift), now - shift
    last, following = previous_time(cron, until), next_time(cron, max(since, until))
    ahead = following + shift if following else None
    if last is None or last <= since:
        return Due(None, late=False, missed=0, next=ahead)
    late = cron.starting_deadline is not None and until - last > length(cron.starting_deadline)
    return Due(last + shift, late, _between(cron, since, last), ahead)


def _since(cron: Cron, noted: datetime, shift: timedelta) -> datetime:
    """The moment up to which times of the cron are of the past, jitter not in them.

    What was noted is a start, which lies at the owner's place after a time of the cron. Or it is when the cron began or
    was resumed, or a start under another jitter: then no time up to it is due, lest one start follows another.
    """
    time = noted - shift
    return time if previous_time(cron, time) == time else noted


def offset(cron: Cron, owner: str) -> timedelta:
    """How long after its times an owner starts: somewhere in the jitter, in whole seconds, always at the same place."""
    spread = int(length(cron.jitter).total_seconds())
    digest = hashlib.sha256(owner.encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:8], "big") % (spread + 1))


def next_time(cron: Cron, after: datetime) -> datetime | None:
    """The first time after a moment, in UTC."""
    found = _ahead(cron, after)
    # Ahead, cronsim steps by whole hours, which passes over a time on the day of a change by half an hour (Lord Howe
    # Island). Back it does not.
    while found is not None and (before := previous_time(cron, found - timedelta(seconds=1))) and before > after:
        found = before
    return found


def _ahead(cron: Cron, after: datetime) -> datetime | None:
    times = CronSim(cron.schedule, after.astimezone(ZoneInfo(cron.time_zone)))
    for _ in range(_FARTHEST):
        found = _utc(times)
        if found is None or found > after:
            return found
    return None


def previous_time(cron: Cron, until: datetime) -> datetime | None:
    """The last time up to a moment, that moment included, in UTC."""
    times = CronSim(cron.schedule, (until + _OVERLAP).astimezone(ZoneInfo(cron.time_zone)), reverse=True)
    while (found := _utc(times)) is not None and found > until:
        pass
    return found


def _between(cron: Cron, since: datetime, last: datetime) -> int:
    """Times after `since` and before `last`, up to a hundred."""
    found, at = 0, next_time(cron, since)
    while at is not None and at < last and found < _MOST_COUNTED:
        found, at = found + 1, next_time(cron, at)
    return found


def _utc(times: CronSim) -> datetime | None:
    try:
        return next(times).astimezone(UTC)
    except StopIteration:
        return None
