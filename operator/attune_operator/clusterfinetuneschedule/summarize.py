"""The status of a ClusterFineTuneSchedule, whole, from the snapshot and the plan. Pure."""

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneScheduleStatus
from attune_operator.clusterfinetuneschedule.plan import Plan
from attune_operator.clusterfinetuneschedule.snapshot import Snapshot
from attune_operator.timing.facts import conditions
from attune_operator.timing.moments import stamp

KEPT_SKIPPED = 5


def summarize(seen: Snapshot, plan: Plan) -> ClusterFineTuneScheduleStatus:
    """What the ClusterFineTuneSchedule's status shall be."""
    old, now, generation = seen.schedule.status, stamp(seen.now), seen.schedule.metadata.generation
    return old.model_copy(
        update={
            "observed_generation": generation,
            "message": plan.state.message,
            "conditions": conditions(plan.state, old.conditions, generation, now),
            "cron": plan.cron,
            "last_wave_time": now if plan.fired else old.last_wave_time,
            "next_wave_time": stamp(plan.next) if plan.next else None,
            "last_trigger": plan.fired or old.last_trigger,
            "skipped": (*plan.skipped, *old.skipped)[:KEPT_SKIPPED],
            "wave": plan.wave,
            "spend": plan.spend,
            "handled_trigger": plan.handled,
        }
    )
