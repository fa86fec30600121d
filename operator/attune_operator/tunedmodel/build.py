"""The Job of a look: one pod of the versions' own runtime, that evaluates and publishes nothing. Pure."""

from dataclasses import dataclass
from typing import Any

from attune_contract import layout
from attune_contract.base import Frozen
from attune_contract.enums import Stage
from attune_contract.monitoring import Look, Published, Variant
from attune_contract.spec import Resources
from attune_contract.uris import join
from attune_operator import naming
from attune_operator.api.finetunejob import Attempt, FineTuneJob, Queue
from attune_operator.api.tunedmodel import LookRecord, TunedModel, Version
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob import build as jobs
from attune_operator.finetunejob.admission import Asked
from attune_operator.settings import Settings
from attune_operator.tunedmodel.looks import COMPARE, PATIENCE

JSON = dict[str, Any]
KEPT_SECONDS = 86400
LONGEST_SECONDS = int(PATIENCE.total_seconds())
ALL = "876000h"
"""Held-out rows are of any age."""
MOST_ROWS = 100_000


def objects(model: TunedModel, runtime: TuningRuntime, look: LookRecord, settings: Settings) -> list[JSON]:
    """The Job of one attempt at a look, and its pods' policy first; they go when the TunedModel goes.

    Args:
        model: its versions say where everything is, and by which Secrets.
        runtime: where the pod runs.
        look: what is looked at.
        settings: the operator's.
    """
    champion = model.status.version(look.champion)
    assert champion is not None, "a look is at a champion that is there"  # noqa: S101
    run = _as_run(model, look)
    attempt = attempt_of(look)
    made = jobs.job(run, runtime, attempt, settings, monitoring=asked(model, look, champion))
    spec = {**made["spec"], "ttlSecondsAfterFinished": KEPT_SECONDS, "activeDeadlineSeconds": LONGEST_SECONDS}
    owner = naming.owner_reference(naming.TUNED_MODEL_KIND, model.metadata.name, model.metadata.uid)
    policy = naming.owned_policy(jobs.network_policy(run, settings), owner)
    return [policy, naming.owned_by({**made, "spec": spec}, owner, naming.TUNED_MODEL_ANNOTATION)]


def attempt_of(look: LookRecord) -> Attempt:
    """A look as its pod is told of it: an attempt at a stage of its own."""
    return Attempt(
        stage=Stage.MONITOR,
        number=look.number,
        job_name=look.job_name,
        state=look.state,
        start_time=look.start_time,
    )


def asked(model: TunedModel, look: LookRecord, champion: Version) -> Look:
    """What the pod is to look at: fresh rows, or the rows that a version's own run held out."""
    challenger = model.status.version(look.challenger)
    variants = [_published(Variant.CHAMPION, champion)]
    variants += [_published(Variant.CHALLENGER, challenger)] if challenger else []
    if look.purpose == COMPARE and challenger is not None:
        rows = join(challenger.run_uri, layout.TEST_DATA)
        return Look(at=look.at, source=rows, window=ALL, max_rows=MOST_ROWS, min_rows=20, variants=tuple(variants))
    spec = model.spec.monitor
    assert spec is not None, "a monitor's look has a monitor"  # noqa: S101
    return Look(
        at=look.at,
        source=spec.source,
        window=spec.window,
        max_rows=spec.max_rows,
        min_rows=spec.min_rows,
        false_alarms=spec.false_alarms,
        variants=tuple(variants),
    )


def needs(model: TunedModel, look: LookRecord) -> Asked:
    """The TuningRuntime that a look runs on, and what its pod reads and writes."""
    place = _place(model, look)
    versions = [v for n in (look.champion, look.challenger) if (v := model.status.version(n)) is not None]
    uris = {f"status.versions[{v.version}].{field}": uri for v in versions for field, uri in _uris(v).items()}
    uris |= {"spec.monitor.source": place.source} if look.purpose != COMPARE else {}
    return Asked(place.runtime, model.metadata.namespace, uris, place.field)


def _uris(version: Version) -> dict[str, str]:
    return {"runURI": version.run_uri, "base": version.base}


def _published(variant: Variant, version: Version) -> Published:
    return Published(variant=variant, version=str(version.version), run_uri=version.run_uri, digest=version.digest)


@dataclass(frozen=True)
class _Place:
    """Where a look runs, and how it gets at rows."""

    runtime: str
    field: str
    """That names the runtime."""
    resources: Resources
    queue: Queue | None
    source: str
    data_secret: str | None


def _place(model: TunedModel, look: LookRecord) -> _Place:
    """A comparison runs as the evaluation of the version's own run did; the monitor as its spec says."""
    champion, monitor = model.status.version(look.champion), model.spec.monitor
    assert champion is not None, "a look is at a champion that is there"  # noqa: S101
    other = (model.status.version(look.challenger) if look.purpose == COMPARE else None) or champion
    own, field = other.secrets.get("data"), f"status.versions[{other.version}].runtime"
    if look.purpose == COMPARE or monitor is None:
        return _Place(other.runtime, field, other.resources, other.queue, other.run_uri, own)
    named = monitor.runtime or champion.runtime
    field = "spec.monitor.runtime" if monitor.runtime else field
    return _Place(named, field, monitor.resources, monitor.queue, monitor.source, monitor.credentials_secret or own)


def _as_run(model: TunedModel, look: LookRecord) -> FineTuneJob:
    """A run that stands for the TunedModel: where it writes, with which keys, and how large its pod is."""
    champion, place = model.status.version(look.champion), _place(model, look)
    assert champion is not None, "a look is at a champion that is there"  # noqa: S101
    secrets = champion.secrets
    output = champion.run_uri.rpartition("/runs/")[0] + "/"
    meta = {"name": model.metadata.name, "namespace": model.metadata.namespace, "uid": model.metadata.uid}
    spec = {
        "runtime": place.runtime,
        "model": _with_secret({"source": champion.base}, secrets.get("model")),
        "method": champion.method.value,
        "dataset": _with_secret({"train": [place.source]}, place.data_secret),
        "training": {"maxSteps": 1},
        "resources": _dumped(place.resources),
        "output": _with_secret({"uri": output}, secrets.get("output")),
        **({"queue": _dumped(place.queue)} if place.queue else {}),
    }
    run, problems = FineTuneJob.parse({"metadata": meta, "spec": spec})
    assert not problems, f"made from what was valid: {problems}"  # noqa: S101
    return run


def _dumped(block: Frozen) -> JSON:
    return block.model_dump(mode="json", exclude_none=True)


def _with_secret(block: JSON, secret: str | None) -> JSON:
    return {**block, "credentialsSecret": secret} if secret else block
