"""Which attempts the operator ends itself, though their pods would go on: one rule each, in order. Pure."""

from datetime import timedelta

from attune_contract.enums import Stage
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.budget import left, limits
from attune_operator.finetunejob.classify import Ending
from attune_operator.finetunejob.cost import held_seconds
from attune_operator.finetunejob.grace import grace_seconds
from attune_operator.finetunejob.obstacles import suspended_hold
from attune_operator.finetunejob.snapshot import JobState, Snapshot
from attune_operator.finetunejob.waiting import Hold, why_waiting
from attune_operator.settings import Settings

OVERRUN_SECONDS = 60.0
"""How long after its deadline, and its grace period, training may go on before it is ended: its pod's clock starts a
little later than its bill."""
LONGEST = timedelta(hours=24)
"""How long the pods of a stage other than training may run. Nobody watches their progress from within, and one that
hangs would hold its accelerators for ever."""
_SUSPENDED = Ending(
    AttemptState.STOPPED,
    Reason.SUSPENDED,
    "Suspended by spec.suspend; the stage starts again from its last complete checkpoint when it is false.",
)


def early(seen: Snapshot, attempt: Attempt, settings: Settings) -> tuple[Ending, Hold] | None:
    """How an attempt is ended that is paused, over budget, too long at it, or made for a runtime that is no more.

    Args:
        seen: the run as it was read.
        attempt: the attempt that is under way.
        settings: sizes of the CPU stages, for the budget.

    Returns:
        Its end, and what the run says meanwhile; None for one that goes on.
    """
    if seen.run.spec.suspend:
        return _SUSPENDED, suspended_hold()
    if ending := _over_budget(seen, attempt, settings):
        return ending, Hold(Reason.BUDGET_EXCEEDED, ending.message)
    for ending in (_hanging(seen, attempt), _outdated(seen, attempt)):
        if ending is not None:
            return ending, Hold(ending.reason, ending.message, stalled=False)
    return None


def _over_budget(seen: Snapshot, attempt: Attempt, settings: Settings) -> Ending | None:
    """An attempt that goes on though its budget is used up; training has had the time to stop by itself."""
    # What preflight finds out is whether the budget will do: it comes to its end, however small that is.
    if seen.runtime is None or attempt.held_since is None or attempt.stage is Stage.PREFLIGHT:
        return None
    attempts = (*seen.run.status.attempts[:-1], attempt)
    remaining = left(seen.run, seen.runtime, attempts, attempt.stage, now=seen.now, settings=settings)
    slack = OVERRUN_SECONDS + grace_seconds(seen.run, Stage.TRAIN) if attempt.stage is Stage.TRAIN else 0.0
    if remaining is None or remaining > -slack:
        return None
    told = " It did not stop by itself." if attempt.stage is Stage.TRAIN else ""
    message = (
        f"spec.budget ({limits(seen.run)}) is used up, so {attempt.stage} was ended.{told} Raise or remove "
        "spec.budget to go on."
    )
    return Ending(AttemptState.STOPPED, Reason.BUDGET_EXCEEDED, message)


def _hanging(seen: Snapshot, attempt: Attempt) -> Ending | None:
    """A stage that watches over itself no further than its budget, and has been at it for longer than any needs."""
    if attempt.stage is Stage.TRAIN or attempt.held_since is None:
        return None
    if held_seconds(attempt, seen.now) <= LONGEST.total_seconds():
        return None
    hours = LONGEST.total_seconds() / 3600
    message = f"{attempt.stage} ran for more than {hours:.0f} hours; it was taken to hang, and ended."
    return Ending(AttemptState.FAILED, Reason.NO_PROGRESS, message)


def _outdated(seen: Snapshot, attempt: Attempt) -> Ending | None:
    """A Job that cannot start, made for a runtime that was mended since: Jobs are never changed, so it is made anew."""
    job, runtime = seen.job, seen.runtime
    if job is None or runtime is None or not job.runtime or attempt.state is not AttemptState.PENDING:
        return None
    begun = any(p.phase != "Pending" for p in seen.pods)
    waiting = job.state is JobState.SUSPENDED or why_waiting(job, seen.pods, seen.warnings) is not None
    if begun or not waiting or job.runtime == runtime.digest:
        return None
    message = f"TuningRuntime {runtime.metadata.name!r} was changed while the attempt waited to start."
    return Ending(AttemptState.STOPPED, Reason.RUNTIME_CHANGED, message)
