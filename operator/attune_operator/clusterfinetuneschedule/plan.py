"""What a wave does next: one decision from one snapshot. Pure.

The record of the wave is one object, written whole with the resourceVersion it was read at. A place is taken in it
before its holder is asked to start, and given back only after the holder says that its runs are over. So however often
operators die, and however many there are, no more than `maxConcurrent` hold a place; and a schedule in a wave has one
run at a time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleSpec, Wave, WaveMember
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import Trigger, WaveState
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import CronSeen, LastTrigger, Skipped, Spend
from attune_operator.clusterfinetuneschedule.order import ordered
from attune_operator.clusterfinetuneschedule.places import HELD, Obstacle, claimed, closed, knows, name_of
from attune_operator.clusterfinetuneschedule.snapshot import MemberView, Name, Snapshot
from attune_operator.finetuneschedule.records import money, plus, spend_of
from attune_operator.naming import TRIGGER_ANNOTATION
from attune_operator.timing import cron as crons
from attune_operator.timing.facts import State, invalid
from attune_operator.timing.moments import stamp

LOOK_SECONDS = 10.0
"""Schedules tell of their ends themselves; this look is for a watch that misses one."""
MOST_TOLD = 256
"""Characters of what a member says: a wave has thousands of members, and is one object."""


@dataclass(frozen=True)
class Plan:
    """One decision: the wave as it shall be recorded, and who is to be asked to start."""

    state: State
    wave: Wave | None
    spend: Spend
    ask: tuple[Name, ...] = ()
    """Holders of places who are to be asked now."""
    paused: bool = False
    """Whether nothing may start now, not even the next run of a matrix that is under way."""
    turn: tuple[Name, ...] = ()
    """Holders of places who have not been told yet that they are paused, or are so no more."""
    fired: LastTrigger | None = None
    """What began a wave just now."""
    skipped: tuple[Skipped, ...] = ()
    cron: CronSeen | None = None
    next: datetime | None = None
    handled: str | None = None
    """The annotation's value that was acted on; it is to be removed."""
    again: float | None = None


def problems(spec: ClusterFineTuneScheduleSpec) -> tuple[FieldProblem, ...]:
    """What is wrong with a spec that neither its types nor its rules can say."""
    zone = crons.zone_problems(spec.window.time_zone, "spec.window") if spec.window else ()
    return (*crons.problems(spec.cron, "spec.cron"), *zone)


def plan(seen: Snapshot) -> Plan:
    """Decides what a wave does next."""
    status, now = seen.schedule.status, seen.now
    spend = spend_of(status.spend, now)
    if seen.problems:
        return Plan(invalid(seen.problems), status.wave, spend, cron=status.cron, handled=status.handled_trigger)
    wave, spend = _settled(status.wave, seen, spend)
    followed, due = _due(seen)
    fired, skipped = _begin(seen, wave, due)
    if fired is not None:
        wave = _new_wave(seen)
    shut = obstacle = closed(seen)
    if wave is not None and shut is None:
        wave, obstacle = claimed(wave, seen, spend)
    wave = _counted(wave, now)
    return Plan(
        state=_state(seen, wave, obstacle, due),
        wave=wave,
        spend=spend,
        ask=() if shut else _unasked(wave, seen),
        paused=shut is not None,
        turn=_untold(wave, seen, paused=shut is not None),
        fired=fired,
        skipped=skipped,
        cron=followed.model_copy(update={"since": stamp(due.time)}) if followed and due and due.time else followed,
        next=due.next if due else None,
        handled=_handled(seen),
        again=_again(seen, wave, obstacle, due),
    )


def underway(wave: Wave | None) -> bool:
    """Whether a wave has anything left to do."""
    return wave is not None and wave.completion_time is None


def may_begin(seen: Snapshot) -> bool:
    """Whether a wave may begin now, so that it matters who is selected; else nobody has to be listed."""
    due = _due(seen)[1]
    return marked(seen) is not None or (due is not None and due.time is not None)


