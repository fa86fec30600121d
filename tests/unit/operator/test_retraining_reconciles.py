"""Schedules, waves and TunedModels against an API server in memory: what is written, in which order, and by whom."""

import asyncio
import copy
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from attune_operator import naming
from attune_operator.cluster.client import Kube
from attune_operator.cluster.kueue import Kueue
from attune_operator.cluster.looks import Looks
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.clusterfinetuneschedule.reconcile import WaveReconciler
from attune_operator.errors import ConflictError, UnavailableError
from attune_operator.finetuneschedule.reconcile import ScheduleReconciler
from attune_operator.retraining_metrics import RetrainingMetrics
from attune_operator.settings import Settings
from attune_operator.timing.moments import stamp
from attune_operator.tunedmodel.reconcile import TunedModelReconciler
from attune_operator.workqueue import Key
from factories import NAMESPACE, SPEC
from memory_kube import MemoryKube
from retraining import HOURLY, UID, at, finished_raw

JSON = dict[str, Any]
GROUP = "/apis/attune.dev/v1alpha1"
OURS = f"{GROUP}/namespaces/{NAMESPACE}"
RUNS = f"{OURS}/finetunejobs"
SCHEDULE, MODEL = f"{OURS}/finetuneschedules/weekly", f"{OURS}/tunedmodels/router"
WAVE = f"{GROUP}/clusterfinetuneschedules/sundays"
RUNTIME = {"metadata": {"name": "default"}, "spec": {"image": "attune/trainer:1"}}


def stored(kind: str, name: str, spec: JSON, namespace: str | None = NAMESPACE, **more: Any) -> JSON:
    within = {"namespace": namespace} if namespace else {}
    return {"kind": kind, "metadata": {"name": name, "uid": UID, "generation": 1, **within}, "spec": spec, **more}


def schedule(status: JSON | None = None, **spec: Any) -> JSON:
    full = {"jobTemplate": {"spec": SPEC}, "triggers": HOURLY, **spec}
    return stored(naming.SCHEDULE_KIND, "weekly", full, status=status or {})


def model(status: JSON | None = None, **spec: Any) -> JSON:
    return stored(naming.TUNED_MODEL_KIND, "router", spec, status=status or {})


def wave(status: JSON | None = None) -> JSON:
    return stored(naming.CLUSTER_SCHEDULE_KIND, "sundays", dict(HOURLY), None, status=status or {})


def cluster(**objects: JSON) -> MemoryKube:
    return MemoryKube(**{f"{GROUP}/tuningruntimes/default": RUNTIME, **objects})


def reconciler(kube: MemoryKube, path: str, now: datetime) -> Callable[[], Any]:
    """A fresh operator's reconcile of the object at a path."""
    client: Kube = kube  # type: ignore[assignment]  # has its methods
    runtimes, looks = (
        Runtimes(client, lambda: 0.0),
        Looks(client, Warnings(client, lambda: 0.0), Kueue(client, lambda: 0.0)),
    )
    figures = RetrainingMetrics(CollectorRegistry())
    made: dict[str, Any] = {
        SCHEDULE: ScheduleReconciler(client, runtimes, looks, Settings(), figures, lambda: now),
        MODEL: TunedModelReconciler(client, runtimes, looks, Settings(), figures, lambda: now),
        WAVE: WaveReconciler(client, figures, lambda: now),
    }
    key = Key("" if path == WAVE else NAMESPACE, path.rpartition("/")[2])
    return lambda: made[path].reconcile(key)


def reconcile(kube: MemoryKube, path: str, now: datetime) -> float | None:
    again: float | None = asyncio.run(reconciler(kube, path, now)())
    return again


def conditions(kube: MemoryKube, path: str) -> dict[str, JSON]:
    return {c["type"]: c for c in kube.objects[path]["status"]["conditions"]}


def runs(kube: MemoryKube) -> list[str]:
    return sorted(p.rpartition("/")[2] for p in kube.objects if p.startswith(f"{RUNS}/"))


