"""The FineTuneJobs of a schedule, and the Job that looks at its training data. Pure."""

from typing import Any

from attune_contract.datafacts import KnownData
from attune_contract.enums import Stage
from attune_operator import naming
from attune_operator.api.enums import AttemptState
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.finetuneschedule import DataSeen, FineTuneSchedule, RunRecord
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob import build as jobs
from attune_operator.finetunejob.admission import Asked
from attune_operator.finetuneschedule.data import PATIENCE
from attune_operator.finetuneschedule.matrix import combinations, expanded, train
from attune_operator.settings import Settings

JSON = dict[str, Any]
KEPT_SECONDS = 3600
"""Looks come every hour or so, and each leaves a Job."""


def finetunejob(schedule: FineTuneSchedule, run: RunRecord) -> JSON:
    """The FineTuneJob of a record; it goes when the schedule goes."""
    template, meta = schedule.spec.job_template, schedule.metadata
    return {
        "apiVersion": naming.API_VERSION,
        "kind": naming.KIND,
        "metadata": {
            "name": run.name,
            "namespace": meta.namespace,
            "labels": {
                **template.metadata.labels,
                naming.MANAGED_BY_LABEL: naming.MANAGER,
                naming.SCHEDULE_LABEL: meta.uid,
            },
            "annotations": {**template.metadata.annotations, naming.SCHEDULE_ANNOTATION: meta.name},
            "ownerReferences": [owner(schedule)],
        },
        "spec": expanded(template, run.values),
    }


def owner(schedule: FineTuneSchedule) -> JSON:
    """The reference by which what a schedule makes is its own."""
    return naming.owner_reference(naming.SCHEDULE_KIND, schedule.metadata.name, schedule.metadata.uid)


def poll(schedule: FineTuneSchedule, runtime: TuningRuntime, data: DataSeen, settings: Settings) -> list[JSON]:
    """The Job that looks at the training data, which lists and counts and writes nothing; its pods' policy first.

    Of a matrix every combination's data is looked at.

    Args:
        schedule: whose data.
        runtime: where the pod runs.
        data: the record, which names the Job and says when it was asked for.
        settings: the operator's.
    """
    run, attempt = _as_run(schedule), attempt_of(data)
    # The pod counts the rows of other data alone.
    known = KnownData(digest=data.digest, rows=data.rows) if data.digest else None
    made = jobs.job(run, runtime, attempt, settings, known_data=known)
    limits = {"ttlSecondsAfterFinished": KEPT_SECONDS, "activeDeadlineSeconds": int(PATIENCE.total_seconds())}
    kept = {**made, "spec": {**made["spec"], **limits}}
    policy = naming.owned_policy(jobs.network_policy(run, settings), owner(schedule))
    return [policy, naming.owned_by(kept, owner(schedule), naming.SCHEDULE_ANNOTATION)]


def attempt_of(data: DataSeen) -> Attempt:
    """A look at the training data as its pod is told of it: an attempt at a stage of its own."""
    assert data.poll is not None, "asked for only where it is recorded"  # noqa: S101
    assert data.polled_at is not None, "recorded with the name"  # noqa: S101
    return Attempt(
        stage=Stage.POLL, number=1, job_name=data.poll, state=AttemptState.PENDING, start_time=data.polled_at
    )


def poll_needs(schedule: FineTuneSchedule) -> Asked:
    """The TuningRuntime that a look at the training data runs on, and what its pod reads."""
    spec, root = _as_run(schedule).spec, "spec.jobTemplate.spec"
    uris = {f"{root}.dataset.train[{index}]": uri for index, uri in enumerate(spec.dataset.train)}
    return Asked(spec.runtime, schedule.metadata.namespace, uris, f"{root}.runtime")


def _as_run(schedule: FineTuneSchedule) -> FineTuneJob:
    """A run that stands for the schedule: its data is that of all combinations."""
    template = schedule.spec.job_template
    first = expanded(template, combinations(template)[0])
    spec = {**first, "dataset": {**first["dataset"], "train": list(train(template))}}
    meta = {"name": schedule.metadata.name, "namespace": schedule.metadata.namespace, "uid": schedule.metadata.uid}
    run, problems = FineTuneJob.parse({"metadata": meta, "spec": spec})
    assert not problems, "the schedule was found valid"  # noqa: S101
    return run
