"""From a preference pair to token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from attune_trainer.data.encoding import answers
from attune_trainer.data.examples import Pair
from attune_trainer.data.problems import Finding


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of a prompt and of the two answers to it."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def longest(self) -> int:
        """Tokens of the prompt with the longer answer."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))


@dataclass(frozen=True)
class PairEncoder:
    """Encodes pairs for one model.

    Args:
        tokenizer: a fast tokenizer of transformers.
        sequence_length: tokens beyond it are cut off, of either answer by itself.
    """

    tokenizer: Any
    sequence_length: int

    def encode(self, row: Pair) -> EncodedPair:
        """Ids, cut at the sequence length.

        Raises:
            TemplateError: the chat template does not take the row.
        """
        whole = self.encode_whole(row)
        prompt = whole.prompt[: self.sequence_length]
        left = self.sequence_length - len(prompt)
        return EncodedPair(prompt, whole.chosen[:left], whole.rejected[:left])

    def encode_whole(self, row: Pair) -> EncodedPair:
        """Ids of any length. Both answers follow the same prompt: where they make tokens over the seam, before it."""
        chosen, rejected = (answers.encode(self.tokenizer, given) for given in self._texts(row))
        both = zip(chosen.ids, rejected.ids, strict=False)
        start = min(chosen.start, rejected.start, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], both)))
        return EncodedPair(chosen.ids[:start], chosen.ids[start:], rejected.ids[start:])

    def lengths(self, rows: Sequence[Pair]) -> list[int]:
        """Tokens of each prompt with the longer of its answers, before cutting."""
        found = answers.lengths(self.tokenizer, [given for row in rows for given in self._texts(row)])
        return [max(found[i : i + 2]) for i in range(0, len(found), 2)]

    def finding(self, row: Pair) -> Finding | None:
        """`prompt_too_long`."""
        return answers.too_long(len(self.encode_whole(row).prompt), self.sequence_length)

    def _texts(self, row: Pair) -> tuple[answers.Texts, answers.Texts]:
        return (
            answers.texts(self.tokenizer, row.prompt, row.chosen, row.tools),
            answers.texts(self.tokenizer, row.prompt, row.rejected, row.tools),
        )
