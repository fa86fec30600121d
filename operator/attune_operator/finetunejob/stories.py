"""The Events that tell a run's story in `kubectl describe`: one for each thing that really happened. Pure."""

from typing import NamedTuple

from attune_contract.enums import Stage
from attune_operator.api.conditions import ConditionType
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJobStatus
from attune_operator.api.meta import Condition
from attune_operator.finetunejob.attempts import OPEN
from attune_operator.finetunejob.gate import sentence


class Story(NamedTuple):
    """One Event."""

    kind: str
    reason: str
    message: str


def stories(old: FineTuneJobStatus, new: FineTuneJobStatus) -> list[Story]:
    """What happened between two statuses, oldest first. Told only after the new one is stored and applied."""
    told = [s for a in new.attempts if (s := _attempt(_before(old, a), a, new))]
    stalled, was = _condition(new, ConditionType.STALLED), _condition(old, ConditionType.STALLED)
    over = _condition(new, ConditionType.FINISHED)
    is_stalled = stalled is not None and stalled.status == "True" and over is not None and over.status != "True"
    if stalled and is_stalled and not (was and was.status == "True" and was.reason == stalled.reason):
        told.append(Story("Warning", stalled.reason, stalled.message))
    if new.completion_time and not old.completion_time and over:
        failed = _condition(new, ConditionType.FAILED)
        bad = failed is not None and failed.status == "True"
        told.append(Story("Warning" if bad else "Normal", "Failed" if bad else "Succeeded", over.message))
    return told


def _before(old: FineTuneJobStatus, attempt: Attempt) -> Attempt | None:
    return next((a for a in old.attempts if (a.stage, a.number) == (attempt.stage, attempt.number)), None)


def _attempt(before: Attempt | None, after: Attempt, new: FineTuneJobStatus) -> Story | None:
    if before is None and after.state is AttemptState.PENDING:
        return Story("Normal", f"{after.stage}Started", f"Created Job {after.job_name} (attempt {after.number}).")
    if after.state in OPEN or (before is not None and before.state is after.state):
        return None
    if after.state is AttemptState.SUCCEEDED:
        return Story("Normal", f"{after.stage}Done", _done(after, new))
    kind = "Normal" if after.state is AttemptState.STOPPED else "Warning"
    return Story(kind, f"{after.stage}{after.state}", f"Attempt {after.number}: {after.reason}: {after.message}")


def _done(attempt: Attempt, new: FineTuneJobStatus) -> str:
    if attempt.stage is Stage.EVALUATE and new.evaluation is not None:
        return "; ".join(sentence(r) for r in new.evaluation.results)
    return attempt.message or f"Job {attempt.job_name} is complete."


def _condition(status: FineTuneJobStatus, kind: ConditionType) -> Condition | None:
    return next((c for c in status.conditions if c.type == kind), None)
