"""Runs that are interrupted go on from their last checkpoint; runs that are over leave only their record behind."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from clusters import Team, conditions

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]
LONG = {"maxSteps": 1500, "batchSize": 16, "checkpoint": {"interval": "3s", "keep": 2}}
"""Half a minute on the fastest of machines, with a checkpoint every few seconds."""


def patch(team: Team, **spec: Any) -> None:
    change = json.dumps({"spec": spec})
    team.cluster.kubectl("patch", "ftj", "job", "-n", team.namespace, "--type=merge", "-p", change, check=True)


def has_checkpoint(job: JSON) -> bool:
    attempts = job.get("status", {}).get("attempts", [])
    training = bool(attempts) and attempts[-1]["stage"] == "Train" and attempts[-1]["state"] == "Running"
    return training and bool(job["status"].get("progress", {}).get("checkpointStep"))


def trainings(job: JSON) -> list[JSON]:
    return [a for a in job["status"]["attempts"] if a["stage"] == "Train"]


def keys(team: Team, job: JSON) -> list[str]:
    """Objects below the run's prefix."""
    prefix = f"{team.namespace}/out/runs/{job['metadata']['uid']}/"
    found = team.cluster.s3.list_objects_v2(Bucket=team.bucket, Prefix=prefix)
    return [o["Key"].removeprefix(prefix) for o in found.get("Contents", [])]


def soon(holds: Callable[[], bool], what: str, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {timeout:.0f} s"
        time.sleep(0.5)


def test_a_run_that_is_suspended_keeps_everything_and_goes_on_from_its_checkpoint(team: Team) -> None:
    team.submit(training=LONG)
    before = team.until("job", has_checkpoint, 180, "a checkpoint")
    patch(team, suspend=True)
    paused = team.until("job", lambda j: j["status"]["phase"] == "Suspended", 60, "Suspended")
    soon(lambda: not team.pods("train"), "the pods are gone", 150)
    assert any(k.startswith("checkpoints/") and k.endswith("COMPLETE") for k in keys(team, paused))
    assert (trainings(paused)[-1]["state"], trainings(paused)[-1]["reason"]) == ("Stopped", "Suspended")

    patch(team, suspend=False)
    job = team.wait("job", "Succeeded", timeout=400)
    first, second = trainings(job)
    assert second["state"] == "Succeeded"
    assert second["resumedFromStep"] >= before["status"]["progress"]["checkpointStep"]
    assert first["endTime"] <= second["startTime"], "attempts do not overlap"
    assert job["status"]["progress"]["step"] == LONG["maxSteps"]


def test_a_run_stops_at_the_end_of_its_budget_and_goes_on_when_that_is_raised(team: Team) -> None:
    training = {**LONG, "maxSteps": 4000}
    team.submit(training=training, budget={"maxDuration": "40s"})
    stopped = team.wait("job", "Stalled", reason="BudgetExceeded", timeout=300)
    assert stopped["status"]["phase"] == "Suspended"
    assert "maxDuration 40s" in stopped["status"]["message"]
    assert conditions(stopped)["Finished"]["status"] == "False"
    assert (trainings(stopped)[-1]["state"], trainings(stopped)[-1]["reason"]) == ("Stopped", "BudgetExceeded")
    step = stopped["status"]["progress"]["checkpointStep"]
    soon(lambda: not [p for p in team.pods("train") if p["status"]["phase"] == "Running"], "no pod runs")
    assert f"checkpoints/{step}/COMPLETE" in keys(team, stopped)

    patch(team, budget={"maxDuration": "2h"})
    job = team.wait("job", "Succeeded", timeout=600)
    assert trainings(job)[1]["resumedFromStep"] == step
    assert job["status"]["progress"]["step"] == training["maxSteps"]


def test_jobs_and_pods_of_a_finished_run_go_by_the_runtimes_retention_and_its_record_stays(
    team: Team, runtime: Callable[..., str]
) -> None:
    team.submit(runtime=runtime("short", retention="0s"), training={"maxSteps": 2})
    team.submit("kept", training={"maxSteps": 2})
    team.wait("job", "Succeeded", timeout=240)
    team.wait("kept", "Succeeded", timeout=240)

    def left() -> set[str]:
        owned = (*team.jobs(), *team.pods())
        return {o["metadata"]["annotations"]["attune.dev/finetunejob"] for o in owned}

    soon(lambda: left() == {"kept"}, "its Jobs and pods are gone")
    job = team.read("job")
    assert job["status"]["phase"] == "Succeeded"
    assert [a["state"] for a in job["status"]["attempts"]] == ["Succeeded"] * 4
    assert "manifest.json" in keys(team, job)


def test_a_deleted_runs_files_go_only_where_it_says_so(team: Team) -> None:
    policies = {"swept": "Delete", "kept": "Retain"}
    for name, policy in policies.items():
        team.submit(name, output={"deletionPolicy": policy}, training={"maxSteps": 2})
    for name in policies:
        job = team.wait(name, "Succeeded", timeout=240)
        assert "manifest.json" in keys(team, job)
        assert ("attune.dev/sweep" in job["metadata"].get("finalizers", [])) is (name == "swept")
        team.cluster.kubectl("delete", "ftj", name, "-n", team.namespace, "--timeout=120s", check=True)
        assert ("manifest.json" in keys(team, job)) is (name == "kept")
        assert name == "kept" or keys(team, job) == []
    soon(lambda: not team.jobs(), "no Job is left")
