"""One TunedModel brought one step on: observe → plan → record → apply."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from attune_operator import naming
from attune_operator.api.conditions import Reason
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.meta import is_finished
from attune_operator.api.problems import as_mapping
from attune_operator.api.tunedmodel import TunedModel, TunedModelStatus
from attune_operator.cluster import apply, objects
from attune_operator.cluster.client import Kube, path_to
from attune_operator.cluster.looks import Looks
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.finetunejob.snapshot import LookView
from attune_operator.reporting import demand_readable, guarded
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp
from attune_operator.tunedmodel import build
from attune_operator.tunedmodel.hand_over import config_map
from attune_operator.tunedmodel.plan import Plan, plan, problems
from attune_operator.tunedmodel.snapshot import Snapshot
from attune_operator.tunedmodel.stories import stories
from attune_operator.tunedmodel.summarize import summarize
from attune_operator.workqueue import Key

JSON = dict[str, Any]
log = logging.getLogger("attune")


@dataclass(frozen=True)
class TunedModelReconciler:
    """What a reconcile needs from outside; `reconcile` is called with a key and nothing else."""

    client: Kube
    runtimes: Runtimes
    looks: Looks
    settings: Settings
    metrics: RetrainingMetrics
    now: Callable[[], datetime]

    async def reconcile(self, key: Key) -> float | None:
        """Brings one TunedModel one step on.

        Returns:
            Seconds until it should be looked at again without any event, or None.

        Raises:
            APIError: the API server refused or was away; the caller tries again with back-off.
        """
        stored = await objects.get(self.client, naming.TUNED_MODELS, key)
        if stored is None or "deletionTimestamp" in stored["metadata"]:
            self.metrics.model(key, None)
            return None
        return await guarded(self.client, naming.TUNED_MODELS, stored, partial(self._step, key, stored))

    async def _step(self, key: Key, stored: JSON) -> float | None:
        seen = await self._observe(stored)
        decision = plan(seen)
        # First the record, then the deed: what the ConfigMap says is in status before, and a look before its Job.
        stored, status = await self._write(stored, seen.model.status, summarize(seen, decision))
        refused = await self._apply(seen, status, decision)
        if refused is not None:
            decision = refused
            stored, status = await self._write(stored, status, summarize(seen, decision))
        await self._tell(stored, seen, status)
        self.metrics.model(key, status)
        return decision.again

    async def _observe(self, stored: JSON) -> Snapshot:
        model, bad = TunedModel.parse(stored)
        demand_readable(bad)
        now = self.now()
        if bad := bad or problems(model.spec):
            return Snapshot(model=model, now=now, problems=tuple(bad))
        raw = await objects.within(self.client, naming.FINETUNEJOBS, model.metadata.namespace)
        leaving = frozenset(r["metadata"]["uid"] for r in raw if "deletionTimestamp" in r["metadata"])
        present = frozenset(r["metadata"]["uid"] for r in raw) - leaving
        mine = [r for r in raw if _register(r) == model.metadata.name]
        parsed = (FineTuneJob.parse(r) for r in mine if is_finished(r.get("status")))
        runs = tuple(run for run, bad_run in parsed if not bad_run)
        look = await self._look(model, now)
        return Snapshot(model=model, now=now, runs=runs, present=present, leaving=leaving, look=look)

    async def _look(self, model: TunedModel, now: datetime) -> LookView | None:
        if model.status.look is None:
            return None
        return await self.looks.view(model.metadata, build.attempt_of(model.status.look), now)

    async def _apply(self, seen: Snapshot, status: TunedModelStatus, decision: Plan) -> Plan | None:
        """Makes what the plan asks for; returns the plan as the API server refused it, or None."""
        model = seen.model.model_copy(update={"status": status})
        try:
            if decision.hand_over:
                await self._hand_over(model, decision)
            if decision.start and (seen.look is None or seen.model.status.look != decision.look):
                return await self._start(model, decision)
        except apply.TakenError as error:
            return decision.refused(Reason.CONFIG_MAP_CONFLICT, str(error))
        except apply.RejectedError as error:
            return decision.refused(Reason.CREATION_REFUSED, str(error))
        return None

    async def _hand_over(self, model: TunedModel, decision: Plan) -> None:
        wanted, meta = config_map(model, decision.standing), model.metadata
        stored = await objects.config_map(self.client, meta.namespace, wanted["metadata"]["name"])
        if stored is None:
            await apply.create(self.client, wanted, meta.uid)
            return
        if not objects.is_ours(stored, meta.uid):
            raise apply.TakenError(
                f"ConfigMap {meta.namespace}/{wanted['metadata']['name']} exists and belongs to somebody else; delete "
                "or rename it, and everything goes on by itself."
            )
        if stored.get("data") != wanted["data"]:
            path = path_to("v1", "configmaps", meta.namespace, wanted["metadata"]["name"])
            await self.client.replace(path, {**stored, "data": wanted["data"]})

    async def _start(self, model: TunedModel, decision: Plan) -> Plan | None:
        look = decision.look
        assert look is not None, "asked for only where there is one"  # noqa: S101
        runtime, met = await self.runtimes.admitting(build.needs(model, look))
        if runtime is None:
            assert met is not None, "one or the other"  # noqa: S101
            return decision.refused(met.reason, f"To look at its versions: {met.message}")
        for wanted in build.objects(model, runtime, look, self.settings):
            await apply.create(self.client, wanted, model.metadata.uid)
        return None

    async def _write(self, stored: JSON, old: TunedModelStatus, new: TunedModelStatus) -> tuple[JSON, TunedModelStatus]:
        if new == old:
            return stored, old
        return await apply.write_status(self.client, stored, new.dump(), naming.TUNED_MODELS), new

    async def _tell(self, stored: JSON, seen: Snapshot, status: TunedModelStatus) -> None:
        meta = seen.model.metadata
        for story in stories(seen.model.status, status):
            log.info("%s/%s: %s: %s", meta.namespace, meta.name, *story[1:])
            await apply.record_event(self.client, stored, **story._asdict(), now=stamp(datetime.now().astimezone()))


def _register(raw: JSON) -> object:
    return as_mapping(as_mapping(raw.get("spec")).get("output")).get("register")
