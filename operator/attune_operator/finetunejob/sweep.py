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
from attune_operator.finetunejob.pods import template
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, stamp
from attune_operator.settings import Settings

JSON = dict[str, Any]
TRY_AGAIN = timedelta(minutes=2)
"""How long a sweep that failed is left to be looked at before it is tried again."""
KEPT_SECONDS = 3600
"""A sweep Job whose FineTuneJob was let go by hand does not stay for ever."""


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


def decide(job: JobView | None, pods: tuple[PodView, ...], now: datetime) -> Sweep:
    """What the sweep of a run needs next, once none of the run's own pods is left."""
    if job is None:
        return Sweep(create=True, message="The run's files are being removed.")
    if job.state is JobState.COMPLETE:
        return Sweep(done=True)
    if job.state is not JobState.FAILED:
        return Sweep(message=f"The run's files are being removed by Job {job.name}.")
    said = next((p.termination_message.strip() for p in pods if p.termination_message), "it left no message.")
    overdue = not job.deleting and now - job.created > TRY_AGAIN
    message = (
        f"Job {job.name} could not remove the run's files: {said[-500:]} It is tried again. To keep the files and let "
        f"the FineTuneJob go, remove the finalizer {naming.SWEEP_FINALIZER} from it."
    )
    return Sweep(discard=overdue, message=message, failed=True)


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
    container = {**pod["spec"]["containers"][0], "command": ["python", "-m", f"attune_trainer.{naming.SWEEP}"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": run.metadata.namespace,
            "labels": labels,
            "annotations": {naming.JOB_ANNOTATION: run.metadata.name},
        },
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels, "annotations": pod["metadata"]["annotations"]},
                "spec": {**pod["spec"], "containers": [container]},
            },
        },
    }
