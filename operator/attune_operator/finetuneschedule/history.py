"""Which runs of a schedule must go: those that were replaced, and those beyond the history limits. Pure."""

from collections.abc import Mapping

from attune_operator.api.enums import ConcurrencyPolicy
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.finetuneschedule.records import Record
from attune_operator.finetuneschedule.snapshot import RunView, Snapshot


def superfluous(seen: Snapshot, record: Record) -> tuple[RunView, ...]:
    """Runs to delete. One that published waits until its TunedModel has taken note of it.

    And one whose files would go with it waits for as long as they are in use.

    Args:
        seen: the schedule and its runs.
        record: the record as it shall be; runs in it are never deleted.
    """
    spec, kept = seen.schedule.spec, {r.name for r in record.runs}
    others = [v for v in seen.runs if v.name not in kept and not v.deleting]
    over = sorted((v for v in others if v.over), key=lambda v: (v.ended, v.name), reverse=True)
    noted = [v for v in over if not v.published or v.uid in seen.registered]
    free = [v for v in noted if not (v.sweeps and v.uid in seen.in_use)]
    good = [v for v in over if v.succeeded][spec.successful_runs_history_limit :]
    bad = [v for v in over if not v.succeeded][spec.failed_runs_history_limit :]
    replaced = [v for v in others if not v.over] if spec.concurrency_policy is ConcurrencyPolicy.REPLACE else []
    # A run is recorded before it is created: one that is active and not recorded was replaced.
    return (*replaced, *(v for v in (*good, *bad) if v in free))


def registered(views: tuple[RunView, ...], models: Mapping[str, TunedModel]) -> frozenset[str]:
    """UIDs of runs that their TunedModel has taken note of; where there is none, nobody will.

    Args:
        views: runs of the schedule.
        models: the TunedModels of its namespace by name.
    """
    return frozenset(v.uid for v in views if v.registers not in models or v.uid in _noted(models[v.registers]))


def in_use(views: tuple[RunView, ...], models: Mapping[str, TunedModel]) -> frozenset[str]:
    """UIDs of runs whose version is in use, or may come into use by itself."""
    there = [v for v in views if v.registers in models]
    return frozenset(v.uid for v in there if models[v.registers].needs(v.uid))


def _noted(model: TunedModel) -> set[str]:
    return {v.run_id for v in model.status.versions} | {d.run_id for d in model.status.declined}
