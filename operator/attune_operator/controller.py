"""The operator as a running thing: queue, workers, resync and HTTP endpoint, started and ended together."""

import asyncio
import logging
import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from attune_operator import health
from attune_operator.api.conditions import ConditionType
from attune_operator.api.problems import as_mapping
from attune_operator.cluster import observe
from attune_operator.cluster.client import Kube, connect, path_to
from attune_operator.cluster.kueue import Kueue
from attune_operator.cluster.lease import Leadership
from attune_operator.cluster.progress import ProgressPoller
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.errors import APIError, ConflictError, NotFoundError
from attune_operator.finetunejob.afterlife import Afterlife
from attune_operator.finetunejob.reconcile import Reconciler
from attune_operator.finetunejob.snapshot import JobView, PodView
from attune_operator.finetunejob.views import job_view, newborn, pod_view
from attune_operator.metrics import Metrics
from attune_operator.naming import API_VERSION, JOB_ANNOTATION
from attune_operator.settings import Settings
from attune_operator.workqueue import Key, WorkQueue, work

JSON = dict[str, Any]
log = logging.getLogger("attune")
CHILD_EVENT_SECONDS = 0.2
"""Pods and Jobs change in bursts: a moment's wait makes one reconcile of many events."""
CRD_SECONDS = 2.0
RETIRE_SECONDS = 300.0
"""Over so long are the runs spread that had ended before this operator started and still have Jobs."""
LOST_LEASE = 3
"""Exit code of an operator that lost its Lease."""


class Controller:
    """Where watch events go. What it remembers of runtimes and children is a hint: it only says whom to wake."""

    def __init__(self, queue: WorkQueue, metrics: Metrics, jitter: Callable[[], float] = random.random) -> None:
        self._queue = queue
        self._jitter = jitter
        self._metrics = metrics
        self._runtimes: dict[Key, str] = {}
        self._children: dict[str, tuple[Key | None, JobView | PodView]] = {}
        self._leftovers: dict[Key, set[str]] = {}
        self._retired: dict[Key, str] = {}
        self._forget_runtime: Callable[[str], None] = lambda _: None

    def on_runtime_change(self, forget: Callable[[str], None]) -> None:
        """Tells whom to tell of a runtime that changed, before its runs are woken."""
        self._forget_runtime = forget

    def finetunejob_changed(self, body: JSON, *, gone: bool) -> None:
        """A FineTuneJob was created, changed or deleted."""
        meta, status = body["metadata"], as_mapping(body.get("status"))
        key = Key(meta["namespace"], meta["name"])
        if gone or _finished(status):
            self._runtimes.pop(key, None)
        else:
            self._runtimes[key] = _runtime(body)
        if gone:
            self._retired.pop(key, None)
        leaves = "deletionTimestamp" in meta
        current = status.get("observedGeneration") == meta.get("generation") and not leaves
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
        name = meta.get("annotations", {}).get(JOB_ANNOTATION)
        key = Key(meta["namespace"], name) if name is not None else None
        _, known = self._children.pop(meta["uid"], (key, newborn(view)))
        if not gone:
            self._children[meta["uid"]] = (key, view)
        if key is None:
            return
        if isinstance(view, JobView):
            self._note(key, meta["uid"], gone=gone)
        if gone or view != known:
            self._queue.add(key, CHILD_EVENT_SECONDS)

    def _note(self, key: Key, uid: str, *, gone: bool) -> None:
        """Remembers which runs have Jobs left: those are the ones that may have to be cleaned up."""
        if not gone:
            self._leftovers.setdefault(key, set()).add(uid)
        elif left := self._leftovers.get(key):
            left.discard(uid)
            if not left:
                del self._leftovers[key]

    def runtime_changed(self, name: str) -> None:
        """A TuningRuntime was created, changed or deleted: whoever names it is looked at again."""
        self._forget_runtime(name)
        for key, runtime in (*self._runtimes.items(), *self._retired.items()):
            if runtime == name:
                self._queue.add(key)

    async def resync(self, client: Kube) -> None:
        """Lists every FineTuneJob and queues those that have not ended. Repairs what a watch missed."""
        alive: set[Key] = set()
        async for key, body in observe.all_keys(client):
            alive.add(key)
            if not _finished(body.get("status")) or "deletionTimestamp" in body["metadata"]:
                self._runtimes[key] = _runtime(body)
                self._queue.add(key)
            elif key in self._leftovers and key not in self._retired:
                # Once is enough: what is not due yet comes back by itself when it is. And not all at once.
                self._retired[key] = _runtime(body)
                self._queue.add(key, RETIRE_SECONDS * self._jitter())
        for key in (set(self._runtimes) | self._metrics.keys()) - alive:
            self._runtimes.pop(key, None)
            self._queue.add(key)
        for key in self._retired.keys() - alive:
            del self._retired[key]
        # Of a child that went while its watch was down nobody tells; with its run it went as well.
        for uid in [uid for uid, (key, _) in self._children.items() if key is not None and key not in alive]:
            del self._children[uid]
        for key in self._leftovers.keys() - alive:
            del self._leftovers[key]