def _settled(wave: Wave | None, seen: Snapshot, spend: Spend) -> tuple[Wave | None, Spend]:
    """The wave as its members say it stands; what one that is over has cost is added once, in the same write."""
    if wave is None or not underway(wave):
        return wave, spend
    members = []
    for member in wave.members:
        current = _member(member, wave.id, seen) if member.state in HELD else member
        if member.state in HELD and current.state not in HELD:
            view = seen.members.get(name_of(member))
            spend = plus(spend, Decimal(current.cost), view.currency if view else "")
        members.append(current)
    return wave.model_copy(update={"members": tuple(members)}), spend


def _member(member: WaveMember, wave: str, seen: Snapshot) -> WaveMember:
    view = seen.members.get(name_of(member))
    if view is None:
        return _lost(member, "The FineTuneSchedule was deleted.")
    if view.request is None or not knows(view, wave):
        return _silent(member, view)
    told = view.request.message[:MOST_TOLD]
    return member.model_copy(update={"state": view.request.state, "message": told, "cost": money(view.cost)})


def _silent(member: WaveMember, view: MemberView) -> WaveMember:
    """A holder of a place whose FineTuneSchedule says nothing of this wave."""
    if view.unreadable:
        # It may have runs that only another version of the operator sees: it keeps its place.
        return member.model_copy(update={"message": f"Its status cannot be read: {view.unreadable}"[:MOST_TOLD]})
    if view.request is not None and view.request.state in HELD:
        return _lost(member, f"It is part of another wave, {view.request.wave}.")
    if member.state is WaveState.RUNNING:
        return _lost(member, "It knows of this wave no more: it was deleted and made again, or asked by another wave.")
    return member.model_copy(update={"message": ""})


def _lost(member: WaveMember, message: str) -> WaveMember:
    return member.model_copy(update={"state": WaveState.SKIPPED, "message": message})


def _due(seen: Snapshot) -> tuple[CronSeen | None, crons.Due | None]:
    spec = seen.schedule.spec
    if spec.suspend:
        return None, None
    followed = crons.seen(spec.cron, seen.schedule.status.cron, seen.now)
    return followed, crons.due(spec.cron, followed, seen.schedule.metadata.uid, seen.now)


def marked(seen: Snapshot) -> str | None:
    """What a person wrote into the annotation, if it was not acted on yet."""
    value = seen.schedule.metadata.annotations.get(TRIGGER_ANNOTATION)
    return value if value and value != seen.schedule.status.handled_trigger else None


def _handled(seen: Snapshot) -> str | None:
    there = seen.schedule.metadata.annotations.get(TRIGGER_ANNOTATION)
    return marked(seen) or (seen.schedule.status.handled_trigger if there else None)


def _begin(seen: Snapshot, wave: Wave | None, due: crons.Due | None) -> tuple[LastTrigger | None, tuple[Skipped, ...]]:
    """Whether a wave begins now, and what was skipped."""
    by_hand, now = marked(seen), seen.now
    trigger = Trigger.MANUAL if by_hand else Trigger.CRON
    if not by_hand and (due is None or due.time is None):
        return None, ()
    time = now if by_hand or due is None or due.time is None else due.time
    if seen.schedule.spec.suspend:
        return None, (_skip(time, trigger, Reason.SUSPENDED, "spec.suspend is true."),)
    if not by_hand and due is not None and due.late:
        message = f"It was due more than {seen.schedule.spec.cron.starting_deadline} ago (startingDeadline)."
        return None, (_skip(time, trigger, Reason.DEADLINE_MISSED, message),)
    if wave is not None and underway(wave):
        return None, (_skip(time, trigger, Reason.WAVE_RUNNING, f"Wave {wave.id} is not over."),)
    if not seen.candidates:
        message = "No FineTuneSchedule matches spec.selector in a namespace that matches spec.namespaceSelector."
        return None, (_skip(time, trigger, Reason.NO_MATCH, message),)
    told = f"Annotation {TRIGGER_ANNOTATION}={by_hand}." if by_hand else f"The cron was due at {stamp(time)}."
    missed = due.missed if due is not None and not by_hand else 0
    late = (_skip(time, trigger, Reason.MISSED, f"{missed} earlier; only the last is made good."),) if missed else ()
    return LastTrigger(trigger=trigger, time=stamp(now), message=told), late


