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
from attune_operator.clusterfinetuneschedule.snapshot import MemberView, Name, Snapshot
from attune_operator.finetuneschedule.records import money, plus, spend_of
from attune_operator.naming import TRIGGER_ANNOTATION
from attune_operator.timing import cron as crons
from attune_operator.timing.facts import State, invalid
from attune_operator.timing.moments import next_month, stamp
from attune_operator.timing.window import is_open, opens

LOOK_SECONDS = 10.0
"""Schedules tell of their ends themselves; this look is for a watch that misses one."""
MOST_TOLD = 256
"""Characters of what a member says: a wave has thousands of members, and is one object."""
HELD = frozenset({WaveState.CLAIMED, WaveState.RUNNING})
"""States that hold one of the wave's places."""


@dataclass(frozen=True)
class Plan:
    """One decision: the wave as it shall be recorded, and who is to be asked to start."""

    state: State
    wave: Wave | None
    spend: Spend
    ask: tuple[Name, ...] = ()
    """Holders of places who have not been asked yet."""
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
    obstacle = _obstacle(seen, wave, spend)
    if wave is not None and obstacle is None:
        wave = _claimed(wave, seen.schedule.spec.max_concurrent)
    wave = _counted(wave, now)
    return Plan(
        state=_state(seen, wave, obstacle, due),
        wave=wave,
        spend=spend,
        ask=_unasked(wave, seen),
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


def _settled(wave: Wave | None, seen: Snapshot, spend: Spend) -> tuple[Wave | None, Spend]:
    """The wave as its members say it stands; what one that is over has cost is added once, in the same write."""
    if wave is None or not underway(wave):
        return wave, spend
    members = []
    for member in wave.members:
        current = _member(member, wave.id, seen) if member.state in HELD else member
        if member.state in HELD and current.state not in HELD:
            view = seen.members.get(Name(member.namespace, member.name))
            spend = plus(spend, Decimal(current.cost), view.currency if view else "")
        members.append(current)
    return wave.model_copy(update={"members": tuple(members)}), spend


def _member(member: WaveMember, wave: str, seen: Snapshot) -> WaveMember:
    view: MemberView | None = seen.members.get(Name(member.namespace, member.name))
    if view is None:
        return member.model_copy(update={"state": WaveState.SKIPPED, "message": "The FineTuneSchedule was deleted."})
    asked = view.request
    if asked is None or asked.wave != wave:
        other = asked is not None and asked.state in HELD
        message = f"It is part of another wave, {asked.wave}." if asked is not None and other else ""
        return member.model_copy(update={"state": WaveState.SKIPPED, "message": message}) if other else member
    told = asked.message[:MOST_TOLD]
    return member.model_copy(update={"state": asked.state, "message": told, "cost": money(view.cost)})


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


@dataclass(frozen=True)
class _Obstacle:
    reason: str
    message: str
    until: datetime | None = None


def _obstacle(seen: Snapshot, wave: Wave | None, spend: Spend) -> _Obstacle | None:
    """Why no further schedule of the wave may start now."""
    spec, now = seen.schedule.spec, seen.now
    if spec.suspend:
        return _Obstacle(Reason.SUSPENDED, "spec.suspend is true: nothing starts.")
    if spec.window is not None and not is_open(spec.window, now):
        at = opens(spec.window, now)
        return _Obstacle(Reason.OUTSIDE_WINDOW, f"Nothing starts until {stamp(at)} (spec.window).", at)
    if spec.budget is None:
        return None
    limit = Decimal(spec.budget.max_cost)
    held = [m for m in wave.members if m.state in HELD] if wave else []
    running = sum((_held(m, seen) for m in held), Decimal(0))
    spent = Decimal(spend.amount) + running
    if spent < limit:
        return None
    at = next_month(now)
    told = f"{spent:.2f} of {limit:.2f} {spend.currency}".rstrip()
    return _Obstacle(Reason.BUDGET_REACHED, f"{told} is spent this month, or will be; it goes on with {stamp(at)}.", at)


def _held(member: WaveMember, seen: Snapshot) -> Decimal:
    """What a member under way has cost, or what it will have cost where that is known."""
    view = seen.members.get(Name(member.namespace, member.name))
    return max(Decimal(member.cost), view.expected if view else Decimal(0))


def _claimed(wave: Wave, places: int) -> Wave:
    """The wave with every free place taken, in its order."""
    free = places - sum(m.state in HELD for m in wave.members)
    members = []
    for member in wave.members:
        takes = member.state is WaveState.PENDING and free > 0
        free -= takes
        members.append(member.model_copy(update={"state": WaveState.CLAIMED}) if takes else member)
    return wave.model_copy(update={"members": tuple(members)})


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
    claimed = [Name(m.namespace, m.name) for m in wave.members if m.state is WaveState.CLAIMED]
    return tuple(n for n in claimed if not _knows(seen.members.get(n), wave.id))


def _knows(view: MemberView | None, wave: str) -> bool:
    return view is not None and view.request is not None and view.request.wave == wave


def progress(wave: Wave) -> str:
    """A wave in words: `12 of 40 done, 3 running, 1 failed`."""
    told = [f"{wave.done} of {wave.total} done"]
    told += [f"{n} {what}" for n, what in ((wave.running, "running"), (wave.failed, "failed")) if n]
    return ", ".join([*told, *([f"{wave.skipped} skipped"] if wave.skipped else [])])


def _waiting(wave: Wave) -> str:
    """Members whose runs wait for a person: they hold places for as long."""
    held = [m for m in wave.members if m.state is WaveState.RUNNING and m.message]
    if not held:
        return ""
    more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
    return f" {held[0].namespace}/{held[0].name}{more}: {held[0].message}"


def _state(seen: Snapshot, wave: Wave | None, obstacle: _Obstacle | None, due: crons.Due | None) -> State:
    following = f"The next wave begins at {stamp(due.next)}." if due and due.next else "No wave is planned."
    if wave is not None and underway(wave):
        if obstacle is not None:
            return State(obstacle.reason, f"{progress(wave)}. {obstacle.message}{_waiting(wave)}")
        return State(Reason.WAVE_RUNNING, f"{progress(wave)}.{_waiting(wave)}")
    if seen.schedule.spec.suspend:
        return State(Reason.SUSPENDED, "Suspended: no wave begins until spec.suspend is false.")
    last = f"Last wave: {progress(wave)}. " if wave is not None else ""
    return State(Reason.SCHEDULED, f"{last}{following}")


def _again(seen: Snapshot, wave: Wave | None, obstacle: _Obstacle | None, due: crons.Due | None) -> float | None:
    times = [due.next if due else None]
    if underway(wave):
        times += [seen.now + timedelta(seconds=LOOK_SECONDS), obstacle.until if obstacle else None]
    ahead = [(t - seen.now).total_seconds() for t in times if t is not None]
    return max(0.1, min(ahead)) + 0.05 if ahead else None


def without_stories(plan: Plan) -> Plan:
    """The plan as it is summarized a second time: what was told once is not told twice."""
    return replace(plan, skipped=())
