"""What Argo CD and Flux do to a cluster, done by kubectl as they do it: server-side, each under a name of its own."""

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from clusters import Cluster
from fleets import API, SPEC, Fleet

pytestmark = pytest.mark.cluster
JSON = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts" / "attune"
ARGO, FLUX = "argocd-controller", "kustomize-controller"
OURS = ("finetunejobs", "finetuneschedules", "tunedmodels", "clusterfinetuneschedules", "tuningruntimes")


@pytest.fixture
def fleet(cluster: Cluster) -> Iterator[Fleet]:
    name = f"gitops-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name, check=True)
    yield Fleet(cluster, name)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def manifest(fleet: Fleet, kind: str, name: str, spec: JSON, **meta: Any) -> JSON:
    return {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": name, "namespace": fleet.namespace, **meta},
        "spec": spec,
    }


def repository(fleet: Fleet, epochs: int = 1) -> list[JSON]:
    """What is in Git: a model, and when it is trained."""
    spec = {**SPEC, "training": {"epochs": epochs}, "output": {**SPEC["output"], "register": "router"}}
    return [
        manifest(fleet, "TunedModel", "router", {"promotion": "Manual", "rollout": {"challengerPercent": 10}}),
        manifest(fleet, "FineTuneSchedule", "weekly", {"jobTemplate": {"spec": spec}, "cooldown": "1m"}),
    ]


def sync(fleet: Fleet, objects: list[JSON], manager: str) -> None:
    """As a tool applies what is in Git: without force, so that a conflict fails."""
    # Of some of an object's fields only the server can say whether they do: those of others count as well.
    fleet.cluster.kubectl(*server_side("apply", manager), "--validate=false", stdin=listed(objects), check=True)


def drift(fleet: Fleet, objects: list[JSON], manager: str) -> str:
    """How the cluster differs from what is in Git."""
    return fleet.cluster.kubectl(*server_side("diff", manager), stdin=listed(objects)).stdout


def server_side(verb: str, manager: str) -> tuple[str, ...]:
    return (verb, "--server-side", f"--field-manager={manager}", "-f", "-")


def listed(objects: list[JSON]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})


def test_two_tools_apply_and_what_the_operator_writes_is_no_drift_to_either(fleet: Fleet) -> None:
    labels = [
        manifest(fleet, "TunedModel", "router", {"serving": {"server": "transformers"}}, labels={"team": "a"}),
        manifest(fleet, "FineTuneSchedule", "weekly", {"successfulRunsHistoryLimit": 2}, labels={"team": "a"}),
    ]
    sync(fleet, repository(fleet), ARGO)
    sync(fleet, labels, FLUX)
    run = fleet.run_to_its_end("weekly")
    fleet.until("tm", "router", lambda s: s.get("challenger", {}).get("version") == 1, "v1 waits for a person")
    approved = repository(fleet)
    approved[0]["spec"]["promote"] = 1
    sync(fleet, approved, ARGO)
    fleet.until("tm", "router", lambda s: s.get("champion", {}).get("version") == 1, "the pull request promoted v1")

    assert drift(fleet, approved, ARGO) == ""
    assert drift(fleet, labels, FLUX) == ""
    sync(fleet, approved, ARGO)
    sync(fleet, labels, FLUX)
    for kind, name in (("tm", "router"), ("fts", "weekly")):
        raw = fleet.cluster.get(kind, fleet.namespace, name, show_managed_fields="true")
        theirs = [m for m in raw["metadata"]["managedFields"] if m["manager"] not in {ARGO, FLUX, "kubectl-annotate"}]
        assert {m.get("subresource") for m in theirs} <= {"status", None}
        assert all(set(m["fieldsV1"]) == {"f:status"} for m in theirs), theirs
    time.sleep(2)
    assert fleet.runs("weekly") == [run], "a re-sync of what is there already starts nothing"


def test_a_commit_that_changes_the_template_makes_one_run(fleet: Fleet) -> None:
    sync(fleet, repository(fleet), ARGO)
    fleet.until("fts", "weekly", lambda s: "templateDigest" in s, "it was seen")
    for _ in range(3):
        sync(fleet, repository(fleet, epochs=2), ARGO)
    fleet.started("weekly")
    time.sleep(2)
    assert len(fleet.runs("weekly")) == 1


