"""What is left of a run: Jobs and pods of one that ended, files of one that was deleted.

FineTuneJobs themselves are never deleted here: GitOps would create them anew, and train again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from attune_contract.quantities import seconds
from attune_operator import naming
from attune_operator.api.conditions import Reason
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.api.tuningruntime import DEFAULT_RETENTION, TuningRuntime
from attune_operator.cluster import apply, nodes, objects, observe
from attune_operator.cluster.client import Kube
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.finetunejob import sweep
from attune_operator.finetunejob.leftovers import OVERDUE, overdue
from attune_operator.finetunejob.snapshot import JobView, PodView, Warned
from attune_operator.finetunejob.views import job_view
from attune_operator.reporting import report
from attune_operator.settings import Settings
from attune_operator.workqueue import Key

JSON = dict[str, Any]
LOOK_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 60.0
RUNTIME_UNREADABLE_SECONDS = 3600.0
"""How soon a runtime that could not be read is looked at again: nothing but cleaning up waits for it."""
SPOKEN_OF = timedelta(minutes=1)
"""A deletion that takes longer says what it waits for."""
SWEEP_WARNINGS = timedelta(minutes=10)
"""Older warnings are about something that has passed."""
MANY_ATTEMPTS = 5
"""A run of fewer attempts leaves so few Jobs that they stay until its end."""


@dataclass(frozen=True)
class Afterlife:
    """Cleans up after runs."""

    client: Kube
    runtimes: Runtimes
    settings: Settings
    warnings: Warnings

    async def prune(self, run: FineTuneJob, now: datetime) -> float | None:
        """Removes Jobs and pods of a run that ended, once its runtime's retention is over.

        Returns:
            Seconds until they are due, or None where there is nothing left to do.
        """
        completed = run.status.completion_time
        if completed is None:
            return None
        runtime, problems = await self.runtimes.find(run.spec.runtime)
        if problems:
            return RUNTIME_UNREADABLE_SECONDS  # its retention may be longer than the default
        due = (datetime.fromisoformat(completed) + _retention(runtime) - now).total_seconds()
        if due > 0:
            return due
        for job in await self._ended(run):
            await apply.prune_job(self.client, job)
        return None

    async def thin(self, run: FineTuneJob, runtime: TuningRuntime | None, now: datetime) -> None:
        """Removes Jobs and pods of attempts that ended longer ago than the retention, while their run goes on.

        One that is disrupted again and again for days would fill its namespace with dead pods.
        """
        if len(run.status.attempts) < MANY_ATTEMPTS:
            return
        for job in await self._ended(run):
            ended = job_view(job).ended_at
            if ended and now - datetime.fromisoformat(ended) > _retention(runtime):
                await apply.prune_job(self.client, job)

    async def _ended(self, run: FineTuneJob) -> list[JSON]:
        """The run's Jobs that are over. One that is not is none that was recorded: it is never ended from here."""
        uid = run.metadata.uid
        found = await observe.jobs_of(self.client, run.metadata.namespace, uid)
        return [job for job in found if objects.is_ours(job, uid) and job_view(job).over]

    async def guard(self, stored: JSON) -> JSON:
        """Makes sure, before anything is written below a run's prefix, that its deletion will wait for the sweep."""
        finalizers = list(stored["metadata"].get("finalizers", []))
        if not sweep.wanted(stored) or naming.SWEEP_FINALIZER in finalizers:
            return stored
        return await apply.set_finalizers(self.client, stored, [*finalizers, naming.SWEEP_FINALIZER])

    async def leave(self, stored: JSON) -> float | None:
        """Brings a FineTuneJob that is being deleted one step further on its way.

        Returns:
            Seconds until the next look, or None where it may go.
        """
        if naming.SWEEP_FINALIZER not in stored["metadata"].get("finalizers", []):
            return None
        run, problems = FineTuneJob.parse(stored)
        # Fields of a newer version say nothing of where the files are.
        if [p for p in problems if not (p.unknown or p.path.startswith("status"))] or not sweep.wanted(stored):
            return await self._keep(stored, "The spec cannot be read, so the files of the run are kept.")
        now = datetime.now(UTC)
        if (alive := await self._alive(run)) is not None:
            if now - datetime.fromisoformat(stored["metadata"]["deletionTimestamp"]) > SPOKEN_OF:
                said = sweep.waits_for(overdue(alive, now, OVERDUE) or alive)
                await report(self.client, stored, Reason.SWEEPING, said, now, stalled=False)
            return LOOK_SECONDS
        if use := await self._in_use(run):
            await report(self.client, stored, Reason.SWEEPING, sweep.in_use(use), now, stalled=False)
            return LOOK_AGAIN_SECONDS
        return await self._sweep(stored, run, now)

    async def _in_use(self, run: FineTuneJob) -> str:
        """Why the run's model is needed, in words; empty where it is not. One that serves is never removed."""
        name, meta = run.spec.output.register_, run.metadata
        raw = await objects.get(self.client, naming.TUNED_MODELS, Key(meta.namespace, name)) if name else None
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            return ""
        model, problems = TunedModel.parse(raw)
        if any(p.path.startswith("status") for p in problems):
            return f"may be in use: the status of TunedModel {name} cannot be read"
        needed = model.needs(meta.uid)  # of a spec that cannot be read: as if by the defaults, so files rather stay
        return f"{needed} of TunedModel {name}" if needed else ""

    async def _sweep(self, stored: JSON, run: FineTuneJob, now: datetime) -> float | None:
        namespace, name = run.metadata.namespace, naming.sweep_name(run.metadata.name, run.metadata.uid)
        found = await observe.job(self.client, namespace, name)
        pods = tuple(
            p for p in await observe.pods_of(self.client, namespace, run.metadata.uid) if p.name.startswith(name)
        )
        if found is not None and not sweep.is_one(found, run.metadata.uid):
            message = (
                f"The run's files cannot be removed: Job {name} is there and is none of this operator's. Delete or "
                f"rename it, and it goes on by itself. {sweep.LET_GO}"
            )
            await report(self.client, stored, Reason.SWEEP_FAILED, message, now, stalled=True)
            return LOOK_AGAIN_SECONDS
        job = job_view(found) if found else None
        decision = sweep.decide(job, pods, now, await self._warnings(namespace, job, pods, now))
        if decision.done and found is not None:
            await self._let_go(stored)
            await apply.prune_job(self.client, found)
            return None
        if decision.create:
            return await self._create(stored, run, now)
        reason = Reason.SWEEP_FAILED if decision.failed else Reason.SWEEPING
        await report(self.client, stored, reason, decision.message, now, stalled=decision.failed)
        if found is not None and decision.discard:
            await apply.prune_job(self.client, found)
        return LOOK_AGAIN_SECONDS

    async def _create(self, stored: JSON, run: FineTuneJob, now: datetime) -> float | None:
        runtime, _ = await self.runtimes.find(run.spec.runtime)
        if runtime is None:
            message = (
                f"The run's files cannot be removed: there is no usable TuningRuntime {run.spec.runtime!r} to take an "
                f"image from. Make one, and it goes on by itself. {sweep.LET_GO}"
            )
            await report(self.client, stored, Reason.SWEEP_FAILED, message, now, stalled=True)
            return LOOK_AGAIN_SECONDS
        try:
            await apply.create_unowned(self.client, sweep.job(run, runtime, now, self.settings))
        except ValidationError as error:  # a run or a runtime of another version
            said = f"The run's files cannot be removed: its pods cannot be told where they are: {error} {sweep.LET_GO}"
            await report(self.client, stored, Reason.SWEEP_FAILED, said, now, stalled=True)
        except apply.RejectedError as error:
            if "being terminated" in str(error):
                # Nothing can be made in a namespace that goes; it must not hang on our finalizer.
                return await self._keep(stored, "The namespace is being deleted, so the files of the run are kept.")
            said = f"The run's files cannot be removed: {error} It is tried again. {sweep.LET_GO}"
            await report(self.client, stored, Reason.SWEEP_FAILED, said, now, stalled=True)
        else:
            said = f"The run's files are being removed by Job {naming.sweep_name(run.metadata.name, run.metadata.uid)}."
            await report(self.client, stored, Reason.SWEEPING, said, now, stalled=False)
        return LOOK_AGAIN_SECONDS

    async def _warnings(
        self, namespace: str, job: JobView | None, pods: tuple[PodView, ...], now: datetime
    ) -> tuple[Warned, ...]:
        """Warning Events about a sweep that is late to start."""
        started = any(p.phase != "Pending" for p in pods)
        if job is None or job.over or started or now - job.created < sweep.LATE_TO_START:
            return ()
        names = (job.name, *(p.name for p in pods))
        return await self.warnings.about(namespace, names, now - SWEEP_WARNINGS)

    async def _alive(self, run: FineTuneJob) -> tuple[PodView, ...] | None:
        """Ends what still runs of a run; the pods of it that are left, or None where nothing is.

        Files are never removed under a pod that writes.
        """
        namespace, uid = run.metadata.namespace, run.metadata.uid
        own = [j for j in await observe.jobs_of(self.client, namespace, uid) if objects.is_ours(j, uid)]
        for job in own:
            if not job_view(job).deleting and not job_view(job).over:
                await apply.delete_job(self.client, namespace, job["metadata"]["name"], uid)
        pods = await observe.pods_of(self.client, namespace, uid)
        alive = tuple(p for p in pods if p.alive and not p.name.startswith(naming.sweep_name(run.metadata.name, uid)))
        await self._release(namespace, alive)
        return alive if alive or any(not job_view(j).over for j in own) else None

    async def _release(self, namespace: str, pods: tuple[PodView, ...]) -> None:
        patience = self.settings.lost_node_seconds
        late = overdue(pods, datetime.now(UTC), timedelta(seconds=patience)) if patience else ()
        for name in await nodes.lost(self.client, late):
            await apply.release_pod(self.client, namespace, name)

    async def _keep(self, stored: JSON, why: str) -> float | None:
        await apply.try_event(self.client, stored, kind="Warning", reason=Reason.SWEEP_FAILED, message=why)
        return await self._let_go(stored)

    async def _let_go(self, stored: JSON) -> float | None:
        rest = [f for f in stored["metadata"].get("finalizers", []) if f != naming.SWEEP_FINALIZER]
        await apply.set_finalizers(self.client, stored, rest)
        return None


def _retention(runtime: TuningRuntime | None) -> timedelta:
    return timedelta(seconds=seconds(runtime.spec.retention if runtime else DEFAULT_RETENTION))
