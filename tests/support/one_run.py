"""One FineTuneJob in an API server in memory, and a fresh operator's reconcile of it."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from attune_operator.cluster.client import Kube
from attune_operator.cluster.kueue import Kueue
from attune_operator.cluster.progress import ProgressPoller
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.finetunejob.afterlife import Afterlife
from attune_operator.finetunejob.reconcile import Reconciler
from attune_operator.metrics import Metrics
from attune_operator.settings import Settings
from attune_operator.workqueue import Key
from factories import NAME, NAMESPACE, raw
from memory_kube import MemoryKube

PATH = f"/apis/attune.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs/{NAME}"
RUNTIME = {"metadata": {"name": "default"}, "spec": {"image": "attune/trainer:1"}}
KEY = Key(NAMESPACE, NAME)


def cluster(status: Any, **metadata: Any) -> MemoryKube:
    """An API server with the FineTuneJob, in this status, and its runtime."""
    body = raw()
    body["status"] = status
    body["metadata"] |= metadata
    return MemoryKube(**{PATH: body, "/apis/attune.dev/v1alpha1/tuningruntimes/default": RUNTIME})


def reconcile(kube: MemoryKube, poller: ProgressPoller | None = None) -> float | None:
    """One reconcile of the FineTuneJob; the seconds until the next."""
    typed: Kube = kube  # type: ignore[assignment]  # has its methods
    poller = poller or ProgressPoller(None, 10.0, lambda: 0.0)  # type: ignore[arg-type]  # no pod is asked
    runtimes, warnings = Runtimes(typed, lambda: 0.0), Warnings(typed, lambda: 0.0)
    afterlife = Afterlife(typed, runtimes, Settings(), warnings)
    metrics, kueue = Metrics(CollectorRegistry()), Kueue(typed, lambda: 0.0)
    reconciler = Reconciler(typed, poller, Settings(), metrics, runtimes, kueue, warnings, afterlife)
    return asyncio.run(reconciler.reconcile(KEY))
