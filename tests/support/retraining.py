"""Schedules, waves and TunedModels that are valid by default: each test names only what differs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.finetuneschedule import FineTuneSchedule, FineTuneScheduleStatus
from attune_operator.api.tunedmodel import TunedModel, TunedModelStatus
from attune_operator.finetunejob.snapshot import LookView
from attune_operator.finetuneschedule.plan import Plan, plan
from attune_operator.finetuneschedule.plan import problems as schedule_problems
from attune_operator.finetuneschedule.snapshot import RunView, Snapshot
from attune_operator.finetuneschedule.summarize import summarize
from attune_operator.tunedmodel import plan as model_plan
from attune_operator.tunedmodel import snapshot as model_snapshot
from attune_operator.tunedmodel import summarize as model_summary
from factories import NAMESPACE, SPEC, merge

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UID = "5ce0000a-0000-4000-8000-000000000000"
HOURLY = {"cron": {"schedule": "0 * * * *"}}


def at(hours: float = 0, minutes: float = 0, days: float = 0) -> datetime:
    return NOW + timedelta(hours=hours, minutes=minutes, days=days)


def schedule(
    status: FineTuneScheduleStatus | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> FineTuneSchedule:
    template = merge({"spec": SPEC}, spec.pop("jobTemplate", {}))
    meta = {"name": "weekly", "namespace": NAMESPACE, "uid": UID, "generation": 1, "annotations": annotations or {}}
    parsed, problems = FineTuneSchedule.parse({"metadata": meta, "spec": {"jobTemplate": template, **spec}})
    assert not problems, problems
    return parsed.model_copy(update={"status": status}) if status is not None else parsed


def view(name: str, **fields: Any) -> RunView:
    cost = {key: Decimal(fields.pop(key)) for key in ("cost", "expected") if key in fields}
    return RunView(**{"name": name, "uid": f"uid-{name}", "currency": "USD", **cost, **fields})


class Scheduler:
    """A schedule over time, with a cluster that is a dictionary of runs: what is planned is done at once."""

    def __init__(self, now: datetime = NOW, **spec: Any) -> None:
        self.spec = spec
        self.status = FineTuneScheduleStatus()
        self.runs: dict[str, RunView] = {}
        self.annotations: dict[str, str] = {}
        self.made: list[str] = []
        self.tuned: TunedModel | None = None
        self.poll: Any = None
        self.in_use: frozenset[str] = frozenset()
        self.step(now)

    def step(self, now: datetime) -> Plan:
        """One reconcile, as `finetuneschedule/reconcile.py` does it."""
        seen = self.seen(now)
        decision = plan(seen)
        self.status = summarize(seen, decision)
        for run in decision.create:
            self.runs.setdefault(run.name, view(run.name))
            self.made.append(run.name)
        for gone in decision.delete:
            del self.runs[gone.name]
        seen = self.seen(now)
        made = decision.made(frozenset(r.name for r in decision.create))
        self.status = summarize(seen, made).model_copy(update={"skipped": self.status.skipped})
        if self.status.handled_trigger is not None and self.annotations:
            self.annotations = {}
            self.status = self.status.model_copy(update={"handled_trigger": None})
        return decision

    def seen(self, now: datetime) -> Snapshot:
        made = schedule(self.status, self.annotations, **self.spec)
        return Snapshot(
            schedule=made,
            now=now,
            problems=schedule_problems(made.spec),
            runs=tuple(self.runs.values()),
            tuned=self.tuned,
            registered=frozenset(v.uid for v in self.runs.values()),
            poll=self.poll,
            in_use=self.in_use,
        )

    def end(self, *, succeeded: bool = True, cost: str = "1", ended: datetime = NOW, **fields: Any) -> None:
        """Every run that is active ends."""
        for name, run in self.runs.items():
            if not run.over:
                told = {"over": True, "succeeded": succeeded, "cost": cost, "ended": f"{ended:%Y-%m-%dT%H:%M:%SZ}"}
                self.runs[name] = view(name, **told, **fields)

    def trigger(self, now: datetime) -> Plan:
        """Somebody annotates it."""
        self.annotations = {"attune.dev/trigger": "now"}
        return self.step(now)


def wave_schedule(**spec: Any) -> ClusterFineTuneSchedule:
    meta = {"name": "sundays", "uid": UID, "generation": 1}
    full = {"cron": {"schedule": "0 2 * * SUN"}, **spec}
    parsed, problems = ClusterFineTuneSchedule.parse({"metadata": meta, "spec": full})
    assert not problems, problems
    return parsed


def tuned_model(status: TunedModelStatus | None = None, **spec: Any) -> TunedModel:
    meta = {"name": "router", "namespace": NAMESPACE, "uid": UID, "generation": 1}
    parsed, problems = TunedModel.parse({"metadata": meta, "spec": spec})
    assert not problems, problems
    return parsed.model_copy(update={"status": status}) if status is not None else parsed


def run_uid(number: int) -> str:
    """metadata.uid of a run."""
    return f"{number:08d}-0000-4000-8000-000000000000"


def model_uri(number: int) -> str:
    """Where a run published its model."""
    return f"s3://models/out/runs/{run_uid(number)}/model"


def finished_raw(
    number: int,
    *,
    accuracy: float = 0.9,
    champion: tuple[int, float] | None = None,
    published: bool = True,
    **spec: Any,
) -> dict[str, Any]:
    """A run that registers with `router` and is over, as the API server gives it.

    Args:
        number: tells runs apart, and orders their ends.
        accuracy: of the tuned model.
        champion: number of the run of the champion that joined its evaluation, and its accuracy.
        published: whether the gate passed.
        spec: what differs.
    """
    ended = f"{NOW + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}"
    uid = run_uid(number)
    result = {"metric": "Accuracy", "tuned": accuracy, "baseline": "base", "value": 0.4, "rows": 96}
    result["delta"] = accuracy - 0.4
    attempt: dict[str, Any] = {
        "stage": "Evaluate",
        "number": 1,
        "jobName": "x",
        "state": "Succeeded",
        "startTime": ended,
        "endTime": ended,
    }
    results = [result]
    if champion is not None:
        version, value = champion
        results.append({**result, "baseline": "champion", "value": value, "delta": accuracy - value})
        attempt["champion"] = {"version": version, "modelURI": model_uri(version)}
    holds = {"Finished": True, "Succeeded": True, "Failed": False, "Published": published, "GatePassed": published}
    conditions = [
        {"type": k, "status": str(v), "reason": "Done", "message": f"{k}.", "lastTransitionTime": ended}
        for k, v in holds.items()
    ]
    digests = [
        {"path": f"data/{name}.parquet", "digest": f"sha256:{name}", "sizeBytes": 1, "stage": "Preflight"}
        for name in ("train", "test")
    ]
    output = {"modelURI": model_uri(number), "digest": f"sha256:{number:064x}"}
    status = {
        "conditions": conditions,
        "completionTime": ended,
        "attempts": [attempt],
        "artifacts": digests,
        "evaluation": {"verdict": "Passed" if published else "Failed", "results": results},
        **({"output": output} if published else {}),
    }
    full = merge({**SPEC, "output": {**SPEC["output"], "register": "router"}}, spec)
    meta = {"name": f"run-{number}", "namespace": NAMESPACE, "uid": uid}
    return {"kind": "FineTuneJob", "metadata": meta, "spec": full, "status": status}


def finished(number: int, **fields: Any) -> FineTuneJob:
    """The same, typed."""
    parsed, problems = FineTuneJob.parse(finished_raw(number, **fields))
    assert not problems, problems
    return parsed


def _to_what_was_asked(look: LookView | None, status: TunedModelStatus) -> LookView | None:
    """A look's answer, with the time that it was asked for where the test gives none."""
    if look is None or look.outcome is None or look.outcome.monitoring is None or look.outcome.monitoring.at:
        return look
    assert status.look is not None, "somebody asked"
    found = look.outcome.monitoring.model_copy(update={"at": status.look.at})
    return replace(look, outcome=look.outcome.model_copy(update={"monitoring": found}))


