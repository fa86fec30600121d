"""What the API server itself makes of our CRDs: what it refuses, what it says, what it fills in and shows.

Nothing here needs the operator, and hardly anything is stored: dry runs on the server go through all of admission.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule
from attune_operator.api.finetunejob import FineTuneJob, FineTuneJobStatus
from attune_operator.api.finetuneschedule import FineTuneSchedule
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.api.tuningruntime import TuningRuntime
from tables import Case, cases, load, resource, valid

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.cluster

PARSERS = {
    "FineTuneJob": FineTuneJob.parse,
    "TuningRuntime": TuningRuntime.parse,
    "FineTuneSchedule": FineTuneSchedule.parse,
    "ClusterFineTuneSchedule": ClusterFineTuneSchedule.parse,
    "TunedModel": TunedModel.parse,
}
OF_THE_CLUSTER = ("TuningRuntime", "ClusterFineTuneSchedule")
INVALID = [case for kind in PARSERS for case in cases(kind)]
CHANGES = load("changes.yaml")["changes"]
NAME = "admission"


@pytest.fixture(scope="module")
def crds(cluster: Any) -> None:
    """The CRDs of this checkout, in the cluster."""
    same = ("--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    if cluster.kubectl("diff", *same).returncode == 0:
        return
    installed = cluster.kubectl("get", "crd", "-l", "app.kubernetes.io/managed-by=Helm", "-o", "name").stdout
    if "attune.dev" in installed:
        pytest.fail("the chart installed CRDs of another version of this checkout: run `make install`")
    cluster.kubectl("apply", *same, check=True)
    cluster.kubectl("wait", "--for=condition=Established", "-f", str(ROOT / "crds"), "--timeout=30s", check=True)


@pytest.fixture(scope="module")
def namespace(cluster: Any, crds: None) -> Iterator[str]:
    name = f"admission-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name, check=True)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def stored(cluster: Any, namespace: str) -> str:
    """A FineTuneJob that is suspended, so that no operator does anything with it."""
    create(cluster, resource("FineTuneJob", load("changes.yaml")["stored"], NAME, namespace), check=True)
    return namespace


def create(cluster: Any, raw: dict[str, Any], *options: str, check: bool = False) -> Any:
    return cluster.kubectl("create", "-f", "-", *options, stdin=json.dumps(raw), check=check)


def refused(done: Any) -> str:
    assert done.returncode != 0, "the API server admitted it"
    text: str = done.stderr
    return text


@pytest.mark.parametrize("case", INVALID, ids=[f"{c.kind} with {c.name}" for c in INVALID])
def test_an_invalid_manifest_is_refused_with_the_field_s_name(cluster: Any, namespace: str, case: Case) -> None:
    where = None if case.kind in OF_THE_CLUSTER else namespace
    said = refused(create(cluster, resource(case.kind, case.spec, "x", where), "--dry-run=server"))
    assert case.field + ":" in said
    assert case.says in said


@pytest.mark.parametrize("kind", PARSERS)
def test_a_misspelt_field_is_refused(cluster: Any, namespace: str, kind: str) -> None:
    spec = {**valid(kind), "suspendd": True}
    where = None if kind in OF_THE_CLUSTER else namespace
    assert 'unknown field "spec.suspendd"' in refused(
        create(cluster, resource(kind, spec, "x", where), "--dry-run=server")
    )


@pytest.mark.parametrize(
    ("name", "admitted"),
    [("a" * 63, True), ("a" * 64, False), ("team.router", False), ("3b-router", True)],
    ids=["63 characters", "64 characters", "a dot", "a digit first"],
)
def test_names_leave_room_for_those_of_children(cluster: Any, namespace: str, name: str, admitted: bool) -> None:
    done = create(cluster, resource("FineTuneJob", valid("FineTuneJob"), name, namespace), "--dry-run=server")
    if admitted:
        assert done.returncode == 0, done.stderr
    else:
        assert "metadata.name must be at most 63" in refused(done)


@pytest.mark.parametrize("change", CHANGES, ids=[c["name"] for c in CHANGES])
def test_a_change_is_admitted_or_refused(cluster: Any, stored: str, change: dict[str, Any]) -> None:
    patch = json.dumps({"spec": change["patch"]})
    done = cluster.kubectl("patch", "ftj", NAME, "-n", stored, "--type=merge", "-p", patch, "--dry-run=server")
    if "says" in change:
        assert change["says"] in refused(done)
    else:
        assert done.returncode == 0, done.stderr
        assert "(no change)" not in done.stdout


def test_a_budget_cannot_be_added(cluster: Any, namespace: str) -> None:
    spec = {**valid("FineTuneJob"), "suspend": True}
    create(cluster, resource("FineTuneJob", spec, "frugal", namespace), check=True)
    patch = json.dumps({"spec": {"budget": {"maxCost": "1"}}})
    done = cluster.kubectl("patch", "ftj", "frugal", "-n", namespace, "--type=merge", "-p", patch, "--dry-run=server")
    assert "spec.budget cannot be added after creation" in refused(done)


def test_the_design_s_manifest_is_admitted_as_it_stands(cluster: Any, namespace: str) -> None:
    raw = load("design.yaml")
    raw["metadata"]["namespace"] = namespace
    done = create(cluster, raw, "--dry-run=server", "-o", "json", check=True)
    spec = json.loads(done.stdout)["spec"]
    assert spec["tuning"] == raw["spec"]["tuning"]
    assert spec["evaluation"]["gate"]["require"] == raw["spec"]["evaluation"]["gate"]["require"]


def test_a_json_schema_is_kept_whole(cluster: Any, namespace: str) -> None:
    schema = {"type": "object", "properties": {"team": {"enum": ["a", "b"]}}, "required": ["team"]}
    spec = {**valid("FineTuneJob"), "evaluation": {"metrics": [{"name": "JSONValid", "schema": schema}]}}
    done = create(cluster, resource("FineTuneJob", spec, "x", namespace), "--dry-run=server", "-o", "json", check=True)
    assert json.loads(done.stdout)["spec"]["evaluation"]["metrics"][0]["schema"] == schema


@pytest.mark.parametrize(("kind", "parse"), PARSERS.items(), ids=PARSERS)
def test_the_api_server_fills_in_what_the_operator_would(cluster: Any, namespace: str, kind: str, parse: Any) -> None:
    raw = resource(kind, valid(kind), "x", None if kind in OF_THE_CLUSTER else namespace)
    done = create(cluster, raw, "--dry-run=server", "-o", "json", check=True)
    here, _ = parse(raw)
    there, problems = parse(json.loads(done.stdout))
    assert problems == ()
    assert here.spec == there.spec
    assert json.loads(done.stdout)["spec"] == here.spec.model_dump(mode="json", exclude_none=True)


@pytest.mark.parametrize("cpu", [2, "2", "500m"], ids=["a number", "a number as text", "millicores"])
def test_quantities_may_be_numbers(cluster: Any, namespace: str, cpu: Any) -> None:
    spec = {**valid("FineTuneJob"), "resources": {"cpu": cpu}}
    done = create(cluster, resource("FineTuneJob", spec, "x", namespace), "--dry-run=server", "-o", "json", check=True)
    run, problems = FineTuneJob.parse(json.loads(done.stdout))
    assert problems == ()
    assert run.spec.resources.cpu == str(cpu)


def test_a_status_comes_back_as_it_was_written(cluster: Any, stored: str) -> None:
    status = FineTuneJobStatus.model_validate(load("status.yaml"))
    raw = {**cluster.get("ftj", stored, NAME), "status": status.dump()}
    options = ("--subresource=status", "--dry-run=server", "-o", "json", "-f", "-")
    done = cluster.kubectl("replace", *options, stdin=json.dumps(raw), check=True)
    run, problems = FineTuneJob.parse(json.loads(done.stdout))
    assert problems == ()
    assert run.status == status
    assert json.dumps(run.status.dump()) == json.dumps(status.dump())


def test_a_status_cannot_come_with_the_spec(cluster: Any, namespace: str) -> None:
    raw = {**resource("FineTuneJob", valid("FineTuneJob"), "x", namespace), "status": {"phase": "Succeeded"}}
    done = create(cluster, raw, "--dry-run=server", "-o", "json", check=True)
    assert "status" not in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("ftj.spec.training.epochs", "Give this or maxSteps."),
        ("ftj.spec.tuning.type", "QLoRA: LoRA over a base quantised to 4-bit NF4"),
        ("ftj.spec.output.uri", "A run writes only below"),
        ("ftj.status.attempts.resumedFromStep", "Step of the checkpoint"),
        ("ftr.spec.price.perGPUHour", "Price of one accelerator for an hour"),
        ("fts.spec.triggers.cron.timeZone", "IANA time zone database"),
        ("cfts.spec.order", "OldestChampionFirst: Those whose model was promoted longest ago"),
        ("tm.spec.rollbackTo", "champion for as long as it stands here"),
    ],
    ids=str,
)
def test_kubectl_explains_fields(cluster: Any, crds: None, field: str, says: str) -> None:
    text = " ".join(cluster.kubectl("explain", field, check=True).stdout.split())
    assert says in text


def test_kubectl_get_shows_the_design_s_columns(cluster: Any, stored: str) -> None:
    head = cluster.kubectl("get", "ftj", "-n", stored, check=True).stdout.splitlines()[0].split()
    assert head == ["NAME", "PHASE", "METHOD", "MODEL", "PROGRESS", "ETA", "LOSS", "SCORE", "VERDICT", "COST", "AGE"]
    assert NAME in cluster.kubectl("get", "attune", "-n", stored, check=True).stdout
