"""Valid by default: each test names only what differs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from attune_contract.enums import OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, Snapshot
from attune_operator.naming import job_name

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAME, NAMESPACE, UID = "support-router", "team-a", "3f1c9a2b-0000-4000-8000-000000000000"

SPEC: dict[str, Any] = {
    "runtime": "default",
    "model": {"source": "s3://models/base", "credentialsSecret": "model-store"},
    "method": "SFT",
    "dataset": {"train": ["s3://data/train.jsonl"], "credentialsSecret": "data-store"},
    "training": {"epochs": 3},
    "resources": {"nodes": 1, "gpusPerNode": 1, "cpu": "8", "memory": "64Gi"},
    "output": {"uri": "s3://models/out/", "credentialsSecret": "model-store"},
}


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with nested `changes`."""
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = (
            merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
        )
    return merged


def raw(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A FineTuneJob as the API server gives it."""
    return {
        "apiVersion": "attune.dev/v1alpha1",
        "kind": "FineTuneJob",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "uid": UID, "generation": 1, "resourceVersion": "7"},
        "spec": merge(SPEC, spec),
        "status": status or {},
    }


def run(status: dict[str, Any] | None = None, attempts: tuple[Attempt, ...] = (), **spec: Any) -> FineTuneJob:
    """A typed FineTuneJob with a record of attempts."""
    dumped = [a.model_dump(mode="json", exclude_none=True) for a in attempts]
    parsed, problems = FineTuneJob.parse(raw({**(status or {}), "attempts": dumped}, **spec))
    assert not problems
    return parsed


def runtime(**spec: Any) -> TuningRuntime:
    """A TuningRuntime with prices."""
    price = {"perGPUHour": "4.00", "perCPUHour": "0.10", "currency": "USD"}
    full = {"image": "attune/trainer:1", "price": price, **spec}
    parsed, problems = TuningRuntime.parse({"metadata": {"name": "default"}, "spec": full})
    assert parsed is not None, problems
    return parsed


def attempt(stage: Stage, state: AttemptState, number: int = 1, ended_ago: float = 0, **fields: Any) -> Attempt:
    """An attempt; one that is over ended `ended_ago` seconds before NOW."""
    over = state not in (AttemptState.PENDING, AttemptState.RUNNING)
    end = stamp(NOW - timedelta(seconds=ended_ago)) if over else None
    return Attempt(
        stage=stage,
        number=number,
        job_name=job_name(NAME, UID, stage, number),
        state=state,
        start_time=stamp(NOW - timedelta(seconds=ended_ago + 3600)),
        end_time=end,
        **fields,
    )


def done(*stages: Stage) -> tuple[Attempt, ...]:
    """Attempts that did these stages."""
    return tuple(attempt(stage, AttemptState.SUCCEEDED) for stage in stages)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def stamp(moment: datetime) -> str:
    """RFC 3339."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def job(state: JobState = JobState.ACTIVE, **fields: Any) -> JobView:
    """The Job of the open attempt."""
    return JobView(**{"name": "job", "uid": "j", "state": state, "deleting": False, "created": NOW, **fields})


def pod(**fields: Any) -> PodView:
    """A pod of the open attempt."""
    return PodView(**{"name": "job-0-abcde", "index": 0, "phase": "Running", **fields})


def outcome(state: OutcomeState = OutcomeState.SUCCEEDED, stage: Stage = Stage.PREFLIGHT, **fields: Any) -> str:
    """A termination message."""
    return Outcome(run_id=UID, stage=stage, attempt=1, state=state, **fields).dumps()


def seen(**fields: Any) -> Snapshot:
    """A snapshot of a run that nothing is wrong with."""
    return Snapshot(**{"run": run(), "now": NOW, "runtime": runtime(), **fields})