def _finished(status: object) -> bool:
    """Whether a run is over; what is no status, or has no conditions that can be read, is not."""
    conditions = as_mapping(status).get("conditions")
    return isinstance(conditions, list) and any(
        (c := as_mapping(raw)).get("type") == ConditionType.FINISHED and c.get("status") == "True" for raw in conditions
    )


def _runtime(body: JSON) -> str:
    return str(as_mapping(body.get("spec")).get("runtime", ""))


@asynccontextmanager
async def running(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[Controller]:
    """Starts everything, yields the controller that watch events go to, and ends everything in reverse order."""
    loop = asyncio.get_running_loop()
    metrics = Metrics(registry)
    queue = WorkQueue(loop.time)
    metrics.watch_depth(lambda: len(queue))
    controller = Controller(queue, metrics)
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
        warnings = Warnings(client, loop.time)
        afterlife = Afterlife(client, settings, warnings)
        controller.on_runtime_change(runtimes.forget)
        reconciler = Reconciler(client, poller, settings, metrics, runtimes, kueue, warnings, afterlife)
        step = metrics.timed(reconciler.reconcile)
        workers = [asyncio.create_task(work(queue, step, _failed(metrics))) for _ in range(settings.workers)]
        stack.push_async_callback(_cancel, workers)
        stack.push_async_callback(_drain, queue, workers, settings.drain_seconds)
        resync = asyncio.create_task(_resync_forever(controller, client, settings.resync_seconds, heartbeat, metrics))
        stack.push_async_callback(_cancel, [resync])
        yield controller


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


async def _drain(queue: WorkQueue, workers: list[asyncio.Task[None]], seconds: float) -> None:
    """Lets every worker end what it is at; what takes too long is cut off, which is as safe as a crash."""
    queue.close()
    _, late = await asyncio.wait(workers, timeout=seconds)
    if late:
        log.warning("%d reconciles did not end within %.0f s and are cut off", len(late), seconds)


async def _resync_forever(
    controller: Controller, client: Kube, interval: float, heartbeat: health.Heartbeat, metrics: Metrics
) -> None:
    while True:
        try:
            await controller.resync(client)
        except Exception as error:  # noqa: BLE001 - a resync that dies would be noticed by liveness only, without a word
            log.warning("resync failed, tried again in %.0f s: %r", interval / 10, error)
            await asyncio.sleep(interval / 10)
            continue
        heartbeat.beat()
        metrics.resync_timestamp.set_to_current_time()
        await asyncio.sleep(interval)


async def _wait_for_crds(client: Kube, alive: Callable[[], None]) -> None:
    """Waits until the CRDs are served: a chart installs them beside the operator, and either may be first."""
    for plural in ("finetunejobs", "tuningruntimes"):
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
