"""From documents to windows of token ids: one long text, cut where the sequence length ends."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from typing import Any

from attune_trainer.data.encoding.chat import ended
from attune_trainer.data.examples import Document
from attune_trainer.data.problems import Finding

_BATCH = 512
SHORTEST_WINDOW = 2
"""Tokens that a window needs: from the first one nothing is predicted yet."""


@dataclass(frozen=True)
class TextEncoder:
    """Encodes documents for one model.

    Args:
        tokenizer: a fast tokenizer of transformers.
        sequence_length: tokens of a window.
        stride: tokens from the beginning of one window to that of the next; None, or more: the sequence length, so that
            no text is left out.
    """

    tokenizer: Any
    sequence_length: int
    stride: int | None = None

    def windows(self, rows: Iterable[Document]) -> Iterator[list[int]]:
        """The documents behind each other, each ended by end-of-text, in windows; the last may be shorter.

        A window begins `stride` tokens after the one before it, until one has reached the end of the text.
        """
        step = min(self.stride or self.sequence_length, self.sequence_length)
        held: list[int] = []
        for ids in self._streams(rows):
            held += ids
            while len(held) > self.sequence_length:
                yield held[: self.sequence_length]
                del held[:step]
        if len(held) >= SHORTEST_WINDOW:
            yield held

    def sources(self, rows: Iterable[Document], window: int) -> list[int]:
        """Which documents a window is made of, by their places; reads them all once more."""
        first = window * min(self.stride or self.sequence_length, self.sequence_length)
        ends = list(accumulate(len(ids) for ids in self._streams(rows)))
        begins = [0, *ends[:-1]]
        spans = enumerate(zip(begins, ends, strict=True))
        return [n for n, (begin, end) in spans if begin < first + self.sequence_length and first < end]

    def encode(self, row: Document) -> list[int]:
        """Ids of one document, with what the tokenizer puts before a text, and end-of-text."""
        return ended(self.tokenizer, self._ids([row])[0])

    def lengths(self, rows: Sequence[Document]) -> list[int]:
        """Tokens of each document, with its end-of-text; of one in parts, the end is counted with the first part.

        Where a part is held out, the text before it ends too: `figures.part` adds those ends.
        """
        pairs = zip(rows, self._ids(rows), strict=True)
        return [len(ids if row.continues else ended(self.tokenizer, ids)) for row, ids in pairs]

    def finding(self, row: Document) -> Finding | None:  # noqa: ARG002 - every encoder is asked so
        """None: nothing is cut off."""
        return None

    def _streams(self, rows: Iterable[Document]) -> Iterator[list[int]]:
        """Ids to be put behind each other: of each document or part, and end-of-text where a document ends."""
        before: Document | None = None
        last: list[int] = []
        for row, ids in chain.from_iterable(self._encoded(batch) for batch in _batches(rows)):
            if before is not None:
                yield last if _goes_on(before, row) else ended(self.tokenizer, last)
            before, last = row, ids
        if before is not None:
            yield ended(self.tokenizer, last)

    def _encoded(self, rows: Sequence[Document]) -> Iterator[tuple[Document, list[int]]]:
        yield from zip(rows, self._ids(rows), strict=True)

    def _ids(self, rows: Sequence[Document]) -> list[list[int]]:
        """A part that goes on gets no token of beginning."""
        if not rows:
            return []
        texts = [row.text for row in rows]
        ids: list[list[int]] = self.tokenizer(texts, return_attention_mask=False)["input_ids"]
        parts = [i for i, row in enumerate(rows) if row.continues]
        if parts:
            plain = self.tokenizer([texts[i] for i in parts], add_special_tokens=False)["input_ids"]
            for i, row_ids in zip(parts, plain, strict=True):
                ids[i] = row_ids
        return ids


def _batches(rows: Iterable[Document]) -> Iterator[list[Document]]:
    left = iter(rows)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _goes_on(before: Document, row: Document) -> bool:
    return row.follows == before.row_id
