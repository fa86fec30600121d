"""What the methods over a causal language model have in common: how it is loaded, trained and saved."""

import json
from pathlib import Path
from typing import Any

from transformers import set_seed

from attune_contract.enums import TuningType
from attune_trainer.methods import loading, loop, tuning
from attune_trainer.methods.base import Job, Loaded, Trained

LABELS_FILE = "labels.json"


class CausalMethod:
    """Loads, trains and saves; a method adds `prepare` and `build`."""

    def load(self, job: Job) -> Loaded:
        """The base, with adapters for LoRA and QLoRA."""
        set_seed(job.work.training.seed)  # before the adapters draw their first weights
        model = causal_base(job)
        return Loaded(tuning.tuned(model, job.work.tuning), job.base.tokenizer())

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end."""
        return loop.run(job, trainer)

    def save(self, job: Job, loaded: Loaded, folder: Path) -> None:
        """The adapter, or the whole model in the base's own precision; and the base's tokenizer."""
        save(job, loaded, folder)


def causal_base(job: Job) -> Any:
    """The base as a causal language model, in the precision that its tuning wants."""
    model = loading.causal_lm(
        job.base.folder,
        tuning.weights_dtype(job.work.tuning, job.device),
        trust_remote_code=job.base.trust_remote_code,
        **tuning.quantization(job.work.tuning, job.device),
    )
    model.config.use_cache = False  # a cache of keys and values is for generation
    return model


def save(job: Job, loaded: Loaded, folder: Path, labels: list[dict[str, Any]] | None = None) -> None:
    """Writes what was trained, the tokenizer and, for Classification, the label map.

    Args:
        job: the training.
        loaded: its model, trained.
        folder: to be made.
        labels: entries of labels.json.
    """
    folder.mkdir(parents=True)
    loaded.model.config.use_cache = True
    if job.work.tuning.type is TuningType.FULL:
        loading.save_whole(loaded.model, folder, loading.base_dtype(job.base))
    else:
        loading.save_adapter(loaded.model, job.base.listing.source, folder)
    loading.copy_tokenizer(job.base, folder)
    if labels is not None:
        text = json.dumps(labels, ensure_ascii=False, indent=2)
        (folder / LABELS_FILE).write_text(text + "\n", encoding="utf-8")