OBJECTS = {SCHEDULE: schedule, MODEL: model, WAVE: wave}
UNREADABLE = {SCHEDULE: {"runs": "many"}, MODEL: {"versions": "many"}, WAVE: {"wave": {"members": 7}}}


@pytest.mark.parametrize("path", OBJECTS, ids=["schedule", "TunedModel", "wave"])
def test_a_status_that_cannot_be_read_is_reported_and_not_written_over(path: str) -> None:
    kube = cluster(**{path: OBJECTS[path](UNREADABLE[path])})
    assert reconcile(kube, path, at()) is not None
    found = conditions(kube, path)
    assert (found["Stalled"]["status"], found["Stalled"]["reason"]) == ("True", "StatusUnreadable")
    assert found["Ready"]["status"] == "False"
    assert UNREADABLE[path].items() <= kube.objects[path]["status"].items()
    assert {p for _, p in kube.writes} == {f"{path}/status"}


def test_a_schedule_makes_its_run_only_once_it_is_recorded() -> None:
    kube = cluster(**{SCHEDULE: schedule()})
    reconcile(kube, SCHEDULE, at())
    reconcile(kube, SCHEDULE, at(hours=1))
    assert runs(kube) == ["weekly-20260101-1300"]
    assert ("PUT", f"{SCHEDULE}/status") in kube.writes[: kube.writes.index(("POST", f"{RUNS}/weekly-20260101-1300"))]
    (record,) = kube.objects[SCHEDULE]["status"]["runs"]
    assert record["created"] is True


def test_by_old_news_a_run_that_has_come_and_gone_is_not_made_again() -> None:
    name = "weekly-20260101-1300"
    kube = cluster(**{SCHEDULE: schedule()})
    reconcile(kube, SCHEDULE, at())
    kube.broken[f"POST {RUNS}/{name}"] = UnavailableError("away")
    with pytest.raises(UnavailableError):
        reconcile(kube, SCHEDULE, at(hours=1))
    then = copy.deepcopy(kube.objects[SCHEDULE])
    assert not then["status"]["runs"][0].get("created"), "it is recorded, and yet to be created"
    kube.broken.clear()
    reconcile(kube, SCHEDULE, at(hours=1, minutes=1))
    del kube.objects[f"{RUNS}/{name}"]
    kube.old[SCHEDULE] = then
    with pytest.raises(ConflictError):
        reconcile(kube, SCHEDULE, at(hours=1, minutes=2))
    assert runs(kube) == []


def test_two_operators_start_one_run() -> None:
    kube = cluster(**{SCHEDULE: schedule()})
    reconcile(kube, SCHEDULE, at())

    async def both() -> list[Any]:
        return await asyncio.gather(
            *(reconciler(kube, SCHEDULE, at(hours=1, minutes=m))() for m in (0, 1)), return_exceptions=True
        )

    asyncio.run(both())
    reconcile(kube, SCHEDULE, at(hours=1, minutes=2))
    assert runs(kube) == ["weekly-20260101-1300"]


@pytest.mark.parametrize("broken", [f"POST {RUNS}", f"PUT {SCHEDULE}"], ids=["the run", "the record"])
def test_an_operator_that_dies_on_the_way_leaves_the_rest_to_the_next(broken: str) -> None:
    kube = cluster(**{SCHEDULE: schedule()})
    reconcile(kube, SCHEDULE, at())
    kube.broken[broken] = UnavailableError("away")
    with pytest.raises(UnavailableError):
        reconcile(kube, SCHEDULE, at(hours=1))
    kube.broken.clear()
    reconcile(kube, SCHEDULE, at(hours=1, minutes=30))
    assert runs(kube) == ["weekly-20260101-1300"]


