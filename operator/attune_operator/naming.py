"""Every label, annotation and child name, spelled once.

Names of children follow from the run and the attempt, so that a crashed operator finds what it made, and two operators
make one thing. The first eight digits of the run's UID keep a deleted and recreated FineTuneJob apart from its past.
"""

from datetime import UTC, datetime
from typing import Any

GROUP = "attune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND, FINETUNEJOBS = "FineTuneJob", "finetunejobs"
SCHEDULE_KIND, SCHEDULES = "FineTuneSchedule", "finetuneschedules"
CLUSTER_SCHEDULE_KIND, CLUSTER_SCHEDULES = "ClusterFineTuneSchedule", "clusterfinetuneschedules"
TUNED_MODEL_KIND, TUNED_MODELS = "TunedModel", "tunedmodels"
RUNTIMES = "tuningruntimes"

RUN_LABEL = f"{GROUP}/run"
"""The run's UID; Jobs and Pods are watched by it, on the server."""
STAGE_LABEL = f"{GROUP}/stage"
ATTEMPT_LABEL = f"{GROUP}/attempt"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
NAME_LABEL = "app.kubernetes.io/name"
MANAGER = "attune"
JOB_ANNOTATION = f"{GROUP}/finetunejob"
"""Name of the FineTuneJob that a Job or Pod works for; a label would cut names over 63 characters."""
RUN_CONFIG_ANNOTATION = f"{GROUP}/run-config"
"""The RunConfig of an attempt, mounted into its pods as a file by the downward API."""
RUNTIME_ANNOTATION = f"{GROUP}/runtime"
"""On a Job: digest of the TuningRuntime that it was made from; a Job that never ran is made anew where that changed."""
SWEEP_FINALIZER = f"{GROUP}/sweep"
"""On a FineTuneJob with output.deletionPolicy Delete: it stays until its files are gone."""
SWEEP = "sweep"
"""Stage label of the Job that removes a deleted run's files, and the pods' command."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
WORKLOAD_JOB_LABEL = "kueue.x-k8s.io/job-uid"
"""On a Workload of Kueue's: UID of the Job that it stands for."""
SCHEDULE_LABEL = f"{GROUP}/schedule"
"""UID of the FineTuneSchedule that made a FineTuneJob."""
SCHEDULE_ANNOTATION = f"{GROUP}/finetuneschedule"
"""Its name."""
TUNED_MODEL_ANNOTATION = f"{GROUP}/tunedmodel"
"""Name of the TunedModel that a Job or Pod works for."""
TRIGGER_ANNOTATION = f"{GROUP}/trigger"
"""Set to `now` by a person, it runs a schedule; the operator removes it."""
JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
JOB_INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"

_LONGEST_PREFIX = 30
"""A pod of an Indexed Job is called `<job>-<index>-<five letters>` and its hostname `<job>-<index>`: 63 at most."""


def short_run_id(uid: str) -> str:
    """The first eight characters of a UID."""
    return uid[:8]


def run_name(name: str, uid: str) -> str:
    """Name of what belongs to a run as a whole, and the beginning of its Jobs' names."""
    return f"{name[:_LONGEST_PREFIX].rstrip('-')}-{short_run_id(uid)}"


def service_name(name: str, uid: str) -> str:
    """Name of the run's headless Service. It may not begin with a digit (RFC 1035), which a FineTuneJob's may."""
    return f"gang-{run_name(name, uid)}"


def job_name(name: str, uid: str, stage: str, number: int) -> str:
    """Name of the Job of one attempt at one stage."""
    return f"{run_name(name, uid)}-{stage.lower()}-{number}"


def poll_name(name: str, uid: str, time: datetime) -> str:
    """Name of the Job that looks at a schedule's training data at a time."""
    return f"{run_name(name, uid)}-poll-{time.astimezone(UTC):%y%m%d%H%M%S}"


def owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """The controlling owner of a child: it goes when its owner goes."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_policy(policy: dict[str, Any], owner: dict[str, Any]) -> dict[str, Any]:
    """A network policy, as runs have them, of another owner than a FineTuneJob."""
    return {**policy, "metadata": {**policy["metadata"], "ownerReferences": [owner]}}


def owned_by(job: dict[str, Any], owner: dict[str, Any], annotation: str) -> dict[str, Any]:
    """A Job, as runs have them, that works for another kind than FineTuneJob: its owner, and whom its events wake."""
    mark = {annotation: owner["name"]}
    template = job["spec"]["template"]
    own = {k: v for k, v in template["metadata"]["annotations"].items() if k != JOB_ANNOTATION}
    marked = {**template["metadata"], "annotations": {**own, **mark}}
    return {
        **job,
        "metadata": {**job["metadata"], "annotations": mark, "ownerReferences": [owner]},
        "spec": {**job["spec"], "template": {**template, "metadata": marked}},
    }


def look_name(name: str, uid: str, purpose: str, time: datetime, number: int) -> str:
    """Name of the Job of one attempt at a look at a TunedModel's versions."""
    short = name[: _LONGEST_PREFIX - 10].rstrip("-")
    return f"{short}-{short_run_id(uid)}-{purpose.lower()}-{time.astimezone(UTC):%y%m%d%H%M%S}-{number}"


def hand_over_name(name: str) -> str:
    """Name of the ConfigMap with a TunedModel's URIs and flag."""
    return f"{name}-tunedmodel"


def sweep_name(name: str, uid: str) -> str:
    """Name of the Job that removes a deleted run's files."""
    return f"{run_name(name, uid)}-{SWEEP}"
