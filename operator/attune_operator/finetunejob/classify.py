"""What a Job that ended says: which pod explains it, and with which reason. Pure.

| what is seen | state | reason | counted |
| --- | --- | --- | --- |
| the pod's own Outcome | as it says | as it says | where Failed |
| DisruptionTarget, Evicted, node shut down, pod deleted | Failed | PodDisrupted | no |
| refused by its kubelet: no container of it ever ran | Failed | PodDisrupted | no |
| OOMKilled, exit code 12 | Failed | OutOfMemory | final |
| exit code 10, 11, 13 without an Outcome | Failed | by the code | final |
| exit code 30 without an Outcome | Stopped | Stopped | no |
| any other end (exit code 1, 14, 20, signals) | Failed | by the code, or PodFailed | yes |
| the Job ended, its pods are gone | Failed | PodDisrupted or JobLost | no |
| evicted for the disk that it filled itself | Failed | PodFailed | yes |
"""

import re
from typing import NamedTuple

from attune_contract.enums import FINAL_EXIT_CODES, ExitCode, OutcomeState, StopReason
from attune_contract.outcome import LOG_LINES, MAX_LOG_LINE, Outcome
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt
from attune_operator.finetunejob.masking import masked
from attune_operator.finetunejob.snapshot import JobView, PodView

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
_OF_OTHERS = frozenset({Reason.UNEXPECTED_ERROR, Reason.TERMINATED})
"""What a pod says that mostly fell for want of another one of its gang."""
_REASON_BY_EXIT_CODE = {
    ExitCode.BAD_INPUT: Reason.INVALID_DATA,
    ExitCode.BAD_CONFIGURATION: Reason.INVALID_CONFIGURATION,
    ExitCode.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    ExitCode.DIVERGED: Reason.DIVERGED,
    ExitCode.STALLED: Reason.NO_PROGRESS,
    ExitCode.STORE_UNREACHABLE: Reason.STORE_UNREACHABLE,
}
_FULL_DISK = re.compile(
    r"(?i)ephemeral local storage usage exceeds the total limit|exceeded its local ephemeral storage limit|"
    r"usage of emptydir volume .* exceeds the limit"
)
"""The kubelet's words for a pod that it evicts because it wrote more to local disk than a limit allows: the next one
would do the same. A node that is merely short of something evicts whom it likes, and is none of these.
Source: kubernetes pkg/kubelet/eviction/helpers.go."""
_FIRST_SIGNAL = 128
"""A process that a signal ended has this exit code plus the signal's number."""
_MOST_WORDS = 1000
"""Characters that are told of what a pod said last."""


class Ending(NamedTuple):
    """How an attempt ended."""

    state: AttemptState
    reason: str
    message: str
    exit_code: int | None = None
    outcome: Outcome | None = None
    log: tuple[str, ...] = ()
    """Last lines of the log of a pod that failed, secrets masked."""


def completed(attempt: Attempt, pods: tuple[PodView, ...]) -> Ending | None:
    """Of a Job all of whose pods succeeded; None where what was read of its pods is older than that."""
    outcome = next((o for p in pods if (o := said(p, attempt))), None)
    if outcome is not None:
        return Ending(AttemptState.SUCCEEDED, Reason.DONE, outcome.message, ExitCode.DONE, outcome)
    if any(p.alive for p in pods):
        return None
    if not pods:  # cleaned away, or their node is gone: no fault of the stage's, whose result is in the store
        message = (
            f"Job {attempt.job_name} completed, and its pods were gone before their Outcome was read; the stage "
            "reports again what it did."
        )
        return Ending(AttemptState.FAILED, Reason.JOB_LOST, message)
    message = f"Job {attempt.job_name} completed, but its Outcome could not be read; the stage reports again."
    return Ending(AttemptState.FAILED, Reason.OUTCOME_LOST, message)


def failed(attempt: Attempt, job: JobView, pods: tuple[PodView, ...]) -> Ending:
    """Of a Job that failed."""
    pod = _culprit(pods, attempt)
    if pod is None and job.disrupted:
        message = f"The cluster ended a pod of Job {attempt.job_name}: {job.disrupted}"
        return Ending(AttemptState.FAILED, Reason.POD_DISRUPTED, message)
    if pod is None:
        message = f"Job {attempt.job_name} failed and its pods are gone."
        return Ending(AttemptState.FAILED, Reason.JOB_LOST, message)
    outcome = said(pod, attempt)
    if outcome is None or outcome.state is OutcomeState.SUCCEEDED:
        return Ending(*_classify(pod), pod.exit_code, None, _log(pod, None))
    state, reason, message = AttemptState(outcome.state.value), outcome.reason, outcome.message
    if outcome.stop_reason is StopReason.BUDGET:
        reason = Reason.BUDGET_EXCEEDED
    elif _by_the_cluster(pod) and pod.exit_code not in FINAL_EXIT_CODES and state is not AttemptState.BLOCKED:
        reason, message = Reason.POD_DISRUPTED, f"{_classify(pod)[2]} {outcome.message}".strip()
    return Ending(state, reason, message, pod.exit_code, outcome, _log(pod, outcome))