def _skip(time: datetime, trigger: Trigger, reason: str, message: str) -> Skipped:
    return Skipped(time=stamp(time), trigger=trigger, reason=reason, message=message)


def _new_wave(seen: Snapshot) -> Wave:
    members = ordered(seen.candidates, seen.schedule.spec.order)
    return Wave(
        id=f"{seen.schedule.metadata.name}/{stamp(seen.now)}",
        start_time=stamp(seen.now),
        members=tuple(
            WaveMember(namespace=c.name.namespace, name=c.name.name, state=WaveState.PENDING) for c in members
        ),
    )


def _counted(wave: Wave | None, now: datetime) -> Wave | None:
    if wave is None:
        return None
    count: Callable[[WaveState], int] = lambda state: sum(m.state is state for m in wave.members)  # noqa: E731
    left = count(WaveState.PENDING) + count(WaveState.CLAIMED) + count(WaveState.RUNNING)
    return wave.model_copy(
        update={
            "total": len(wave.members),
            "done": count(WaveState.DONE),
            "running": count(WaveState.CLAIMED) + count(WaveState.RUNNING),
            "failed": count(WaveState.FAILED),
            "skipped": count(WaveState.SKIPPED),
            "completion_time": wave.completion_time or (None if left else stamp(now)),
        }
    )


def _unasked(wave: Wave | None, seen: Snapshot) -> tuple[Name, ...]:
    """Holders of a place who do not know of it."""
    if wave is None or not underway(wave):
        return ()
    taken = [name_of(m) for m in wave.members if m.state is WaveState.CLAIMED]
    return tuple(n for n in taken if not knows(seen.members.get(n), wave.id))


def _untold(wave: Wave | None, seen: Snapshot, *, paused: bool) -> tuple[Name, ...]:
    """Holders of a place whose runs wait, or do not, other than they should."""
    names = [name_of(m) for m in wave.members if m.state in HELD] if wave else []
    views = [(n, seen.members.get(n)) for n in names]
    return tuple(
        n for n, v in views if v and wave and knows(v, wave.id) and v.request and v.request.paused is not paused
    )


def progress(wave: Wave) -> str:
    """A wave in words: `12 of 40 done, 3 running, 1 failed`."""
    told = [f"{wave.done} of {wave.total} done"]
    told += [f"{n} {what}" for n, what in ((wave.running, "running"), (wave.failed, "failed")) if n]
    return ", ".join([*told, *([f"{wave.skipped} skipped"] if wave.skipped else [])])


def _waiting(wave: Wave) -> str:
    """Members that wait for a person: they hold places for as long."""
    held = [m for m in wave.members if m.state in HELD and m.message]
    if not held:
        return ""
    more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
    return f" {held[0].namespace}/{held[0].name}{more}: {held[0].message}"


def _state(seen: Snapshot, wave: Wave | None, obstacle: Obstacle | None, due: crons.Due | None) -> State:
    following = f"The next wave begins at {stamp(due.next)}." if due and due.next else "No wave is planned."
    if wave is not None and underway(wave):
        if obstacle is not None:
            return State(obstacle.reason, f"{progress(wave)}. {obstacle.message}{_waiting(wave)}")
        return State(Reason.WAVE_RUNNING, f"{progress(wave)}.{_waiting(wave)}")
    if seen.schedule.spec.suspend:
        return State(Reason.SUSPENDED, "Suspended: no wave begins until spec.suspend is false.")
    last = f"Last wave: {progress(wave)}. " if wave is not None else ""
    return State(Reason.SCHEDULED, f"{last}{following}")


def _again(seen: Snapshot, wave: Wave | None, obstacle: Obstacle | None, due: crons.Due | None) -> float | None:
    times = [due.next if due else None]
    if underway(wave):
        times += [seen.now + timedelta(seconds=LOOK_SECONDS), obstacle.until if obstacle else None]
    ahead = [(t - seen.now).total_seconds() for t in times if t is not None]
    return max(0.1, min(ahead)) + 0.05 if ahead else None


def without_stories(plan: Plan) -> Plan:
    """The plan as it is summarized a second time: what was told once is not told twice."""
    return replace(plan, skipped=())
