"""What is left of runs that ended, and of runs that were deleted."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from attune_contract.enums import Stage
from attune_operator import naming
from attune_operator.api.enums import AttemptState
from attune_operator.cluster import apply
from attune_operator.cluster.client import Kube
from attune_operator.cluster.runtimes import Runtimes
from attune_operator.cluster.warnings import Warnings
from attune_operator.errors import ForbiddenError
from attune_operator.finetunejob import sweep
from attune_operator.finetunejob.afterlife import Afterlife
from attune_operator.finetunejob.snapshot import JobState, JobView, PodView, Warned
from attune_operator.settings import Settings
from factories import NAME, NAMESPACE, NOW, UID, attempt, job, pod, raw, run, runtime, stamp
from memory_kube import MemoryKube

JSON = dict[str, Any]
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
RUNS = f"/apis/attune.dev/v1alpha1/namespaces/{NAMESPACE}/finetunejobs"
RUNTIME = "/apis/attune.dev/v1alpha1/tuningruntimes/default"
SWEEP = naming.sweep_name(NAME, UID)
LABELS = {naming.RUN_LABEL: UID}
OWNER = {"kind": "FineTuneJob", "uid": UID, "controller": True}


def afterlife(kube: MemoryKube) -> Afterlife:
    typed: Kube = kube  # type: ignore[assignment]  # has its methods
    return Afterlife(typed, Runtimes(typed, lambda: 0.0), Settings(), Warnings(typed, lambda: 0.0))


def stored_job(
    name: str, *, over: bool = True, owner: JSON | None = OWNER, ended: datetime = NOW, stage: str = naming.SWEEP
) -> JSON:
    conditions = [{"type": "Complete", "status": "True", "lastTransitionTime": stamp(ended)}] if over else []
    meta: JSON = {"name": name, "namespace": NAMESPACE, "uid": name, "labels": {**LABELS, naming.STAGE_LABEL: stage}}
    meta |= {"creationTimestamp": stamp(NOW), "ownerReferences": [owner] if owner else []}
    return {"metadata": meta, "spec": {}, "status": {"conditions": conditions}}


def stored_runtime(**spec: Any) -> JSON:
    return {"metadata": {"name": "default"}, "spec": {"image": "attune/trainer:1", **spec}}


def ended(ago: timedelta) -> JSON:
    return {"completionTime": stamp(NOW - ago)}


@pytest.mark.parametrize(
    ("retention", "ago", "due", "left"),
    [
        pytest.param("24h", timedelta(hours=1), 23 * 3600, {"old", "running", "foreign"}, id="not due yet"),
        pytest.param("24h", timedelta(hours=25), None, {"running", "foreign"}, id="due"),
        pytest.param("0s", timedelta(), None, {"running", "foreign"}, id="at once"),
    ],
)
def test_jobs_of_a_run_that_ended_go_after_the_runtimes_retention(
    retention: str, ago: timedelta, due: float | None, left: set[str]
) -> None:
    theirs = {"kind": "Other", "uid": "x", "controller": True}
    kube = MemoryKube(
        **{
            RUNTIME: stored_runtime(retention=retention),
            f"{JOBS}/old": stored_job("old"),
            f"{JOBS}/running": stored_job("running", over=False),
            f"{JOBS}/foreign": stored_job("foreign", owner=theirs),
        }
    )
    assert asyncio.run(afterlife(kube).prune(run(ended(ago)), NOW)) == due
    assert {p.rpartition("/")[2] for p in kube.objects if p.startswith(JOBS)} == left


@pytest.mark.parametrize(
    ("attempts", "left"),
    [
        pytest.param(4, {"old", "late", "running", "foreign"}, id="a few attempts: they stay until its end"),
        pytest.param(5, {"late", "running", "foreign"}, id="disrupted for days"),
    ],
)
def test_jobs_of_a_run_that_goes_on_for_days_go_once_they_are_older_than_the_retention(
    attempts: int, left: set[str]
) -> None:
    theirs = {"kind": "Other", "uid": "x", "controller": True}
    kube = MemoryKube(
        **{
            f"{JOBS}/old": stored_job("old", ended=NOW - timedelta(hours=25)),
            f"{JOBS}/late": stored_job("late", ended=NOW - timedelta(hours=23)),
            f"{JOBS}/running": stored_job("running", over=False),
            f"{JOBS}/foreign": stored_job("foreign", owner=theirs, ended=NOW - timedelta(hours=25)),
        }
    )
    record = tuple(attempt(Stage.TRAIN, AttemptState.FAILED, n, reason="PodDisrupted") for n in range(1, attempts + 1))
    asyncio.run(afterlife(kube).thin(run(attempts=record), runtime(retention="24h"), NOW))
    assert {p.rpartition("/")[2] for p in kube.objects if p.startswith(JOBS)} == left


def test_a_runtime_that_is_gone_leaves_the_default_retention() -> None:
    kube = MemoryKube(**{f"{JOBS}/old": stored_job("old")})
    assert asyncio.run(afterlife(kube).prune(run(ended(timedelta(hours=1))), NOW)) == 23 * 3600


def test_a_runtime_that_this_version_cannot_read_may_ask_for_longer_so_nothing_goes() -> None:
    newer = stored_runtime(retention="0s", fieldOfANewerVersion="x")
    kube = MemoryKube(**{RUNTIME: newer, f"{JOBS}/old": stored_job("old")})
    assert asyncio.run(afterlife(kube).prune(run(ended(timedelta(days=3))), NOW)) is not None
    assert f"{JOBS}/old" in kube.objects


DELETE = {"output": {"deletionPolicy": "Delete"}}


@pytest.mark.parametrize(
    ("spec", "guarded"),
    [
        pytest.param({}, False, id="kept by default"),
        pytest.param({"output": {"deletionPolicy": "Retain"}}, False, id="kept as it says"),
        pytest.param(DELETE, True, id="removed"),
    ],
)
def test_only_a_run_whose_files_go_with_it_gets_a_finalizer(spec: JSON, guarded: bool) -> None:
    kube = MemoryKube(**{f"{RUNS}/{NAME}": raw(**spec)})
    after = asyncio.run(afterlife(kube).guard(kube.objects[f"{RUNS}/{NAME}"]))
    assert (after["metadata"].get("finalizers") == [naming.SWEEP_FINALIZER]) is guarded
    assert kube.writes == ([("PATCH", f"{RUNS}/{NAME}")] if guarded else [])
    assert after["spec"] == raw(**spec)["spec"], "the operator never writes a spec"


def leaving(**objects: JSON) -> MemoryKube:
    """A run that is being deleted, with other objects about it."""
    body = raw(**DELETE)
    body["metadata"] |= {"finalizers": [naming.SWEEP_FINALIZER], "deletionTimestamp": stamp(NOW)}
    return MemoryKube(**{f"{RUNS}/{NAME}": body, RUNTIME: stored_runtime(), **objects})


def leave(kube: MemoryKube) -> float | None:
    return asyncio.run(afterlife(kube).leave(kube.objects[f"{RUNS}/{NAME}"]))


def test_a_deleted_run_waits_until_nothing_of_it_writes_any_more() -> None:
    kube = leaving(**{f"{JOBS}/train": stored_job("train", over=False)})
    assert leave(kube) is not None
    assert f"{JOBS}/{SWEEP}" not in kube.objects
    assert f"{JOBS}/train" not in kube.objects, "its Job is told to go"


def test_then_a_job_of_nobodys_removes_its_files() -> None:
    kube = leaving()
    assert leave(kube) is not None
    made = kube.objects[f"{JOBS}/{SWEEP}"]
    assert "ownerReferences" not in made["metadata"]
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "attune_trainer.sweep"]
    assert "gpu" not in str(container["resources"])
    message = kube.objects[f"{RUNS}/{NAME}"]["status"]["message"]
    assert "being removed" in message


def test_when_the_files_are_gone_so_is_the_run() -> None:
    kube = leaving(**{f"{JOBS}/{SWEEP}": stored_job(SWEEP, owner=None)})
    assert leave(kube) is None
    assert f"{RUNS}/{NAME}" not in kube.objects
    assert f"{JOBS}/{SWEEP}" not in kube.objects


def test_a_job_of_the_sweeps_name_that_is_none_of_ours_is_not_taken_for_it() -> None:
    kube = leaving(**{f"{JOBS}/{SWEEP}": stored_job(SWEEP, owner=None, stage="theirs")})
    assert leave(kube) is not None
    assert f"{JOBS}/{SWEEP}" in kube.objects
    message = kube.objects[f"{RUNS}/{NAME}"]["status"]["message"]
    assert SWEEP in message
    assert naming.SWEEP_FINALIZER in message


def test_a_sweep_that_cannot_be_told_what_to_remove_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> JSON:
        return Key.model_validate({})  # type: ignore[return-value]  # raises pydantic's ValidationError

    class Key(BaseModel):
        needed: int

    monkeypatch.setattr(sweep, "job", refuse)
    kube = leaving()
    assert leave(kube) is not None
    message = kube.objects[f"{RUNS}/{NAME}"]["status"]["message"]
    assert "needed" in message
    assert naming.SWEEP_FINALIZER in message


def test_a_namespace_that_goes_does_not_hang_on_the_sweep() -> None:
    kube = leaving()
    kube.broken[f"POST {JOBS}"] = ForbiddenError("unable to create new content because it is being terminated")
    assert leave(kube) is None
    assert f"{RUNS}/{NAME}" not in kube.objects


@pytest.mark.parametrize(
    ("field", "value", "swept"),
    [
        pytest.param("fieldOfANewerVersion", "its default", True, id="a field that only newer CRDs have"),
        pytest.param("retryLimit", "many", False, id="garbage: kept, with an Event, and let go"),
    ],
)
def test_files_are_removed_as_long_as_the_spec_says_where_they_are(field: str, value: str, swept: bool) -> None:
    kube = leaving()
    kube.objects[f"{RUNS}/{NAME}"]["spec"][field] = value
    leave(kube)
    assert (f"{JOBS}/{SWEEP}" in kube.objects) is swept
    assert (f"{RUNS}/{NAME}" in kube.objects) is swept
    assert any("/events" in path for _, path in kube.writes) is not swept


def test_a_run_with_somebody_elses_finalizer_is_left_to_them() -> None:
    kube = leaving()
    kube.objects[f"{RUNS}/{NAME}"]["metadata"]["finalizers"] = ["example.com/theirs"]
    assert leave(kube) is None
    assert kube.writes == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(None, {"create": True}, id="not begun"),
        pytest.param(job(), {}, id="under way"),
        pytest.param(job(JobState.COMPLETE), {"done": True}, id="done"),
        pytest.param(job(JobState.FAILED), {"failed": True}, id="failed just now"),
        pytest.param(
            job(JobState.FAILED, created=NOW - timedelta(minutes=5)), {"failed": True, "discard": True}, id="try again"
        ),
    ],
)
def test_a_sweep_is_decided_by_its_job(found: JobView | None, expected: dict[str, bool]) -> None:
    said = pod(termination_message="AccessDenied: the store refuses the keys")
    decision = sweep.decide(found, (said,), NOW)
    flags = {name for name in ("create", "discard", "done", "failed") if getattr(decision, name)}
    assert flags == set(expected)
    if decision.failed:
        assert "AccessDenied" in decision.message
        assert naming.SWEEP_FINALIZER in decision.message


SWEEP_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LATE = NOW - timedelta(minutes=2)


@pytest.mark.parametrize(
    ("found", "waiting", "warnings", "says"),
    [
        pytest.param(
            job(created=LATE),
            pod(phase="Pending", unschedulable="0/3 nodes fit"),
            (),
            "0/3 nodes",
            id="no node",
        ),
        pytest.param(
            job(created=LATE),
            pod(phase="Pending", waiting_reason="ImagePullBackOff", waiting_message="no such image"),
            (),
            "no such image",
            id="no image",
        ),
        pytest.param(
            job(created=LATE), None, (Warned("FailedCreate", "exceeded quota: pods"),), "exceeded quota", id="no quota"
        ),
        pytest.param(job(JobState.SUSPENDED, created=LATE), None, (), "is suspended", id="held by a queue"),
        pytest.param(
            job(JobState.FAILED, failure="Job was active longer than specified deadline"),
            None,
            (),
            "longer than specified deadline",
            id="it hung",
        ),
    ],
)
def test_a_sweep_that_cannot_be_done_says_why_and_how_to_do_without(
    found: JobView, waiting: PodView | None, warnings: tuple[Warned, ...], says: str
) -> None:
    decision = sweep.decide(found, (waiting,) if waiting else (), NOW, warnings)
    assert decision.failed
    assert says in decision.message
    assert naming.SWEEP_FINALIZER in decision.message
    just_made = replace(found, created=NOW)
    assert found.over or not sweep.decide(just_made, (waiting,) if waiting else (), NOW, warnings).failed


def test_a_sweep_that_cannot_start_is_made_anew_in_time_as_its_runtime_may_have_been_mended() -> None:
    stuck = (pod(phase="Pending", unschedulable="0/3 nodes fit"),)
    assert not sweep.decide(job(created=LATE), stuck, NOW).discard
    assert sweep.decide(job(created=NOW - timedelta(minutes=11)), stuck, NOW).discard
    assert not sweep.decide(job(created=NOW - timedelta(minutes=11)), (pod(phase="Running"),), NOW).discard
    queued = job(JobState.SUSPENDED, created=NOW - timedelta(hours=11))
    assert not sweep.decide(queued, (), NOW).discard, "it would lose its place in the queue"


def test_what_a_sweep_left_as_its_last_words_is_shown_without_secrets() -> None:
    said = pod(termination_message="AccessDenied: AWS_SECRET_ACCESS_KEY=abcdefgh12345678")
    assert "abcdefgh" not in sweep.decide(job(JobState.FAILED), (said,), NOW).message


def test_a_sweep_needs_no_claim_that_may_be_gone() -> None:
    given = run(model={"source": "pvc://models/base"}, **DELETE)
    made = sweep.job(given, runtime(cache="model-cache"), datetime.fromisoformat(stamp(NOW)), Settings())
    pod_spec = made["spec"]["template"]["spec"]
    assert "persistentVolumeClaim" not in str(pod_spec["volumes"])
    mounted = {m["name"] for m in pod_spec["containers"][0]["volumeMounts"]}
    assert mounted == {v["name"] for v in pod_spec["volumes"]}
    assert made["spec"]["activeDeadlineSeconds"] == sweep.LONGEST_SECONDS


@pytest.mark.parametrize("all_stages", [True, False], ids=["Kueue holds every Job", "only those with a queue"])
def test_a_sweep_waits_in_a_queue_only_where_kueue_would_hold_it_for_ever_otherwise(all_stages: bool) -> None:
    given = run(queue={"name": "team-a"}, **DELETE)
    made = sweep.job(given, runtime(), datetime.fromisoformat(stamp(NOW)), Settings(queue_all_stages=all_stages))
    assert (made["metadata"]["labels"].get(naming.QUEUE_LABEL) == "team-a") is all_stages
    assert made["spec"].get("suspend", False) is all_stages


def test_a_deletion_that_waits_for_pods_names_them() -> None:
    stuck: JSON = {"name": "train-0", "namespace": NAMESPACE, "uid": "p", "labels": LABELS}
    stuck["deletionTimestamp"] = stamp(NOW - timedelta(minutes=10))
    kube = leaving(
        **{f"{SWEEP_PODS}/train-0": {"metadata": stuck, "spec": {"nodeName": "node-7"}, "status": {"phase": "Running"}}}
    )
    assert leave(kube) is not None
    message = kube.objects[f"{RUNS}/{NAME}"]["status"]["message"]
    assert "train-0 on node node-7" in message
    assert naming.SWEEP_FINALIZER in message
    assert f"{JOBS}/{SWEEP}" not in kube.objects


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({RUNTIME: None}, id="no runtime"),
        pytest.param({f"POST {JOBS}": ForbiddenError("exceeded quota")}, id="the Job is refused"),
    ],
)
def test_a_sweep_that_cannot_be_made_says_so_once(broken: dict[str, Any]) -> None:
    kube = leaving()
    for where, what in broken.items():
        if what is None:
            del kube.objects[where]
        else:
            kube.broken[where] = what
    assert leave(kube) is not None
    status = kube.objects[f"{RUNS}/{NAME}"]["status"]
    assert naming.SWEEP_FINALIZER in status["message"]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Stalled"] == "True"
    written = [w for w in kube.writes if w[0] == "PUT"]
    assert leave(kube) is not None
    assert [w for w in kube.writes if w[0] == "PUT"] == written, "nothing new, nothing written"


def test_a_sweep_has_the_credentials_of_its_run_and_no_gpu() -> None:
    made = sweep.job(run(**DELETE), runtime(), datetime.fromisoformat(stamp(NOW)), Settings())
    spec = made["spec"]["template"]["spec"]
    assert any(v.get("secret", {}).get("secretName") == "model-store" for v in spec["volumes"])
    assert attempt(Stage.TRAIN, AttemptState.PENDING).job_name != made["metadata"]["name"]
    assert len(made["metadata"]["name"]) <= 63


def test_a_pod_on_a_lost_node_is_taken_out_of_the_api_without_waiting_for_its_node() -> None:
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/stuck"
    kube = MemoryKube(**{path: {"metadata": {"name": "stuck", "uid": "p"}}})
    typed: Kube = kube  # type: ignore[assignment]  # has its methods
    asyncio.run(apply.release_pod(typed, NAMESPACE, "stuck"))
    assert kube.deleted == [(path, "at once")]
    asyncio.run(apply.release_pod(typed, NAMESPACE, "stuck"))
    assert len(kube.deleted) == 1, "it is gone: nothing to do"


MODEL = f"{RUNS.removesuffix('finetunejobs')}tunedmodels/router"


def version(number: int, run_id: str, state: str = "Champion") -> JSON:
    text = {"state": state, "run": NAME, "runID": run_id, "modelURI": "s3://m", "method": "SFT", "base": "s3://b"}
    return {"version": number, **text, "format": "Adapter", "publishedAt": stamp(NOW)}


@pytest.mark.parametrize(
    ("status", "meta", "waits"),
    [
        pytest.param({"versions": [version(1, UID)]}, {}, True, id="champion"),
        pytest.param({"versions": [version(1, "another")]}, {}, False, id="another run's is champion"),
        pytest.param({"versions": [version(2, UID, "Comparing"), version(1, "another")]}, {}, True, id="compared"),
        pytest.param({"versions": [version(2, UID, "Declined"), version(1, "another")]}, {}, False, id="declined"),
        pytest.param(
            {"versions": [version(1, UID)]}, {"deletionTimestamp": stamp(NOW)}, False, id="the model goes too"
        ),
        pytest.param({"versions": "many"}, {}, True, id="nobody knows"),
    ],
)
def test_files_that_serve_are_not_removed(status: JSON, meta: JSON, waits: bool) -> None:
    current = {"version": 1, "run": NAME, "modelURI": "s3://m", "since": stamp(NOW)}
    model = {"metadata": {"name": "router", "uid": "m", **meta}, "spec": {}, "status": {"champion": current, **status}}
    kube = leaving(**{MODEL: model})
    kube.objects[f"{RUNS}/{NAME}"]["spec"]["output"]["register"] = "router"
    leave(kube)
    assert any(p.startswith(JOBS) for p in kube.objects) is not waits
    told = kube.objects[f"{RUNS}/{NAME}"]["status"]["message"]
    assert ("its files stay for as long as it is in use" in told) is waits
