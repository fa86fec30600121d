"""The objects that an attempt consists of, from a run and its runtime. Pure; applied in the order given."""

from typing import Any

from attune_contract.base import Frozen
from attune_contract.enums import Stage
from attune_contract.runconfig import PROGRESS_PORT
from attune_operator import naming
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.pods import labels, template
from attune_operator.finetunejob.shapes import queued, shape
from attune_operator.settings import Settings

JSON = dict[str, Any]


def build(run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, settings: Settings) -> list[JSON]:
    """Everything that must exist for an attempt: the run's network policy and gang Service, then the Job.

    The Job comes last, so that its pods never run without their policy or look for a Service that is not there.
    """
    # Once with the run, and again with each training: whoever may edit the namespace may have deleted it.
    guarded = attempt.stage is Stage.TRAIN or (attempt.stage is Stage.PREFLIGHT and attempt.number == 1)
    objects = [network_policy(run, settings)] if guarded else []
    if shape(run, attempt.stage, settings).pods > 1:
        objects.append(service(run))
    return [*objects, job(run, runtime, attempt, settings)]


def job(
    run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, settings: Settings, **blocks: Frozen | None
) -> JSON:
    """The Job of an attempt: a gang that lives and dies together. Retries are new attempts, never the Job's own.

    Args:
        run: whose attempt it is, or who stands for whoever looks at data or versions.
        runtime: where its pods run.
        attempt: the stage, and which attempt at it.
        settings: the operator's.
        blocks: of its RunConfig that no FineTuneJob has, such as `monitoring`.
    """
    size = shape(run, attempt.stage, settings)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **_metadata(run, attempt.job_name),
            "labels": {**labels(run, attempt), **queue_labels(run, attempt, settings)},
            "annotations": {naming.JOB_ANNOTATION: run.metadata.name, naming.RUNTIME_ANNOTATION: runtime.digest},
        },
        "spec": {
            # Kueue starts it; where its webhook is away for a moment, it must not start by itself.
            **({"suspend": True} if queued(run, attempt.stage, settings) else {}),
            "completionMode": "Indexed",
            "completions": size.pods,
            "parallelism": size.pods,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            # A disrupted pod may be gone before anybody looks: this rule leaves its reason on the Job.
            "podFailurePolicy": {
                "rules": [{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "template": template(run, runtime, attempt, settings, **blocks),
        },
    }


def queue_labels(run: FineTuneJob, attempt: Attempt, settings: Settings) -> dict[str, str]:
    """The labels by which Kueue takes a Job into a queue."""
    queue = run.spec.queue
    if queue is None or not queued(run, attempt.stage, settings):
        return {}
    priority = {naming.PRIORITY_LABEL: queue.priority_class} if queue.priority_class else {}
    return {naming.QUEUE_LABEL: queue.name, **priority}


def service(run: FineTuneJob) -> JSON:
    """The headless Service by which the pods of a gang find each other, ready or not."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, naming.service_name(run.metadata.name, run.metadata.uid)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {naming.RUN_LABEL: run.metadata.uid},
        },
    }


def network_policy(run: FineTuneJob, settings: Settings) -> JSON:
    """Lets into the run's pods: each other; and to the progress port, the operator and Prometheus."""
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.namespace}},
        "podSelector": {"matchLabels": {naming.NAME_LABEL: naming.MANAGER}},
    }
    prometheus = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.prometheus_namespace}}}
    own = {"matchLabels": {naming.RUN_LABEL: run.metadata.uid}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(run, naming.run_name(run.metadata.name, run.metadata.uid)),
        "spec": {
            "podSelector": own,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": own}]},
                {"from": [operator, prometheus], "ports": [{"port": PROGRESS_PORT, "protocol": "TCP"}]},
            ],
        },
    }


def _metadata(run: FineTuneJob, name: str) -> JSON:
    """Metadata of a child: it goes when the FineTuneJob goes."""
    return {
        "name": name,
        "namespace": run.metadata.namespace,
        "labels": {naming.MANAGED_BY_LABEL: naming.MANAGER, naming.RUN_LABEL: run.metadata.uid},
        "ownerReferences": [naming.owner_reference(naming.KIND, run.metadata.name, run.metadata.uid)],
    }
