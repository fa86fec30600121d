"""Every method on a real cluster, all weights tuned: each run learns what its data teaches.

With LoRA every method is run by its example (test_examples.py), which its tuned model must improve too.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from clusters import Cluster, Team, conditions, rows

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
JSON = dict[str, Any]
OTHER = {" warm": " cold", " cold": " warm"}


def completions() -> list[JSON]:
    return rows(96)


def documents() -> list[JSON]:
    return [{"text": r["prompt"] + r["completion"] + "."} for r in rows(96)]


def pairs() -> list[JSON]:
    return [{"prompt": r["prompt"], "chosen": r["completion"], "rejected": OTHER[r["completion"]]} for r in rows(96)]


def ratings() -> list[JSON]:
    """Three answers are wanted for each that is not, so that the weights of the two are not the same."""
    return [
        {
            "prompt": r["prompt"],
            "completion": OTHER[r["completion"]] if i % 4 == 0 else r["completion"],
            "label": i % 4 > 0,
        }
        for i, r in enumerate(rows(96))
    ]


def labelled() -> list[JSON]:
    return [{"text": r["prompt"].removesuffix(" ->"), "label": r["completion"].strip()} for r in rows(96)]


@dataclass(frozen=True)
class Case:
    """One method, with data that it can learn from in half a minute."""

    method: str
    data: Any
    metric: str
    block: JSON = field(default_factory=dict)
    suffix: str = ""

    @property
    def name(self) -> str:
        return (self.method + self.suffix).lower()


CASES = (
    Case("SFT", completions, "Perplexity"),
    Case("ContinuedPretraining", documents, "Perplexity"),
    Case("DPO", pairs, "PreferenceMargin"),
    Case("ORPO", pairs, "PreferenceMargin"),
    Case("KTO", ratings, "PreferenceMargin"),
    Case("Classification", labelled, "Accuracy", {"classification": {"style": "Token"}}, suffix="-token"),
    Case("Classification", labelled, "Accuracy", {"classification": {"style": "Head"}}, suffix="-head"),
)
RUNS = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def runs(cluster: Cluster, bucket: str, base_model: str) -> Iterator[Team]:
    """All runs at once in one namespace; the node takes as many pods at a time as it has room for."""
    namespace = f"methods-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    cluster.apply(cluster.secret(namespace))
    team = Team(cluster, namespace, bucket, base_model)
    for name, case in RUNS.items():
        team.submit(
            name,
            data=team.upload(f"{case.name}.jsonl", case.data()),
            method=case.method,
            tuning={"type": "Full"},
            training={"maxSteps": 40, "batchSize": 16, "learningRate": 0.01},
            resources={"nodes": 1, "gpusPerNode": 0, "cpu": "450m", "memory": "3Gi"},
            evaluation={"metrics": [{"name": case.metric}]},
            **case.block,
        )
    yield team
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.mark.parametrize("name", RUNS)
def test_a_run_learns(runs: Team, name: str) -> None:
    case = RUNS[name]
    job = runs.wait(name, "Finished", timeout=900)
    status = job["status"]
    assert conditions(job)["Succeeded"]["status"] == "True", status["message"]
    (result,) = status["evaluation"]["results"]
    assert result["metric"] == case.metric
    if case.metric == "Perplexity":
        assert result["tuned"] < result["value"]
        assert result["high"] < 0, "the interval of the difference says so too"
    else:
        assert result["tuned"] > result["value"]
        assert result["low"] > 0, "the interval of the difference says so too"
    folder = f"{runs.namespace}/out/runs/{job['metadata']['uid']}/model/"
    found = runs.cluster.s3.list_objects_v2(Bucket=runs.bucket, Prefix=folder)["Contents"]
    names = {o["Key"].removeprefix(folder) for o in found}
    assert "model.safetensors" in names
    assert ("labels.json" in names) is (case.method == "Classification")


def test_an_estimate_stands_beside_what_it_came_to(runs: Team) -> None:
    for name in RUNS:
        status = runs.wait(name, "Finished", timeout=900)["status"]
        estimate = status["estimate"]
        assert estimate["steps"] == estimate["actual"]["steps"] == 40, name
        assert estimate["assumptions"], name
        assert estimate["measuredSteps"] >= 20, name


def test_qlora_learns_on_a_gpu(team: Team) -> None:
    nodes = team.cluster.get("nodes")["items"]
    if not any(int(n["status"]["allocatable"].get("nvidia.com/gpu", "0")) for n in nodes):
        pytest.skip("no node of this cluster has a GPU, and the 4-bit kernels of QLoRA need one")
    team.submit(
        tuning={"type": "QLoRA", "rank": 8, "alpha": 16, "dropout": 0.0},
        training={"maxSteps": 40, "batchSize": 16, "learningRate": 0.02},
        resources={"nodes": 1, "gpusPerNode": 1, "cpu": "1", "memory": "4Gi"},
        evaluation={"metrics": [{"name": "Perplexity"}]},
    )
    (result,) = team.wait("job", "Succeeded", timeout=600)["status"]["evaluation"]["results"]
    assert result["tuned"] < result["value"]


def test_qlora_without_a_gpu_is_refused_at_apply(team: Team) -> None:
    manifest = json.dumps(team.manifest(tuning={"type": "QLoRA"}))
    refused = team.cluster.kubectl("apply", "-f", "-", stdin=manifest)
    assert refused.returncode != 0
    assert "needs a GPU" in refused.stderr
