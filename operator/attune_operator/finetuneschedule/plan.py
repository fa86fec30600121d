"""What a schedule does next: one decision from one snapshot. Pure.

What happened is counted, what would start runs is gathered, and what stands in the way is asked in one order. A start
is recorded before its runs are created: whoever reads the record creates what is missing, by the same names.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from attune_operator.api.conditions import Reason
from attune_operator.api.enums import ConcurrencyPolicy, Trigger, WaveState
from attune_operator.api.finetuneschedule import DataSeen, FineTuneScheduleSpec, RunRecord, WaveRequest
from attune_operator.api.problems import FieldProblem
from attune_operator.api.schedules import CronSeen, Skipped
from attune_operator.finetuneschedule import data as training_data
from attune_operator.finetuneschedule import matrix
from attune_operator.finetuneschedule.history import superfluous
from attune_operator.finetuneschedule.obstacles import Obstacle, Told, obstacle, open_breaker, over_budget
from attune_operator.finetuneschedule.records import Record, settle, without
from attune_operator.finetuneschedule.snapshot import RunView, Snapshot
from attune_operator.finetuneschedule.stalling import given_up, told_to_the_wave
from attune_operator.finetuneschedule.state import state_of
from attune_operator.finetuneschedule.wishes import LASTING, Wish, marked, wishes
from attune_operator.naming import TRIGGER_ANNOTATION
from attune_operator.timing import cron as crons
from attune_operator.timing.facts import State, invalid
from attune_operator.timing.moments import stamp

ACTIVE_SECONDS = 30.0
"""Runs tell of their ends themselves; this look is for a watch that misses one."""


@dataclass(frozen=True)
class Plan:
    """One decision: the record as it shall be, and what is to be done in the cluster for it."""

    record: Record
    state: State
    then: State | None = None
    """The state once the runs in `create` are there."""
    create: tuple[RunRecord, ...] = ()
    """Runs of the record whose turn has come."""
    delete: tuple[RunView, ...] = ()
    """Runs that must go: replaced, or beyond the history limits."""
    fired: Wish | None = None
    """What started runs just now."""
    skipped: tuple[Skipped, ...] = ()
    """Starts that did not take place just now, the newest first."""
    cron: CronSeen | None = None
    next: datetime | None = None
    """When the cron starts the next run."""
    data: DataSeen | None = None
    poll: bool = False
    """Whether the Job of `data.poll` must exist."""
    template_digest: str | None = None
    handled: str | None = None
    """The annotation's value that was acted on; it is to be removed."""
    again: float | None = None
    """Seconds until another look is due without any event."""

    def made(self, names: frozenset[str]) -> "Plan":
        """The same plan, with runs created."""
        record = _made(self.record, tuple(r for r in self.create if r.name in names))
        all_there = {r.name for r in self.create} <= names and not self.state.stalled
        state = self.then if all_there and self.then else self.state
        return replace(self, record=record, state=state)

    def refused(self, reason: str, message: str) -> "Plan":
        """The same plan, held up by something that was met while it was carried out."""
        return replace(self, state=State(reason, message, stalled=True), again=60.0)

    def unlooked(self, reason: str, message: str) -> "Plan":
        """The same plan, where no Job may look at the training data; it is tried again by itself."""
        data = self.data.model_copy(update={"message": message}) if self.data else None
        return replace(self.refused(reason, f"triggers.newData: {message}"), data=data)


def problems(spec: FineTuneScheduleSpec) -> tuple[FieldProblem, ...]:
    """What is wrong with a spec that neither its types nor its rules can say."""
    cron = spec.triggers.cron
    found = crons.problems(cron, "spec.triggers.cron") if cron else ()
    found += matrix.problems(spec.job_template, "spec.jobTemplate")
    return found or _too_much_to_look_at(spec)


def _too_much_to_look_at(spec: FineTuneScheduleSpec) -> tuple[FieldProblem, ...]:
    """A look is one pod for the whole matrix; what it would have to leave out could change unseen."""
    count = len(matrix.train(spec.job_template)) if spec.triggers.new_data is not None else 0
    if count <= matrix.MOST_LOOKED_AT:
        return ()
    message = (
        f"would look at {count} URIs, since jobTemplate.spec.dataset.train has as many over all of jobTemplate.matrix; "
        f"{matrix.MOST_LOOKED_AT} at most: make several schedules of it."
    )
    return (FieldProblem("spec.triggers.newData", message),)