def test_a_start_by_hand_runs_once_and_takes_the_annotation_away() -> None:
    body = schedule(triggers={})
    body["metadata"]["annotations"] = {naming.TRIGGER_ANNOTATION: "now"}
    kube = cluster(**{SCHEDULE: body})
    for minute in range(3):
        reconcile(kube, SCHEDULE, at(minutes=minute))
    assert len(runs(kube)) == 1
    assert naming.TRIGGER_ANNOTATION not in kube.objects[SCHEDULE]["metadata"]["annotations"]
    assert kube.objects[SCHEDULE]["spec"] == body["spec"], "the operator never writes a spec"


def test_a_version_is_handed_over_and_the_config_map_follows() -> None:
    kube = cluster(**{MODEL: model()})
    reconcile(kube, MODEL, at())
    config = f"/api/v1/namespaces/{NAMESPACE}/configmaps/router-tunedmodel"
    assert json.loads(kube.objects[config]["data"]["flags.json"])["flags"]["router"]["defaultVariant"] == "base"
    kube.put(f"{RUNS}/run-1", finished_raw(1))
    reconcile(kube, MODEL, at(hours=1))
    assert kube.objects[MODEL]["status"]["champion"]["version"] == 1
    handed = kube.objects[config]["data"]
    assert handed["champion.uri"] == finished_raw(1)["status"]["output"]["modelURI"]
    assert json.loads(handed["flags.json"])["flags"]["router"]["defaultVariant"] == "champion"


def test_a_config_map_of_somebody_else_stalls_the_tuned_model() -> None:
    config = f"/api/v1/namespaces/{NAMESPACE}/configmaps/router-tunedmodel"
    kube = cluster(**{MODEL: model(), config: {"metadata": {"name": "router-tunedmodel"}, "data": {"mine": "x"}}})
    reconcile(kube, MODEL, at())
    assert conditions(kube, MODEL)["Stalled"]["reason"] == "ConfigMapConflict"
    assert kube.objects[config]["data"] == {"mine": "x"}


SUNDAYS = "sundays/2026-01-01T12:00:00Z"


def members(**states: str) -> JSON:
    """The status of a wave that is under way, with members in this namespace."""
    found = [{"namespace": NAMESPACE, "name": name, "state": state} for name, state in states.items()]
    return {"observedGeneration": 1, "wave": {"id": SUNDAYS, "startTime": "2026-01-01T12:00:00Z", "members": found}}


def request(state: str, wave_id: str = SUNDAYS, **more: Any) -> JSON:
    return {"wave": {"wave": wave_id, "state": state, **more}}


def test_a_wave_leaves_a_status_that_it_cannot_read() -> None:
    record = {"runs": [{"name": "weekly-1", "state": "Hibernating"}]}
    kube = cluster(**{WAVE: wave(members(weekly="Claimed")), SCHEDULE: schedule(record)})
    reconcile(kube, WAVE, at())
    assert kube.objects[SCHEDULE]["status"] == record
    assert "weekly: Its status cannot be read: status.runs" in kube.objects[WAVE]["status"]["message"]


@pytest.mark.parametrize("suspend", [True, False])
def test_a_wave_pauses_and_resumes_the_runs_of_its_members(suspend: bool) -> None:
    body = wave(members(weekly="Running"))
    body["spec"]["suspend"] = suspend
    kube = cluster(**{WAVE: body, SCHEDULE: schedule(request("Running", paused=not suspend, cost="3"))})
    reconcile(kube, WAVE, at())
    assert kube.objects[SCHEDULE]["status"]["wave"]["paused"] is suspend
    assert kube.objects[SCHEDULE]["status"]["wave"]["cost"] == "3"


