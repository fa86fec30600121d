"""The record of attempts, brought up to what the cluster shows. Pure.

The record in `status.attempts` is the run's memory. A Job that ended is judged once and recorded, so that the record
survives Jobs and pods that somebody cleans away. Of an attempt that was ended from outside, what its pods say as they
go is added. Retry, suspension, preemption, a lost node and an empty budget are one mechanism: this attempt ends, and
another of the whole gang begins once nothing of it is left.
"""

from dataclasses import dataclass
from datetime import datetime

from attune_contract.enums import OutcomeState
from attune_contract.outcome import Outcome
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.classify import Ending, completed, failed, said
from attune_operator.finetunejob.masking import masked
from attune_operator.finetunejob.snapshot import JobState, PodView, Snapshot
from attune_operator.timing.moments import stamp

OPEN = frozenset({AttemptState.PENDING, AttemptState.RUNNING})
"""States of an attempt that has not ended."""
_ENDED_FROM_OUTSIDE = frozenset({Reason.SUSPENDED, Reason.BUDGET_EXCEEDED, Reason.EVICTED_BY_QUEUE})
"""Reasons of an attempt that is recorded as over before its pods are: they save a checkpoint, and say so."""


@dataclass(frozen=True)
class Settled:
    """The record after looking at the cluster, and what the pod said if the attempt ended just now."""

    attempts: tuple[Attempt, ...]
    outcome: Outcome | None = None
    log: tuple[str, ...] = ()
    """Last lines of the log, if the attempt failed just now."""

    @property
    def last(self) -> Attempt | None:
        """The newest attempt, or None before the first."""
        return self.attempts[-1] if self.attempts else None

    @property
    def open(self) -> Attempt | None:
        """The attempt that has not ended, if there is one; never more than one."""
        return self.last if self.last and self.last.state in OPEN else None


def settle(snapshot: Snapshot) -> Settled:
    """Brings the record of attempts up to what the cluster shows."""
    recorded = Settled(tuple(snapshot.run.status.attempts))
    attempt = recorded.open
    if attempt is None:
        return _heard(recorded, snapshot)
    attempt = _observed(attempt, snapshot)
    ending = _ending(attempt, snapshot)
    if ending is None:
        return Settled((*recorded.attempts[:-1], attempt))
    return Settled((*recorded.attempts[:-1], ended(attempt, snapshot, ending)), ending.outcome, ending.log)


def ended(attempt: Attempt, seen: Snapshot, ending: Ending) -> Attempt:
    """An attempt as it is recorded when it is over."""
    # The pods know when they ended; the operator may have been down since, and that time costs nobody anything.
    over = not any(p.alive for p in seen.pods)
    finished = (_finished(seen.pods) if over else "") or stamp(seen.now)
    return attempt.model_copy(
        update={
            "held_since": _held_since(attempt, seen),
            "image": next((p.image for p in seen.pods if p.image), None),
            "state": ending.state,
            "reason": ending.reason,
            "message": ending.message,
            "exit_code": ending.exit_code,
            **_told(attempt, ending.outcome),
            "end_time": finished,
        }
    )


def _told(attempt: Attempt, outcome: Outcome | None) -> dict[str, object]:
    """What an Outcome adds to the record of its attempt."""
    if outcome is None:
        return {}
    # 0 is a step as well: it began at the beginning.
    resumed = outcome.resumed_from_step if outcome.resumed_from_step is not None else attempt.resumed_from_step
    return {"resumed_from_step": resumed, "warnings": outcome.warnings or attempt.warnings}