def said(pod: PodView, attempt: Attempt) -> Outcome | None:
    """What a pod left as its Outcome, if it speaks of this attempt; secrets that it did not know are masked."""
    outcome = Outcome.loads(pod.termination_message)
    if outcome is None or (outcome.stage, outcome.attempt) != (attempt.stage, attempt.number):
        return None
    warnings = tuple(masked(w) for w in outcome.warnings)
    return outcome.model_copy(update={"message": masked(outcome.message), "warnings": warnings})


def _by_the_cluster(pod: PodView) -> bool:
    return not _filled_its_disk(pod) and bool(pod.leaving_at or _taken(pod))


def _taken(pod: PodView) -> bool:
    return bool(pod.disrupted) or pod.terminated_reason in EVICTIONS or _refused(pod)


def _refused(pod: PodView) -> bool:
    """Whether a pod failed without any container of it having run: its kubelet did not let it in.

    As while a device plugin starts anew (UnexpectedAdmissionError, OutOfnvidia.com/gpu, TopologyAffinityError). A pod
    that is deleted before it starts looks alike; of a gang that is its peers' doing. Source: kubernetes
    pkg/kubelet/lifecycle/predicate.go and pkg/kubelet/kubelet.go, rejectPod.
    """
    return pod.phase == "Failed" and pod.exit_code is None and not pod.leaving_at


def _filled_its_disk(pod: PodView) -> bool:
    return bool(_FULL_DISK.search(_evicted(pod)))


def _culprit(pods: tuple[PodView, ...], attempt: Attempt) -> PodView | None:
    """The pod that explains the failure.

    One that says something final comes first; then one that the cluster ended, because its peers fall for want of it
    and say so; then one that says what happened to itself; then one that only says that it fell, or failed without a
    word; last, those that were taken down after it. Of those that are alike, the first that ended.
    """

    def weight(pod: PodView) -> int:
        outcome = said(pod, attempt)
        if outcome and (pod.exit_code in FINAL_EXIT_CODES or outcome.state is OutcomeState.BLOCKED):
            return 0
        if _taken(pod) or pod.terminated_reason == "OOMKilled":
            return 1
        failed = outcome is not None and outcome.state is OutcomeState.FAILED
        own = outcome is not None and failed and outcome.reason not in _OF_OTHERS
        rank = 2 if own else 3 if failed or pod.exit_code else 6
        # The Job controller takes the rest of a gang down when one pod fails: those have nothing to explain.
        return rank + 2 if pod.leaving_at and rank < 4 else rank  # noqa: PLR2004 - the ranks above

    return min(pods, key=lambda pod: (weight(pod), pod.finished_at or "~"), default=None)


def _classify(pod: PodView) -> tuple[AttemptState, str, str]:
    """State, reason and message for a pod that did not get to say anything that counts."""
    if pod.terminated_reason == "OOMKilled" and not pod.disrupted:
        message = (
            f"Pod {pod.name} used more memory than spec.resources.memory and was killed. Raise spec.resources.memory, "
            "or lower spec.training.batchSize or spec.training.sequenceLength."
        )
        return AttemptState.FAILED, Reason.OUT_OF_MEMORY, message
    if _filled_its_disk(pod):
        message = (
            f"Pod {pod.name} wrote more to its node's disk than it may, and was evicted: {_evicted(pod).strip()} Raise "
            "that limit, which comes from the namespace's LimitRange, or ask for a runtime with a cache for models."
        )
        return AttemptState.FAILED, Reason.POD_FAILED, message
    if _by_the_cluster(pod):
        why = _evicted(pod) or "it was deleted."
        return AttemptState.FAILED, Reason.POD_DISRUPTED, f"Pod {pod.name} was ended by the cluster: {why}"
    if pod.exit_code == ExitCode.STOPPED_WITH_CHECKPOINT:
        return AttemptState.STOPPED, Reason.STOPPED, f"Pod {pod.name} was told to stop, and did."
    reason = _REASON_BY_EXIT_CODE.get(pod.exit_code or 0, Reason.POD_FAILED)  # type: ignore[call-overload]
    words = _end(masked(pod.termination_message.strip())) or "it left no message; see its log"
    return AttemptState.FAILED, reason, f"Pod {pod.name} ended with {_code(pod.exit_code)}: {words}"


def _evicted(pod: PodView) -> str:
    """Why the kubelet evicted or refused a pod, in its words: in the condition, or in the pod's own message."""
    if pod.disrupted or not (pod.terminated_reason in EVICTIONS or _refused(pod)):
        return pod.disrupted
    return pod.termination_message or pod.terminated_reason


def _end(text: str) -> str:
    """The last whole lines of a text that is too long to be told; where a long line ends it, its end."""
    if len(text) <= _MOST_WORDS:
        return text
    whole = text[-_MOST_WORDS - 1 :].partition("\n")[2]
    return whole if len(whole) > _MOST_WORDS // 2 else text[-_MOST_WORDS:]


def _code(code: int | None) -> str:
    if code is None:
        return "no exit code"
    return f"exit code {code} (signal {code - _FIRST_SIGNAL})" if code > _FIRST_SIGNAL else f"exit code {code}"


def _log(pod: PodView, outcome: Outcome | None) -> tuple[str, ...]:
    """The Outcome's own, or the lines that the kubelet took in the place of an Outcome."""
    lines = outcome.log_tail if outcome is not None else tuple(pod.termination_message.splitlines())
    return tuple(masked(line)[:MAX_LOG_LINE] for line in lines[-LOG_LINES:])
