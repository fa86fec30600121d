"""What a person gets wrong: said at once and by its exact name; the run goes on by itself where that is possible."""

import json
from typing import Any

import pytest

from clusters import STORE, Team, conditions, rows

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]


def test_one_bad_line_among_good_ones_fails_before_any_training_pod(team: Team) -> None:
    lines = [json.dumps(row) for row in rows(40)]
    lines[16] = json.dumps({"prompt": "case 17 without its answer"})
    uri = team.upload("train.jsonl", "\n".join(lines) + "\n")
    team.submit(data=uri)
    job = team.wait("job", "Failed", timeout=120)
    (error,) = job["status"]["validation"]["errors"]
    assert (error["file"], error["line"], error["field"]) == (uri, 17, "completion")
    assert error["code"] == "missing_column"
    assert conditions(job)["Validated"]["reason"] == "InvalidData"
    assert conditions(job)["Finished"]["status"] == "True"
    assert {j["metadata"]["labels"]["attune.dev/stage"] for j in team.jobs()} == {"preflight"}
    assert not team.pods("train")
    assert [a["number"] for a in job["status"]["attempts"]] == [1], "bad input is not tried again"


def test_a_missing_secret_is_named_and_the_run_goes_on_when_it_is_there(team: Team) -> None:
    team.submit(model={"credentialsSecret": "model-keys"})
    job = team.wait("job", "Stalled", reason="SecretNotFound", timeout=60)
    assert "model-keys" in job["status"]["message"]
    assert team.namespace in job["status"]["message"]
    assert "spec.model.credentialsSecret" in job["status"]["message"]
    team.cluster.apply(team.cluster.secret(team.namespace, "model-keys"))
    team.wait("job", "Succeeded", timeout=300)


def test_a_missing_model_is_named_and_the_run_goes_on_when_it_is_there(team: Team) -> None:
    source = f"s3://{team.bucket}/{team.namespace}/late-model"
    team.submit(model={"source": source})
    job = team.wait("job", "Stalled", reason="ModelNotFound", timeout=60)
    assert source in job["status"]["message"]
    for item in team.cluster.s3.list_objects_v2(Bucket=team.bucket, Prefix="base/")["Contents"]:
        target = f"{team.namespace}/late-model/{item['Key'].removeprefix('base/')}"
        team.cluster.s3.copy_object(Bucket=team.bucket, Key=target, CopySource=f"{team.bucket}/{item['Key']}")
    team.wait("job", "Succeeded", timeout=300)


def test_a_missing_bucket_is_named(team: Team) -> None:
    team.submit(dataset={"train": ["s3://no-such-bucket-here/train.jsonl"], "credentialsSecret": STORE})
    job = team.wait("job", "Stalled", reason="BucketNotFound", timeout=60)
    assert "no-such-bucket-here" in job["status"]["message"]


def test_everything_that_is_missing_is_said_at_once(team: Team) -> None:
    team.submit(
        model={"source": f"s3://{team.bucket}/{team.namespace}/nowhere"},
        dataset={"train": ["s3://no-such-bucket-here/a.jsonl"], "credentialsSecret": "data-keys"},
    )
    job = team.wait("job", "Stalled", timeout=60)
    message = job["status"]["message"]
    assert "data-keys" in message
    assert "nowhere" in message


def test_a_missing_object_in_a_bucket_that_exists_is_bad_input(team: Team) -> None:
    uri = f"s3://{team.bucket}/{team.namespace}/no-such-file.jsonl"
    team.submit(data=uri)
    job = team.wait("job", "Failed", timeout=60)
    (error,) = job["status"]["validation"]["errors"]
    assert (error["code"], error["file"]) == ("object_not_found", uri)


def test_an_unknown_runtime_is_named_and_the_run_goes_on_when_it_is_there(team: Team) -> None:
    name = f"late-{team.namespace}"
    team.submit(runtime=name)
    job = team.wait("job", "Stalled", reason="RuntimeNotFound", timeout=30)
    assert name in job["status"]["message"]
    assert not team.jobs()
    spec = team.cluster.get("tuningruntime", name="default")["spec"]
    team.cluster.apply(
        {"apiVersion": "attune.dev/v1alpha1", "kind": "TuningRuntime", "metadata": {"name": name}, "spec": spec}
    )
    try:
        team.wait("job", "Validated", timeout=60)
    finally:
        team.cluster.kubectl("delete", "tuningruntime", name)


def test_a_field_that_is_not_acted_on_is_refused_by_its_path(team: Team) -> None:
    team.submit(dataset={"train": [f"s3://{team.bucket}/rows.orc"]}, training={"beta": 0.1})
    job = team.wait("job", "Stalled", reason="NotSupported", timeout=30)
    assert "spec.dataset.train[0]" in job["status"]["message"]
    assert "spec.training.beta" in job["status"]["message"]
    assert not team.jobs()


def test_an_unknown_tuned_model_is_named_and_the_run_goes_on_at_once_when_it_is_there(team: Team) -> None:
    team.submit(output={"register": "router"})
    job = team.wait("job", "Stalled", reason="TunedModelNotFound", timeout=30)
    assert "'router'" in job["status"]["message"]
    assert not team.jobs()
    meta = {"name": "router", "namespace": team.namespace}
    team.cluster.apply({"apiVersion": "attune.dev/v1alpha1", "kind": "TunedModel", "metadata": meta, "spec": {}})
    team.until("job", lambda _: bool(team.jobs()), 30, "preflight starts")


def test_a_runtime_keeps_others_out_by_namespace_and_by_uri(team: Team) -> None:
    name = f"closed-{team.namespace}"
    spec = team.cluster.get("tuningruntime", name="default")["spec"]
    closed = {**spec, "namespaces": {"matchLabels": {"gpu": "yes"}}, "allowedURIs": [f"s3://{team.bucket}/elsewhere/"]}
    runtime = {"apiVersion": "attune.dev/v1alpha1", "kind": "TuningRuntime", "metadata": {"name": name}}
    team.cluster.apply({**runtime, "spec": closed})
    try:
        team.submit(runtime=name)
        job = team.wait("job", "Stalled", reason="NamespaceNotAllowed", timeout=30)
        assert team.namespace in job["status"]["message"]
        team.cluster.apply({**runtime, "spec": {**closed, "namespaces": {}}})
        job = team.wait("job", "Stalled", reason="URINotAllowed", timeout=30)
        assert "spec.output.uri" in job["status"]["message"]
    finally:
        team.cluster.kubectl("delete", "tuningruntime", name)
