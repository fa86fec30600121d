"""Objects of an attempt: what a cluster's admin would look at before letting them in."""

import json
from typing import Any

import pytest

from attune_contract.enums import RUN_STAGES, Stage
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig
from attune_operator import naming
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.build import build
from attune_operator.settings import Settings
from factories import NAME, NAMESPACE, UID, attempt, run, runtime

SETTINGS = Settings(data_image="attune/data:1", namespace="attune-system")


def objects(
    stage: Stage = Stage.TRAIN, of: FineTuneJob | None = None, at: TuningRuntime | None = None, number: int = 1
) -> list[Any]:
    return build(of or run(), at or runtime(), attempt(stage, AttemptState.PENDING, number), SETTINGS)


def pod_spec(*args: Any, **kwargs: Any) -> dict[str, Any]:
    spec: dict[str, Any] = objects(*args, **kwargs)[-1]["spec"]["template"]["spec"]
    return spec


def container(*args: Any, **kwargs: Any) -> dict[str, Any]:
    only: dict[str, Any] = pod_spec(*args, **kwargs)["containers"][0]
    return only


@pytest.mark.parametrize(
    ("stage", "number", "nodes", "kinds"),
    [
        (Stage.PREFLIGHT, 1, 1, ["NetworkPolicy", "Job"]),
        (Stage.PREFLIGHT, 2, 1, ["Job"]),
        (Stage.TRAIN, 1, 1, ["NetworkPolicy", "Job"]),
        (Stage.TRAIN, 2, 4, ["NetworkPolicy", "Service", "Job"]),
        (Stage.EVALUATE, 1, 4, ["Job"]),
    ],
)
def test_an_attempt_has_what_it_needs_and_its_job_comes_last(
    stage: Stage, number: int, nodes: int, kinds: list[str]
) -> None:
    made = objects(stage, of=run(resources={"nodes": nodes}), number=number)
    assert [o["kind"] for o in made] == kinds


@pytest.mark.parametrize("stage", RUN_STAGES)
def test_everything_belongs_to_the_run_and_goes_with_it(stage: Stage) -> None:
    for made in objects(stage, of=run(resources={"nodes": 2})):
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("FineTuneJob", NAME, UID, True)
        assert made["metadata"]["namespace"] == NAMESPACE


@pytest.mark.parametrize("stage", RUN_STAGES)
def test_pods_meet_the_restricted_standard_and_hold_no_api_token(stage: Stage) -> None:
    spec = pod_spec(stage)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in v for v in spec["volumes"])


