"""One FineTuneJob brought one step on: observe → plan → build → apply → summarize."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from attune_contract.progress import Progress
from attune_operator import naming
from attune_operator.api.conditions import Reason
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJob, FineTuneJobStatus
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.cluster import apply, nodes, objects, observe
from attune_operator.cluster.client import Kube
from attune_operator.cluster.kueue import Kueue
from attune_operator.cluster.progress import ProgressPoller
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.finetunejob.afterlife import Afterlife
from attune_operator.finetunejob.build import build
from attune_operator.finetunejob.leftovers import overdue
from attune_operator.finetunejob.plan import Plan, is_terminal, plan
from attune_operator.finetunejob.snapshot import JobState, PodView, QueueView, Snapshot
from attune_operator.finetunejob.stories import Story, stories
from attune_operator.finetunejob.summarize import summarize
from attune_operator.finetunejob.views import job_view
from attune_operator.finetunejob.waiting import Hold
from attune_operator.metrics import Metrics
from attune_operator.reporting import demand_readable, guarded
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp
from attune_operator.workqueue import Key

JSON = dict[str, Any]
log = logging.getLogger("attune")


@dataclass(frozen=True)
class Reconciler:
    """What a reconcile needs from outside; `reconcile` is called with a key and nothing else."""

    client: Kube
    poller: ProgressPoller
    settings: Settings
    metrics: Metrics
    runtimes: Runtimes
    kueue: Kueue
    warnings: Warnings
    afterlife: Afterlife

    async def reconcile(self, key: Key) -> float | None:
        """Brings one run one step on.

        Returns:
            Seconds until it should be looked at again without any event, or None.

        Raises:
            APIError: the API server refused or was away; the caller tries again with back-off.
        """
        stored = await objects.get(self.client, naming.FINETUNEJOBS, key)
        if stored is None or "deletionTimestamp" in stored["metadata"]:
            self.metrics.forget(key)
            self.poller.forget(key)
        if stored is None:
            return None
        return await guarded(self.client, naming.FINETUNEJOBS, stored, partial(self._step, key, stored))

    async def _step(self, key: Key, stored: JSON) -> float | None:
        if "deletionTimestamp" in stored["metadata"]:
            return await self.afterlife.leave(stored)
        stored = await self.afterlife.guard(stored)
        seen = await self._observe(stored)
        demand_readable(seen.spec_problems)
        if is_terminal(seen.run):
            return await self._rest(key, stored, seen.run)
        decision = plan(seen, self.settings)
        status = seen.run.status
        if decision.start or decision.stop:
            # First the record, then the deed: an attempt exists in status before its Job does, and a Job's outcome
            # is in status before the Job goes. What is recorded is written again as it is: by old news a run that is
            # over, and whose Jobs were pruned, waits for the Job of its last attempt, and this write is refused.
            if decision.stop or decision.start not in status.attempts:
                status = summarize(seen, decision, self.settings)
            stored = await apply.write_status(self.client, stored, status.dump())
        # The pods of the next stage are told what the one that just ended left: that is in the new status.
        run = seen.run.model_copy(update={"status": status})
        decision, created = await self._apply(run, seen.runtime, decision)
        stored, status = await self._write(stored, status, summarize(seen, decision, self.settings))
        told = stories(seen.run.status, status, decision.start if created else None, decision.log)
        await self._tell(stored, told, seen.now)
        self.metrics.record(key, status)
        if created:
            await self.afterlife.thin(run, seen.runtime, seen.now)
        if decision.end is not None:
            return await self.afterlife.prune(seen.run.model_copy(update={"status": status}), seen.now)
        return decision.again

    async def _rest(self, key: Key, stored: JSON, run: FineTuneJob) -> float | None:
        """A run that is over: the newest generation of its spec is acknowledged (kstatus); its pods go in time."""
        generation, status = run.metadata.generation, run.status
        if status.observed_generation != generation:
            seen = tuple(c.model_copy(update={"observed_generation": generation}) for c in status.conditions)
            update = {"observed_generation": generation, "conditions": seen}
            await self._write(stored, status, status.model_copy(update=update))
        self.metrics.record(key, status)
        self.poller.forget(key)
        return await self.afterlife.prune(run, datetime.now(UTC))

    async def _observe(self, stored: JSON) -> Snapshot:
        now = datetime.now(UTC)
        run, problems = FineTuneJob.parse(stored)
        if problems or is_terminal(run):
            return Snapshot(run=run, now=now, spec_problems=tuple(problems))
        runtime, runtime_problems = await self.runtimes.find(run.spec.runtime)
        raw_job, pods = await observe.job_and_pods(self.client, run, _watched(run))
        job = job_view(raw_job) if raw_job else None
        return Snapshot(
            run=run,
            now=now,
            runtime=runtime,
            runtime_problems=runtime_problems,
            tuned_model=await observe.tuned_model(self.client, run),
            namespace_labels=await observe.namespace_labels(self.client, runtime, run.metadata.namespace),
            job=job,
            pods=pods,
            warnings=await self.warnings.of_start(run.metadata.namespace, job, pods, now),
            progress=await self._progress(run, pods),
            queue=await self._queue(run, raw_job),
            lost=await self._lost(pods, now),
        )

    async def _queue(self, run: FineTuneJob, job: JSON | None) -> QueueView | None:
        """What Kueue says: of a Job that is suspended, or, before there is one, whether there is a Kueue at all."""
        asked = run.spec.queue.name if run.spec.queue else ""
        if job is not None and job_view(job).state is JobState.SUSPENDED:
            return await self.kueue.about(run.metadata.namespace, job, asked)
        return await self.kueue.installed(asked) if asked and job is None else None

    async def _lost(self, pods: tuple[PodView, ...], now: datetime) -> dict[str, str]:
        """Pods whose end nobody will tell; nodes are asked for only where a pod is overdue by long."""
        patience = self.settings.lost_node_seconds
        late = overdue(pods, now, timedelta(seconds=patience)) if patience else ()
        return await nodes.lost(self.client, late) if late else {}

    async def _progress(self, run: FineTuneJob, pods: tuple[PodView, ...]) -> Progress | None:
        leader = next((p for p in pods if p.index == 0 and p.phase == "Running"), None)
        key = Key(run.metadata.namespace, run.metadata.name)
        return await self.poller.poll(key, run.metadata.uid, leader.ip) if leader else None

    async def _apply(self, run: FineTuneJob, runtime: TuningRuntime | None, decision: Plan) -> tuple[Plan, bool]:
        """Makes what the plan asks for; what the API server refuses becomes a hold that the status shows.

        Returns:
            The plan, and whether the Job of `decision.start` was created now.
        """
        namespace, uid = run.metadata.namespace, run.metadata.uid
        if decision.stop is not None:
            await apply.delete_job(self.client, namespace, decision.stop.job_name, uid)
        for pod in decision.release:
            log.warning(
                "%s/%s: pod %s is removed from the API: its node is lost", namespace, run.metadata.name, pod.name
            )
            await apply.release_pod(self.client, namespace, pod.name)
        if decision.start is None or runtime is None:
            return decision, False
        created = False
        try:
            for wanted in build(run, runtime, decision.start, self.settings):
                created = await apply.create(self.client, wanted, uid)
        except apply.TakenError as error:
            return decision.held(Hold(Reason.JOB_CONFLICT, str(error))), False
        except apply.RejectedError as error:
            return decision.held(Hold(Reason.JOB_REJECTED, str(error))), False
        return decision, created

    async def _write(
        self, stored: JSON, old: FineTuneJobStatus, new: FineTuneJobStatus
    ) -> tuple[JSON, FineTuneJobStatus]:
        """Writes a status if it says anything new."""
        if new == old:
            return stored, old
        return await apply.write_status(self.client, stored, new.dump()), new

    async def _tell(self, stored: JSON, told: list[Story], now: datetime) -> None:
        for story in told:
            log.info("%s/%s: %s: %s", stored["metadata"]["namespace"], stored["metadata"]["name"], *story[1:])
            await apply.record_event(self.client, stored, **story._asdict(), now=stamp(now))


def _watched(run: FineTuneJob) -> Attempt | None:
    """The attempt whose Job matters: the newest, until it has succeeded. One that is over may not be gone yet."""
    last = run.status.attempts[-1] if run.status.attempts else None
    return last if last and last.state is not AttemptState.SUCCEEDED else None
