"""Odds-ratio preference optimisation (Hong et al. 2024): learns wanted answers and away from unwanted ones at once.

There is no reference: the base is loaded once. The loss is TRL's (experimental there).
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch

from attune_trainer.data import canonical
from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.pairs import EncodedPair, PairEncoder
from attune_trainer.methods import collate, loop, preference
from attune_trainer.methods.base import Job, Loaded, Trained
from attune_trainer.methods.causal import CausalMethod
from attune_trainer.methods.loading import padding_id


class ORPO(CausalMethod):
    """Pairs."""

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[EncodedPair]:
        """Token ids of prompts and both answers."""
        encoder = PairEncoder(loaded.tokenizer, job.sequence_length)
        return preference.PairRows(encoder.encode(row) for row in canonical.read(job.train, canonical.PAIR))

    def build(self, job: Job, loaded: Loaded, rows: Sequence[EncodedPair], watched: Sequence[EncodedPair] = ()) -> Any:
        """TRL's ORPOTrainer over our ids."""
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        class OurIds(loop.Counting, ORPOTrainer):  # type: ignore[misc]  # TRL ships no types
            pass

        batch = loop.plan(job, 2 * max(row.longest for row in chain(rows, watched)))
        padding = padding_id(loaded.tokenizer)
        with preference.padding_kept(loaded.model):
            trainer = OurIds(
                model=loaded.model,
                args=ORPOConfig(
                    **loop.arguments(job, loaded, batch, len(rows)),
                    beta=preference.beta(job.work),
                    max_length=job.sequence_length,
                    padding_value=padding,
                ),
                data_collator=_Collator(padding),
                train_dataset=_Ready(rows),
                processing_class=loaded.tokenizer,
            )
        trainer.use_dpo_data_collator = True  # ours makes the same tensors
        return preference.finish(job, loaded, trainer, _Ready(watched) if watched else None)

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end."""
        return loop.run(job, trainer, beta=trainer.beta, dropout=0.0, repeatedRows=preference.repeated_rows(trainer))


class _Ready(collate.Rows):
    """Rows that need no more preparation: TRL would map text to ids, and is given ids."""

    def map(self, *_: Any, **__: Any) -> "_Ready":
        return self


class _Collator:
    """The tensors that TRL's ORPO computes on: both sides with their masks and labels.

    Args:
        padding: a token id; masked, so any.
    """

    def __init__(self, padding: int) -> None:
        self._padding = padding

    def __call__(self, rows: Sequence[EncodedPair]) -> dict[str, torch.Tensor]:
        sides = {"chosen": [row.chosen for row in rows], "rejected": [row.rejected for row in rows]}
        prompts = [row.prompt for row in rows]
        made = {collate.TOKENS: torch.tensor([2 * len(r.prompt) + len(r.chosen) + len(r.rejected) for r in rows])}
        for name, answers in sides.items():
            whole = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
            labels = [[*[IGNORED] * len(p), *answer] for p, answer in zip(prompts, answers, strict=True)]
            made[f"{name}_input_ids"] = collate.filled(whole, self._padding)
            made[f"{name}_attention_mask"] = collate.filled([[1] * len(ids) for ids in whole], 0)
            made[f"{name}_labels"] = collate.filled(labels, IGNORED)
        return made