def _heard(recorded: Settled, seen: Snapshot) -> Settled:
    """The record with what the pods of an attempt that was ended from outside said as they ended, once they have."""
    last, pods = recorded.last, seen.pods
    if last is None or last.reason not in _ENDED_FROM_OUTSIDE or last.exit_code is not None:
        return recorded
    if any(p.alive for p in pods) or all(p.exit_code is None for p in pods):
        return recorded
    heard = [(said(p, last), p) for p in pods]
    outcome, pod = min(heard, key=lambda h: 2 if h[0] is None else 1 if h[0].checkpoint is None else 0)
    update = {
        "held_since": _held_since(last, seen),
        "exit_code": pod.exit_code,
        "end_time": _finished(pods) or last.end_time,
        **_told(last, outcome),
    }
    if outcome is None or outcome.state is OutcomeState.SUCCEEDED:  # the next attempt finds it done, and says so
        return Settled((*recorded.attempts[:-1], last.model_copy(update=update)))
    update["message"] = f"{last.message} {outcome.message}".strip()
    return Settled((*recorded.attempts[:-1], last.model_copy(update=update)), outcome)


def _finished(pods: tuple[PodView, ...]) -> str:
    """When the last pod ended, RFC 3339; empty where that is not known."""
    return max((p.finished_at for p in pods), default="")


def _held_since(attempt: Attempt, seen: Snapshot) -> str | None:
    return attempt.held_since or min((p.started_at for p in seen.pods if p.started_at), default=None)


def _observed(attempt: Attempt, seen: Snapshot) -> Attempt:
    """The attempt with what its pods show, whether they still run or not."""
    update: dict[str, object] = {}
    job = seen.job
    begun = job is not None and job.state is JobState.ACTIVE and any(p.phase != "Pending" for p in seen.pods)
    if begun and attempt.state is AttemptState.PENDING:
        # Not before: one write for both, and what pods cost while their image is pulled is in it.
        update |= {"state": AttemptState.RUNNING, "held_since": _held_since(attempt, seen)}
    sample = seen.progress
    mine = sample is not None and (sample.stage, sample.attempt) == (attempt.stage, attempt.number)
    if sample is not None and mine and sample.resumed_from_step and attempt.resumed_from_step is None:
        update["resumed_from_step"] = sample.resumed_from_step
    if sample is not None and mine and sample.warnings:
        update["warnings"] = tuple(masked(w) for w in sample.warnings)
    return attempt.model_copy(update=update) if update else attempt


def _ending(attempt: Attempt, seen: Snapshot) -> Ending | None:
    """How an attempt ended, or None where it has not."""
    job = seen.job
    if seen.lost and not (job is not None and job.over):
        return _node_lost(seen)
    if job is None:
        return _without_job(attempt, seen)
    if job.state is JobState.COMPLETE:
        return completed(attempt, seen.pods)
    if job.state is JobState.FAILED:
        return failed(attempt, job, seen.pods)
    if job.state is JobState.SUSPENDED and attempt.state is AttemptState.RUNNING:
        return _evicted(attempt, seen)
    return None


def _without_job(attempt: Attempt, seen: Snapshot) -> Ending | None:
    if seen.pods:
        return None  # deleted, and its pods on their way out: attempts never overlap
    if attempt.state is AttemptState.PENDING:
        return None  # recorded, not created yet (or not by us): the plan creates it
    message = f"Job {attempt.job_name} was deleted while it ran."
    return Ending(AttemptState.FAILED, Reason.JOB_LOST, message)


def _evicted(attempt: Attempt, seen: Snapshot) -> Ending:
    """Kueue suspends a Job whose quota it takes away, and the Job controller deletes its pods."""
    queue = seen.queue
    if queue is None or not queue.evicted_reason:
        message = f"Job {attempt.job_name} was suspended while it ran, by Kueue or by a person."
    else:
        message = f"Kueue evicted Job {attempt.job_name}: {queue.evicted_reason}: {queue.evicted_message}"
    return Ending(AttemptState.FAILED, Reason.EVICTED_BY_QUEUE, message)


def _node_lost(seen: Snapshot) -> Ending:
    message = " ".join(f"Pod {pod} was given up: {why}" for pod, why in sorted(seen.lost.items()))
    return Ending(AttemptState.FAILED, Reason.NODE_LOST, message)


def age(attempt: Attempt, now: datetime) -> float:
    """Seconds since an attempt was recorded."""
    return (now - datetime.fromisoformat(attempt.start_time)).total_seconds()
