"""The status of a schedule, whole, from the snapshot and the plan. Pure; the same input gives the same bytes."""

from decimal import Decimal

from attune_operator.api.finetuneschedule import FineTuneScheduleStatus, ScheduleSummary
from attune_operator.api.schedules import LastTrigger
from attune_operator.finetuneschedule.plan import Plan
from attune_operator.finetuneschedule.records import money
from attune_operator.finetuneschedule.snapshot import Snapshot
from attune_operator.timing.facts import conditions
from attune_operator.timing.moments import stamp

KEPT_SKIPPED = 5


def summarize(seen: Snapshot, plan: Plan) -> FineTuneScheduleStatus:
    """What the FineTuneSchedule's status shall be."""
    old, now, generation = seen.schedule.status, stamp(seen.now), seen.schedule.metadata.generation
    fired, record = plan.fired, plan.record
    last = LastTrigger(trigger=fired.trigger, time=now, message=fired.message) if fired else old.last_trigger
    return old.model_copy(
        update={
            "observed_generation": generation,
            "message": plan.state.message,
            "conditions": conditions(plan.state, old.conditions, generation, now),
            "cron": plan.cron,
            "last_run_time": now if fired else old.last_run_time,
            "last_end_time": record.ended,
            "next_run_time": stamp(plan.next) if plan.next else None,
            "last_trigger": last,
            "skipped": (*plan.skipped, *old.skipped)[:KEPT_SKIPPED],
            "runs": record.runs,
            "failures_in_a_row": record.failures,
            "spend": record.spend,
            "template_digest": plan.template_digest,
            "data": plan.data,
            "wave": record.wave,
            "handled_trigger": plan.handled,
            "summary": _summary(plan),
        }
    )


def _summary(plan: Plan) -> ScheduleSummary:
    spend, active = plan.record.spend, plan.record.active
    spent = Decimal(spend.amount) + sum((Decimal(r.cost) for r in active), Decimal(0))
    return ScheduleSummary(active=len(active), spent=f"{money(spent)} {spend.currency}" if spend.currency else None)
