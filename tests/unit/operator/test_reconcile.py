"""The record before the deed: what a reconcile writes, and what it leaves alone when its news is old."""

import copy
from typing import Any

import pytest

from attune_contract.enums import Stage
from attune_operator.api.enums import AttemptState
from attune_operator.errors import ConflictError, ForbiddenError
from factories import NAMESPACE, attempt
from memory_kube import MemoryKube
from one_run import PATH, cluster, reconcile

JSON = dict[str, Any]
RECORDED = attempt(Stage.PREFLIGHT, AttemptState.PENDING).model_dump(mode="json", by_alias=True, exclude_none=True)


def waiting_for_its_job() -> MemoryKube:
    """A run whose first attempt is recorded, and whose Job is not there."""
    return cluster({"attempts": [RECORDED]})


def jobs(kube: MemoryKube) -> list[str]:
    return [path for path in kube.objects if "/jobs/" in path]


def test_an_attempt_that_is_recorded_gets_the_job_that_it_lacks() -> None:
    kube = waiting_for_its_job()
    reconcile(kube)
    assert [path.rpartition("/")[2] for path in jobs(kube)] == [RECORDED["jobName"]]


def test_by_old_news_the_job_of_an_attempt_that_is_over_and_pruned_is_not_created_again() -> None:
    kube = waiting_for_its_job()
    kube.old[PATH] = copy.deepcopy(kube.objects[PATH])
    kube.put(PATH, kube.objects[PATH])  # somebody wrote since: the attempt's end, and that of the run
    with pytest.raises(ConflictError):
        reconcile(kube)
    assert jobs(kube) == []


def test_a_job_that_is_refused_again_and_again_does_not_make_its_run_look_well_in_between() -> None:
    kube = waiting_for_its_job()
    kube.broken[f"POST /apis/batch/v1/namespaces/{NAMESPACE}/jobs"] = ForbiddenError("exceeded quota")
    told: list[str] = []
    replace = kube.replace

    async def noted(path: str, body: JSON) -> JSON:
        found = {c["type"]: c["status"] for c in body["status"].get("conditions", [])}
        told.append(found.get("Stalled", "not said"))
        return await replace(path, body)

    kube.replace = noted  # type: ignore[method-assign]
    for _ in range(3):
        reconcile(kube)
    assert told[-1] == "True"
    assert set(told[told.index("True") :]) == {"True"}
