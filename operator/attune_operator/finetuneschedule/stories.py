"""The Events that tell a schedule's story: one for each start, each start that was skipped, and each hold. Pure."""

from attune_operator.api.conditions import ConditionType
from attune_operator.api.finetuneschedule import FineTuneScheduleStatus
from attune_operator.api.meta import Condition
from attune_operator.finetunejob.stories import Story


def stories(old: FineTuneScheduleStatus, new: FineTuneScheduleStatus, created: frozenset[str]) -> list[Story]:
    """What happened between two statuses; told only after the new one is stored and carried out.

    Args:
        old: the status as it was read.
        new: the status as it is stored now.
        created: runs that were created in between.
    """
    told: list[Story] = []
    if new.last_trigger is not None and new.last_trigger != old.last_trigger:
        told.append(Story("Normal", f"Triggered{new.last_trigger.trigger}", new.last_trigger.message))
    known = set(old.skipped)
    told += [
        Story("Normal", f"Skipped{s.trigger}", f"{s.reason}: {s.message}")
        for s in reversed(new.skipped)
        if s not in known
    ]
    told += [Story("Normal", "RunCreated", f"Created FineTuneJob {name}.") for name in sorted(created)]
    stalled, was = of(new.conditions, ConditionType.STALLED), of(old.conditions, ConditionType.STALLED)
    if stalled and stalled.status == "True" and not (was and was.status == "True" and was.reason == stalled.reason):
        told.append(Story("Warning", stalled.reason, stalled.message))
    return told


def of(conditions: tuple[Condition, ...], kind: ConditionType) -> Condition | None:
    """The condition of a kind."""
    return next((c for c in conditions if c.type == kind), None)
