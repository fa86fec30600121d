"""Continued pretraining: every next token of plain text is learnt.

Documents are put behind each other, each ended by end-of-text, and cut into windows of the sequence length.
"""

from collections.abc import Callable, Sequence
from typing import Any

from attune_trainer.data import canonical
from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.supervised import Encoded, EncodedRows
from attune_trainer.data.encoding.text import TextEncoder
from attune_trainer.errors import InvalidDataError
from attune_trainer.methods import loop
from attune_trainer.methods.base import Job, Loaded
from attune_trainer.methods.causal import CausalMethod


class ContinuedPretraining(CausalMethod):
    """Text, in windows."""

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[Encoded]:
        """The windows; the first token of each has nothing to be foreseen from.

        Raises:
            InvalidDataError: the documents have not two tokens together.
        """
        encoder = TextEncoder(loaded.tokenizer, job.sequence_length, job.work.training.stride)
        windows = encoder.windows(canonical.read(job.train, canonical.DOCUMENT))
        rows = _Windows(Encoded(window, [IGNORED, *window[1:]]) for window in windows)
        rows.sources = lambda window: encoder.sources(canonical.read(job.train, canonical.DOCUMENT), window)
        if not rows:
            raise InvalidDataError("spec.dataset.train: the documents have fewer than two tokens together.")
        return rows

    def build(self, job: Job, loaded: Loaded, rows: Sequence[Encoded], watched: Sequence[Encoded] = ()) -> Any:
        """The Trainer."""
        return loop.build(job, loaded, rows, watched)


class _Windows(EncodedRows):
    """Windows that know which documents they are made of."""

    sources: Callable[[int], Sequence[int]]
