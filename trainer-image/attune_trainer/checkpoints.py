"""The checkpoint at the end of training: a folder that exists only once its COMPLETE does.

It is named by the steps that were done; its weights may be those of an earlier one that was the best (checkpoint.json
says which). Those that are written while training goes on are in `checkpointing/`.

| file | what |
| --- | --- |
| adapter_model.safetensors, adapter_config.json, or model*.safetensors, config.json | the tuned weights |
| tokenizer files | the base's, as they are |
| checkpoint.json | what the weights were made from: step, model, data, versions |
| COMPLETE | written last: the digest of each file above, and of the folder |
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attune_contract import VERSION, layout
from attune_contract.enums import Stage
from attune_contract.outcome import Artifact
from attune_trainer.artifacts import RunFiles
from attune_trainer.checkpointing import store
from attune_trainer.errors import DigestMismatchError, InvalidConfigurationError

if TYPE_CHECKING:  # its module imports torch, and later stages only read
    from attune_trainer.methods.base import Trained

DESCRIPTION = layout.CHECKPOINT_DESCRIPTION


def write(run: RunFiles, folder: Path, trained: "Trained", description: dict[str, Any]) -> Artifact:
    """Uploads a checkpoint, its marker last.

    Args:
        run: the run's files.
        folder: local folder with weights and tokenizer; the description is added to it.
        trained: what training came to.
        description: what the weights were made from.
    """
    begun = time.monotonic()
    document = {"version": VERSION, "step": trained.step, "tokens": trained.figures.tokens, **description}
    (folder / DESCRIPTION).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return store.write(run, folder, trained.figures.steps, lambda: time.monotonic() - begun)


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
