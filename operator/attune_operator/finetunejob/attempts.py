"""What became of an attempt: read from its Job, its pods and their Outcome, and classified. Pure.

The record in `status.attempts` is the run's memory. A Job that ended is judged once, recorded, and never looked at
again; so the record survives Jobs and pods that somebody cleans away.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from attune_contract.enums import FINAL_EXIT_CODES, ExitCode, OutcomeState
from attune_contract.outcome import Outcome
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.snapshot import JobState, PodView, Snapshot, stamp

OPEN = frozenset({AttemptState.PENDING, AttemptState.RUNNING})
"""States of an attempt that has not ended."""
NOT_COUNTED = frozenset({Reason.POD_DISRUPTED, Reason.JOB_LOST, Reason.SUSPENDED})
"""Reasons that are nobody's mistake: they do not use up `spec.retryLimit`."""
EVICTIONS = frozenset(
    {
        "Evicted",
        "ContainerStatusUnknown",
        "NodeLost",
        "NodeShutdown",
        "Shutdown",
        "Terminated",
        "Preempting",
        "NodeAffinity",
    }
)
"""Reasons of a pod that the cluster, not the trainer, ended."""
_REASON_BY_EXIT_CODE = {
    ExitCode.BAD_INPUT: Reason.INVALID_DATA,
    ExitCode.BAD_CONFIGURATION: Reason.INVALID_CONFIGURATION,
    ExitCode.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    ExitCode.DIVERGED: Reason.DIVERGED,
    ExitCode.STALLED: Reason.NO_PROGRESS,
    ExitCode.STORE_UNREACHABLE: Reason.STORE_UNREACHABLE,
}
_FIRST_BACKOFF = timedelta(seconds=10)
_LONGEST_BACKOFF = timedelta(minutes=5)
_LONGEST_BLOCKED_BACKOFF = timedelta(minutes=1)


@dataclass(frozen=True)
class Settled:
    """The record after looking at the cluster, and what the pod said if the attempt ended just now."""

    attempts: tuple[Attempt, ...]
    outcome: Outcome | None = None

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
        return recorded
    updated, outcome = _observe(attempt, snapshot)
    return Settled((*recorded.attempts[:-1], updated), outcome)


def suspended(attempt: Attempt | None) -> bool:
    """Whether an attempt was ended by `spec.suspend`; its Job may still be on its way out."""
    return attempt is not None and attempt.state is AttemptState.STOPPED and attempt.reason == Reason.SUSPENDED


def counted(attempt: Attempt) -> bool:
    """Whether an attempt uses up `spec.retryLimit`: it failed, and not by the cluster's doing."""
    return attempt.state is AttemptState.FAILED and attempt.reason not in NOT_COUNTED


def is_final(attempt: Attempt) -> bool:
    """Whether the same attempt would only fail again."""
    return attempt.exit_code in FINAL_EXIT_CODES or attempt.reason == Reason.OUT_OF_MEMORY


def failures(attempts: tuple[Attempt, ...]) -> int:
    """Failures of the newest attempt's stage that count against `spec.retryLimit`."""
    return sum(1 for a in attempts if a.stage == attempts[-1].stage and counted(a))


def wait_before_next(attempts: tuple[Attempt, ...], now: datetime) -> timedelta:
    """How long until the next attempt may start: nothing after a pause, longer after each end in a row."""
    last = attempts[-1]
    if suspended(last):
        return timedelta()
    in_a_row = 0
    for attempt in reversed(attempts):
        if attempt.stage != last.stage or attempt.state is not last.state:
            break
        in_a_row += 1
    longest = _LONGEST_BLOCKED_BACKOFF if last.state is AttemptState.BLOCKED else _LONGEST_BACKOFF
    backoff = min(longest, _FIRST_BACKOFF * 2.0 ** min(in_a_row - 1, 10))
    ended = datetime.fromisoformat(last.end_time or last.start_time)
    # The end is by the node's clock: one that is ahead must not stretch the wait.
    return min(backoff, ended + backoff - now)


def _observe(attempt: Attempt, snapshot: Snapshot) -> tuple[Attempt, Outcome | None]:
    job = snapshot.job
    if job is None and snapshot.pods:
        return attempt, None  # deleted, and its pods on their way out: attempts never overlap
    if job is None:
        if attempt.state is AttemptState.PENDING:
            return attempt, None  # recorded, not created yet (or not by us): the plan creates it
        message = f"Job {attempt.job_name} was deleted while it ran."
        return _ended(attempt, snapshot, AttemptState.FAILED, Reason.JOB_LOST, message), None
    if job.state is JobState.COMPLETE:
        return _complete(attempt, snapshot)
    if job.state is JobState.FAILED:
        return _failed(attempt, snapshot)
    running = any(p.phase != "Pending" for p in snapshot.pods)
    return attempt.model_copy(update={"state": AttemptState.RUNNING}) if running else attempt, None


