"""Accelerators as extended resources, and identities: what the scheduler and the kubelet make of our pods."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from clusters import Cluster, Team, conditions

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]
RESOURCE = "test.attune.dev/gpu"


@pytest.fixture
def node(cluster: Cluster) -> Iterator[str]:
    """A node that has two of an extended resource; a fake one, which is what the scheduler goes by."""
    name = next(n["metadata"]["name"] for n in cluster.get("nodes")["items"] if "kwok" not in n["metadata"]["name"])
    path = f"/status/capacity/{RESOURCE.replace('/', '~1')}"
    add = json.dumps([{"op": "add", "path": path, "value": "2"}])
    cluster.kubectl("patch", "node", name, "--subresource=status", "--type=json", "-p", add, check=True)
    yield name
    remove = json.dumps([{"op": "remove", "path": path}])
    cluster.kubectl("patch", "node", name, "--subresource=status", "--type=json", "-p", remove)


@pytest.fixture
def gpu_runtime(team: Team) -> Iterator[str]:
    """A TuningRuntime whose accelerator is that resource."""
    name = f"gpu-{team.namespace}"
    spec = team.cluster.get("tuningruntime", name="default")["spec"]
    spec = {**spec, "accelerator": {"resource": RESOURCE, "memory": "80Gi", "tflops": 989}}
    team.cluster.apply(
        {"apiVersion": "attune.dev/v1alpha1", "kind": "TuningRuntime", "metadata": {"name": name}, "spec": spec}
    )
    yield name
    team.cluster.kubectl("delete", "tuningruntime", name)


def test_training_lands_on_the_node_that_has_the_accelerator(team: Team, node: str, gpu_runtime: str) -> None:
    team.submit(runtime=gpu_runtime, resources={"gpusPerNode": 1})
    job = team.wait("job", "Finished", timeout=180)
    (pod,) = team.pods("train")
    assert pod["spec"]["nodeName"] == node
    assert pod["spec"]["containers"][0]["resources"]["limits"][RESOURCE] == "1"
    # The resource is only a number on the node: the trainer finds no GPU behind it, and says so.
    assert conditions(job)["Trained"]["reason"] == "InvalidConfiguration"
    assert "GPU" in job["status"]["message"]


def test_without_such_a_node_the_run_is_pending_and_says_what_is_lacking(team: Team, gpu_runtime: str) -> None:
    team.submit(runtime=gpu_runtime, resources={"gpusPerNode": 4})
    job = team.until("job", lambda j: RESOURCE in j.get("status", {}).get("message", ""), 120, "the resource is named")
    assert job["status"]["phase"] == "Pending"
    assert "Insufficient" in job["status"]["message"]
    assert conditions(job)["Stalled"]["status"] == "False"


def test_a_missing_service_account_is_named(team: Team) -> None:
    name = f"account-{team.namespace}"
    spec = {**team.cluster.get("tuningruntime", name="default")["spec"], "serviceAccountName": "tuner"}
    team.cluster.apply(
        {"apiVersion": "attune.dev/v1alpha1", "kind": "TuningRuntime", "metadata": {"name": name}, "spec": spec}
    )
    try:
        team.submit(runtime=name)
        job = team.wait("job", "Stalled", reason="ServiceAccountNotFound", timeout=60)
        assert "tuner" in job["status"]["message"]
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "tuner", "namespace": team.namespace},
        }
        team.cluster.apply(account)
        team.wait("job", "Validated", timeout=120)
    finally:
        team.cluster.kubectl("delete", "tuningruntime", name)
