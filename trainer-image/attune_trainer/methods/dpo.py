"""Direct preference optimisation (Rafailov et al. 2023): wanted answers over unwanted ones, measured from a reference.

The reference is the base with the adapter off for LoRA and QLoRA, a frozen copy for Full. The loss is TRL's.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from attune_trainer.data import canonical
from attune_trainer.data.encoding.pairs import EncodedPair, PairEncoder
from attune_trainer.methods import collate, loop, preference
from attune_trainer.methods.base import Job, Loaded, Trained
from attune_trainer.methods.causal import CausalMethod
from attune_trainer.methods.loading import padding_id


class DPO(CausalMethod):
    """Pairs."""

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[EncodedPair]:
        """Token ids of prompts and both answers."""
        encoder = PairEncoder(loaded.tokenizer, job.sequence_length)
        return preference.PairRows(encoder.encode(row) for row in canonical.read(job.train, canonical.PAIR))

    def build(self, job: Job, loaded: Loaded, rows: Sequence[EncodedPair], watched: Sequence[EncodedPair] = ()) -> Any:
        """TRL's DPOTrainer over our ids."""
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer
        from trl.trainer.dpo_trainer import DataCollatorForPreference

        preference.check(job)
        batch = loop.plan(job, 2 * max(row.longest for row in chain(rows, watched)))
        seen = collate.Rows(rows, view=_row)

        class OurIds(loop.Counting, DPOTrainer):  # type: ignore[misc]  # TRL ships no types
            def _prepare_dataset(self, *_: Any, **__: Any) -> Any:
                return seen

        with preference.padding_kept(loaded.model):
            trainer = OurIds(
                model=loaded.model,
                ref_model=preference.reference(job, loaded),
                args=DPOConfig(
                    **loop.arguments(job, loaded, batch, len(rows)), beta=preference.beta(job.work), max_length=None
                ),
                data_collator=DataCollatorForPreference(padding_id(loaded.tokenizer)),
                train_dataset=Dataset.from_list([_row(rows[0])]),
                processing_class=loaded.tokenizer,
            )
        return preference.finish(job, loaded, trainer, collate.Rows(watched, view=_row) if watched else None)

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end."""
        return loop.run(
            job,
            trainer,
            beta=trainer.beta,
            dropout=0.0,
            repeatedRows=preference.repeated_rows(trainer),
            reference=preference.reference_in_words(job),
        )


def _row(row: EncodedPair) -> dict[str, list[int]]:
    return {"prompt_ids": row.prompt, "chosen_ids": row.chosen, "rejected_ids": row.rejected}
