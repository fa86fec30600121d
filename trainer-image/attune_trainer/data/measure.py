"""Tokens of rows, and what only their tokens show."""

from collections.abc import Sequence
from dataclasses import dataclass

from attune_trainer.data.encoding.base import RowEncoder, TemplateError
from attune_trainer.data.examples import ASSISTANT, Example, Labeled, Pair, Rated, Supervised
from attune_trainer.data.problems import Finding

_LOOKED_AT_CLOSELY = 100
"""So many rows are encoded in any case: a template that cannot be trained on shows in the first ones."""
_CHARACTERS_PER_TOKEN = 64
_ALWAYS_FINE = 1 << 20
"""Characters. Rows beyond it are held against the sequence length before they are tokenised: that takes fifty bytes of
memory for each, and of such a row next to nothing would be used."""
Measured = int | Finding
"""Tokens of a row before truncation, or why it cannot be used."""


@dataclass
class Measure:
    """Counts tokens of rows, a batch at a time.

    Args:
        encoder: of the run's kind of row.
    """

    encoder: RowEncoder[Example]
    seen: int = 0

    def __call__(self, rows: Sequence[Example]) -> list[Measured]:
        """Each row's tokens, or `prompt_too_long`, or `chat_template_error`."""
        giants = [self._giant(row) for row in rows]
        if any(giants):
            rest = iter(self._fitting([row for row, giant in zip(rows, giants, strict=True) if not giant]))
            return [giant or next(rest) for giant in giants]
        return self._fitting(rows)

    def _fitting(self, rows: Sequence[Example]) -> list[Measured]:
        if not rows:
            return []
        chat = [is_chat(row) for row in rows]
        if any(chat) and not all(chat):  # encoders take rows of one sort at a time
            return [measured for row in rows for measured in self._fitting([row])]
        found: list[Measured] = list(self._lengths(rows))
        for i, row in enumerate(rows):
            length = found[i]
            if isinstance(length, int) and self._needs_look(row, length):
                found[i] = self._look(row) or length
        self.seen += len(rows)
        return found

    def _giant(self, row: Example) -> Finding | None:
        size, limit = row.size(), self.encoder.sequence_length
        if size <= max(_ALWAYS_FINE, _CHARACTERS_PER_TOKEN * limit):
            return None
        text = f"the row has {size} characters, and of those at most {limit} tokens are used (training.sequenceLength)"
        return Finding("prompt_too_long", f"{text}; split it or leave it out")

    def _lengths(self, rows: Sequence[Example]) -> Sequence[Measured]:
        try:
            return self.encoder.lengths(rows)
        except TemplateError:
            return [self._length(row) for row in rows]

    def _length(self, row: Example) -> Measured:
        try:
            return self.encoder.lengths([row])[0]
        except TemplateError as error:
            return Finding("chat_template_error", str(error))

    def _needs_look(self, row: Example, length: int) -> bool:
        """Encoding tells more than counting, and costs more, so it is done where needed."""
        if isinstance(row, Labeled):  # labels are looked at one by one, not row by row
            return False
        if self.seen < _LOOKED_AT_CLOSELY or length > self.encoder.sequence_length:
            return True
        if isinstance(row, Supervised):
            learnt = [turn for turn in row.turns if turn.weight]
            return row.turns[-1].weight == 0 or len(learnt) > 1 or any(turn.extra for turn in learnt)
        return isinstance(row, Pair | Rated) and len(_answer(row)) > 1

    def _look(self, row: Example) -> Finding | None:
        try:
            return self.encoder.finding(row)
        except TemplateError as error:
            return Finding("chat_template_error", str(error))


def is_chat(row: Example) -> bool:
    """Whether the model's chat template applies."""
    return isinstance(row, Supervised | Pair | Rated) and row.is_chat


def _answer(row: Pair | Rated) -> list[str]:
    turns = row.chosen if isinstance(row, Pair) else row.completion
    return [turn.content for turn in turns if turn.role == ASSISTANT]
