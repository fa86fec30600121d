"""What a stage takes from earlier ones: always named, always verified."""

import json

from attune_contract import layout
from attune_contract.outcome import Artifact
from attune_trainer import models
from attune_trainer.context import Context
from attune_trainer.errors import DigestMismatchError, InvalidConfigurationError


def demand(given: tuple[Artifact, ...], path: str) -> Artifact:
    """The artifact at a path.

    Raises:
        InvalidConfigurationError: no earlier stage left one.
    """
    found = find(given, path)
    if found is None:
        raise InvalidConfigurationError(f"inputs: {path} is missing; it is left by an earlier stage.")
    return found


def find(given: tuple[Artifact, ...], path: str) -> Artifact | None:
    """The artifact at a path; None where no earlier stage left one."""
    return next((artifact for artifact in given if artifact.path == path), None)


def base_model(context: Context, given: tuple[Artifact, ...]) -> models.BaseModel:
    """The base model, whole, and the same that preflight looked at.

    Raises:
        BlockedError: it is missing now.
        DigestMismatchError: it is another one now.
    """
    source = models.ModelSource(context.config, context.stores)
    path = context.run.fetch(demand(given, layout.VALIDATION_REPORT), context.scratch / "preflight.json")
    seen = json.loads(path.read_text(encoding="utf-8"))["model"]
    listing = source.look(seen["revision"])
    if seen["digest"] != listing.digest:
        changed = [n for n in {*seen["files"], *listing.files} if seen["files"].get(n) != listing.files.get(n)]
        raise DigestMismatchError(
            f"{models.FIELD}: {source.uri} is not the model that preflight saw: {', '.join(sorted(changed))} changed "
            "since. Start a new run with the model as it is now."
        )
    return source.fetch(listing, weights=True)
