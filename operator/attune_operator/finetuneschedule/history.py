"""Which runs of a schedule must go: those that were replaced, and those beyond the history limits. Pure."""

from attune_operator.api.enums import ConcurrencyPolicy
from attune_operator.finetuneschedule.records import Record
from attune_operator.finetuneschedule.snapshot import RunView, Snapshot


def superfluous(seen: Snapshot, record: Record) -> tuple[RunView, ...]:
    """Runs to delete. One that published waits until its TunedModel has taken note of it.

    Args:
        seen: the schedule and its runs.
        record: the record as it shall be; runs in it are never deleted.
    """
    spec, kept = seen.schedule.spec, {r.name for r in record.runs}
    others = [v for v in seen.runs if v.name not in kept and not v.deleting]
    over = sorted((v for v in others if v.over), key=lambda v: (v.ended, v.name), reverse=True)
    noted = [v for v in over if not v.published or v.uid in seen.registered]
    good = [v for v in over if v.succeeded][spec.successful_runs_history_limit :]
    bad = [v for v in over if not v.succeeded][spec.failed_runs_history_limit :]
    replaced = [v for v in others if not v.over] if spec.concurrency_policy is ConcurrencyPolicy.REPLACE else []
    # A run is recorded before it is created: one that is active and not recorded was replaced.
    return (*replaced, *(v for v in (*good, *bad) if v in noted))
