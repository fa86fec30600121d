"""The operator as a running thing: queue, workers, resync and HTTP endpoint, started and ended together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from attune_operator import health, naming
from attune_operator.api.conditions import ConditionType
from attune_operator.api.crds import KINDS
from attune_operator.clock import LOOK_SECONDS, Clock
from attune_operator.cluster import observe
from attune_operator.cluster.client import Kube, connect, path_to
from attune_operator.cluster.progress import ProgressPoller
from attune_operator.clusterfinetuneschedule.reconcile import WaveReconciler
from attune_operator.errors import APIError, ConflictError, NotFoundError
from attune_operator.finetunejob.reconcile import Reconciler
from attune_operator.finetunejob.snapshot import JobView, PodView
from attune_operator.finetunejob.views import job_view, newborn, pod_view
from attune_operator.finetuneschedule.reconcile import ScheduleReconciler
from attune_operator.metrics import Metrics
from attune_operator.naming import API_VERSION, JOB_ANNOTATION
from attune_operator.retraining import Retraining
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.settings import Settings
from attune_operator.tunedmodel.reconcile import TunedModelReconciler
from attune_operator.workqueue import Key, WorkQueue, work

JSON = dict[str, Any]
log = logging.getLogger("attune")
CHILD_EVENT_SECONDS = 0.2
"""Pods and Jobs change in bursts: a moment's wait makes one reconcile of many events."""
CRD_SECONDS = 2.0
RETRAINING_WORKERS = 4
"""Reconciles side by side of each kind beside FineTuneJob: there are few of these, and they change seldom."""


class Controller:
    """Where watch events go. What it remembers of runtimes and children is a hint: it only says whom to wake."""

    def __init__(self, queue: WorkQueue, metrics: Metrics, retraining: Retraining) -> None:
        self._queue = queue
        self._metrics = metrics
        self.retraining = retraining
        self._runtimes: dict[Key, str] = {}
        self._children: dict[str, JobView | PodView] = {}

    def finetunejob_changed(self, body: JSON, *, gone: bool) -> None:
        """A FineTuneJob was created, changed or deleted."""
        meta, status = body["metadata"], body.get("status", {})
        key = Key(meta["namespace"], meta["name"])
        if gone or _finished(status):
            self._runtimes.pop(key, None)
        else:
            self._runtimes[key] = str(body.get("spec", {}).get("runtime", ""))
        current = status.get("observedGeneration") == meta.get("generation")
        if not gone and current and _finished(status) and key not in self._metrics:
            # Ended before this operator started: counted, and otherwise left in peace.
            self._metrics.seen(key, str(status.get("phase", "")))
            return
        if gone or not current:
            # Else only the status changed, which only operators write: whoever wrote it has done what follows from it.
            self._queue.add(key)

    def child_changed(self, body: JSON, *, gone: bool) -> None:
        """A Job or Pod of ours was created, changed or deleted; its run is woken if that says anything new to the plan.

        Most of the dozen events of a healthy pod do not: it was bound to a node, a finalizer came or went.
        """
        meta = body["metadata"]
        view = pod_view(body) if body["kind"] == "Pod" else job_view(body)
        known = self._children.pop(meta["uid"], None) or newborn(view)
        if not gone:
            self._children[meta["uid"]] = view
        if not gone and view == known:
            return
        if name := meta.get("annotations", {}).get(JOB_ANNOTATION):
            self._queue.add(Key(meta["namespace"], name), CHILD_EVENT_SECONDS)
        else:
            self.retraining.child_changed(meta)

    def runtime_changed(self, name: str) -> None:
        """A TuningRuntime was created, changed or deleted: whoever names it is looked at again."""
        for key, runtime in self._runtimes.items():
            if runtime == name:
                self._queue.add(key)

    async def resync(self, client: Kube) -> None:
        """Lists every FineTuneJob and queues those that have not ended. Repairs what a watch missed."""
        alive: set[Key] = set()
        async for key, body in observe.all_keys(client):
            alive.add(key)
            if not _finished(body.get("status", {})):
                self._runtimes[key] = str(body.get("spec", {}).get("runtime", ""))
                self._queue.add(key)
        for key in (set(self._runtimes) | self._metrics.keys()) - alive:
            self._runtimes.pop(key, None)
            self._queue.add(key)


def _finished(status: JSON) -> bool:
    conditions = status.get("conditions", [])
    return any(c["type"] == ConditionType.FINISHED and c["status"] == "True" for c in conditions)


