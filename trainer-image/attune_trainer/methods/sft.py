"""Supervised fine-tuning: the loss is on the answers' tokens only.

Reads top to bottom: load, prepare, build, train, save; the first and the last two are every causal method's.
"""

from collections.abc import Sequence
from typing import Any

from attune_trainer.data import canonical
from attune_trainer.data.encoding.supervised import Encoded, EncodedRows, Encoder
from attune_trainer.methods import loop, packing
from attune_trainer.methods.base import Job, Loaded
from attune_trainer.methods.causal import CausalMethod
from attune_trainer.methods.loading import padding_id


class SFT(CausalMethod):
    """Chat and PromptCompletion; examples by themselves, or packed."""

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[Encoded]:
        """Tokens and labels of every row that preflight accepted."""
        encoder = Encoder(loaded.tokenizer, job.sequence_length)
        return EncodedRows(encoder.encode(example) for example in canonical.read(job.train, canonical.SUPERVISED))

    def build(self, job: Job, loaded: Loaded, rows: Sequence[Encoded], watched: Sequence[Encoded] = ()) -> Any:
        """The Trainer. Packed, a sequence holds several examples that do not see each other."""
        if not job.work.training.packing:
            return loop.build(job, loaded, rows, watched)
        longest = max(len(row.input_ids) for row in (*rows, *watched))
        collator = packing.collator_for(loaded.model, padding_id(loaded.tokenizer), longest)
        packed = [packing.PackedRows(each, job.sequence_length) if each else () for each in (rows, watched)]
        return loop.build(job, loaded, *packed, collator=collator)
