"""Reading the RunConfig: everything that is wrong with it at once, in sentences."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attune_contract import VERSION
from attune_contract.runconfig import RunConfig
from attune_trainer.errors import InvalidConfigurationError


def read(path: Path) -> tuple[dict[str, Any], RunConfig | InvalidConfigurationError]:
    """Reads a RunConfig.

    Returns:
        The document as it is (empty where it is none), so that even a failure can say which run it was; and the
        RunConfig, or what is wrong with it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, InvalidConfigurationError(
            f"{path}: the run's configuration cannot be read ({error.strerror}). Name it with --config FILE."
        )
    except ValueError as error:
        return {}, InvalidConfigurationError(f"{path}: the run's configuration is not JSON: {error}")
    if not isinstance(document, dict):
        return {}, InvalidConfigurationError(f"{path}: the run's configuration must be a JSON object.")
    return document, _parse(path, document)


def _parse(path: Path, document: dict[str, Any]) -> RunConfig | InvalidConfigurationError:
    version = document.get("version", VERSION)
    if version != VERSION:
        return InvalidConfigurationError(
            f"{path}: this image understands RunConfig {VERSION}, and this one is {version!r}. The trainer image and "
            "the operator are of different releases: set the TuningRuntime's image to the operator's release."
        )
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        return InvalidConfigurationError("; ".join(_sentence(path, problem) for problem in error.errors()))


def _sentence(path: Path, problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "(document)"
    return f"{path}: {where}: {problem['msg']}"