@asynccontextmanager
async def running(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Controller]:
    """Starts everything, yields the controller that watch events go to, and ends everything in reverse order."""
    loop = asyncio.get_running_loop()
    metrics = Metrics(registry)
    queue = WorkQueue(loop.time)
    metrics.watch_depth(lambda: len(queue))
    retraining = Retraining(loop.time)
    controller = Controller(queue, metrics, retraining)
    heartbeat = health.Heartbeat(settings.resync_seconds, loop.time)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(metrics.request))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        runner = await health.serve(health.application(heartbeat, registry), settings.http_port)
        stack.push_async_callback(runner.cleanup)
        await _wait_for_crds(client)
        poller = ProgressPoller(session, settings.progress_seconds, loop.time)
        reconciler = Reconciler(client, poller, settings, metrics)
        step = metrics.timed(reconciler.reconcile)
        tasks = [asyncio.create_task(work(queue, step, _failed(metrics))) for _ in range(settings.workers)]
        tasks += _retrain(retraining, client, settings, metrics)
        tasks.append(
            asyncio.create_task(_resync_forever(controller, client, settings.resync_seconds, heartbeat, metrics))
        )
        stack.push_async_callback(_cancel, tasks)
        yield controller


def _retrain(retraining: Retraining, client: Kube, settings: Settings, metrics: Metrics) -> list[asyncio.Task[None]]:
    """The workers of schedules, waves and TunedModels, and what moves their clock in tests."""
    clock, figures = Clock(), RetrainingMetrics(metrics.registry)
    steps = {
        naming.SCHEDULES: ScheduleReconciler(client, settings, figures, clock.now).reconcile,
        naming.CLUSTER_SCHEDULES: WaveReconciler(client, figures, clock.now).reconcile,
        naming.TUNED_MODELS: TunedModelReconciler(client, settings, figures, clock.now).reconcile,
    }
    tasks = [
        asyncio.create_task(work(queue, metrics.timed(steps[plural]), _failed(metrics)))
        for plural, queue in retraining.queues.items()
        for _ in range(RETRAINING_WORKERS)
    ]
    if settings.clock_config_map:
        tasks.append(asyncio.create_task(_follow(clock, retraining, client, settings)))
    return tasks


async def _follow(clock: Clock, retraining: Retraining, client: Kube, settings: Settings) -> None:
    """Tests only: the clock goes by a ConfigMap, and whoever waits for a time is woken when it is moved."""
    while True:
        try:
            if await clock.read(client, settings.namespace, settings.clock_config_map):
                retraining.wake_all()
        except (APIError, ValueError) as error:
            log.warning("the clock of tests cannot be read: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


async def _resync_forever(
    controller: Controller, client: Kube, interval: float, heartbeat: health.Heartbeat, metrics: Metrics
) -> None:
    while True:
        try:
            await controller.resync(client)
            await controller.retraining.resync(client)
        except Exception as error:  # noqa: BLE001 - a resync that dies would be noticed by liveness only, without a word
            log.warning("resync failed, tried again in %.0f s: %r", interval / 10, error)
            await asyncio.sleep(interval / 10)
            continue
        heartbeat.beat()
        metrics.resync_timestamp.set_to_current_time()
        await asyncio.sleep(interval)


async def _wait_for_crds(client: Kube) -> None:
    """Waits until the CRDs are served: a chart installs them beside the operator, and either may be first."""
    for plural in (kind.plural for kind in KINDS):
        while True:
            try:
                await client.get(path_to(API_VERSION, plural, limit="1"))
                break
            except NotFoundError:
                log.info("waiting for the CustomResourceDefinition of %s.%s", plural, API_VERSION)
            except APIError as error:
                log.warning("waiting for the API server: %s", error)
            await asyncio.sleep(CRD_SECONDS)


def _failed(metrics: Metrics) -> Callable[[Key, Exception, float], None]:
    def failed(key: Key, error: Exception, delay: float) -> None:
        metrics.reconcile_errors.labels(type(error).__name__).inc()
        if isinstance(error, ConflictError):
            log.debug("%s/%s changed while it was worked on; again in %.1f s", *key, delay)
        elif isinstance(error, APIError):
            log.warning("%s/%s: %s; again in %.1f s", *key, error, delay)
        else:
            log.error("%s/%s: unexpected; again in %.1f s", *key, delay, exc_info=error)

    return failed


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