def plan(seen: Snapshot) -> Plan:
    """Decides what a schedule does next."""
    status = seen.schedule.status
    seen, late = given_up(seen) if not seen.problems else (seen, ())
    record = settle(status, seen.runs, seen.now)
    if seen.problems:
        return Plan(
            record=_refused(record, invalid(seen.problems)),
            state=invalid(seen.problems),
            cron=status.cron,
            data=status.data,
            template_digest=status.template_digest,
            handled=status.handled_trigger,
        )
    spec = seen.schedule.spec
    record, outdated = _outdated(seen, _new_try(record, seen))
    data = training_data.seen(seen)
    followed, due = _due(seen)
    told = _judge(seen, record, wishes(seen, record, data, due), due)
    if told.fired is not None:
        record, data = _fire(seen, record, told.fired, data)
    record, dropped = _stopped(seen, told_to_the_wave(seen, _answered(record, told)))
    create = () if spec.suspend else _turns(spec, record)
    return Plan(
        record=record,
        state=state_of(seen, record, told, due),
        then=state_of(seen, _made(record, create), told, due),
        create=create,
        delete=(*late, *superfluous(seen, record)),
        fired=told.fired,
        skipped=(*_without(seen, late), *dropped, *outdated, *told.skipped),
        cron=_acted(followed, due),
        next=due.next if due else None,
        data=data,
        poll=data is not None and data.poll is not None,
        template_digest=matrix.template_digest(spec.job_template)
        if told.fired or status.template_digest is None or not spec.triggers.template_change
        else status.template_digest,
        handled=_handled(seen),
        again=_again(seen, record, told, due, data),
    )


def _due(seen: Snapshot) -> tuple[CronSeen | None, crons.Due | None]:
    """What the cron says. One that is suspended is forgotten: what was due meanwhile is not made good."""
    spec = seen.schedule.spec
    if spec.triggers.cron is None or spec.suspend:
        return None, None
    followed = crons.seen(spec.triggers.cron, seen.schedule.status.cron, seen.now)
    return followed, crons.due(spec.triggers.cron, followed, seen.schedule.metadata.uid, seen.now)


def _acted(followed: CronSeen | None, due: crons.Due | None) -> CronSeen | None:
    if followed is None or due is None or due.time is None:
        return followed
    return followed.model_copy(update={"since": stamp(due.time)})


def _new_try(record: Record, seen: Snapshot) -> Record:
    """A template that is another deserves its own tries."""
    return replace(record, failures=0) if _another_template(seen) else record


def _another_template(seen: Snapshot) -> bool:
    """Whether the template is another than the last runs were asked for with."""
    before = seen.schedule.status.template_digest
    return before not in (None, matrix.template_digest(seen.schedule.spec.job_template))


def _outdated(seen: Snapshot, record: Record) -> tuple[Record, tuple[Skipped, ...]]:
    """The record without runs that the template of today would make otherwise: their values are of another matrix."""
    if not _another_template(seen):
        return record, ()
    return _dropped(seen, record, Reason.TEMPLATE_CHANGED, "spec.jobTemplate is another by now.")


def _judge(seen: Snapshot, record: Record, found: tuple[Wish, ...], due: crons.Due | None) -> Told:
    """Which wish starts runs, if any does; what is due at the same time is met by the same runs."""
    late = due is not None and due.late
    skipped = _missed(seen, due)
    waits: list[tuple[Wish, Obstacle]] = []
    wave: Obstacle | None = None
    for wish in found:
        if wish.trigger is Trigger.CRON and late:
            continue
        met = obstacle(seen, record, wish)
        if met is None:
            return Told(wish, tuple(skipped))
        if wish.trigger in LASTING:
            waits.append((wish, met))
        else:
            skipped.insert(0, _skip(wish.time, wish.trigger, met.reason, met.message))
        wave = met if wish.trigger is Trigger.WAVE else wave
    return Told(None, tuple(skipped), tuple(waits), wave)


def _missed(seen: Snapshot, due: crons.Due | None) -> list[Skipped]:
    """Times that nobody looked at in time."""
    if due is None or due.time is None:
        return []
    found = []
    cron = seen.schedule.spec.triggers.cron
    if due.late and cron is not None:
        message = f"It was due more than {cron.starting_deadline} ago (startingDeadline)."
        found.append(_skip(due.time, Trigger.CRON, Reason.DEADLINE_MISSED, message))
    if due.missed:
        times = "1 time" if due.missed == 1 else f"{due.missed} times"
        message = f"{times} before this one came while nobody looked; only the last is made good."
        found.append(_skip(due.time, Trigger.CRON, Reason.MISSED, message))
    return found


def _skip(time: datetime, trigger: Trigger, reason: str, message: str) -> Skipped:
    return Skipped(time=stamp(time), trigger=trigger, reason=reason, message=message)


