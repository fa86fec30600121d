"""The manifest: where a model comes from, completely. Its digest is the model's."""

from dataclasses import dataclass
from typing import Any

from attune_contract import VERSION
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig
from attune_trainer import digests
from attune_trainer.errors import DigestMismatchError

DIGEST = "digest"
"""Field of the digest over all of the others: sha256 of their JSON with sorted keys and no white space."""


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
        proof: how well the published model says again what the evaluation recorded.
    """

    reports: dict[str, Any]
    given: tuple[Artifact, ...]
    model: Artifact
    files: dict[str, str]
    checkpoint: dict[str, Any]
    labels: tuple[str, ...]
    created: str
    proof: dict[str, Any]


def build(config: RunConfig, lineage: Lineage) -> dict[str, Any]:
    """The manifest of a published model, as a JSON object; its last field is a digest over all of the others."""
    made = _lineage(config, lineage)
    return {**made, DIGEST: digests.of_json(made)}


def demand_whole(document: Any, where: str) -> dict[str, Any]:
    """A manifest that was read, if it is as it was written.

    Args:
        document: what was read.
        where: from where, for the error.

    Raises:
        DigestMismatchError: it is none, or was changed since.
    """
    if not isinstance(document, dict) or DIGEST not in document or "configuration" not in document:
        raise DigestMismatchError(f"{where}: this is no manifest of a model that Attune published (no {DIGEST}).")
    rest = {key: value for key, value in document.items() if key != DIGEST}
    if digests.of_json(rest) != document[DIGEST]:
        raise DigestMismatchError(f"{where}: the manifest was changed since it was written: its digest is another one.")
    return document


def _lineage(config: RunConfig, lineage: Lineage) -> dict[str, Any]:
    validation, training = lineage.reports["validation"], lineage.reports["training"]
    work = config.workload
    return {
        "version": VERSION,
        "run": {"id": config.run.id, "name": config.run.name, "namespace": config.run.namespace},
        "created": lineage.created,
        "base": validation["model"],
        "data": validation["data"],
        "labels": list(lineage.labels) or None,
        "rows": {
            "train": validation["trainRows"],
            "validation": validation.get("validationRows", 0),
            "test": validation["testRows"],
            "leaked": validation["leakedRows"],
        },
        "configuration": work.model_dump(mode="json", exclude_none=True),
        "budget": config.budget.model_dump(mode="json", exclude_none=True) if config.budget else None,
        "resolved": training["settings"],
        "seeds": {
            "training": work.training.seed,
            "split": work.dataset.split.seed,
            "evaluation": work.training.seed,
        },
        "runtime": {"name": config.runtime.name, "image": config.runtime.image},
        "versions": lineage.checkpoint["versions"],
        "facts": dict(config.facts),
        "estimate": {"before": validation.get("estimate"), "actual": _actual(training["figures"])},
        "training": training["figures"],
        "evaluation": {
            name: lineage.reports["evaluation"].get(name)
            for name in ("verdict", "sentence", "notices", "results", "checks", "forgetting", "baselines", "confidence")
        },
        "checkpoint": lineage.checkpoint["step"],
        "artifacts": [artifact.model_dump(mode="json") for artifact in lineage.given],
        "model": {"digest": lineage.model.digest, "sizeBytes": lineage.model.size_bytes, "files": lineage.files},
        "reproduced": lineage.proof,
    }


def _actual(figures: dict[str, Any]) -> dict[str, Any]:
    """What training came to, of that which is estimated."""
    return {
        "steps": figures["steps"],
        "tokens": figures["tokens"],
        "seconds": figures["seconds"],
        "peakMemoryBytes": figures.get("peakMemoryBytes"),
    }