@pytest.mark.parametrize("there", [False, True], ids=["deleted", "deleted and made again"])
def test_a_wave_that_is_gone_leaves_nobody_paused(there: bool) -> None:
    kube = cluster(**{SCHEDULE: schedule(request("Running", paused=True)), **({WAVE: wave()} if there else {})})
    other = f"{OURS}/finetuneschedules/other"
    kube.put(
        other,
        {
            **schedule(request("Running", "others/1", paused=True)),
            "metadata": {"name": "other", "namespace": NAMESPACE},
        },
    )
    reconcile(kube, WAVE, at())
    assert kube.objects[SCHEDULE]["status"]["wave"]["paused"] is False
    assert kube.objects[other]["status"]["wave"]["paused"] is True, "of another wave"


def test_a_matrix_that_cannot_be_used_says_nothing_of_what_its_runs_may_cost() -> None:
    matrix = {name: [f"v{i}" for i in range(64)] for name in ("a", "b")}
    template = {"matrix": matrix, "spec": {**SPEC, "budget": {"maxCost": "1"}}}
    body = wave(members(weekly="Claimed", next="Pending"))
    body["spec"] |= {"budget": {"maxCost": "10"}, "maxConcurrent": 2}
    kube = cluster(**{WAVE: body, SCHEDULE: schedule(request("Claimed"), jobTemplate=template)})
    reconcile(kube, WAVE, at())
    assert [m["state"] for m in kube.objects[WAVE]["status"]["wave"]["members"]] == ["Claimed", "Claimed"]


@pytest.mark.parametrize("marked", [False, True], ids=["idle", "by hand"])
def test_a_wave_lists_schedules_only_when_it_may_begin(marked: bool) -> None:
    body = wave({"observedGeneration": 1})
    body["metadata"]["annotations"] = {naming.TRIGGER_ANNOTATION: "now"} if marked else {}
    kube = cluster(
        **{WAVE: body, SCHEDULE: schedule(), f"/api/v1/namespaces/{NAMESPACE}": {"metadata": {"name": NAMESPACE}}}
    )
    listed: list[str] = []
    get = kube.get

    async def watched(path: str) -> JSON:
        listed.append(path.partition("?")[0])
        return await get(path)

    kube.get = watched  # type: ignore[method-assign]
    reconcile(kube, WAVE, at())
    assert (f"{GROUP}/finetuneschedules" in listed) is marked
    assert ("wave" in kube.objects[WAVE]["status"]) is marked


NEW_DATA = {"newData": {"pollInterval": "1h"}}
MONITOR = {"cron": {"schedule": "0 * * * *"}, "source": "s3://data/fresh/"}
TEAM = f"/api/v1/namespaces/{NAMESPACE}"


EXPIRED = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}


def jobs(kube: MemoryKube) -> list[str]:
    return [p for p in kube.objects if p.startswith("/apis/batch/v1/")]


@pytest.mark.parametrize("path", [SCHEDULE, MODEL], ids=["training data", "versions"])
@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        pytest.param({}, None, id="admitted"),
        pytest.param({"namespaces": {"matchLabels": {"gpu": "yes"}}}, "NamespaceNotAllowed", id="another's runtime"),
        pytest.param({"allowedURIs": ["s3://models"]}, "URINotAllowed", id="data elsewhere"),
        pytest.param(None, "RuntimeNotFound", id="no runtime"),
    ],
)
def test_a_look_runs_only_where_the_runtime_takes_it(path: str, runtime: JSON | None, reason: str | None) -> None:
    kube = cluster(**{SCHEDULE: schedule(triggers=NEW_DATA), MODEL: model(monitor=MONITOR), TEAM: {"metadata": {}}})
    kube.put(f"{RUNS}/run-1", finished_raw(1))
    del kube.objects[f"{GROUP}/tuningruntimes/default"]
    if runtime is not None:
        kube.put(f"{GROUP}/tuningruntimes/default", {**RUNTIME, "spec": {**RUNTIME["spec"], **runtime}})
    for minute in (0, 61) if path == MODEL else (0,):
        reconcile(kube, path, at(minutes=minute))
    stalled = conditions(kube, path)["Stalled"]
    assert (stalled["reason"] if stalled["status"] == "True" else None) == reason
    assert len(jobs(kube)) == (reason is None)


