"""Why an attempt that was started does not run yet, in words for whoever can mend it. Pure."""

from dataclasses import dataclass

from attune_operator.api.conditions import Reason
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, QueueView, Warned

IMAGE_REASONS = frozenset(
    {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
"""The kubelet's reasons for an image that it cannot get."""
TOLD_BY_THE_POD = frozenset({"FailedScheduling"})
"""Events that repeat what a condition of the pod says better, and that outlive their cause."""
INADMISSIBLE = "Inadmissible"
"""Kueue's reason for a queue that is missing, stopped or inactive."""


@dataclass(frozen=True)
class Hold:
    """Why nothing moves. `stalled`: a person must act; else it is a matter of time."""

    reason: str
    message: str
    stalled: bool = True


def why_waiting(
    job: JobView | None, pods: tuple[PodView, ...], warnings: tuple[Warned, ...], queue: QueueView | None = None
) -> Hold | None:
    """What keeps pods of a Job from running, or None where nothing is known to.

    Args:
        job: the Job.
        pods: its pods, as far as they exist.
        warnings: recent warning Events about the Job and its pods, newest first.
        queue: what Kueue says of the Job, where it is suspended.
    """
    if job is not None and job.state is JobState.SUSPENDED:
        return _queued(job, queue)
    pending = tuple(pod for pod in pods if pod.phase == "Pending")
    for pod in pending:
        if hold := _pod(pod):
            return hold
    telling = [w for w in warnings if w.reason not in TOLD_BY_THE_POD]
    return _warning(telling[0]) if telling and (pending or not pods) else None


def kueue_missing(queue: str) -> Hold:
    """Where spec.queue names a queue of a cluster that has none."""
    return Hold(
        Reason.KUEUE_NOT_INSTALLED,
        f"spec.queue.name: {queue!r} is a queue of Kueue, and this cluster has no Kueue (no API kueue.x-k8s.io). "
        "Install it, and the run goes on by itself; or create a new FineTuneJob without spec.queue.",
    )


def _queued(job: JobView, queue: QueueView | None) -> Hold:
    """A Job that Kueue holds, with Kueue's own words."""
    if queue is None:
        return Hold(Reason.WAITING, f"Job {job.name} is suspended; nothing is known of why yet.", stalled=False)
    where = f"queue {queue.name}" if queue.name else "Kueue"
    if not (queue.installed and queue.known):
        return _not_taken_up(job, queue, where)
    if not queue.active:
        why = f": {queue.evicted_message}" if queue.evicted_message else "."
        message = f"Job {job.name} in {where}: its Workload is deactivated; set its spec.active to true{why}"
        return Hold(Reason.QUEUE_REFUSED, message)
    if queue.reason == INADMISSIBLE:
        return Hold(Reason.QUEUE_REFUSED, f"Job {job.name} cannot be admitted by {where}: {queue.message}")
    position = "" if queue.position is None else f" ({queue.position} before it)"
    said = f": {queue.message}" if queue.message else " until quota is free."
    return Hold(Reason.WAITING, f"Job {job.name} waits in {where}{position}{said}", stalled=False)


def _not_taken_up(job: JobView, queue: QueueView, where: str) -> Hold:
    """A Job that is suspended, and that Kueue has no Workload for."""
    if not queue.installed and queue.name:
        return kueue_missing(queue.name)
    if not queue.installed:
        return Hold(Reason.WAITING, f"Job {job.name} is suspended, and not by this operator.", stalled=False)
    message = (
        f"Job {job.name} waits for {where}, which has not taken it up yet. Where that lasts, Kueue is down, or does "
        "not look after Jobs of this namespace (managedJobsNamespaceSelector in its configuration)."
    )
    return Hold(Reason.WAITING, message, stalled=False)


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
