"""Stages are idempotent: a complete result below the run is reported again instead of being worked out again."""

import logging

from attune_contract import layout
from attune_contract.enums import RUN_STAGES, Stage
from attune_contract.outcome import Artifact, Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import digests
from attune_trainer.artifacts import RunFiles
from attune_trainer.errors import InvalidConfigurationError

_log = logging.getLogger(__name__)


def inputs_of(config: RunConfig, stage: Stage, run: RunFiles) -> tuple[Artifact, ...]:
    """What earlier stages left: as the operator recorded it, or on a laptop as their result files say.

    Raises:
        InvalidConfigurationError: an earlier stage is not complete.
    """
    if config.inputs or stage is Stage.PREFLIGHT:
        return config.inputs
    if not config.local:
        raise InvalidConfigurationError(f"inputs: none are given, and the {stage.value} stage needs those before it.")
    found: list[Artifact] = []
    for earlier in RUN_STAGES[: RUN_STAGES.index(stage)]:
        document = run.read_json(layout.result_path(earlier))
        if document is None:
            raise InvalidConfigurationError(
                f"{run.uri(layout.result_path(earlier))}: the {earlier.value} stage has no complete result. "
                f"Run `attune_trainer {earlier.value.lower()}` first."
            )
        found += Outcome.model_validate(document["outcome"]).artifacts
    return tuple(found)


def key(config: RunConfig, stage: Stage, inputs: tuple[Artifact, ...]) -> str:
    """The digest of all that a stage's result follows from: the workload and its inputs."""
    parts = {
        "version": config.version,
        "stage": stage.value,
        "workload": config.workload.model_dump(mode="json"),
        "trustRemoteCode": config.runtime.trust_remote_code,
        "inputs": sorted((a.path, a.digest) for a in inputs),
    }
    return digests.of_json(parts)


def find(run: RunFiles, expected_key: str, attempt: int) -> Outcome | None:
    """The complete result of this stage, if there is one for the same inputs and all that it left is still there."""
    document = run.read_json(layout.result_path(run.stage))
    if not isinstance(document, dict) or document.get("key") != expected_key:
        return None
    outcome = Outcome.model_validate(document["outcome"])
    gone = [a.path for a in outcome.artifacts if not run.exists(a)]
    if gone:
        _log.warning("the stage was complete, but %s is gone or changed; it is done again", ", ".join(gone))
        return None
    return outcome.model_copy(update={"attempt": attempt})


def save(run: RunFiles, stage_key: str, outcome: Outcome) -> None:
    """Marks the stage as complete. Written last."""
    run.put_json(
        layout.result_path(run.stage),
        {"key": stage_key, "outcome": outcome.model_dump(mode="json", exclude_none=True)},
    )
