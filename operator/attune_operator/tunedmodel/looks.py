"""Looks at published versions: the monitor's on its cron, and the comparison of a version with the champion. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from attune_contract.monitoring import Monitoring
from attune_operator.api.enums import AttemptState
from attune_operator.api.schedules import CronSeen
from attune_operator.api.tunedmodel import Compared, LookEntry, LookRecord, MonitorStatus, Moved, Version
from attune_operator.finetunejob.snapshot import LookView
from attune_operator.naming import look_name
from attune_operator.timing import cron as crons
from attune_operator.timing.moments import moment, stamp
from attune_operator.tunedmodel.promotion import Standing
from attune_operator.tunedmodel.snapshot import Snapshot

MONITOR, COMPARE = "Monitor", "Compare"
MOST_FAILURES = 3
PATIENCE = timedelta(hours=12)
"""How long the Job of a look may take; then it has failed."""
RETRY = timedelta(minutes=1)
LONGEST_RETRY = timedelta(hours=1)


@dataclass(frozen=True)
class Looked:
    """What became of the look under way."""

    look: LookRecord | None
    """The look that is still under way, or to be tried again."""
    versions: tuple[Version, ...]
    monitor: MonitorStatus | None


def settle(seen: Snapshot, versions: tuple[Version, ...]) -> Looked:
    """Brings the record of the look up to what the cluster shows; what it found is taken over once."""
    status = seen.model.status
    look, view = status.look, seen.look
    as_it_was = Looked(look, versions, status.monitor)
    if look is None:
        return as_it_was
    if view is None:
        # Recorded, and its Job not there: it is about to be made; or it was deleted, and is made again.
        return replace(as_it_was, look=look.model_copy(update={"state": AttemptState.PENDING}))
    return _ended(seen, as_it_was, look, view) if view.over else replace(as_it_was, look=_running(look, view))


def _running(look: LookRecord, view: LookView) -> LookRecord:
    """A look that is not over; its Job ends by itself, for it has a deadline, which does not run while it is queued."""
    return look.model_copy(update={"state": AttemptState.RUNNING, "message": view.waits or look.message})


def _ended(seen: Snapshot, was: Looked, look: LookRecord, view: LookView) -> Looked:
    found = view.outcome.monitoring if view.outcome else None
    if found is None or found.at != look.at:
        return _again(seen, was, look, view)
    if look.purpose == COMPARE:
        return Looked(None, tuple(_compared(v, look, found) for v in was.versions), was.monitor)
    return Looked(None, was.versions, _monitored(seen, look, found))


def _again(seen: Snapshot, was: Looked, look: LookRecord, view: LookView) -> Looked:
    """The next attempt, or the end of it: a monitor's look is given up, a comparison begins anew after a while."""
    message = view.words or f"Job {look.job_name} left no word; see its log."
    failures = look.failures + (0 if view.disrupted else 1)
    if failures >= MOST_FAILURES and look.purpose == MONITOR and was.monitor is not None:
        return Looked(None, was.versions, was.monitor.model_copy(update={"message": message}))
    ended = look.end_time or stamp(seen.now)
    if seen.now - moment(ended) < _pause(look, view, failures):
        told = {"state": AttemptState.FAILED, "message": message, "end_time": ended}
        return replace(was, look=look.model_copy(update=told))
    return replace(was, look=_next(seen, look, failures, message))


def _pause(look: LookRecord, view: LookView, failures: int) -> timedelta:
    """How long after the end of an attempt the next one may start, at the earliest."""
    if view.disrupted:  # a node that refuses it may do so for long, and each attempt leaves a Job
        return min(LONGEST_RETRY, RETRY * 2.0 ** min(look.number - 1, 10))
    if failures < MOST_FAILURES:
        return timedelta()
    return min(LONGEST_RETRY, RETRY * 2.0 ** min(failures, 10))


def _next(seen: Snapshot, look: LookRecord, failures: int, message: str) -> LookRecord:
    meta, number = seen.model.metadata, look.number + 1
    update = {
        "number": number,
        "failures": failures,
        "job_name": look_name(meta.name, meta.uid, look.purpose, moment(look.at), number),
        "state": AttemptState.PENDING,
        "message": message,
        "start_time": stamp(seen.now),
        "end_time": None,
    }
    return look.model_copy(update=update)


