"""Runs that wait for a person: it is said, and they are given up where spec.stalledDeadline asks for it. Pure.

Such a run is not over, so it holds up a schedule that forbids two at once, and a place in a wave.
"""

from dataclasses import replace

from attune_operator.api.enums import WaveState
from attune_operator.finetuneschedule.records import Record
from attune_operator.finetuneschedule.snapshot import RunView, Snapshot
from attune_operator.timing.moments import length, moment


def given_up(seen: Snapshot) -> tuple[Snapshot, tuple[RunView, ...]]:
    """Runs that have waited too long.

    Returns:
        The snapshot in which they have failed, and the runs, which must go.
    """
    deadline = seen.schedule.spec.stalled_deadline
    if deadline is None:
        return seen, ()
    late = [v for v in seen.runs if v.stalled_since and seen.now - moment(v.stalled_since) > length(deadline)]
    names = {v.name for v in late}
    runs = tuple(_failed(v, deadline) if v.name in names else v for v in seen.runs)
    return replace(seen, runs=runs), tuple(v for v in late if not v.deleting)


def waiting_for_a_person(seen: Snapshot, record: Record) -> str:
    """What the active runs wait for, where each of them waits for a person; else empty."""
    views = {v.name: v for v in seen.runs}
    active = [views[r.name] for r in record.active if r.name in views]
    if not active or not all(v.stalled_since for v in active):
        return ""
    first = active[0]
    more = f" So do {len(active) - 1} more." if len(active) > 1 else ""
    return f"Run {first.name} waits for a person: {first.message}{more}"


def told_to_the_wave(seen: Snapshot, record: Record) -> Record:
    """The wave's request with what its runs wait for, so that the wave can say it."""
    wave = record.wave
    if wave is None or wave.state is not WaveState.RUNNING or wave.failed:
        return record
    return replace(record, wave=wave.model_copy(update={"message": waiting_for_a_person(seen, record)}))


def _failed(view: RunView, deadline: str) -> RunView:
    told = f"It waited for a person for longer than {deadline} (stalledDeadline): {view.message}"
    return replace(view, over=True, succeeded=False, stalled_since="", message=told, deleting=True)