def _fire(seen: Snapshot, record: Record, wish: Wish, data: DataSeen | None) -> tuple[Record, DataSeen | None]:
    """The record with the runs of a start; under Replace without those that were active."""
    schedule, spec = seen.schedule, seen.schedule.spec
    if spec.concurrency_policy is ConcurrencyPolicy.REPLACE:
        record = without(record, record.runs, f"Replaced by runs that {wish.trigger} started (concurrencyPolicy).")
    asked = schedule.status.wave
    wave = asked.wave if asked is not None and asked.state is WaveState.CLAIMED else None
    runs = tuple(
        RunRecord(
            name=matrix.run_name(schedule.metadata.name, wish.trigger, wish.time, values),
            trigger=wish.trigger,
            time=stamp(seen.now),
            values=values,
            wave=wave,
        )
        for values in matrix.combinations(spec.job_template)
    )
    return replace(record, runs=(*record.runs, *runs)), training_data.used(data, seen.now)


def _answered(record: Record, told: Told) -> Record:
    """The wave's request as it stands now."""
    wave = record.wave
    if wave is None or wave.state is not WaveState.CLAIMED:
        return record
    if told.fired is not None:
        return replace(record, wave=_wave(wave, WaveState.RUNNING, ""))
    if told.wave is None:
        return record
    return replace(record, wave=_wave(wave, WaveState.SKIPPED, f"{told.wave.reason}: {told.wave.message}"))


def _refused(record: Record, state: State) -> Record:
    """The record of a schedule that cannot be used: a wave must not wait for it."""
    wave = record.wave
    if wave is None or wave.state is not WaveState.CLAIMED:
        return record
    return replace(record, wave=_wave(wave, WaveState.SKIPPED, f"{state.reason}: {state.message}"))


def _made(record: Record, create: tuple[RunRecord, ...]) -> Record:
    names = {r.name for r in create}
    runs = tuple(r.model_copy(update={"created": True}) if r.name in names else r for r in record.runs)
    return replace(record, runs=runs)


def _wave(wave: WaveRequest, state: WaveState, message: str) -> WaveRequest:
    return wave.model_copy(update={"state": state, "message": message})


def _without(seen: Snapshot, late: tuple[RunView, ...]) -> tuple[Skipped, ...]:
    """What is told of runs that were given up."""
    triggers = {r.name: r.trigger for r in seen.schedule.status.runs}
    told = {v.name: v.message for v in seen.runs}
    return tuple(
        _skip(seen.now, triggers[v.name], Reason.RUN_STALLED, f"Run {v.name} was deleted. {told[v.name]}")
        for v in late
        if v.name in triggers
    )


def _stopped(seen: Snapshot, record: Record) -> tuple[Record, tuple[Skipped, ...]]:
    """The record without runs whose turn must not come: too many others failed, or the money is gone."""
    waiting = record.waiting
    if not waiting or (not record.active and len(waiting) == len(record.runs) and waiting[0].trigger is Trigger.MANUAL):
        return record, ()
    why = None
    if record.failures >= seen.schedule.spec.breaker.failures and waiting[0].trigger is not Trigger.MANUAL:
        why = Obstacle(Reason.BREAKER_OPEN, open_breaker(record))
    why = why or over_budget(seen, record, more=False)
    return (record, ()) if why is None else _dropped(seen, record, why.reason, why.message)


def _dropped(seen: Snapshot, record: Record, reason: str, why: str) -> tuple[Record, tuple[Skipped, ...]]:
    """The record without runs whose turn has not come, and what is told of them."""
    waiting = record.waiting
    if not waiting:
        return record, ()
    message = f"{len(waiting)} of its runs were not started: {why}"
    return without(record, waiting, message), (_skip(seen.now, waiting[0].trigger, reason, message),)


def _turns(spec: FineTuneScheduleSpec, record: Record) -> tuple[RunRecord, ...]:
    """Runs that may be created now: of each start as many at once as the matrix allows; of a wave's one, or none."""
    found: list[RunRecord] = []
    for time in dict.fromkeys(r.time for r in record.waiting if not record.paused(r)):
        group = [r for r in record.runs if r.time == time]
        width = 1 if group[0].wave else spec.job_template.max_parallel
        room = max(0, width - sum(r.created for r in group))
        found += [r for r in group if not r.created][:room]
    return tuple(found)


def _handled(seen: Snapshot) -> str | None:
    """The annotation's value while it is there and was acted on."""
    there = seen.schedule.metadata.annotations.get(TRIGGER_ANNOTATION)
    return marked(seen) or (seen.schedule.status.handled_trigger if there else None)


def _again(seen: Snapshot, record: Record, told: Told, due: crons.Due | None, data: DataSeen | None) -> float | None:
    """When something may be due without an event."""
    times: list[datetime | None] = [due.next if due else None, training_data.next_look(seen, data)]
    times += [met.until for _, met in told.waits]
    if record.runs:
        times.append(seen.now + timedelta(seconds=ACTIVE_SECONDS))
    ahead = [(t - seen.now).total_seconds() for t in times if t is not None]
    return max(0.1, min(ahead)) + 0.05 if ahead else None
