"""The pod template of an attempt: restricted by construction. Pure.

Nothing in a FineTuneJob reaches the template but numbers, Secret names and a claim's name; image, placement, identity
and environment are the runtime's. Every pod passes the restricted pod security standard.
"""

from typing import Any

from attune_contract import uris
from attune_contract.base import Frozen
from attune_contract.enums import Stage
from attune_contract.quantities import seconds
from attune_contract.runconfig import (
    CACHE_PATH,
    MODEL_VOLUME_PATH,
    PROGRESS_PORT,
    RUN_CONFIG_PATH,
)
from attune_operator import naming
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.grace import grace_seconds
from attune_operator.finetunejob.runconfig import credentials, run_config
from attune_operator.finetunejob.shapes import Shape, shape
from attune_operator.settings import Settings

JSON = dict[str, Any]
USER = 65532
CONTAINER = "trainer"
_NODE = "kubernetes.io/hostname"
_CONFIG_FOLDER, _, _CONFIG_FILE = RUN_CONFIG_PATH.rpartition("/")


def labels(run: FineTuneJob, attempt: Attempt) -> dict[str, str]:
    """Labels of a Job and its pods."""
    return {
        naming.MANAGED_BY_LABEL: naming.MANAGER,
        naming.RUN_LABEL: run.metadata.uid,
        naming.STAGE_LABEL: attempt.stage.value.lower(),
        naming.ATTEMPT_LABEL: str(attempt.number),
    }


def template(
    run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, settings: Settings, **blocks: Frozen | None
) -> JSON:
    """The pod template of an attempt; `blocks` are those of its RunConfig that no FineTuneJob has."""
    size = shape(run, attempt.stage, settings)
    config = run_config(run, runtime, attempt, settings).model_copy(update=blocks)
    annotations = {
        naming.JOB_ANNOTATION: run.metadata.name,
        naming.RUN_CONFIG_ANNOTATION: config.model_dump_json(exclude_none=True),
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds(run, attempt.stage),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(run, runtime, attempt, size, settings)],
        "volumes": _volumes(run, runtime),
        **_placement(run, runtime, attempt, size),
    }
    return {"metadata": {"labels": labels(run, attempt), "annotations": annotations}, "spec": spec}


def _container(run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, size: Shape, settings: Settings) -> JSON:
    only_data = attempt.stage in (Stage.PREFLIGHT, Stage.POLL)
    return {
        "name": CONTAINER,
        "image": (settings.data_image if only_data else "") or runtime.spec.image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": ["python", "-m", "attune_trainer", attempt.stage.value.lower()],
        "env": _environment(run, runtime, attempt, size),
        "ports": [{"name": "progress", "containerPort": PROGRESS_PORT}],
        "resources": _resources(runtime, size),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(run, runtime),
    }


def _environment(run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, size: Shape) -> list[JSON]:
    env: list[JSON] = [
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - the pod's own scratch volume
        {"name": "ATTUNE_PROGRESS_PORT", "value": str(PROGRESS_PORT)},
    ]
    if attempt.stage is Stage.TRAIN:
        env.append({"name": "ATTUNE_STALL_SECONDS", "value": f"{seconds(runtime.spec.stall_timeout):g}"})
    if size.pods > 1:
        # Where the gang meets: its first pod, by the name that the run's headless Service gives it.
        service = naming.service_name(run.metadata.name, run.metadata.uid)
        env.append({"name": "MASTER_ADDR", "value": f"{attempt.job_name}-0.{service}"})
    return [*env, *({"name": e.name, "value": e.value} for e in runtime.spec.env)]


def _resources(runtime: TuningRuntime, size: Shape) -> JSON:
    requests: JSON = {"cpu": size.cpu, "memory": size.memory}
    limits: JSON = {"memory": size.memory}
    if size.gpus:
        # Extended resources cannot be overcommitted: request and limit must be equal.
        requests[runtime.spec.accelerator.resource] = limits[runtime.spec.accelerator.resource] = str(size.gpus)
    return {"requests": requests, "limits": limits}


def _mounts(run: FineTuneJob, runtime: TuningRuntime) -> list[JSON]:
    mounts: list[JSON] = [
        {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - the pod's own scratch volume
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - shared memory between processes of the pod
        {"name": "run-config", "mountPath": _CONFIG_FOLDER, "readOnly": True},
    ]
    for role, keys in credentials(run).items():
        mounts.append({"name": f"credentials-{role.value}", "mountPath": keys.directory, "readOnly": True})
    if _claim(run):
        mounts.append({"name": "model", "mountPath": MODEL_VOLUME_PATH, "readOnly": True})
    if runtime.spec.cache:
        mounts.append({"name": "cache", "mountPath": CACHE_PATH})
    return mounts


def _volumes(run: FineTuneJob, runtime: TuningRuntime) -> list[JSON]:
    field = {"fieldPath": f"metadata.annotations['{naming.RUN_CONFIG_ANNOTATION}']"}
    volumes: list[JSON] = [
        {"name": "scratch", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "run-config", "downwardAPI": {"items": [{"path": _CONFIG_FILE, "fieldRef": field}]}},
    ]
    for role, keys in credentials(run).items():
        # Optional: the pod starts without it and says itself which Secret is missing; the operator may not look.
        secret = {"secretName": keys.secret, "optional": True, "defaultMode": 0o440}
        volumes.append({"name": f"credentials-{role.value}", "secret": secret})
    if claim := _claim(run):
        volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if runtime.spec.cache:
        volumes.append({"name": "cache", "persistentVolumeClaim": {"claimName": runtime.spec.cache}})
    return volumes


def _claim(run: FineTuneJob) -> str:
    source = uris.parse(run.spec.model.source)
    return source.authority if source.scheme == "pvc" else ""


def _placement(run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, size: Shape) -> JSON:
    spec = runtime.spec
    placement: JSON = {"nodeSelector": dict(spec.node_selector)} if spec.node_selector else {}
    if spec.tolerations:
        placement["tolerations"] = [t.model_dump(exclude_none=True) for t in spec.tolerations]
    if spec.service_account_name:
        placement["serviceAccountName"] = spec.service_account_name
    if size.pods > 1:
        placement["subdomain"] = naming.service_name(run.metadata.name, run.metadata.uid)
        placement["affinity"] = _affinity(runtime, labels(run, attempt))
    return placement


def _affinity(runtime: TuningRuntime, gang: dict[str, str]) -> JSON:
    """The gang close together (same value of topologyKey), each pod on a node of its own; both where there is room.

    Not `required`: the pod that comes second would wait for room beside the first, which holds its GPUs meanwhile.
    """
    key = runtime.spec.topology_key
    affinity: JSON = {}
    if key != _NODE:
        affinity["podAntiAffinity"] = _preferred(gang, _NODE, 50)
    if key:
        affinity["podAffinity"] = _preferred(gang, key, 100)
    return affinity


def _preferred(gang: dict[str, str], key: str, weight: int) -> JSON:
    term = {"labelSelector": {"matchLabels": gang}, "topologyKey": key}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": term}]}
