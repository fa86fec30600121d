"""The manifest: where a model comes from, completely. Its digest is the model's."""

from dataclasses import dataclass
from typing import Any

from attune_contract import VERSION
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig


@dataclass(frozen=True)
class Lineage:
    """What a manifest is made from.

    Args:
        reports: the validation, training and evaluation report, by name.
        given: artifacts of earlier stages, with digests.
        model: the published folder.
        files: the digest of each of its files, by relative path.
        checkpoint: the description of the checkpoint that it was made from.
        labels: of Classification, in the order of their numbers.
        created: when, in RFC 3339.
    """

    reports: dict[str, Any]
    given: tuple[Artifact, ...]
    model: Artifact
    files: dict[str, str]
    checkpoint: dict[str, Any]
    labels: tuple[str, ...]
    created: str


def build(config: RunConfig, lineage: Lineage) -> dict[str, Any]:
    """The manifest of a published model, as a JSON object."""
    validation, training = lineage.reports["validation"], lineage.reports["training"]
    work = config.workload
    return {
        "version": VERSION,
        "run": {"id": config.run.id, "name": config.run.name, "namespace": config.run.namespace},
        "created": lineage.created,
        "base": validation["model"],
        "data": validation["data"],
        "labels": list(lineage.labels) or None,
        "rows": {"train": validation["trainRows"], "test": validation["testRows"]},
        "configuration": work.model_dump(mode="json", exclude_none=True),
        "resolved": training["settings"],
        "seeds": {"training": work.training.seed, "split": work.dataset.split.seed},
        "runtime": {"name": config.runtime.name, "image": config.runtime.image},
        "versions": lineage.checkpoint["versions"],
        "facts": dict(config.facts),
        "estimate": {"before": validation.get("estimate"), "actual": _actual(training["figures"])},
        "training": training["figures"],
        "evaluation": lineage.reports["evaluation"]["results"],
        "checkpoint": lineage.checkpoint["step"],
        "artifacts": [artifact.model_dump(mode="json") for artifact in lineage.given],
        "model": {"digest": lineage.model.digest, "sizeBytes": lineage.model.size_bytes, "files": lineage.files},
    }


def _actual(figures: dict[str, Any]) -> dict[str, Any]:
    """What training came to, of that which is estimated."""
    return {
        "steps": figures["steps"],
        "tokens": figures["tokens"],
        "seconds": figures["seconds"],
        "peakMemoryBytes": figures.get("peakMemoryBytes"),
    }
