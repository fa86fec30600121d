"""How a schedule is, for its conditions and its message. Pure; the first answer counts."""

from attune_operator.api.conditions import Reason
from attune_operator.finetuneschedule import data as training_data
from attune_operator.finetuneschedule.obstacles import Told, named, open_breaker, over_budget
from attune_operator.finetuneschedule.records import Record
from attune_operator.finetuneschedule.snapshot import Snapshot
from attune_operator.finetuneschedule.stalling import waiting_for_a_person
from attune_operator.timing import cron as crons
from attune_operator.timing.facts import State
from attune_operator.timing.moments import stamp


def state_of(seen: Snapshot, record: Record, told: Told, due: crons.Due | None) -> State:
    """How a schedule is.

    Args:
        seen: as it was read.
        record: its runs, as they shall be recorded.
        told: what came of its triggers.
        due: what its cron says.
    """
    following = f"The next run starts at {stamp(due.next)}." if due and due.next else "Nothing is planned by the clock."
    return (
        _halted(seen, record) or _busy(seen, record, following) or _held(seen, record, told) or _idle(seen, following)
    )


def _halted(seen: Snapshot, record: Record) -> State | None:
    spec = seen.schedule.spec
    if spec.suspend:
        return State(Reason.SUSPENDED, "Suspended: nothing starts until spec.suspend is false.")
    if record.waiting and not record.active and record.paused(record.waiting[0]):
        told = f"Wave {record.waiting[0].wave} is held up: {len(record.waiting)} runs wait until it goes on."
        return State(Reason.WAVE_PAUSED, told)
    if record.waiting and not record.active:
        return State(Reason.STARTING, f"Run {record.waiting[0].name} is about to be created.", working=True)
    if record.failures >= spec.breaker.failures:
        return State(Reason.BREAKER_OPEN, open_breaker(record), stalled=not record.active)
    return None


def _busy(seen: Snapshot, record: Record, following: str) -> State | None:
    if not record.active:
        return None
    if waits := waiting_for_a_person(seen, record):
        return State(Reason.RUN_STALLED, waits, stalled=True)
    several = f"{len(record.active)} of {len(record.runs)} runs are active." if record.waiting else ""
    return State(Reason.RUN_ACTIVE, f"{several or named(record) + ' active.'} {following}")


def _held(seen: Snapshot, record: Record, told: Told) -> State | None:
    if spent := over_budget(seen, record):
        return State(spent.reason, spent.message)
    if not told.waits:
        return None
    wish, met = told.waits[0]
    return State(met.reason, f"{wish.trigger}: {wish.message} It waits: {met.message}")


def _idle(seen: Snapshot, following: str) -> State:
    if message := training_data.trouble(seen):
        return State(Reason.BLOCKED, message, stalled=True)
    return State(Reason.SCHEDULED, following)
