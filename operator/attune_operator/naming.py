"""Every label, annotation and child name, spelled once.

Names of children follow from the run and the attempt, so that a crashed operator finds what it made, and two operators
make one thing. The first eight digits of the run's UID keep a deleted and recreated FineTuneJob apart from its past.
"""

GROUP = "attune.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "FineTuneJob"

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


def sweep_name(name: str, uid: str) -> str:
    """Name of the Job that removes a deleted run's files."""
    return f"{run_name(name, uid)}-{SWEEP}"
