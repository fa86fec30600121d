"""A FineTuneJob from its data to its published model, on a real cluster."""

import hashlib
import json
from typing import Any

import pytest

from attune_operator.api.conditions import ConditionType
from clusters import Team, conditions, rows

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]


@pytest.fixture
def finished(team: Team) -> JSON:
    team.submit(training={"maxSteps": 40, "batchSize": 16, "learningRate": 0.02})
    return team.wait("job", "Finished", timeout=240)


def below(team: Team, job: JSON) -> set[str]:
    """Keys below the run's prefix, relative to it."""
    prefix = f"{team.namespace}/out/runs/{job['metadata']['uid']}/"
    pages = team.cluster.s3.get_paginator("list_objects_v2").paginate(
        Bucket=team.bucket, Prefix=f"{team.namespace}/out/"
    )
    keys = {o["Key"] for page in pages for o in page.get("Contents", [])}
    assert all(key.startswith(prefix) for key in keys), "a run writes only below its own prefix"
    return {key.removeprefix(prefix) for key in keys}


def test_a_run_goes_through_its_stages_and_says_so(team: Team, finished: JSON) -> None:
    status = finished["status"]
    assert status["phase"] == "Succeeded", status["message"]
    assert set(conditions(finished)) == set(ConditionType)
    truths = {name for name, c in conditions(finished).items() if c["status"] == "True"}
    assert truths == {
        *{"Validated", "Approved", "Trained", "Evaluated", "GatePassed", "Published"},
        *{"Succeeded", "Finished", "Ready"},
    }
    assert [(a["stage"], a["number"], a["state"]) for a in status["attempts"]] == [
        (stage, 1, "Succeeded") for stage in ("Preflight", "Train", "Evaluate", "Publish")
    ]
    assert status["observedGeneration"] == finished["metadata"]["generation"]
    assert status["validation"]["rows"] == 64
    assert status["progress"]["percent"] == 100
    assert status["progress"]["step"] == 40
    results = {r["metric"]: r for r in status["evaluation"]["results"]}
    assert set(results) == {"Accuracy", "ExactMatch", "Perplexity"}
    assert results["Perplexity"]["tuned"] < results["Perplexity"]["value"], "it learned something"
    assert all(r["baseline"] == "base" and r["rows"] == status["validation"]["testRows"] for r in results.values())

    keys = below(team, finished)
    expected = {
        *{"data/train.parquet", "data/test.parquet", "manifest.json"},
        *{"reports/validation.json", "reports/evaluation.json", "checkpoints/40/COMPLETE"},
        *{"model/adapter_model.safetensors", "model/adapter_config.json", "model/tokenizer.json"},
    }
    assert expected <= keys
    assert not [k for k in keys if k.endswith((".bin", ".pt", ".pkl"))], "safetensors only"
    key = status["output"]["manifestURI"].split("/", 3)[3]
    manifest = team.cluster.s3.get_object(Bucket=team.bucket, Key=key)["Body"].read()
    assert status["output"]["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"

    shown = team.cluster.kubectl("get", "ftj", "job", "-n", team.namespace, check=True).stdout
    assert "Succeeded" in shown
    assert "100%" in shown
    assert "→" in shown
    told = [e["reason"] for e in team.events("job")]
    assert told == [
        *("PreflightStarted", "PreflightDone", "TrainStarted", "TrainDone"),
        *("EvaluateStarted", "EvaluateDone", "PublishStarted", "PublishDone", "Succeeded"),
    ]
    waited = team.cluster.kubectl("wait", "--for=condition=Finished", "ftj/job", "-n", team.namespace, "--timeout=5s")
    assert waited.returncode == 0, waited.stderr


@pytest.mark.parametrize(
    ("tuning", "output", "published"),
    [
        pytest.param({"type": "Full"}, {}, "model/model.safetensors", id="Full"),
        pytest.param({"type": "LoRA"}, {"format": "Merged"}, "model/model.safetensors", id="LoRA, merged"),
    ],
)
def test_whole_models_are_published_too(team: Team, tuning: JSON, output: JSON, published: str) -> None:
    team.submit(tuning=tuning, output=output)
    job = team.wait("job", "Succeeded", timeout=240)
    keys = below(team, job)
    assert published in keys
    assert "model/tokenizer.json" in keys


def test_chat_data_trains_as_well(team: Team) -> None:
    chats = [
        {
            "messages": [
                {"role": "user", "content": r["prompt"]},
                {"role": "assistant", "content": r["completion"].strip()},
            ]
        }
        for r in rows(48)
    ]
    team.submit(data=team.upload("chat.jsonl", chats))
    job = team.wait("job", "Succeeded", timeout=240)
    assert "Chat" in job["status"]["validation"]["format"]


def test_two_nodes_train_as_one_gang(team: Team) -> None:
    team.submit(resources={"nodes": 2, "gpusPerNode": 0})
    job = team.wait("job", "Succeeded", timeout=300)
    trained = [p for p in team.pods("train") if p["status"]["phase"] == "Succeeded"]
    assert len(trained) == 2
    assert len({p["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for p in trained}) == 2
    assert job["status"]["progress"]["step"] == 4


def test_a_run_waits_for_approval_and_for_the_end_of_a_pause(team: Team) -> None:
    team.submit(approval="Required")
    team.until("job", lambda j: j.get("status", {}).get("phase") == "AwaitingApproval", 120, "AwaitingApproval")
    assert not team.pods("train")
    patch = json.dumps({"spec": {"approved": True, "suspend": True}})
    team.cluster.kubectl("patch", "ftj", "job", "-n", team.namespace, "--type=merge", "-p", patch, check=True)
    team.until("job", lambda j: j["status"]["phase"] == "Suspended", 30, "Suspended")
    assert not team.pods("train")
    patch = json.dumps({"spec": {"suspend": False}})
    team.cluster.kubectl("patch", "ftj", "job", "-n", team.namespace, "--type=merge", "-p", patch, check=True)
    team.wait("job", "Succeeded", timeout=240)


def test_twenty_at_once_all_end_and_nothing_is_mixed_up(team: Team) -> None:
    good = [f"good-{i}" for i in range(6)]
    bad = [f"bad-{i}" for i in range(14)]
    for i, name in enumerate(good):
        team.submit(name, data=team.upload(f"{name}.jsonl", rows(40 + i)), training={"maxSteps": 2 + i})
    for i, name in enumerate(bad):
        broken = [*rows(8), *({"prompt": "no answer"} for _ in range(i + 1))]
        team.submit(name, data=team.upload(f"{name}.jsonl", broken))
    for i, name in enumerate(bad):
        status = team.wait(name, "Failed", timeout=300)["status"]
        assert status["validation"]["invalidRows"] == i + 1
        assert {e["file"].rsplit("/", 1)[1] for e in status["validation"]["errors"]} == {f"{name}.jsonl"}
    for i, name in enumerate(good):
        status = team.wait(name, "Succeeded", timeout=600)["status"]
        assert status["validation"]["rows"] == 40 + i
        assert status["progress"]["step"] == 2 + i
        assert status["runID"] in status["output"]["modelURI"]
    owners = [(j["metadata"]["ownerReferences"][0]["name"], j["metadata"]["name"]) for j in team.jobs()]
    assert len(owners) == len(bad) + 4 * len(good), "exactly one Job per run, stage and attempt"
    assert all(job.startswith(owner) for owner, job in owners)
