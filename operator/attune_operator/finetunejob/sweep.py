"""The Job that removes the files of a deleted run, and what to do about it. Pure.

The operator has no keys to the store, so a pod does it, with the run's own credentials and below the run's own prefix.
The Job belongs to nobody: `kubectl delete --cascade=foreground` would take it down with the FineTuneJob it serves.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from attune_contract.enums import DeletionPolicy, Stage
from attune_operator import naming
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.build import queue_labels
from attune_operator.finetunejob.masking import masked
from attune_operator.finetunejob.pods import template
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, Warned
from attune_operator.finetunejob.waiting import why_waiting
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp

JSON = dict[str, Any]
TRY_AGAIN = timedelta(minutes=2)
"""How long a sweep that failed is left to be looked at before it is tried again."""
LONGEST_SECONDS = 3600
"""A sweep that takes longer hangs: it is ended, which says so, and tried again; what it removed stays removed."""
LATE_TO_START = timedelta(seconds=30)
"""How long a sweep may wait to start before that is spoken of."""
KEPT_SECONDS = 3600
"""A sweep Job whose FineTuneJob was let go by hand does not stay for ever."""
START_ANEW = timedelta(minutes=10)
"""A sweep that cannot start is made anew so often: its image or placement may have been mended in the TuningRuntime."""
LET_GO = (
    f"To keep the files and let the FineTuneJob go, remove the finalizer {naming.SWEEP_FINALIZER} from its metadata."
)


@dataclass(frozen=True)
class Sweep:
    """What to do next for a run that is being deleted."""

    create: bool = False
    discard: bool = False
    """The Job failed long enough ago: it is removed, and made anew at the next look."""
    done: bool = False
    message: str = ""
    """What goes on, or why it does not."""
    failed: bool = False


def wanted(stored: JSON) -> bool:
    """Whether the files of a FineTuneJob are to be removed when it goes; of one that cannot be read, never."""
    spec = stored.get("spec")
    output = spec.get("output") if isinstance(spec, dict) else None
    return isinstance(output, dict) and output.get("deletionPolicy") == DeletionPolicy.DELETE


def is_one(job: JSON, uid: str) -> bool:
    """Whether a Job of a sweep's name is the sweep of the run with this UID, and not somebody else's."""
    labels = job["metadata"].get("labels", {})
    return (labels.get(naming.RUN_LABEL), labels.get(naming.STAGE_LABEL)) == (uid, naming.SWEEP)


def decide(job: JobView | None, pods: tuple[PodView, ...], now: datetime, warnings: tuple[Warned, ...] = ()) -> Sweep:
    """What the sweep of a run needs next, once none of the run's own pods is left.

    Args:
        job: the Job that sweeps, where there is one.
        pods: its pods.
        now: the time.
        warnings: recent warning Events about the Job and its pods, newest first.
    """
    if job is None:
        return Sweep(create=True)
    if job.state is JobState.COMPLETE:
        return Sweep(done=True)
    if job.state is not JobState.FAILED:
        return _under_way(job, pods, now, warnings)
    said = next((p.termination_message.strip() for p in pods if p.termination_message), "")
    why = masked(said[-500:]) or job.failure or "it left no message."
    overdue = not job.deleting and now - job.created > TRY_AGAIN
    message = f"Job {job.name} could not remove the run's files: {why} It is tried again. {LET_GO}"
    return Sweep(discard=overdue, message=message, failed=True)


def _under_way(job: JobView, pods: tuple[PodView, ...], now: datetime, warnings: tuple[Warned, ...]) -> Sweep:
    """A sweep that has not ended; where it cannot even start, why."""
    hold = why_waiting(job, pods, warnings) if now - job.created > LATE_TO_START else None
    if hold is None:
        return Sweep(message=f"The run's files are being removed by Job {job.name}.")
    message = f"Job {job.name}, which removes the run's files, does not start: {hold.message} {LET_GO}"
    stuck = job.state is not JobState.SUSPENDED and not job.deleting and now - job.created > START_ANEW
    return Sweep(discard=stuck, message=message, failed=True)


def waits_for(pods: tuple[PodView, ...]) -> str:
    """Why a run that is being deleted is still there, while pods of it are."""
    named = ", ".join(f"{p.name} on node {p.node}" if p.node else p.name for p in pods) or "its Jobs"
    return f"The FineTuneJob is being deleted, and waits for the end of {named}; then its files are removed. {LET_GO}"


def in_use(use: str) -> str:
    """Why the files of a run that is being deleted stay for now."""
    return (
        f"The FineTuneJob is being deleted, but its model {use}: its files stay for as long as it is in use or may "
        f"come into use, or until the TunedModel is deleted. {LET_GO}"
    )


def job(run: FineTuneJob, runtime: TuningRuntime, now: datetime, settings: Settings) -> JSON:
    """The Job that sweeps."""
    name = naming.sweep_name(run.metadata.name, run.metadata.uid)
    attempt = Attempt(stage=Stage.PREFLIGHT, number=1, job_name=name, state=AttemptState.PENDING, start_time=stamp(now))
    pod = template(run, runtime, attempt, settings)
    labels = {
        naming.MANAGED_BY_LABEL: naming.MANAGER,
        naming.RUN_LABEL: run.metadata.uid,
        naming.STAGE_LABEL: naming.SWEEP,
        naming.ATTEMPT_LABEL: "1",
    }
    queue = queue_labels(run, attempt, settings)  # where Kueue holds every Job, this one waits in the run's queue too
    # Neither the model nor the cache: a claim that is gone would keep the pod from starting, and it reads no model.
    claims = {v["name"] for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v}
    container = {
        **pod["spec"]["containers"][0],
        "command": ["python", "-m", f"attune_trainer.{naming.SWEEP}"],
        "volumeMounts": [m for m in pod["spec"]["containers"][0]["volumeMounts"] if m["name"] not in claims],
    }
    volumes = [v for v in pod["spec"]["volumes"] if v["name"] not in claims]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": run.metadata.namespace,
            "labels": {**labels, **queue},
            "annotations": {naming.JOB_ANNOTATION: run.metadata.name},
        },
        "spec": {
            **({"suspend": True} if queue else {}),
            "backoffLimit": 0,
            "activeDeadlineSeconds": LONGEST_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels, "annotations": pod["metadata"]["annotations"]},
                "spec": {**pod["spec"], "containers": [container], "volumes": volumes},
            },
        },
    }
