"""From the API server's JSON to the few facts that the plan judges by. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from attune_operator.finetunejob.snapshot import JobState, JobView, PodView
from attune_operator.naming import JOB_INDEX_ANNOTATION, RUNTIME_ANNOTATION

JSON = dict[str, Any]
STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Waiting reasons that every healthy container passes through."""


def job_view(raw: JSON) -> JobView:
    """A Job as the plan sees it. Source of the conditions: KEP-3939 and the Job API."""
    conditions = {c["type"]: c for c in raw.get("status", {}).get("conditions", []) if c["status"] == "True"}
    if "Complete" in conditions:
        state = JobState.COMPLETE
    elif "Failed" in conditions:
        state = JobState.FAILED
    else:
        state = JobState.SUSPENDED if raw["spec"].get("suspend") else JobState.ACTIVE
    meta = raw["metadata"]
    failed: JSON = conditions.get("Failed", {})
    over: JSON = conditions.get("Complete", failed)
    return JobView(
        name=meta["name"],
        uid=meta["uid"],
        state=state,
        deleting="deletionTimestamp" in meta,
        created=datetime.fromisoformat(meta["creationTimestamp"]),
        disrupted=failed.get("message", "") if failed.get("reason") == "PodFailurePolicy" else "",
        failure=failed.get("message", ""),
        expired=failed.get("reason") == "DeadlineExceeded",
        ended_at=over.get("lastTransitionTime", ""),
        runtime=meta.get("annotations", {}).get(RUNTIME_ANNOTATION, ""),
    )


def pod_view(raw: JSON) -> PodView:
    """A Pod as the plan sees it."""
    meta, status = raw["metadata"], raw.get("status", {})
    container: JSON = next(iter(status.get("containerStatuses", [])), {})
    terminated = container.get("state", {}).get("terminated", {})
    waiting = container.get("state", {}).get("waiting", {})
    waiting_reason = waiting.get("reason", "")
    return PodView(
        name=meta["name"],
        index=_index(meta.get("annotations", {}).get(JOB_INDEX_ANNOTATION, "")),
        phase=status.get("phase", "Pending"),
        ip=status.get("podIP", ""),
        image=container.get("imageID", ""),
        exit_code=terminated.get("exitCode"),
        terminated_reason=terminated.get("reason") or status.get("reason", ""),
        finished_at=terminated.get("finishedAt") or "",
        termination_message=terminated.get("message") or status.get("message", ""),
        disrupted=_condition_message(status, "DisruptionTarget", "True"),
        unschedulable=_condition_message(status, "PodScheduled", "False"),
        waiting_reason="" if waiting_reason in STARTING else waiting_reason,
        waiting_message=waiting.get("message", ""),
        node=raw.get("spec", {}).get("nodeName", ""),
        started_at=status.get("startTime") or "",
        leaving_at=meta.get("deletionTimestamp") or "",
    )


def _index(text: str) -> int:
    """A completion index; of a pod that somebody else labelled as ours, nought."""
    return int(text) if text.isdecimal() else 0


def newborn(view: JobView | PodView) -> JobView | PodView:
    """The same child as it was when it was made, which is what whoever made it expects: no news."""
    if isinstance(view, PodView):
        return PodView(name=view.name, index=view.index, phase="Pending")
    return replace(view, state=JobState.ACTIVE, deleting=False, disrupted="", failure="", expired=False, ended_at="")


def _condition_message(status: JSON, kind: str, value: str) -> str:
    for condition in status.get("conditions", []):
        if condition["type"] == kind and condition["status"] == value:
            return str(condition.get("message") or condition.get("reason") or kind)
    return ""
