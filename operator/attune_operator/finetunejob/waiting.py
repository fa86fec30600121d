"""Why an attempt that was started does not run yet, in words for whoever can mend it. Pure."""

from dataclasses import dataclass

from attune_operator.api.conditions import Reason
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, Warned

IMAGE_REASONS = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
"""The kubelet's reasons for an image that it cannot get."""


TOLD_BY_THE_POD = frozenset({"FailedScheduling"})
"""Events that repeat what a condition of the pod says better, and that outlive their cause."""


@dataclass(frozen=True)
class Hold:
    """Why nothing moves. `stalled`: a person must act; else it is a matter of time."""

    reason: str
    message: str
    stalled: bool = True


def why_waiting(job: JobView | None, pods: tuple[PodView, ...], warnings: tuple[Warned, ...]) -> Hold | None:
    """What keeps pods of a Job from running, or None where nothing is known to.

    Args:
        job: the Job.
        pods: its pods, as far as they exist.
        warnings: recent warning Events about the Job and its pods, newest first.
    """
    if job is not None and job.state is JobState.SUSPENDED:
        return Hold(Reason.WAITING, f"Job {job.name} is suspended by its queue until quota is free.", stalled=False)
    pending = tuple(pod for pod in pods if pod.phase == "Pending")
    for pod in pending:
        if hold := _pod(pod):
            return hold
    telling = [w for w in warnings if w.reason not in TOLD_BY_THE_POD]
    return _warning(telling[0]) if telling and (pending or not pods) else None


def _pod(pod: PodView) -> Hold | None:
    if pod.unschedulable:
        missing_claim = "persistentvolumeclaim" in pod.unschedulable and "not found" in pod.unschedulable
        message = f"No node can take pod {pod.name}: {pod.unschedulable}"
        return Hold(Reason.UNSCHEDULABLE, message, stalled=missing_claim)
    if pod.waiting_reason in IMAGE_REASONS:
        return Hold(Reason.IMAGE_PULL_FAILED, f"Pod {pod.name}: {pod.waiting_reason}: {pod.waiting_message}")
    if pod.waiting_reason:
        return Hold(Reason.POD_FAILED, f"Pod {pod.name} cannot start: {pod.waiting_reason}: {pod.waiting_message}")
    return None


def _warning(warned: Warned) -> Hold:
    if "serviceaccount" in warned.message and "not found" in warned.message:
        return Hold(Reason.SERVICE_ACCOUNT_NOT_FOUND, warned.message)
    # The Job controller cannot make pods: quota or admission. All else (a mount, a sandbox) mostly passes by itself.
    return Hold(Reason.PODS_REJECTED, warned.message, stalled=warned.reason == "FailedCreate")
