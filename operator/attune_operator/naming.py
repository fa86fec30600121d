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
