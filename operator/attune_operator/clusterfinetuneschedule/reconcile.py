"""One ClusterFineTuneSchedule brought one step on: observe → plan → record → ask, pause, resume."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from attune_operator import naming
from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule, ClusterFineTuneScheduleStatus
from attune_operator.api.finetuneschedule import FineTuneSchedule, FineTuneScheduleSpec
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.cluster import apply, objects
from attune_operator.cluster.client import Kube, pages, path_to
from attune_operator.clusterfinetuneschedule.places import watched
from attune_operator.clusterfinetuneschedule.plan import Plan, may_begin, plan, problems, underway
from attune_operator.clusterfinetuneschedule.requests import Requests
from attune_operator.clusterfinetuneschedule.snapshot import Candidate, MemberView, Name, Snapshot, member_view, most
from attune_operator.clusterfinetuneschedule.summarize import summarize
from attune_operator.finetunejob.stories import Story
from attune_operator.finetuneschedule.plan import problems as schedule_problems
from attune_operator.reporting import about_status, demand_readable, guarded
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.timing.moments import stamp
from attune_operator.workqueue import Key

JSON = dict[str, Any]
log = logging.getLogger("attune")


@dataclass(frozen=True)
class WaveReconciler:
    """What a reconcile needs from outside; `reconcile` is called with a key and nothing else."""

    client: Kube
    metrics: RetrainingMetrics
    now: Callable[[], datetime]

    async def reconcile(self, key: Key) -> float | None:
        """Brings one wave one step on.

        Returns:
            Seconds until it should be looked at again without any event, or None.

        Raises:
            APIError: the API server refused or was away; the caller tries again with back-off.
        """
        stored = await objects.get(self.client, naming.CLUSTER_SCHEDULES, key)
        if stored is None or "deletionTimestamp" in stored["metadata"]:
            self.metrics.wave(key, None)
            await Requests(self.client).release(key.name)
            return None
        return await guarded(self.client, naming.CLUSTER_SCHEDULES, stored, partial(self._step, key, stored))

    async def _step(self, key: Key, stored: JSON) -> float | None:
        seen = await self._observe(stored)
        if seen.schedule.status.observed_generation is None:
            # New: runs that wait for a wave of this name wait for one of an object that was deleted.
            await Requests(self.client).release(key.name)
        decision = plan(seen)
        status = summarize(seen, decision)
        # First the record, then the deed: a place is taken in the wave's record before anybody is asked to start.
        if status != seen.schedule.status:
            stored = await apply.write_status(self.client, stored, status.dump(), naming.CLUSTER_SCHEDULES)
        await self._tell(stored, seen.schedule.status, status, decision)
        self.metrics.wave(key, status)
        if status.wave is not None:
            await self._request(status.wave.id, decision)
        if status.handled_trigger is not None and naming.TRIGGER_ANNOTATION in stored["metadata"].get(
            "annotations", {}
        ):
            stored = await objects.unmark(self.client, naming.CLUSTER_SCHEDULES, stored, naming.TRIGGER_ANNOTATION)
            cleared = status.model_copy(update={"handled_trigger": None})
            await apply.write_status(self.client, stored, cleared.dump(), naming.CLUSTER_SCHEDULES)
        return decision.again

    async def _observe(self, stored: JSON) -> Snapshot:
        schedule, bad = ClusterFineTuneSchedule.parse(stored)
        demand_readable(bad)
        now = self.now()
        if bad := bad or problems(schedule.spec):
            return Snapshot(schedule=schedule, now=now, problems=tuple(bad))
        wave, seen = schedule.status.wave, Snapshot(schedule=schedule, now=now)
        if wave is not None and underway(wave):
            return replace(seen, members=await self._members(watched(wave, schedule.spec)))
        return replace(seen, candidates=await self._candidates(schedule)) if may_begin(seen) else seen

    async def _members(self, names: tuple[Name, ...]) -> dict[Name, MemberView]:
        found = {}
        for name in names:
            raw = await objects.get(self.client, naming.SCHEDULES, Key(name.namespace, name.name))
            if raw is not None and "deletionTimestamp" not in raw["metadata"]:
                found[name] = _view(raw)
        return found

    async def _candidates(self, schedule: ClusterFineTuneSchedule) -> tuple[Candidate, ...]:
        spec = schedule.spec
        namespaces = await self._namespaces(schedule)
        models = {key: raw async for key, raw in objects.everywhere(self.client, naming.TUNED_MODELS)}
        found = []
        async for key, raw in objects.everywhere(self.client, naming.SCHEDULES):
            member, bad = FineTuneSchedule.parse(raw)
            if bad or key.namespace not in namespaces or not spec.selector.matches(member.metadata.labels):
                continue
            model = models.get(Key(key.namespace, member.spec.job_template.spec.output.register_ or ""))
            found.append(_candidate(key, member.spec, TunedModel.parse(model)[0] if model else None))
        return tuple(found)

    async def _namespaces(self, schedule: ClusterFineTuneSchedule) -> set[str]:
        selector = schedule.spec.namespace_selector
        found = pages(self.client, lambda query: path_to("v1", "namespaces", **query))
        return {n["metadata"]["name"] async for n in found if selector.matches(n["metadata"].get("labels", {}))}

    async def _request(self, wave: str, decision: Plan) -> None:
        requests = Requests(self.client)
        for name in decision.ask:
            await requests.ask(name, wave)
        for name in decision.turn:
            await requests.turn(name, wave, paused=decision.paused)

    async def _tell(
        self, stored: JSON, old: ClusterFineTuneScheduleStatus, new: ClusterFineTuneScheduleStatus, decision: Plan
    ) -> None:
        told = []
        if decision.fired is not None and new.wave is not None:
            told.append(Story("Normal", "WaveStarted", f"{decision.fired.message} {new.wave.total} FineTuneSchedules."))
        told += [Story("Normal", "WaveSkipped", f"{s.reason}: {s.message}") for s in decision.skipped]
        was_over = old.wave is None or old.wave.completion_time is not None
        if new.wave is not None and new.wave.completion_time is not None and not was_over:
            told.append(Story("Normal", "WaveDone", new.message))
        for story in told:
            log.info("%s: %s: %s", stored["metadata"]["name"], *story[1:])
            await apply.record_event(self.client, stored, **story._asdict(), now=stamp(datetime.now().astimezone()))


def _view(raw: JSON) -> MemberView:
    schedule, bad = FineTuneSchedule.parse(raw)
    usable = all(p.path.startswith("status") for p in bad) and not schedule_problems(schedule.spec)
    return member_view(schedule, usable=usable, unreadable=about_status(bad))


def _candidate(key: Key, spec: FineTuneScheduleSpec, model: TunedModel | None) -> Candidate:
    champion = model.status.champion if model else None
    history = model.status.monitor.history if model and model.status.monitor else ()
    drift = 0.0
    if history:
        drops = [m.drop for m in history[0].metrics if m.dropped]
        drift = (1.0 if history[0].drifted else 0.0) + max([history[0].score or 0.0, *drops])
    # One that cannot start answers so itself, and takes nothing.
    takes = Decimal(0) if schedule_problems(spec) else most(spec.job_template)
    return Candidate(Name(*key), champion.since if champion else "", drift, takes)
