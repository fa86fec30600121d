"""What preflight says of a run before anything expensive starts: estimate, budget, warnings, the page to read."""

from typing import Any

import pytest

from clusters import STORE, Team, conditions, rows

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]


def refused(team: Team, reason: str, **spec: Any) -> str:
    """Submits a run that preflight must end; returns the message."""
    team.submit(**spec)
    job = team.wait("job", "Failed", timeout=120)
    assert conditions(job)["Failed"]["reason"] == reason, job["status"]["message"]
    assert job["status"]["estimate"]["steps"] > 0
    assert job["status"]["validation"]["rows"] == 64, "the data was checked nevertheless"
    assert {j["metadata"]["labels"]["attune.dev/stage"] for j in team.jobs()} == {"preflight"}
    return str(job["status"]["message"])


@pytest.mark.parametrize(
    ("budget", "named"),
    [
        pytest.param({"maxCost": "0.000001"}, "budget.maxCost", id="cost"),
        pytest.param({"maxDuration": "1s"}, "budget.maxDuration", id="duration"),
    ],
)
def test_a_run_over_its_budget_ends_before_it_trains(team: Team, budget: JSON, named: str) -> None:
    message = refused(team, "OverBudget", budget=budget, training={"maxSteps": 1_000_000, "batchSize": 64})
    assert named in message


def test_a_run_that_cannot_fit_ends_before_it_trains_and_says_what_would(team: Team) -> None:
    resources = {"nodes": 1, "gpusPerNode": 0, "cpu": "100m", "memory": "256Mi"}
    message = refused(team, "DoesNotFit", tuning={"type": "Full"}, resources=resources)
    assert "spec.resources.memory" in message


def test_approval_is_asked_for_with_the_estimate_in_hand(team: Team) -> None:
    team.submit(approval="Required")
    job = team.until("job", lambda j: j.get("status", {}).get("phase") == "AwaitingApproval", 120, "AwaitingApproval")
    estimate = job["status"]["estimate"]
    assert estimate["steps"] == 4
    assert {"low", "high"} <= set(estimate["duration"])
    assert estimate["assumptions"]
    assert "4 steps" in job["status"]["message"]
    assert not team.pods("train")


def test_a_warning_is_told_and_is_an_error_where_the_manifest_says_so(team: Team) -> None:
    train, test = rows(64), rows(8)
    dataset = {
        "train": [team.upload("train.jsonl", train)],
        "test": [team.upload("test.jsonl", test)],
        "credentialsSecret": STORE,
    }
    allowing = {"evaluation": {"allowLeakage": True}}
    team.submit("told", dataset=dataset, approval="Required", **allowing)
    job = team.until("told", lambda j: j.get("status", {}).get("phase") == "AwaitingApproval", 120, "AwaitingApproval")
    warned = {w["code"]: w["count"] for w in job["status"]["validation"]["warnings"]}
    assert warned["leakage"] == 8

    team.submit("strict", dataset={**dataset, "strict": ["leakage"]}, **allowing)
    job = team.wait("strict", "Failed", timeout=120)
    assert conditions(job)["Failed"]["reason"] == "InvalidData"
    assert "leakage" in {e["code"] for e in job["status"]["validation"]["errors"]}
    page = job["status"]["validation"]["reportURI"].split("/", 3)[3].replace(".json", ".html")
    body = team.cluster.s3.get_object(Bucket=team.bucket, Key=page)["Body"].read().decode()
    assert "leakage" in body


def test_rows_of_test_that_are_in_train_end_the_run_before_training(team: Team) -> None:
    named = {"train": [team.upload("train.jsonl", rows(64))], "test": [team.upload("test.jsonl", rows(8))]}
    team.submit(dataset={**named, "credentialsSecret": STORE})
    job = team.wait("job", "Failed", timeout=120)
    failed = conditions(job)["Failed"]
    assert failed["reason"] == "InvalidData"
    assert "spec.evaluation.allowLeakage" in failed["message"]
    assert not team.pods("train")
