"""Checkpoints below a run: a folder per step that exists only once its COMPLETE does.

| file | what |
| --- | --- |
| adapter_model.safetensors, adapter_config.json, or model*.safetensors, config.json | the tuned weights |
| tokenizer files | the base's, as they are |
| checkpoint.json | what the weights were made from: step, model, data, versions |
| COMPLETE | written last: the digest of each file above, and of the folder |
"""

import json
from pathlib import Path
from typing import Any

from attune_contract import VERSION, layout
from attune_contract.enums import Stage
from attune_contract.outcome import Artifact
from attune_trainer import digests
from attune_trainer.artifacts import RunFiles
from attune_trainer.errors import DigestMismatchError, InvalidConfigurationError

DESCRIPTION = "checkpoint.json"


def write(run: RunFiles, folder: Path, step: int, description: dict[str, Any]) -> Artifact:
    """Uploads a checkpoint, its marker last.

    Args:
        run: the run's files.
        folder: local folder with weights and tokenizer; the description is added to it.
        step: optimizer steps done.
        description: what the weights were made from.
    """
    text = json.dumps({"version": VERSION, "step": step, **description}, indent=2) + "\n"
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")
    path = layout.checkpoint_path(step)
    artifact = run.put_folder(f"{path}/", folder)
    files = digests.of_files(folder, digests.files_below(folder))
    run.put_json(f"{path}/{layout.COMPLETE}", {"version": VERSION, "digest": artifact.digest, "files": files})
    return artifact


def read(run: RunFiles, inputs: tuple[Artifact, ...], folder: Path) -> dict[str, Any]:
    """Fetches the last checkpoint that training left, verified.

    Args:
        run: the run's files.
        inputs: what earlier stages left.
        folder: where it goes.

    Returns:
        Its description.

    Raises:
        InvalidConfigurationError: training left none.
        DigestMismatchError: it is not complete, or was changed.
    """
    artifact = last(inputs)
    marker = run.read_json(artifact.path + layout.COMPLETE)
    if not isinstance(marker, dict) or marker.get("digest") != artifact.digest:
        raise DigestMismatchError(
            f"{run.uri(artifact.path)}: the checkpoint has no {layout.COMPLETE} of digest {artifact.digest}, so it "
            "does not exist or was replaced. Start a new run."
        )
    run.fetch(artifact, folder)
    description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return description


def last(inputs: tuple[Artifact, ...]) -> Artifact:
    """The checkpoint of the highest step among what earlier stages left.

    Raises:
        InvalidConfigurationError: there is none.
    """
    found = [a for a in inputs if a.stage is Stage.TRAIN and a.path.startswith(f"{layout.CHECKPOINTS}/")]
    if not found:
        raise InvalidConfigurationError("inputs: training left no checkpoint; run the train stage first.")
    return max(found, key=lambda a: int(a.path.strip("/").rsplit("/", 1)[-1]))
