"""One FineTuneSchedule brought one step on: observe → plan → record → apply → summarize."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from attune_operator import naming
from attune_operator.api.conditions import Reason
from attune_operator.api.finetuneschedule import FineTuneSchedule, FineTuneScheduleStatus
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.cluster import apply, objects
from attune_operator.cluster.client import Kube
from attune_operator.cluster.looks import Looks
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.finetuneschedule import build
from attune_operator.finetuneschedule.history import in_use, registered
from attune_operator.finetuneschedule.plan import Plan, plan, problems
from attune_operator.finetuneschedule.snapshot import PollView, Snapshot, run_view
from attune_operator.finetuneschedule.stories import stories
from attune_operator.finetuneschedule.summarize import summarize
from attune_operator.reporting import demand_readable, guarded
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp
from attune_operator.workqueue import Key

JSON = dict[str, Any]
log = logging.getLogger("attune")


@dataclass(frozen=True)
class ScheduleReconciler:
    """What a reconcile needs from outside; `reconcile` is called with a key and nothing else."""

    client: Kube
    runtimes: Runtimes
    looks: Looks
    settings: Settings
    metrics: RetrainingMetrics
    now: Callable[[], datetime]

    async def reconcile(self, key: Key) -> float | None:
        """Brings one schedule one step on.

        Returns:
            Seconds until it should be looked at again without any event, or None.

        Raises:
            APIError: the API server refused or was away; the caller tries again with back-off.
        """
        first = await objects.get(self.client, naming.SCHEDULES, key)
        if first is None or "deletionTimestamp" in first["metadata"]:
            self.metrics.schedule(key, None)
            return None
        return await guarded(self.client, naming.SCHEDULES, first, partial(self._step, key, first))

    async def _step(self, key: Key, first: JSON) -> float | None:
        # Runs first: what is listed was recorded before, so the record that is read after that must know of it.
        runs = await objects.runs_of(self.client, key.namespace, first["metadata"]["uid"])
        stored = await objects.get(self.client, naming.SCHEDULES, key)
        if stored is None or stored["metadata"]["uid"] != first["metadata"]["uid"]:
            return 0.0
        seen = await self._observe(stored, runs)
        decision = plan(seen)
        # First the record, then the deed: a run is in status before it is created, and counted before it is deleted.
        # Even if that says nothing new: by old news a run that has come and gone is yet to be created.
        sure = bool(decision.create)
        stored, status = await self._write(stored, seen.schedule.status, summarize(seen, decision), sure=sure)
        decision, created = await self._apply(seen, decision)
        stored, status = await self._write(stored, status, summarize(replace_status(seen, status), again(decision)))
        if status.handled_trigger is not None and naming.TRIGGER_ANNOTATION in stored["metadata"].get(
            "annotations", {}
        ):
            stored = await objects.unmark(self.client, naming.SCHEDULES, stored, naming.TRIGGER_ANNOTATION)
            await self._write(stored, status, status.model_copy(update={"handled_trigger": None}))
        await self._tell(stored, seen, status, created)
        self.metrics.schedule(key, status)
        return decision.again

    async def _observe(self, stored: JSON, runs: list[JSON]) -> Snapshot:
        schedule, bad = FineTuneSchedule.parse(stored)
        demand_readable(bad)
        now = self.now()
        views = tuple(run_view(raw) for raw in await self._with_recorded(schedule, runs))
        if bad := bad or problems(schedule.spec):
            return Snapshot(schedule=schedule, now=now, problems=tuple(bad), runs=views)
        models = await self._models(schedule)
        return Snapshot(
            schedule=schedule,
            now=now,
            runs=views,
            tuned=models.get(_followed(schedule)),
            registered=registered(views, models),
            in_use=in_use(views, models),
            poll=await self._poll(schedule, now),
        )

    async def _with_recorded(self, schedule: FineTuneSchedule, runs: list[JSON]) -> list[JSON]:
        """The runs that were listed, and those that were created between the list and the record."""
        listed = {raw["metadata"]["name"] for raw in runs}
        uid, namespace = schedule.metadata.uid, schedule.metadata.namespace
        missing = [r.name for r in schedule.status.runs if r.created and r.name not in listed]
        found = [await objects.get(self.client, naming.FINETUNEJOBS, Key(namespace, name)) for name in missing]
        return [*runs, *(raw for raw in found if raw is not None and objects.is_ours(raw, uid))]

    async def _models(self, schedule: FineTuneSchedule) -> dict[str, TunedModel]:
        """The TunedModels of its namespace by name; not asked for where none matters. A matrix may have many."""
        spec = schedule.spec
        if spec.triggers.drift is None and spec.job_template.spec.output.register_ is None:
            return {}
        raw = await objects.within(self.client, naming.TUNED_MODELS, schedule.metadata.namespace)
        return {r["metadata"]["name"]: TunedModel.parse(r)[0] for r in raw}

    async def _poll(self, schedule: FineTuneSchedule, now: datetime) -> PollView | None:
        data = schedule.status.data
        if data is None or data.poll is None:
            return None
        look = await self.looks.view(schedule.metadata, build.attempt_of(data), now)
        if look is None:
            return None
        found = look.outcome.data if look.outcome else None
        return PollView(over=look.over, found=found, message=look.words or look.waits)

    async def _apply(self, seen: Snapshot, decision: Plan) -> tuple[Plan, frozenset[str]]:
        """Makes what the plan asks for; what the API server refuses becomes a hold that the status shows.

        Returns:
            The plan, and the runs that were created now.
        """
        meta = seen.schedule.metadata
        for view in decision.delete:
            await objects.delete(self.client, naming.FINETUNEJOBS, meta.namespace, view.name, view.uid)
        created: set[str] = set()
        done: set[str] = set()
        try:
            for run in decision.create:
                if await apply.create(self.client, build.finetunejob(seen.schedule, run), meta.uid):
                    created.add(run.name)
                done.add(run.name)
            if decision.poll and seen.poll is None:
                decision = await self._start_poll(seen.schedule, decision)
        except (apply.TakenError, apply.RejectedError) as error:
            decision = decision.refused(Reason.CREATION_REFUSED, str(error))
        return decision.made(frozenset(done)), frozenset(created)

    async def _start_poll(self, schedule: FineTuneSchedule, decision: Plan) -> Plan:
        assert decision.data is not None, "asked for only where there is one"  # noqa: S101
        runtime, met = await self.runtimes.admitting(build.poll_needs(schedule))
        if runtime is None:
            assert met is not None, "one or the other"  # noqa: S101
            return decision.unlooked(met.reason, met.message)
        for wanted in build.poll(schedule, runtime, decision.data, self.settings):
            await apply.create(self.client, wanted, schedule.metadata.uid)
        return decision

    async def _write(
        self, stored: JSON, old: FineTuneScheduleStatus, new: FineTuneScheduleStatus, *, sure: bool = False
    ) -> tuple[JSON, FineTuneScheduleStatus]:
        """Writes a status if it says anything new, or to be sure that nobody wrote since: then it is refused."""
        if new == old and not sure:
            return stored, old
        return await apply.write_status(self.client, stored, new.dump(), naming.SCHEDULES), new

    async def _tell(
        self, stored: JSON, seen: Snapshot, status: FineTuneScheduleStatus, created: frozenset[str]
    ) -> None:
        meta = seen.schedule.metadata
        for story in stories(seen.schedule.status, status, created):
            log.info("%s/%s: %s: %s", meta.namespace, meta.name, *story[1:])
            await apply.record_event(self.client, stored, **story._asdict(), now=stamp(datetime.now().astimezone()))


def _followed(schedule: FineTuneSchedule) -> str:
    """The TunedModel whose monitor it follows."""
    drift = schedule.spec.triggers.drift
    return (drift.tuned_model if drift else None) or schedule.spec.job_template.spec.output.register_ or ""


def replace_status(seen: Snapshot, status: FineTuneScheduleStatus) -> Snapshot:
    """The same snapshot, with the status that was recorded meanwhile."""
    return replace(seen, schedule=seen.schedule.model_copy(update={"status": status}))


def again(decision: Plan) -> Plan:
    """The plan as it is summarized a second time: what was told once is not told twice."""
    return replace(decision, skipped=())
