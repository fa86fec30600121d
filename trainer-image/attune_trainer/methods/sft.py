"""Supervised fine-tuning: the loss is on the answers' tokens only.

Reads top to bottom: load, prepare, build, train, save.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from attune_contract.enums import TuningType
from attune_trainer.data import canonical
from attune_trainer.data.encoding import Encoded, EncodedRows, Encoder
from attune_trainer.methods import loading, loop
from attune_trainer.methods.base import Job, Loaded, Trained


class SFT:
    """Chat and PromptCompletion, LoRA and Full."""

    def load(self, job: Job) -> Loaded:
        """The base, with adapters for LoRA. Full tuning keeps its weights in float32, whatever it computes in."""
        set_seed(job.work.training.seed)  # before the adapters draw their first weights
        full = job.work.tuning.type is TuningType.FULL
        dtype = torch.float32 if full else job.device.dtype
        model = loading.causal_lm(job.base.folder, dtype, trust_remote_code=job.base.trust_remote_code)
        model.config.use_cache = False  # a cache of keys and values is for generation
        if not full:
            model = loading.with_new_adapter(model, job.work.tuning)
        return Loaded(model, job.base.tokenizer())

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[Encoded]:
        """Tokens and labels of every row that preflight accepted."""
        encoder = Encoder(loaded.tokenizer, job.sequence_length)
        return EncodedRows(encoder.encode(example) for example in canonical.read(job.train))

    def build(self, job: Job, loaded: Loaded, rows: Sequence[Encoded]) -> Any:
        """The Trainer."""
        return loop.build(job, loaded, rows)

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end."""
        return loop.run(job, trainer)

    def save(self, job: Job, loaded: Loaded, folder: Path) -> None:
        """The adapter, or the whole model in the base's own precision; and the base's tokenizer."""
        folder.mkdir(parents=True)
        loaded.model.config.use_cache = True
        if job.work.tuning.type is TuningType.FULL:
            loading.save_whole(loaded.model, folder, loading.base_dtype(job.base))
        else:
            loading.save_adapter(loaded.model, job.base.listing.source, folder)
        loading.copy_tokenizer(job.base, folder)
