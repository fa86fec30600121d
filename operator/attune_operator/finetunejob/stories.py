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


LONGEST = 1000
"""Bytes of an Event's message; the API's limit is a little above."""


def stories(
    old: FineTuneJobStatus, new: FineTuneJobStatus, created: Attempt | None = None, log: tuple[str, ...] = ()
) -> list[Story]:
    """What happened between two statuses, oldest first. Told only after the new one is stored and applied.

    Args:
        old: the status as it was read.
        new: the status as it is stored now.
        created: the attempt whose Job was created in between.
        log: the last lines of the log of the attempt that failed in between, secrets masked.
    """
    told = [s for a in new.attempts for s in _warned(_before(old, a), a)]
    told += [s for a in new.attempts if (s := _ended(_before(old, a), a, new))]
    told += _last_words(old, new, log)
    if created is not None and not _repeats(created, new):
        message = f"Created Job {created.job_name} (attempt {created.number})."
        told.append(Story("Normal", f"{created.stage}Started", message))
    told += _refined(old, new)
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


def _warned(before: Attempt | None, after: Attempt) -> list[Story]:
    """What an attempt met without ending by it, such as a checkpoint that could not be used."""
    known = (before.warnings if before else None) or ()
    return [Story("Warning", f"{after.stage}Warning", w) for w in after.warnings or () if w not in known]


def _last_words(old: FineTuneJobStatus, new: FineTuneJobStatus, log: tuple[str, ...]) -> list[Story]:
    """The end of the log of the attempt that failed just now: as many of its last lines as an Event holds."""
    failed = [
        a
        for a in new.attempts
        if a.state is AttemptState.FAILED and (before := _before(old, a)) is not None and before.state in OPEN
    ]
    if not failed or not log:
        return []
    head = f"Last lines of the log of attempt {failed[-1].number}:"
    kept: list[str] = []
    room = LONGEST - len(head)
    for line in reversed(log):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.insert(0, line)
    return [Story("Normal", f"{failed[-1].stage}Log", "\n".join([head, *kept]))] if kept else []


def _refined(old: FineTuneJobStatus, new: FineTuneJobStatus) -> list[Story]:
    """That the estimate goes by measured steps now; not where training was over before they were seen."""
    before, after = old.estimate, new.estimate
    fresh = after is not None and after.measured_steps is not None and (before is None or before.measured_steps is None)
    if not fresh or after is None or after.actual is not None:
        return []
    return [Story("Normal", "EstimateRefined", f"By {after.measured_steps} measured steps: {after.in_words}.")]


def _repeats(attempt: Attempt, new: FineTuneJobStatus) -> bool:
    """Whether an attempt only looks again for what an earlier one found missing: told once is enough."""
    earlier = [a for a in new.attempts if a.stage is attempt.stage and a.number < attempt.number]
    return bool(earlier) and earlier[-1].state is AttemptState.BLOCKED


def _before(old: FineTuneJobStatus, attempt: Attempt) -> Attempt | None:
    return next((a for a in old.attempts if (a.stage, a.number) == (attempt.stage, attempt.number)), None)


def _ended(before: Attempt | None, after: Attempt, new: FineTuneJobStatus) -> Story | None:
    if before is None or after.state in OPEN or before.state is after.state:
        return None
    if after.state is AttemptState.SUCCEEDED:
        return Story("Normal", f"{after.stage}Done", _done(after, new))
    if after.state is AttemptState.BLOCKED:
        return None  # the condition Stalled tells it
    kind = "Normal" if after.state is AttemptState.STOPPED else "Warning"
    return Story(kind, f"{after.stage}{after.state}", f"Attempt {after.number}: {after.reason}: {after.message}")


def _done(attempt: Attempt, new: FineTuneJobStatus) -> str:
    if attempt.stage is Stage.EVALUATE and new.evaluation is not None:
        return "; ".join(sentence(r) for r in new.evaluation.results)
    said = attempt.message or f"Job {attempt.job_name} is complete."
    expected = new.estimate
    if attempt.stage is Stage.TRAIN and expected is not None and expected.actual and expected.duration:
        low, high = expected.duration.low, expected.duration.high
        return f"{said} Training was estimated to take {low} to {high} and took {expected.actual.duration}."
    return said


def _condition(status: FineTuneJobStatus, kind: ConditionType) -> Condition | None:
    return next((c for c in status.conditions if c.type == kind), None)
