"""From a rated answer to token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attune_trainer.data.encoding import answers
from attune_trainer.data.examples import Rated
from attune_trainer.data.problems import Finding


@dataclass(frozen=True)
class EncodedRated:
    """Token ids of a prompt and its answer, and whether it is wanted."""

    prompt: list[int]
    answer: list[int]
    desirable: bool

    @property
    def longest(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class RatedEncoder:
    """Encodes rated answers for one model.

    Args:
        tokenizer: a fast tokenizer of transformers.
        sequence_length: tokens beyond it are cut off.
    """

    tokenizer: Any
    sequence_length: int

    def encode(self, row: Rated) -> EncodedRated:
        """Ids, cut at the sequence length.

        Raises:
            TemplateError: the chat template does not take the row.
        """
        whole = self.encode_whole(row)
        prompt = whole.prompt[: self.sequence_length]
        return EncodedRated(prompt, whole.answer[: self.sequence_length - len(prompt)], row.desirable)

    def encode_whole(self, row: Rated) -> EncodedRated:
        """Ids of any length."""
        ids, start = self._answered(row)
        return EncodedRated(ids[:start], ids[start:], row.desirable)

    def lengths(self, rows: Sequence[Rated]) -> list[int]:
        """Tokens of each row before cutting."""
        return answers.lengths(self.tokenizer, [self._texts(row) for row in rows])

    def finding(self, row: Rated) -> Finding | None:
        """`prompt_too_long`."""
        return answers.too_long(self._answered(row).start, self.sequence_length)

    def _answered(self, row: Rated) -> answers.Answered:
        return answers.encode(self.tokenizer, self._texts(row))

    def _texts(self, row: Rated) -> answers.Texts:
        return answers.texts(self.tokenizer, row.prompt, row.completion, row.tools)