def _complete(attempt: Attempt, snapshot: Snapshot) -> tuple[Attempt, Outcome | None]:
    outcome = next((o for p in snapshot.pods if (o := _outcome(p, attempt))), None)
    if outcome is None:
        message = f"Job {attempt.job_name} completed, but its Outcome could not be read; the stage reports again."
        return _ended(attempt, snapshot, AttemptState.FAILED, Reason.OUTCOME_LOST, message), None
    ended = _ended(attempt, snapshot, AttemptState.SUCCEEDED, Reason.DONE, outcome.message, exit_code=ExitCode.DONE)
    return ended, outcome


def _failed(attempt: Attempt, snapshot: Snapshot) -> tuple[Attempt, Outcome | None]:
    pod = _culprit(snapshot.pods, attempt)
    if pod is None and snapshot.job is not None and snapshot.job.disrupted:
        message = f"The cluster ended a pod of Job {attempt.job_name}: {snapshot.job.disrupted}"
        return _ended(attempt, snapshot, AttemptState.FAILED, Reason.POD_DISRUPTED, message), None
    if pod is None:
        message = f"Job {attempt.job_name} failed and its pods are gone."
        return _ended(attempt, snapshot, AttemptState.FAILED, Reason.JOB_LOST, message), None
    outcome = _outcome(pod, attempt)
    if (
        outcome is not None
        and not (pod.disrupted or pod.terminated_reason in EVICTIONS)
        and outcome.state is not OutcomeState.SUCCEEDED
    ):
        state = AttemptState(outcome.state.value)
        return _ended(attempt, snapshot, state, outcome.reason, outcome.message, exit_code=pod.exit_code), outcome
    reason, message = _classify(pod)
    return _ended(attempt, snapshot, AttemptState.FAILED, reason, message, exit_code=pod.exit_code), None


def _outcome(pod: PodView, attempt: Attempt) -> Outcome | None:
    """What a pod left as its Outcome, if it speaks of this attempt."""
    outcome = Outcome.loads(pod.termination_message)
    mine = outcome is not None and (outcome.stage, outcome.attempt) == (attempt.stage, attempt.number)
    return outcome if mine else None


def _culprit(pods: tuple[PodView, ...], attempt: Attempt) -> PodView | None:
    """The pod that explains the failure.

    One that says something final comes first; then one that the cluster ended, because its peers fall for want of it
    and say so; then one that says anything; last, one that was only told to stop.
    """

    def weight(pod: PodView) -> int:
        outcome = _outcome(pod, attempt)
        if outcome and (pod.exit_code in FINAL_EXIT_CODES or outcome.state is OutcomeState.BLOCKED):
            return 0
        if pod.disrupted or pod.terminated_reason in {*EVICTIONS, "OOMKilled"}:
            return 1
        if outcome and outcome.state is OutcomeState.FAILED:
            return 2
        return 3 if pod.exit_code else 4

    return min(pods, key=weight, default=None)


def _classify(pod: PodView) -> tuple[str, str]:
    """Reason and message for a pod that did not get to say anything."""
    if pod.disrupted or pod.terminated_reason in EVICTIONS:
        why = pod.disrupted or pod.termination_message or pod.terminated_reason
        return Reason.POD_DISRUPTED, f"Pod {pod.name} was ended by the cluster: {why}"
    if pod.terminated_reason == "OOMKilled":
        return Reason.OUT_OF_MEMORY, (
            f"Pod {pod.name} used more memory than spec.resources.memory and was killed. Raise spec.resources.memory, "
            "or lower spec.training.batchSize or spec.training.sequenceLength."
        )
    reason = _REASON_BY_EXIT_CODE.get(pod.exit_code or 0, Reason.POD_FAILED)  # type: ignore[call-overload]
    said = pod.termination_message.strip()[-1000:] or "it left no message; see its log"
    return reason, f"Pod {pod.name} ended with exit code {pod.exit_code}: {said}"


def _ended(
    attempt: Attempt,
    seen: Snapshot,
    state: AttemptState,
    reason: str,
    message: str,
    *,
    exit_code: int | None = None,
) -> Attempt:
    # The pods know when they ended; the operator may have been down since, and that time costs nobody anything.
    finished = max((p.finished_at for p in seen.pods), default="") or stamp(seen.now)
    return attempt.model_copy(
        update={
            "image": next((p.image for p in seen.pods if p.image), None),
            "state": state,
            "reason": reason,
            "message": message,
            "exit_code": exit_code,
            "end_time": finished,
        }
    )
