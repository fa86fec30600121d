"""From runs that are over to versions, in the order in which they ended. Pure."""

from attune_contract import layout
from attune_contract.enums import DeletionPolicy, MetricName
from attune_contract.outcome import MetricResult
from attune_operator.api.conditions import ConditionType
from attune_operator.api.enums import VersionState
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.tunedmodel import Compared, Declined, Version
from attune_operator.finetunejob.runconfig import credentials
from attune_operator.tunedmodel.snapshot import Snapshot

CHAMPION = "champion"
"""Name of the baseline by which the champion joins evaluations."""
LOWER_IS_BETTER = frozenset({MetricName.PERPLEXITY, MetricName.LABEL_LOG_LOSS})
KEPT_DECLINED = 10
MOST_VERSIONS = 500
"""Versions that status has, retired ones and their figures among them: etcd takes objects of 1.5 MB."""


def registered(seen: Snapshot) -> tuple[Version, ...]:
    """All versions, the newest first: those that are known, and one for each run that published since."""
    known = tuple(seen.model.status.versions)
    ids = {v.run_id for v in known}
    # Of a version that was dropped for its age the run may be there still; it is older than every one that is kept.
    oldest = known[MOST_VERSIONS - 1].published_at if len(known) >= MOST_VERSIONS else ""
    fresh = [r for r in _in_order(seen.runs) if _published(r) and r.metadata.uid not in ids and _ended(r) > oldest]
    number = max((v.version for v in known), default=0)
    made: list[Version] = []
    for n, run in enumerate(fresh, start=1):
        made.append(_version(run, number + n, (*known, *made)))
    return (*reversed(made), *(_with_its_files(v, seen) for v in known))


def _with_its_files(version: Version, seen: Snapshot) -> Version:
    """A version whose files went with its run can be used no more; those that are needed are kept from going."""
    uid = version.run_id
    gone = version.deletion_policy is DeletionPolicy.DELETE and uid not in seen.present
    if not gone or version.state is VersionState.RETIRED:
        return version
    # The sweep of a run that is being deleted asks `needs` as well: what it waits for is not called off from here.
    if seen.model.needs(uid) if uid in seen.leaving else seen.model.status.use_of(uid):
        return version
    told = f"FineTuneJob {version.run} was deleted, and its files with it (output.deletionPolicy Delete)."
    return version.model_copy(update={"state": VersionState.RETIRED, "message": told})


def declined(seen: Snapshot) -> tuple[Declined, ...]:
    """Runs that published nothing, the newest first."""
    known = {d.run_id: d for d in seen.model.status.declined}
    for run in seen.runs:
        if not _published(run):
            known[run.metadata.uid] = _declined(run)
    newest = sorted(known.values(), key=lambda d: (d.time, d.run), reverse=True)
    return tuple(newest[:KEPT_DECLINED])


def told_by_its_run(version: Version, run: FineTuneJob, others: tuple[Version, ...]) -> Compared | None:
    """How a version compares with the champion that joined its run's evaluation; None where none did.

    The champion is known by where it lies: of a TunedModel that was deleted and made again the numbers are others.
    """
    joined = next((a.champion for a in reversed(run.status.attempts) if a.champion is not None), None)
    results = [r for r in version.results if r.baseline == CHAMPION]
    champion = next((v for v in others if joined is not None and v.model_uri == joined.model_uri), None)
    if champion is None or not results:
        return None
    first = results[0]
    better = version.gated or gain(first.metric, first.delta) > 0
    return Compared(champion=champion.version, better=better, message=_sentence(first, champion.version))


def gain(metric: str, delta: float) -> float:
    """A difference as a gain: positive where it is for the better, whichever way the metric counts."""
    return -delta if metric in LOWER_IS_BETTER else delta


def _sentence(result: MetricResult, champion: int) -> str:
    return (
        f"{result.metric} {result.tuned:.4g}, champion v{champion} {result.value:.4g} "
        f"({result.delta:+.4g} on the same {result.rows} rows)"
    )


def _ended(run: FineTuneJob) -> str:
    return run.status.completion_time or run.status.start_time or ""


def _in_order(runs: tuple[FineTuneJob, ...]) -> list[FineTuneJob]:
    return sorted(runs, key=lambda r: (r.status.completion_time or "", r.metadata.name))


def _published(run: FineTuneJob) -> bool:
    holds = {c.type for c in run.status.conditions if c.status == "True"}
    leaving = run.metadata.deletion_timestamp is not None and run.spec.output.deletion_policy is DeletionPolicy.DELETE
    done = {ConditionType.SUCCEEDED, ConditionType.PUBLISHED} <= holds and run.status.output is not None
    return done and not leaving


def _version(run: FineTuneJob, number: int, others: tuple[Version, ...]) -> Version:
    spec, status = run.spec, run.status
    output = status.output
    assert output is not None, "asked for only where there is one"  # noqa: S101
    digests = {a.path: a.digest for a in status.artifacts}
    gate = spec.evaluation.gate
    made = Version(
        version=number,
        state=VersionState.CANDIDATE,
        run=run.metadata.name,
        run_id=run.metadata.uid,
        model_uri=output.model_uri,
        digest=output.digest or "",
        manifest_uri=output.manifest_uri or "",
        run_uri=layout.run_uri(spec.output.uri, run.metadata.uid),
        method=spec.method,
        base=spec.model.source,
        format=spec.output.resolved_format(spec.tuning.type),
        rank=None if spec.tuning.type.value == "Full" else spec.tuning.rank,
        data_digest=digests.get(layout.TRAIN_DATA, ""),
        test_digest=digests.get(layout.TEST_DATA, ""),
        verdict=status.evaluation.verdict if status.evaluation else None,
        results=tuple(r for r in status.evaluation.results if r.slice is None) if status.evaluation else (),
        gated=any(r.over == CHAMPION for r in gate.require) if gate else False,
        deletion_policy=spec.output.deletion_policy,
        runtime=spec.runtime,
        resources=spec.resources,
        queue=spec.queue,
        secrets={role.value: keys.secret for role, keys in credentials(run).items()},
        published_at=_ended(run),
    )
    return made.model_copy(update={"compared": told_by_its_run(made, run, others)})


def _declined(run: FineTuneJob) -> Declined:
    holds = {c.type: c for c in run.status.conditions}
    gate = holds.get(ConditionType.GATE_PASSED)
    failed = holds.get(ConditionType.FAILED)
    over = failed is not None and failed.status == "True"
    verdict = "Failed" if over else (run.status.evaluation.verdict if run.status.evaluation else "Unknown")
    message = failed.message if over and failed else gate.message if gate else run.status.message
    return Declined(
        run=run.metadata.name,
        run_id=run.metadata.uid,
        verdict=str(verdict),
        message=message[:1024],
        time=_ended(run),
    )
