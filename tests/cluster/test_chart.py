"""What the chart installs, as the cluster sees it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from clusters import Cluster

pytestmark = pytest.mark.cluster
CHART = Path(__file__).resolve().parents[2] / "charts" / "attune"
ACCOUNT = "system:serviceaccount:attune-system:attune"


def helm(cluster: Cluster, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **cluster.env}
    return subprocess.run(["helm", *args], env=env, capture_output=True, text=True, check=False)


def render(cluster: Cluster, *args: str) -> subprocess.CompletedProcess[str]:
    return helm(cluster, "template", "attune", str(CHART), "--kube-version", "1.29.0", *args)


@pytest.mark.parametrize(
    ("verb", "resource", "allowed"),
    [
        ("get", "finetunejobs.attune.dev", True),
        ("update", "finetunejobs.attune.dev/status", True),
        ("update", "finetunejobs.attune.dev", False),
        ("delete", "finetunejobs.attune.dev", True),  # those of a schedule, beyond its history limits
        ("patch", "finetunejobs.attune.dev", True),
        ("list", "workloads.kueue.x-k8s.io", True),
        ("update", "workloads.kueue.x-k8s.io", False),
        ("get", "nodes", True),
        ("update", "nodes", False),
        ("create", "jobs.batch", True),
        ("update", "jobs.batch", False),
        ("list", "pods", True),
        ("create", "pods", False),
        ("create", "pods/exec", False),
        ("get", "secrets", False),
        ("list", "secrets", False),
        ("watch", "secrets", False),
        ("get", "configmaps", True),
        ("list", "configmaps", False),
        ("delete", "configmaps", False),
        ("create", "finetunejobs.attune.dev", True),
        ("update", "finetuneschedules.attune.dev", False),
        ("patch", "finetuneschedules.attune.dev", True),
        ("create", "finetuneschedules.attune.dev", False),
        ("patch", "tunedmodels.attune.dev", False),
        ("create", "tunedmodels.attune.dev", False),
        ("update", "tunedmodels.attune.dev/status", True),
    ],
)
def test_the_operator_may_do_what_it_does_and_no_more(
    cluster: Cluster, verb: str, resource: str, allowed: bool
) -> None:
    kind, _, sub = resource.partition("/")
    name, _, group = kind.partition(".")
    # `kubectl auth can-i` knows nothing of resources that are not served, as Kueue's are not where there is none.
    asked = {"verb": verb, "group": group, "resource": name, "subresource": sub}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    review = json.dumps({**body, "spec": {"user": ACCOUNT, "resourceAttributes": asked}})
    answer = cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=review, check=True)
    assert answer.stdout == str(allowed).lower()


def test_the_operator_runs_as_nobody_with_nothing(cluster: Cluster) -> None:
    pod = cluster.get("deployment", "attune-system", "attune")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize(("seconds", "may"), [("300", True), ("0", False)], ids=["given up in time", "never"])
def test_pods_may_be_deleted_only_where_those_on_lost_nodes_are_given_up(
    cluster: Cluster, seconds: str, may: bool
) -> None:
    rendered = render(cluster, "--set", f"operator.lostNodeSeconds={seconds}")
    assert ("resources: [pods]\n    verbs: [delete]" in rendered.stdout) is may
    assert ("resources: [nodes]" in rendered.stdout) is may


def test_crds_are_kept_when_the_chart_goes(cluster: Cluster) -> None:
    rendered = render(cluster)
    assert rendered.returncode == 0, rendered.stderr
    documents = [d for d in rendered.stdout.split("\n---") if "kind: CustomResourceDefinition" in d]
    assert len(documents) == len(list((CHART / "files" / "crds").glob("*.yaml"))) == 5
    assert all("helm.sh/resource-policy: keep" in d for d in documents)


def test_crds_can_be_left_to_other_means(cluster: Cluster) -> None:
    rendered = render(cluster, "--set", "crds.install=false")
    assert "kind: CustomResourceDefinition" not in rendered.stdout


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("operator.workers=0", "workers"),
        ("images.operatr=x", "operatr"),
        ("operator.progressSeconds=1", "progressSeconds"),
    ],
)
def test_values_that_do_not_fit_are_refused_by_name(cluster: Cluster, value: str, named: str) -> None:
    refused = render(cluster, "--set", value)
    assert refused.returncode != 0
    assert named in refused.stderr


def test_the_chart_passes_helms_own_lint(cluster: Cluster) -> None:
    linted = helm(cluster, "lint", "--strict", str(CHART))
    assert linted.returncode == 0, linted.stdout


def test_metrics_and_health_are_served(cluster: Cluster) -> None:
    (pod,) = cluster.get("pods", "attune-system", selector="app.kubernetes.io/name=attune")["items"]
    path = f"/api/v1/namespaces/attune-system/pods/{pod['metadata']['name']}:8080/proxy"
    assert "last complete resync" in cluster.kubectl("get", "--raw", f"{path}/healthz", check=True).stdout
    metrics = cluster.kubectl("get", "--raw", f"{path}/metrics", check=True).stdout
    assert "attune_reconcile_seconds_bucket" in metrics
    assert "attune_last_resync_timestamp_seconds" in metrics
