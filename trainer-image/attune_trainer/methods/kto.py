"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): from answers of which each is rated wanted or not.

The reference is as for DPO, the loss is TRL's. It compares the answers of a micro-batch with those of their neighbours
(the KL term), so a micro-batch has at least two rows, and rows are put into one order that is drawn once: data sorted
by rating would else give micro-batches of one kind.
"""

import random
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from attune_trainer.data import canonical
from attune_trainer.data.encoding.ids import IdLists
from attune_trainer.data.encoding.rated import EncodedRated, RatedEncoder
from attune_trainer.errors import InvalidDataError
from attune_trainer.methods import collate, loop, preference
from attune_trainer.methods.base import Job, Loaded, Trained
from attune_trainer.methods.batches import COMPARED
from attune_trainer.methods.causal import CausalMethod
from attune_trainer.methods.loading import padding_id


class KTO(CausalMethod):
    """Rated answers."""

    def prepare(self, job: Job, loaded: Loaded) -> "RatedRows":
        """Token ids of prompts and answers, uncut, in the order in which they are learnt.

        They are cut in the micro-batch: an answer also follows its neighbour's prompt, and may be cut elsewhere there.

        Raises:
            InvalidDataError: there is only one.
        """
        encoder = RatedEncoder(loaded.tokenizer, job.sequence_length)
        rows = RatedRows(encoder.encode_whole(row) for row in canonical.read(job.train, canonical.RATED))
        if len(rows) < COMPARED:
            raise InvalidDataError(
                f"spec.dataset.train: method KTO compares answers, and needs at least {COMPARED} rows."
            )
        rows.shuffle(job.work.training.seed)
        return rows

    def build(self, job: Job, loaded: Loaded, rows: Any, watched: Any = ()) -> Any:
        """TRL's KTOTrainer over our ids."""
        from datasets import Dataset
        from trl import KTOConfig, KTOTrainer
        from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

        preference.check(job)
        longest = min(job.sequence_length, max(row.longest for row in chain(rows, watched)))
        batch = loop.plan(job, longest, least=COMPARED)
        wanted, unwanted = weights(rows.desirable.count(1), rows.desirable.count(0))

        class OurIds(loop.Counting, KTOTrainer):  # type: ignore[misc]  # TRL ships no types
            def _prepare_dataset(self, *_: Any, **__: Any) -> Any:
                return _Compared(rows, batch.micro)

        with preference.padding_kept(loaded.model):
            trainer = OurIds(
                model=loaded.model,
                ref_model=preference.reference(job, loaded),
                args=KTOConfig(
                    **loop.arguments(job, loaded, batch, len(rows)),
                    beta=preference.beta(job.work),
                    desirable_weight=wanted,
                    undesirable_weight=unwanted,
                    max_length=None,
                ),
                data_collator=DataCollatorForUnpairedPreference(
                    padding_id(loaded.tokenizer), max_length=job.sequence_length
                ),
                train_dataset=Dataset.from_list([_Compared(rows, batch.micro)[0]]),
                processing_class=loaded.tokenizer,
            )
        return preference.finish(job, loaded, trainer, _Compared(watched, batch.micro) if watched else None)

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end."""
        return loop.run(
            job,
            trainer,
            beta=trainer.beta,
            desirableWeight=trainer.desirable_weight,
            undesirableWeight=trainer.undesirable_weight,
            dropout=0.0,
            repeatedRows=preference.repeated_rows(trainer),
            reference=preference.reference_in_words(job),
        )


def weights(desirable: int, undesirable: int) -> tuple[float, float]:
    """What a wanted and an unwanted answer count: the rarer kind more, so that both kinds together count the same.

    The paper (section 4.2, equation 8) has them between 1:1 and 4:3. With one kind only there is nothing to weigh.

    Args:
        desirable: rows that are wanted.
        undesirable: rows that are not.
    """
    if not desirable or not undesirable:
        return 1.0, 1.0
    return max(1.0, undesirable / desirable), max(1.0, desirable / undesirable)


class RatedRows(Sequence[EncodedRated]):
    """Many rated answers, four bytes per token.

    Args:
        rows: read once.
    """

    def __init__(self, rows: Iterable[EncodedRated]) -> None:
        self._ids, self.desirable = IdLists(), bytearray()
        for row in rows:
            self._ids.extend((row.prompt, row.answer))
            self.desirable.append(row.desirable)
        self._order = list(range(len(self.desirable)))

    def shuffle(self, seed: int) -> None:
        """Puts the rows into another order."""
        random.Random(seed).shuffle(self._order)  # noqa: S311 - an order, not a secret

    def sources(self, index: int) -> Sequence[int]:
        """Which row of the data is at a place."""
        return (self._order[index],)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = self._order[index]
        return EncodedRated(self._ids[2 * place], self._ids[2 * place + 1], bool(self.desirable[place]))


class _Compared(collate.Rows):
    """Rows as TRL wants them: each beside the answer of its neighbour in the micro-batch, of the first, the last.

    A row that is left over as the last micro-batch is beside the answer of the row before it: beside its own answer,
    the KL term would be the reward itself.
    """

    def __init__(self, rows: RatedRows, micro: int) -> None:
        super().__init__(rows)
        self._micro = micro

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.serves(index)
        first = index - index % self._micro
        size = min(self._micro, len(self) - first)
        beside = first + (index - first - 1) % size if size > 1 else index - 1
        row, other = self._rows[index], self._rows[beside]
        return {
            "prompt_ids": row.prompt,
            "completion_ids": row.answer,
            "KL_completion_ids": other.answer,
            "label": row.desirable,
        }