def _compared(version: Version, look: LookRecord, found: Monitoring) -> Version:
    if version.version != look.challenger:
        return version
    first = next((c for c in found.comparisons if c.about != "rating"), None)
    if first is None:
        told = f"no metric of it and of champion v{look.champion} could be taken on the same rows"
        compared = Compared(champion=look.champion, better=False, message=told)
        return version.model_copy(update={"compared": compared})
    sign = -1.0 if first.lower_is_better else 1.0
    sure = min(sign * (first.low or 0.0), sign * (first.high or 0.0)) > 0
    better = sure if version.gated else sign * first.delta > 0
    told = f"{first.about} {first.delta:+.4g} against champion v{look.champion} on the same {first.rows} rows"
    return version.model_copy(update={"compared": Compared(champion=look.champion, better=better, message=told)})


def _monitored(seen: Snapshot, look: LookRecord, found: Monitoring) -> MonitorStatus:
    before = seen.model.status.monitor or MonitorStatus()
    limit = seen.model.spec.monitor.history_limit if seen.model.spec.monitor else len(before.history)
    history = (_entry(look, found), *before.history)[:limit]
    return before.model_copy(update={"last": found, "history": history, "message": ""})


def _entry(look: LookRecord, found: Monitoring) -> LookEntry:
    return LookEntry(
        at=found.at,
        version=look.champion,
        rows=found.rows,
        labelled_rows=found.labelled_rows,
        drifted=found.drifted,
        score=found.inputs.score if found.inputs else None,
        score_threshold=found.inputs.threshold if found.inputs else None,
        psi=found.labels.psi if found.labels else None,
        metrics=tuple(
            Moved(metric=m.metric, before=m.before, now=m.now, drop=m.drop, dropped=m.dropped) for m in found.metrics
        ),
    )


def due(seen: Snapshot, standing: Standing, looked: Looked) -> tuple[LookRecord | None, MonitorStatus | None]:
    """The look that is under way or begins now, and the monitor's record.

    A comparison goes before the monitor: a version waits for it. One that fails again and again lets the monitor pass.
    """
    monitor, time, following = _cron(seen, looked.monitor)
    look, champion = _wanted(looked.look, standing), standing.champion
    passes = look is not None and fails(look) and time is not None
    if look is not None and not passes:
        # What the cron says meanwhile waits its turn: its record is left as it was.
        return look, looked.monitor
    if standing.compare is not None and champion is not None and not passes:
        return _begin(seen, COMPARE, seen.now, champion, standing.compare.version), looked.monitor
    if monitor is None:
        return None, looked.monitor
    updated = monitor.model_copy(update={"next_time": following})
    if time is None:
        return None, updated
    followed = monitor.cron.model_copy(update={"since": stamp(time)}) if monitor.cron else None
    updated = updated.model_copy(update={"cron": followed})
    if champion is None:
        return None, updated
    return _begin(seen, MONITOR, time, champion, standing.challenger), updated


def _wanted(look: LookRecord | None, standing: Standing) -> LookRecord | None:
    """The look that is under way; None where nobody waits for what it will say any longer."""
    if look is None or look.purpose != COMPARE:
        return look
    pair = (standing.champion, standing.compare.version if standing.compare else None)
    return look if (look.champion, look.challenger) == pair else None


def fails(look: LookRecord) -> bool:
    """Whether a look has failed so often that a person should know."""
    failures = look.failures + (1 if look.state is AttemptState.FAILED else 0)
    return look.purpose == COMPARE and look.state is AttemptState.FAILED and failures >= MOST_FAILURES


def _cron(seen: Snapshot, before: MonitorStatus | None) -> tuple[MonitorStatus | None, datetime | None, str | None]:
    spec = seen.model.spec.monitor
    if spec is None:
        return None, None, None
    monitor = before or MonitorStatus()
    followed: CronSeen = crons.seen(spec.cron, monitor.cron, seen.now)
    found = crons.due(spec.cron, followed, seen.model.metadata.uid, seen.now)
    following = stamp(found.next) if found.next else None
    time = None if found.late else found.time
    if found.late and found.time is not None:
        followed = followed.model_copy(update={"since": stamp(found.time)})
    return monitor.model_copy(update={"cron": followed}), time, following


def _begin(seen: Snapshot, purpose: str, at: datetime, champion: int, challenger: int | None) -> LookRecord:
    meta = seen.model.metadata
    return LookRecord(
        purpose=purpose,
        at=stamp(at),
        number=1,
        job_name=look_name(meta.name, meta.uid, purpose, at, 1),
        state=AttemptState.PENDING,
        champion=champion,
        challenger=challenger,
        start_time=stamp(seen.now),
    )