def test_runs_of_a_matrix_stay_until_each_ones_tuned_model_knows_of_it() -> None:
    template = {
        "matrix": {"lang": ["de", "fr"]},
        "spec": {**SPEC, "output": {**SPEC["output"], "register": "router-{{lang}}"}},
    }
    body = schedule(jobTemplate=template, successfulRunsHistoryLimit=0)
    noted = finished_raw(1, output={"register": "router-de"})
    unknown = finished_raw(2, output={"register": "router-fr"})
    nobody = finished_raw(3, output={"register": "router-gone"})
    kube = cluster(**{SCHEDULE: body})
    for raw in (noted, unknown, nobody):
        raw["metadata"] |= {
            "labels": {naming.SCHEDULE_LABEL: UID},
            "ownerReferences": [{"uid": UID, "controller": True}],
        }
        kube.put(f"{RUNS}/{raw['metadata']['name']}", raw)
    known = {
        "run": "run-1",
        "runID": noted["metadata"]["uid"],
        "verdict": "Failed",
        "message": "",
        "time": "2026-01-01T00:00:00Z",
    }
    for name, status in (("router-de", {"declined": [known]}), ("router-fr", {})):
        other = model(status)
        other["metadata"]["name"] = name
        kube.put(f"{OURS}/tunedmodels/{name}", other)
    reconcile(kube, SCHEDULE, at())
    assert runs(kube) == ["run-2"]


def test_a_look_whose_pod_does_not_start_says_why() -> None:
    kube = cluster(**{MODEL: model(monitor=MONITOR)})
    kube.put(f"{RUNS}/run-1", finished_raw(1))
    for minute in (0, 61):
        reconcile(kube, MODEL, at(minutes=minute))
    (path,) = jobs(kube)
    kube.objects[path]["metadata"] |= {"uid": "j", "creationTimestamp": "2026-01-01T13:01:00Z"}
    waiting = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}]
    }
    labels = {"batch.kubernetes.io/job-name": path.rpartition("/")[2]}
    owners = [{"uid": "j", "controller": True}]
    pod = {"metadata": {"name": "p", "uid": "p", "labels": labels, "ownerReferences": owners}}
    kube.put(f"/api/v1/namespaces/{NAMESPACE}/pods/p", {**pod, "status": {"phase": "Pending", **waiting}})
    reconcile(kube, MODEL, at(minutes=63))
    assert "No node can take pod p: no GPU" in kube.objects[MODEL]["status"]["look"]["message"]
    assert "No node can take pod p: no GPU" in kube.objects[MODEL]["status"]["message"]
    kube.objects[path]["status"] = {
        "conditions": [{**EXPIRED, "message": "Job was active longer than specified deadline"}]
    }
    reconcile(kube, MODEL, at(hours=14))
    assert kube.objects[MODEL]["status"]["look"]["number"] == 2
    assert "longer than specified deadline" in kube.objects[MODEL]["status"]["look"]["message"]


def test_a_look_whose_pod_cannot_be_made_says_what_the_warnings_say() -> None:
    kube = cluster(**{MODEL: model(monitor=MONITOR)})
    kube.put(f"{RUNS}/run-1", finished_raw(1))
    for minute in (0, 61):
        reconcile(kube, MODEL, at(minutes=minute))
    (path,) = jobs(kube)
    kube.objects[path]["metadata"]["creationTimestamp"] = stamp(at(minutes=61))
    warned = {
        "metadata": {"name": "e"},
        "involvedObject": {"name": path.rpartition("/")[2]},
        "lastTimestamp": stamp(at(minutes=62)),
        "reason": "FailedCreate",
        "message": "exceeded quota: small",
    }
    kube.put(f"{TEAM}/events/e", warned)
    reconcile(kube, MODEL, at(minutes=63))
    assert kube.objects[MODEL]["status"]["look"]["message"] == "exceeded quota: small"
