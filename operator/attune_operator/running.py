"""The operator as a running thing: queues, workers, resync and HTTP endpoint, started and ended together."""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from prometheus_client import CollectorRegistry

from attune_operator import health, naming
from attune_operator.api.crds import KINDS
from attune_operator.clock import LOOK_SECONDS, Clock
from attune_operator.cluster.client import Kube, connect, path_to
from attune_operator.cluster.kueue import Kueue
from attune_operator.cluster.lease import Leadership
from attune_operator.cluster.looks import Looks
from attune_operator.cluster.progress import ProgressPoller
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.clusterfinetuneschedule.reconcile import WaveReconciler
from attune_operator.controller import Controller
from attune_operator.errors import APIError, ConflictError, NotFoundError
from attune_operator.finetunejob.afterlife import Afterlife
from attune_operator.finetunejob.reconcile import Reconciler
from attune_operator.finetuneschedule.reconcile import ScheduleReconciler
from attune_operator.metrics import Metrics
from attune_operator.naming import API_VERSION
from attune_operator.retraining import Retraining
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.settings import Settings
from attune_operator.tunedmodel.reconcile import TunedModelReconciler
from attune_operator.workqueue import Key, WorkQueue, work

log = logging.getLogger("attune")
Step = Callable[[Key], Awaitable[float | None]]
CRD_SECONDS = 2.0
RETRAINING_WORKERS = 4
"""Reconciles side by side of each kind beside FineTuneJob: there are few of these, and they change seldom."""
LOST_LEASE = 3
"""Exit code of an operator that lost its Lease."""


@asynccontextmanager
async def running(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Controller]:
    """Starts everything, yields the controller that watch events go to, and ends everything in reverse order."""
    loop = asyncio.get_running_loop()
    metrics = Metrics(registry)
    queue = WorkQueue(loop.time)
    metrics.watch_depth(lambda: len(queue))
    retraining, clock = Retraining(loop.time), Clock()
    controller = Controller(queue, metrics, retraining)
    heartbeat = health.Heartbeat(settings.resync_seconds, loop.time)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(metrics.request))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        runner = await health.serve(health.application(heartbeat, registry), settings.http_port)
        stack.push_async_callback(runner.cleanup)
        await _wait_for_crds(client, heartbeat.beat)
        if settings.leader_election:
            await _lead(stack, client, settings, heartbeat)
        poller = ProgressPoller(session, settings.progress_seconds, loop.time)
        runtimes, kueue = Runtimes(client, loop.time), Kueue(client, loop.time)
        controller.on_runtime_change(runtimes.forget)
        warnings, figures = Warnings(client, loop.time), RetrainingMetrics(registry)
        afterlife, looks = Afterlife(client, runtimes, settings, warnings), Looks(client, warnings, kueue)
        runs = Reconciler(client, poller, settings, metrics, runtimes, kueue, warnings, afterlife)
        steps: dict[str, Step] = {
            naming.SCHEDULES: ScheduleReconciler(client, runtimes, looks, settings, figures, clock.now).reconcile,
            naming.CLUSTER_SCHEDULES: WaveReconciler(client, figures, clock.now).reconcile,
            naming.TUNED_MODELS: TunedModelReconciler(client, runtimes, looks, settings, figures, clock.now).reconcile,
        }
        if settings.clock_config_map:
            await _moved(clock, client, settings)  # before anything is judged by it
        queues = [queue, *retraining.queues.values()]
        workers = _workers(queue, runs.reconcile, settings.workers, metrics)
        for plural, others in retraining.queues.items():
            workers += _workers(others, steps[plural], RETRAINING_WORKERS, metrics)
        stack.push_async_callback(_cancel, workers)
        stack.push_async_callback(_drain, queues, workers, settings.drain_seconds)
        resync = _resync_forever(controller, client, settings.resync_seconds, heartbeat, metrics)
        lasting = [resync, *([_follow(clock, retraining, client, settings)] if settings.clock_config_map else [])]
        stack.push_async_callback(_cancel, [asyncio.create_task(each) for each in lasting])
        yield controller


def _workers(queue: WorkQueue, step: Step, count: int, metrics: Metrics) -> list[asyncio.Task[None]]:
    timed = metrics.timed(step)
    return [asyncio.create_task(work(queue, timed, _failed(metrics))) for _ in range(count)]


async def _lead(stack: AsyncExitStack, client: Kube, settings: Settings, heartbeat: health.Heartbeat) -> None:
    """Waits for the Lease, and sees that it is kept, and given up at the end."""
    identity = settings.identity or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    leadership = Leadership(client, settings.namespace, identity, asyncio.get_running_loop().time)
    await leadership.acquire(heartbeat.beat)
    heartbeat.beat()
    stack.push_async_callback(leadership.release)
    # At once, and without a word to anybody: another operator may be at work already, and nothing is lost by it.
    keeper = asyncio.create_task(leadership.keep(lambda: os._exit(LOST_LEASE)))
    stack.push_async_callback(_cancel, [keeper])


async def _drain(queues: list[WorkQueue], workers: list[asyncio.Task[None]], seconds: float) -> None:
    """Lets every worker end what it is at; what takes too long is cut off, which is as safe as a crash."""
    for queue in queues:
        queue.close()
    _, late = await asyncio.wait(workers, timeout=seconds)
    if late:
        log.warning("%d reconciles did not end within %.0f s and are cut off", len(late), seconds)


async def _follow(clock: Clock, retraining: Retraining, client: Kube, settings: Settings) -> None:
    """Tests only: the clock goes by a ConfigMap, and whoever waits for a time is woken when it is moved."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if await _moved(clock, client, settings):
            retraining.wake_all()


async def _moved(clock: Clock, client: Kube, settings: Settings) -> bool:
    try:
        return await clock.read(client, settings.namespace, settings.clock_config_map)
    except (APIError, ValueError) as error:
        log.warning("the clock of tests cannot be read: %s", error)
        return False


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


async def _wait_for_crds(client: Kube, alive: Callable[[], None]) -> None:
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
            alive()
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
