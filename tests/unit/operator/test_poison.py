"""Objects that this version cannot cope with say so themselves, and stop nobody else."""

from typing import Any

import pytest

from attune_contract.enums import Stage
from attune_operator import naming
from attune_operator.api.enums import AttemptState
from attune_operator.cluster.progress import ProgressPoller
from attune_operator.errors import InvalidError
from attune_operator.finetunejob import reconcile as reconciling
from factories import NAMESPACE, UID, attempt, raw
from memory_kube import MemoryKube
from one_run import KEY, PATH, cluster, reconcile

JSON = dict[str, Any]
RECORDED = attempt(Stage.TRAIN, AttemptState.RUNNING).model_dump(mode="json", by_alias=True, exclude_none=True)


def conditions(kube: MemoryKube) -> dict[str, JSON]:
    return {c["type"]: c for c in kube.objects[PATH]["status"]["conditions"]}


@pytest.mark.parametrize(
    ("status", "names"),
    [
        pytest.param({"phase": "Meditating"}, "status.phase", id="a phase of a newer version"),
        pytest.param({"attempts": [{**RECORDED, "state": "Hibernating"}]}, "attempts[0].state", id="a newer state"),
        pytest.param({"attempts": "many"}, "status.attempts", id="no list"),
        pytest.param({"attempts": [{**RECORDED, "startTime": "yesterday"}]}, "startTime: must be a time", id="no time"),
        pytest.param({"conditions": [{"type": "Ready"}, 7], "phase": 1}, "status.conditions", id="garbage"),
    ],
)
def test_a_status_that_cannot_be_read_is_reported_and_not_written_over(status: JSON, names: str) -> None:
    kube = cluster(status)
    assert reconcile(kube) is not None
    stalled = conditions(kube)["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "StatusUnreadable")
    assert names in stalled["message"]
    kept = {k: v for k, v in status.items() if k != "conditions"}
    assert kept.items() <= kube.objects[PATH]["status"].items(), "the record stays as it was"
    assert not any("/jobs" in path for _, path in kube.writes)


def test_it_is_said_of_the_newest_spec_so_that_gitops_tools_take_note() -> None:
    kube = cluster({"phase": "Meditating", "observedGeneration": 1}, generation=2)
    reconcile(kube)
    assert kube.objects[PATH]["status"]["observedGeneration"] == 2


def test_it_is_said_once() -> None:
    kube = cluster({"phase": "Meditating"})
    reconcile(kube)
    writes = len(kube.writes)
    reconcile(kube)
    assert len(kube.writes) == writes


def test_where_even_that_is_refused_an_event_tells_it_once() -> None:
    kube = cluster({"phase": "Meditating"})
    kube.broken[f"PUT {PATH}"] = InvalidError("status.phase: Unsupported value")
    reconcile(kube)
    reconcile(kube)
    events = [o for o in kube.objects.values() if o.get("kind") == "Event"]
    assert [(e["reason"], e["type"]) for e in events] == [("StatusUnreadable", "Warning")]


@pytest.mark.parametrize("status", ["over", [1, 2], 7], ids=["text", "a list", "a number"])
def test_a_status_that_is_none_is_reported_too(status: Any) -> None:
    kube = cluster(status)
    reconcile(kube)
    assert conditions(kube)["Stalled"]["reason"] == "StatusUnreadable"
    assert not any("/jobs" in path for _, path in kube.writes)


def test_a_fault_of_the_operator_itself_is_reported_on_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("nobody foresaw it")

    monkeypatch.setattr(reconciling, "plan", broken)
    kube = cluster({})
    with pytest.raises(ZeroDivisionError):
        reconcile(kube)
    assert conditions(kube)["Stalled"]["reason"] == "InternalError"
    assert "ZeroDivisionError: nobody foresaw it" in conditions(kube)["Stalled"]["message"]


def test_a_write_that_the_api_server_does_not_take_is_told_by_one_event() -> None:
    kube = cluster({})
    kube.broken[f"PUT {PATH}"] = InvalidError("status.attempts[0].startTime: Invalid value")
    for _ in range(2):
        with pytest.raises(InvalidError):
            reconcile(kube)
    events = [o for o in kube.objects.values() if o.get("kind") == "Event"]
    assert len(events) == 1
    assert "startTime" in events[0]["message"]


def test_huge_annotations_and_fields_of_a_newer_version_are_no_obstacle() -> None:
    kube = cluster({"shiny": {"new": True}}, annotations={"example.com/huge": "x" * 200_000})
    assert reconcile(kube) is not None
    assert kube.objects[PATH]["status"]["phase"] == "Validating"
    assert any("/jobs" in path for verb, path in kube.writes if verb == "POST")


def test_running_attempts_of_an_older_operator_are_adopted_as_they_are() -> None:
    older = {**RECORDED, "image": "attune/trainer:0"}
    kube = cluster({"attempts": [older], "observedGeneration": 1, "phase": "Training"})
    name = RECORDED["jobName"]
    owner = {"uid": raw()["metadata"]["uid"], "controller": True}
    meta = {"name": name, "namespace": NAMESPACE, "uid": "j", "creationTimestamp": "2026-01-02T02:00:00Z"}
    kube.put(
        f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}",
        {"metadata": {**meta, "ownerReferences": [owner]}, "spec": {}, "status": {"active": 1}},
    )
    reconcile(kube)
    assert not any(verb == "DELETE" or "/jobs" in path for verb, path in kube.writes), "the same Job goes on"
    (kept,) = kube.objects[PATH]["status"]["attempts"]
    assert (kept["state"], kept["number"]) == ("Running", 1)


@pytest.mark.parametrize("leaving", [{"deletionTimestamp": "2026-01-01T00:00:00Z"}, None], ids=["going", "gone"])
def test_nothing_is_remembered_of_a_run_that_was_deleted_while_it_ran(leaving: JSON | None) -> None:
    poller = ProgressPoller(None, 10.0, lambda: 0.0)  # type: ignore[arg-type]  # no pod is asked
    poller._next[KEY] = (0.0, 10.0)
    kube = cluster({}, **(leaving or {}))
    if leaving is None:
        del kube.objects[PATH]
    reconcile(kube, poller)
    assert poller._next == {}


def test_with_a_new_attempt_of_a_run_that_is_disrupted_for_days_its_oldest_jobs_go() -> None:
    """The other end of `Afterlife.thin`."""
    record = [attempt(Stage.PREFLIGHT, AttemptState.FAILED, n, 10_000, reason="PodDisrupted") for n in range(1, 6)]
    kube = cluster({"attempts": [a.model_dump(mode="json", by_alias=True, exclude_none=True) for a in record]})
    old = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{record[0].job_name}"
    over = {"type": "Failed", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    meta = {"name": record[0].job_name, "namespace": NAMESPACE, "uid": "j", "labels": {naming.RUN_LABEL: UID}}
    meta |= {"creationTimestamp": "2020-01-01T00:00:00Z", "ownerReferences": [{"uid": UID, "controller": True}]}
    kube.put(old, {"metadata": meta, "spec": {}, "status": {"conditions": [over]}})
    reconcile(kube)
    assert (old, "background") in kube.deleted