@pytest.mark.parametrize("first", ["tm/router", "fts/weekly", "namespace"])
def test_whatever_goes_first_nothing_is_stuck(fleet: Fleet, first: str) -> None:
    sync(fleet, repository(fleet), ARGO)
    fleet.trigger("weekly")
    run = fleet.started("weekly")
    gone = first if first != "namespace" else f"namespace/{fleet.namespace}"
    fleet.cluster.kubectl("delete", gone, "-n", fleet.namespace, "--timeout=60s", check=True)
    if first == "fts/weekly":
        fleet.cluster.kubectl("wait", "--for=delete", f"ftj/{run}", "-n", fleet.namespace, "--timeout=30s", check=True)
    if first == "tm/router":
        fleet.cluster.kubectl("wait", "--for=delete", "configmap/router-tunedmodel", "-n", fleet.namespace, check=True)
        fleet.cluster.kubectl("delete", "fts/weekly", "-n", fleet.namespace, "--timeout=60s", check=True)


def test_an_upgrade_of_the_crds_and_even_the_end_of_the_chart_keep_every_object(fleet: Fleet, tmp_path: Path) -> None:
    sync(fleet, repository(fleet), ARGO)
    fleet.run_to_its_end("weekly")
    wave = f"{fleet.namespace}-wave"
    spec = {"namespaceSelector": {"matchLabels": {"a": "b"}}, "cron": {"schedule": "0 0 1 1 *"}, "maxConcurrent": 1}
    fleet.cluster.apply(
        {"apiVersion": API, "kind": "ClusterFineTuneSchedule", "metadata": {"name": wave}, "spec": spec}
    )
    before = stored(fleet)
    assert {kind for kind, _, _ in before} == set(OURS)
    found = helm(fleet.cluster, "get", "values", "attune", "-n", "attune-system", "-o", "yaml")
    values = tmp_path / "values.yaml"
    values.write_text(found)
    try:
        newer = chart_of_another_version(tmp_path)
        install(fleet.cluster, newer, values)
        assert "LATER" in fleet.cluster.kubectl("get", "fts", "-n", fleet.namespace).stdout
        assert stored(fleet) == before
        install(fleet.cluster, CHART, values)
        assert stored(fleet) == before
        helm(fleet.cluster, "uninstall", "attune", "-n", "attune-system", "--wait")
        assert stored(fleet) == before
    finally:
        install(fleet.cluster, CHART, values)
        fleet.cluster.kubectl("delete", "cfts", wave)
    assert stored(fleet) == {row for row in before if row[1] != wave}
    fleet.run_to_its_end("weekly")


def stored(fleet: Fleet) -> set[tuple[str, str, str]]:
    """Kind, name and UID of all that is there of ours; the default runtime, which the chart makes anew, has none."""
    found = set()
    for kind in OURS:
        items = fleet.cluster.get(f"{kind}.attune.dev", None, all_namespaces="true")["items"]
        mine = [i for i in items if i["metadata"].get("namespace", fleet.namespace) == fleet.namespace]
        anew = {i["metadata"]["uid"] for i in mine if "helm.sh/hook" in i["metadata"].get("annotations", {})}
        uids = {i["metadata"]["name"]: i["metadata"]["uid"] for i in mine}
        found |= {(kind, name, "" if uid in anew else uid) for name, uid in uids.items()}
    return found


def chart_of_another_version(folder: Path) -> Path:
    """The chart, with one more column for FineTuneSchedules in its CRD."""
    copied = folder / "attune"
    subprocess.run(["cp", "-r", str(CHART), str(copied)], check=True)
    crd = copied / "files" / "crds" / "finetuneschedules.yaml"
    text = yaml.safe_load(crd.read_text(encoding="utf-8"))
    column = {"name": "Later", "type": "string", "jsonPath": ".metadata.name"}
    text["spec"]["versions"][0]["additionalPrinterColumns"].append(column)
    crd.write_text(yaml.safe_dump(text), encoding="utf-8")
    return copied


def install(cluster: Cluster, chart: Path, values: Path) -> None:
    """Installs or upgrades, and waits until the operator is ready."""
    helm(cluster, "upgrade", "--install", "attune", str(chart), "-n", "attune-system", "-f", str(values), "--wait")


def helm(cluster: Cluster, *args: str) -> str:
    env = {**os.environ, **cluster.env}
    done = subprocess.run(["helm", *args], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
