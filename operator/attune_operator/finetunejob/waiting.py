"""Why an attempt that was started does not run yet, in words for whoever can mend it. Pure."""

from dataclasses import dataclass

from attune_operator.api.conditions import Reason
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView

IMAGE_REASONS = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
"""The kubelet's reasons for an image that it cannot get."""


@dataclass(frozen=True)
class Hold:
    """Why nothing moves. `stalled`: a person must act; else it is a matter of time."""

    reason: str
    message: str
    stalled: bool = True


def why_waiting(job: JobView | None, pods: tuple[PodView, ...], warnings: tuple[str, ...]) -> Hold | None:
    """What keeps the pods of a Job from running, or None where nothing is known to.

    Args:
        job: the Job.
        pods: its pods, as far as they exist.
        warnings: messages of recent warning Events about the Job and its pods, newest first.
    """
    if job is not None and job.state is JobState.SUSPENDED:
        return Hold(Reason.WAITING, f"Job {job.name} is suspended by its queue until quota is free.", stalled=False)
    for pod in pods:
        if hold := _pod(pod):
            return hold
    return _warning(warnings[0]) if warnings and all(p.phase == "Pending" for p in pods) else None


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


def _warning(message: str) -> Hold:
    if "serviceaccount" in message and "not found" in message:
        return Hold(Reason.SERVICE_ACCOUNT_NOT_FOUND, message)
    return Hold(Reason.PODS_REJECTED, message)
