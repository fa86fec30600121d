"""What would start runs now: every trigger that has something to say. Pure; whether anything starts is the plan's."""

from dataclasses import dataclass
from datetime import datetime

from attune_operator.api.enums import Promotion, Trigger, WaveState
from attune_operator.api.finetuneschedule import DataSeen, Drift
from attune_operator.api.tunedmodel import LookEntry, TunedModel
from attune_operator.finetuneschedule.matrix import template_digest
from attune_operator.finetuneschedule.records import Record
from attune_operator.finetuneschedule.snapshot import Snapshot
from attune_operator.naming import TRIGGER_ANNOTATION
from attune_operator.timing.cron import Due
from attune_operator.timing.moments import moment, stamp

LASTING = frozenset({Trigger.TEMPLATE, Trigger.NEW_DATA, Trigger.DRIFT})
"""Triggers that go on wishing until runs start; the others are skipped if nothing can start when they come."""


@dataclass(frozen=True)
class Wish:
    """A reason to start runs."""

    trigger: Trigger
    time: datetime
    """What runs are named by: the time that was due, or now."""
    message: str
    """Why, in a sentence."""


def wishes(seen: Snapshot, record: Record, data: DataSeen | None, due: Due | None) -> tuple[Wish, ...]:
    """Every reason to start runs now, a person's first.

    Args:
        seen: the schedule as it was read.
        record: its runs by now.
        data: what is known of the training data by now.
        due: what the cron says; None where there is none.
    """
    spec, now = seen.schedule.spec, seen.now
    found = [_manual(seen), _wave(seen), _template(seen)]
    if spec.triggers.new_data is not None and data is not None:
        found.append(_new_data(data, spec.triggers.new_data.min_new_rows, now))
    if spec.triggers.drift is not None and seen.tuned is not None and not _answered(seen, record, seen.tuned):
        found.append(_drift(spec.triggers.drift, seen.tuned, _since(seen, record), now))
    if due is not None and due.time is not None and spec.triggers.cron is not None:
        told = f"{spec.triggers.cron.schedule} ({spec.triggers.cron.time_zone}) was due at {stamp(due.time)}."
        found.append(Wish(Trigger.CRON, due.time, told))
    return tuple(wish for wish in found if wish is not None)


def marked(seen: Snapshot) -> str | None:
    """What a person wrote into the annotation, if it was not acted on yet."""
    value = seen.schedule.metadata.annotations.get(TRIGGER_ANNOTATION)
    return value if value and value != seen.schedule.status.handled_trigger else None


def _manual(seen: Snapshot) -> Wish | None:
    value = marked(seen)
    return Wish(Trigger.MANUAL, seen.now, f"Annotation {TRIGGER_ANNOTATION}={value}.") if value else None


def _wave(seen: Snapshot) -> Wish | None:
    asked = seen.schedule.status.wave
    if asked is None or asked.state is not WaveState.CLAIMED:
        return None
    return Wish(Trigger.WAVE, seen.now, f"Wave {asked.wave} asked for it.")


def _template(seen: Snapshot) -> Wish | None:
    """Only a change: a schedule that was just created has nothing to compare with."""
    before, spec = seen.schedule.status.template_digest, seen.schedule.spec
    if not spec.triggers.template_change or before in (None, template_digest(spec.job_template)):
        return None
    return Wish(Trigger.TEMPLATE, seen.now, "spec.jobTemplate is another than the last runs were made from.")


def _new_data(data: DataSeen, least: int, now: datetime) -> Wish | None:
    """Other objects, and rows enough more. What is there at the first look is what there was before."""
    more = data.rows - data.used_rows
    if data.used_digest is None or data.digest == data.used_digest or (least and more < least):
        return None
    told = f"The training data is another: {data.rows} rows, and {data.used_rows} when runs started last."
    return Wish(Trigger.NEW_DATA, now, told)


def _answered(seen: Snapshot, record: Record, tuned: TunedModel) -> bool:
    """Whether an answer to drift is on its way: a run, or a version that may take the champion's place by itself."""
    published = {v.uid for v in seen.runs if v.over and v.published and v.registers == tuned.metadata.name}
    by_figures = tuned.spec.promotion is Promotion.AUTOMATIC and tuned.spec.rollback_to is None
    coming = by_figures and (tuned.status.challenger is not None or bool(tuned.undecided()))
    return bool(record.runs) or bool(published - seen.registered) or coming


def _since(seen: Snapshot, record: Record) -> datetime | None:
    """What was seen before the last runs were over has been acted on."""
    last = max(seen.schedule.status.last_run_time or "", record.ended or "")
    return moment(last) if last else None


def _drift(asked: Drift, tuned: TunedModel, since: datetime | None, now: datetime) -> Wish | None:
    """The last looks in a row, all at the champion of today, and all since runs were over last."""
    champion = tuned.status.champion
    monitor = tuned.status.monitor
    if champion is None or monitor is None:
        return None
    fresh = [e for e in monitor.history if e.version == champion.version and (since is None or moment(e.at) > since)]
    told = [_moved(asked, entry) for entry in fresh[: asked.for_]]
    if len(told) < asked.for_ or not all(told):
        return None
    looks = f"In {asked.for_} looks in a row" if asked.for_ > 1 else "In the last look"
    return Wish(Trigger.DRIFT, now, f"{looks}, TunedModel {tuned.metadata.name}: {told[0]}.")


def _moved(asked: Drift, entry: LookEntry) -> str:
    """What of a look counts as drift, in words; empty where nothing does."""
    if asked.max_drop is None and asked.max_score is None:
        return _by_the_monitor(entry) if entry.drifted else ""
    found = []
    if asked.max_score is not None and entry.score is not None and entry.score > asked.max_score:
        found.append(f"inputs differ by {entry.score:.2f}, more than {asked.max_score:g}")
    found += [
        f"{m.metric} fell from {m.before:.4g} to {m.now:.4g}"
        for m in entry.metrics
        if asked.max_drop is not None and m.metric == asked.metric and m.drop > asked.max_drop
    ]
    return "; ".join(found)


def _by_the_monitor(entry: LookEntry) -> str:
    found = [f"{m.metric} fell from {m.before:.4g} to {m.now:.4g}" for m in entry.metrics if m.dropped]
    if entry.score is not None and entry.score_threshold is not None and entry.score > entry.score_threshold:
        found.append(f"inputs differ from those of training ({entry.score:.2f})")
    if not found and entry.psi is not None:
        found.append(f"labels come in other shares (PSI {entry.psi:.2f})")
    return "; ".join(found) or "the monitor reports drift"