def test_a_job_fails_as_a_whole_and_never_retries_by_itself() -> None:
    spec = objects(of=run(resources={"nodes": 3}))[-1]["spec"]
    assert (spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (3, 3, 0)
    assert spec["completionMode"] == "Indexed"
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    ("stage", "gpus", "requests"),
    [
        (Stage.PREFLIGHT, 2, {"cpu": "500m", "memory": "2Gi"}),
        (Stage.TRAIN, 2, {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}),
        (Stage.TRAIN, 0, {"cpu": "8", "memory": "64Gi"}),
        (Stage.EVALUATE, 2, {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"}),
        (Stage.PUBLISH, 2, {"cpu": "500m", "memory": "64Gi"}),
    ],
)
def test_only_training_and_evaluation_take_accelerators(stage: Stage, gpus: int, requests: dict[str, str]) -> None:
    resources = container(stage, of=run(resources={"gpusPerNode": gpus}))["resources"]
    assert resources["requests"] == requests
    assert resources["limits"] == {k: v for k, v in requests.items() if k != "cpu"}


def test_the_accelerator_is_the_runtimes() -> None:
    resources = container(at=runtime(accelerator={"resource": "amd.com/gpu"}))["resources"]
    assert resources["limits"]["amd.com/gpu"] == "1"


@pytest.mark.parametrize(
    ("stage", "image"),
    [(Stage.PREFLIGHT, "attune/data:1"), (Stage.TRAIN, "attune/trainer:1"), (Stage.PUBLISH, "attune/trainer:1")],
)
def test_preflight_runs_from_the_image_without_torch(stage: Stage, image: str) -> None:
    assert container(stage)["image"] == image


@pytest.mark.parametrize("stage", RUN_STAGES)
def test_the_command_is_the_stage_and_nothing_else(stage: Stage) -> None:
    assert container(stage)["command"] == ["python", "-m", "attune_trainer", stage.value.lower()]


def test_how_long_training_may_stand_still_is_the_runtimes() -> None:
    watched = runtime(stall_timeout="90s")
    assert {"name": "ATTUNE_STALL_SECONDS", "value": "90"} in container(Stage.TRAIN, at=watched)["env"]
    assert "ATTUNE_STALL_SECONDS" not in {e["name"] for e in container(Stage.EVALUATE, at=watched)["env"]}


def test_a_gang_finds_its_master_through_the_runs_service() -> None:
    _, service, made = objects(of=run(resources={"nodes": 2}))
    spec = made["spec"]["template"]["spec"]
    assert spec["subdomain"] == service["metadata"]["name"]
    master = f"{made['metadata']['name']}-0.{service['metadata']['name']}"
    assert {"name": "MASTER_ADDR", "value": master} in spec["containers"][0]["env"]
    assert service["spec"]["clusterIP"] == "None"


def test_secrets_are_mounted_optional_one_folder_per_role_and_never_as_environment() -> None:
    spec = pod_spec()
    secrets = {v["name"]: v["secret"] for v in spec["volumes"] if "secret" in v}
    assert {name: s["secretName"] for name, s in secrets.items()} == {
        "credentials-model": "model-store",
        "credentials-data": "data-store",
        "credentials-output": "model-store",
    }
    assert all(s["optional"] for s in secrets.values())
    mounts = {m["name"]: m["mountPath"] for m in spec["containers"][0]["volumeMounts"]}
    assert mounts["credentials-data"] == "/etc/attune/credentials/data"
    assert not any("secretKeyRef" in e.get("valueFrom", {}) for e in spec["containers"][0]["env"])


def test_the_run_config_travels_in_the_pods_annotation_and_is_mounted_as_a_file() -> None:
    digest = Artifact(path="data/train.parquet", digest="sha256:1", size_bytes=5, stage=Stage.PREFLIGHT)
    status = {"artifacts": [digest.model_dump(mode="json")]}
    template = objects(of=run(status))[-1]["spec"]["template"]
    config = RunConfig.model_validate(json.loads(template["metadata"]["annotations"][naming.RUN_CONFIG_ANNOTATION]))
    assert (config.run.id, config.run.stage, config.run.attempt) == (UID, Stage.TRAIN, 1)
    assert config.inputs == (digest,)
    assert config.local is False
    volume = next(v for v in template["spec"]["volumes"] if v["name"] == "run-config")
    assert volume["downwardAPI"]["items"][0]["path"] == "config.json"


def test_a_model_on_a_claim_is_mounted_read_only() -> None:
    spec = pod_spec(of=run(model={"source": "pvc://weights/llama"}))
    volume = next(v for v in spec["volumes"] if v["name"] == "model")
    assert volume["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}


def test_placement_identity_and_environment_are_the_runtimes() -> None:
    spec = pod_spec(
        at=runtime(
            nodeSelector={"pool": "gpu"},
            tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            serviceAccountName="tuner",
            env=[{"name": "NCCL_DEBUG", "value": "WARN"}],
            cache="hub-cache",
        )
    )
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["serviceAccountName"] == "tuner"
    assert {"name": "NCCL_DEBUG", "value": "WARN"} in spec["containers"][0]["env"]
    assert {"claimName": "hub-cache"} in [v.get("persistentVolumeClaim") for v in spec["volumes"]]


@pytest.mark.parametrize(
    ("key", "together", "apart"),
    [
        pytest.param(None, [], ["kubernetes.io/hostname"], id="spread-over-nodes"),
        pytest.param(
            "topology.kubernetes.io/zone",
            ["topology.kubernetes.io/zone"],
            ["kubernetes.io/hostname"],
            id="packed-into-a-zone-and-spread-in-it",
        ),
        pytest.param("kubernetes.io/hostname", ["kubernetes.io/hostname"], [], id="packed-onto-a-node"),
    ],
)
def test_a_gang_is_packed_and_spread_but_never_waits_for_its_place(
    key: str | None, together: list[str], apart: list[str]
) -> None:
    affinity = pod_spec(of=run(resources={"nodes": 2}), at=runtime(topologyKey=key))["affinity"]
    found: dict[str, list[str]] = {}
    for kind, asked in affinity.items():
        (only,) = asked
        assert only == "preferredDuringSchedulingIgnoredDuringExecution"
        found[kind] = [each["podAffinityTerm"]["topologyKey"] for each in asked[only]]
        for each in asked[only]:
            matched = each["podAffinityTerm"]["labelSelector"]["matchLabels"]
            assert matched[naming.RUN_LABEL] == UID, "a gang is one run's"

    assert found.get("podAffinity", []) == together
    assert found.get("podAntiAffinity", []) == apart


def test_a_lone_pod_goes_anywhere() -> None:
    assert "affinity" not in pod_spec(at=runtime(topologyKey="topology.kubernetes.io/zone"))


def test_the_policy_lets_in_only_the_run_itself_the_operator_and_prometheus() -> None:
    policy = objects(Stage.PREFLIGHT)[0]["spec"]
    gang, watchers = policy["ingress"]
    assert gang == {"from": [{"podSelector": {"matchLabels": {naming.RUN_LABEL: UID}}}]}
    assert [p["port"] for p in watchers["ports"]] == [9400]
    assert watchers["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "attune-system"}


@pytest.mark.parametrize("name", ["a", "a" * 63, "3b-" + "x" * 50, "ends-with-dash-at-the-cut-xxxxx-yyyy"])
def test_names_of_children_fit_into_a_hostname_and_tell_runs_apart(name: str) -> None:
    job = naming.job_name(name, UID, "Preflight", 12345)
    assert len(f"{job}-1023") <= 63
    assert len(naming.service_name(name, UID)) <= 63
    assert naming.service_name(name, UID)[0].isalpha(), "a Service may not begin with a digit"
    assert "." not in job
    assert job != naming.job_name(name, "ffff0000-0000", "Preflight", 12345)
