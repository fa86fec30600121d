"""What is known of the training data: when to look, and what the last look found. Pure."""

from datetime import datetime, timedelta

from attune_operator.api.finetuneschedule import DataSeen
from attune_operator.finetuneschedule.snapshot import Snapshot
from attune_operator.naming import poll_name
from attune_operator.timing.moments import length, moment, stamp

PATIENCE = timedelta(minutes=30)
"""A look that has not ended by then is given up; the next one is due as if it had failed."""


def seen(snapshot: Snapshot) -> DataSeen | None:
    """The record of the data as it shall be; with `poll` set where a Job must look. None where nobody asks."""
    asked = snapshot.schedule.spec.triggers.new_data
    if asked is None:
        return None
    known = snapshot.schedule.status.data or DataSeen()
    if known.poll is not None:
        return _looked(snapshot, known)
    following = next_look(snapshot, known)
    if following is None or snapshot.now < following:
        return known
    meta = snapshot.schedule.metadata
    name = poll_name(meta.name, meta.uid, snapshot.now)
    return known.model_copy(update={"poll": name, "polled_at": stamp(snapshot.now)})


def used(data: DataSeen | None, now: datetime) -> DataSeen | None:
    """The record once runs have started: what is there now is what they are made from.

    Only a look that ended just now knows it. What an earlier one saw, or one under way, may be another dataset, or
    lack what has come since; then a look is due at once, and what it finds is taken.
    """
    if data is None:
        return None
    if data.poll is None and data.checked_at == stamp(now) and not data.message:
        return data.model_copy(update={"used_digest": data.digest, "used_rows": data.rows})
    unknown = {"used_digest": None, "used_rows": 0, "poll": None, "polled_at": None, "checked_at": None}
    return data.model_copy(update=unknown)


def next_look(snapshot: Snapshot, data: DataSeen | None) -> datetime | None:
    """When the data is looked at next; None where nobody asks, or while the schedule is suspended."""
    asked = snapshot.schedule.spec.triggers.new_data
    if asked is None or data is None:
        return None
    if data.poll is not None:
        return snapshot.now + timedelta(seconds=15)
    if snapshot.schedule.spec.suspend:
        return None
    last = data.checked_at or data.polled_at
    return moment(last) + length(asked.poll_interval) if last else snapshot.now


def trouble(snapshot: Snapshot) -> str:
    """Why the data could not be looked at, the last time; empty where it could."""
    data, asked = snapshot.schedule.status.data, snapshot.schedule.spec.triggers.new_data
    return f"triggers.newData: {data.message}" if asked is not None and data is not None and data.message else ""


def _looked(snapshot: Snapshot, known: DataSeen) -> DataSeen:
    poll = snapshot.poll
    if poll is None or not poll.over:
        begun = moment(known.polled_at) if known.polled_at else snapshot.now
        if snapshot.now - begun < PATIENCE:
            return known
        told = f"Job {known.poll} did not end within {int(PATIENCE.total_seconds() // 60)} minutes."
        # Without a Job it is known why there is none; and of one whose pod does not start, mostly why.
        message = f"{told} {poll.message}".strip() if poll is not None else known.message or told
        return known.model_copy(update={"poll": None, "checked_at": stamp(snapshot.now), "message": message})
    now = stamp(snapshot.now)
    if poll.found is None:
        return known.model_copy(
            update={
                "poll": None,
                "checked_at": now,
                "message": poll.message or f"Job {known.poll} left no word; see its log.",
            }
        )
    found = poll.found
    first = {"used_digest": found.digest, "used_rows": found.rows} if known.used_digest is None else {}
    update = {"poll": None, "checked_at": now, "message": "", "digest": found.digest, "rows": found.rows, **first}
    return known.model_copy(update=update)