class Model:
    """A TunedModel over time."""

    def __init__(self, **spec: Any) -> None:
        self.spec = spec
        self.status = TunedModelStatus()
        self.runs: list[FineTuneJob] = []

    def step(self, now: datetime = NOW, look: LookView | None = None) -> model_plan.Plan:
        """One reconcile, as `tunedmodel/reconcile.py` does it."""
        model = tuned_model(self.status, **self.spec)
        leaving = frozenset(r.metadata.uid for r in self.runs if r.metadata.deletion_timestamp)
        present = frozenset(r.metadata.uid for r in self.runs) - leaving
        answer = _to_what_was_asked(look, self.status)
        seen = model_snapshot.Snapshot(model, now, runs=tuple(self.runs), present=present, leaving=leaving, look=answer)
        decision = model_plan.plan(seen)
        self.status = model_summary.summarize(seen, decision)
        return decision

    def run(self, number: int, now: datetime = NOW, **fields: Any) -> model_plan.Plan:
        """A run ends, and is seen."""
        self.runs.append(finished(number, **fields))
        return self.step(now)

    @property
    def states(self) -> dict[int, str]:
        """State of each version."""
        return {v.version: str(v.state) for v in self.status.versions}

    @property
    def champion(self) -> int | None:
        """The champion's version."""
        return self.status.champion.version if self.status.champion else None
