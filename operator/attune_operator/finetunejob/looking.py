"""What became of the Job of a look: one pod that says what it found in data or in published versions. Pure."""

from attune_operator.api.conditions import Reason
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.classify import Ending, completed, failed
from attune_operator.finetunejob.retries import NOT_COUNTED
from attune_operator.finetunejob.snapshot import JobState, JobView, LookView, PodView, QueueView, Warned
from attune_operator.finetunejob.waiting import why_waiting


def look_view(
    attempt: Attempt,
    job: JobView,
    pods: tuple[PodView, ...],
    warnings: tuple[Warned, ...],
    queue: QueueView | None = None,
) -> LookView:
    """How far a look is; its end is judged as that of any other attempt.

    Args:
        attempt: the look, as its pod was told of it.
        job: its Job.
        pods: the Job's.
        warnings: recent warning Events about them, newest first.
        queue: what Kueue says of a Job that is suspended.
    """
    if not job.over:
        hold = why_waiting(job, pods, warnings, queue)
        return LookView(over=False, queued=job.state is JobState.SUSPENDED, waits=hold.message if hold else "")
    if job.expired:  # its pods are ended for it, which looks like a disruption
        return LookView(over=True, words=f"{Reason.NO_PROGRESS}: {job.failure}")
    ending = failed(attempt, job, pods) if job.state is JobState.FAILED else completed(attempt, pods)
    if ending is None:
        return LookView(over=False)
    words = "" if ending.reason == Reason.DONE else _words(ending)
    return LookView(over=True, outcome=ending.outcome, words=words, disrupted=ending.reason in NOT_COUNTED)


def _words(ending: Ending) -> str:
    if ending.reason == Reason.OUT_OF_MEMORY and ending.outcome is None:
        # What a run should change is not what a look's owner can.
        return f"{ending.reason}: its pod used more memory than it may, and was killed."
    return f"{ending.reason}: {ending.message}"
