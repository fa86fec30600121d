"""From a supervised example to token ids and labels."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, overload

from attune_trainer.data.encoding.base import IGNORED, LEFT_OUT, TemplateError
from attune_trainer.data.encoding.chat import count, left_out, render, render_many
from attune_trainer.data.examples import Supervised
from attune_trainer.data.problems import Finding

_STAND_IN = "\u241a"
"""A message that no other ends with: the sign for what was put in another's place."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of one example, and the label of each: the id itself where it is learnt, else IGNORED."""

    input_ids: list[int]
    labels: list[int]

    @property
    def learns(self) -> bool:
        """Whether any token is left to learn."""
        return any(label != IGNORED for label in self.labels)


class EncodedRows(Sequence[Encoded]):
    """Many encoded rows in five bytes per token; as lists of numbers they would take sixty.

    Args:
        rows: read once.
    """

    def __init__(self, rows: Iterable[Encoded]) -> None:
        self._ids, self._learnt, self._ends = array("i"), bytearray(), array("q", [0])
        for row in rows:
            self._ids.extend(row.input_ids)
            self._learnt.extend(label != IGNORED for label in row.labels)
            self._ends.append(len(self._ids))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Encoded: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Encoded]: ...
    def __getitem__(self, index: int | slice) -> Encoded | Sequence[Encoded]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index % len(self)
        start, end = self._ends[place], self._ends[place + 1]
        ids = list(self._ids[start:end])
        learnt = self._learnt[start:end]
        return Encoded(ids, [i if learn else IGNORED for i, learn in zip(ids, learnt, strict=True)])


@dataclass(frozen=True)
class Encoder:
    """Encodes examples for one model.

    Chat goes through the model's chat template; what the template puts into the assistant's turns, such as the token
    that ends them, is learnt too. PromptCompletion is prompt, completion and the end-of-text token, with nothing in
    between (the usual convention, that of TRL's SFTTrainer).

    Args:
        tokenizer: a fast tokenizer of transformers.
        sequence_length: tokens beyond it are cut off.
    """

    tokenizer: Any
    sequence_length: int

    def encode(self, example: Supervised) -> Encoded:
        """Ids and labels, cut at the sequence length.

        Raises:
            TemplateError: the chat template does not take this conversation, or leaves out an answer that is learnt.
        """
        whole = self.encode_whole(example)
        return Encoded(whole.input_ids[: self.sequence_length], whole.labels[: self.sequence_length])

    def encode_whole(self, example: Supervised) -> Encoded:
        """Ids and labels of any length."""
        return self._chat(example) if example.is_chat else self._prompt_completion(example)

    def prompt_and_answer(self, example: Supervised, answer: str | None = None) -> tuple[list[int], list[int]]:
        """The ids that the model is given and those that it should then say, uncut.

        Args:
            example: its last answer is the one that is asked for.
            answer: another answer in its place.
        """
        whole = self.encode_whole(example.asked(answer))
        learnt = [i for i, label in enumerate(whole.labels) if label != IGNORED]
        return whole.input_ids[: learnt[0]], whole.input_ids[learnt[0] : learnt[-1] + 1]

    def lengths(self, examples: Sequence[Supervised]) -> list[int]:
        """Tokens of each example before cutting; many at once, because that is how fast tokenizers are fast.

        Raises:
            TemplateError: the chat template does not take one of the conversations, or leaves out an answer.
        """
        if not examples:
            return []
        if examples[0].is_chat:
            texts = render_many(self.tokenizer, [(e.turns, e.tools) for e in examples])
            learnt = ((turn, text) for e, text in zip(examples, texts, strict=True) for turn in e.turns if turn.weight)
            if any(left_out(turn, text) for turn, text in learnt):
                raise TemplateError(LEFT_OUT)
            return count(self.tokenizer, texts, special=False)
        return count(self.tokenizer, ["".join(turn.content for turn in e.turns) for e in examples], special=True)

    def finding(self, example: Supervised) -> Finding | None:
        """`prompt_too_long` where no token that is learnt is left after the cut.

        Raises:
            TemplateError: it cannot be said which tokens are the assistant's.
        """
        whole = self.encode_whole(example)
        limit = self.sequence_length
        if any(label != IGNORED for label in whole.labels[:limit]):
            return None
        return Finding(
            "prompt_too_long",
            f"of {len(whole.input_ids)} tokens the first {limit} are used (training.sequenceLength), and none is of "
            "the answer",
        )

    def _prompt_completion(self, example: Supervised) -> Encoded:
        prompt, completion = (turn.content for turn in example.turns)
        encoding = self.tokenizer(prompt + completion, return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
        # A token over the seam holds something of the completion, so it is learnt; (0, 0) is a token that the
        # tokenizer put at an end by itself.
        labels = [i if end > len(prompt) else IGNORED for i, (_, end) in zip(ids, offsets, strict=True)]
        end = self.tokenizer.eos_token_id
        if end is None:
            return Encoded(ids, labels)
        if ids[-1] == end:  # the tokenizer ended it by itself
            return Encoded(ids, [*labels[:-1], end])
        return Encoded([*ids, end], [*labels, end])

    def _chat(self, example: Supervised) -> Encoded:
        text = self._render(example)
        spans = self._answer_spans(example, text)
        encoding = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoding["input_ids"], encoding["offset_mapping"]
        learnt = [any(start < e and end > s for s, e in spans) for start, end in offsets]
        return Encoded(list(ids), [i if learn else IGNORED for i, learn in zip(ids, learnt, strict=True)])

    def _answer_spans(self, example: Supervised, text: str) -> list[tuple[int, int]]:
        """Where in the rendered text the learnt answers are, as (start, end) in characters."""
        return [self._span(example, i, text) for i, turn in enumerate(example.turns) if turn.weight]

    def _span(self, example: Supervised, index: int, text: str) -> tuple[int, int]:
        """The place of one answer: from where the template would have the model begin, to the end of the turn."""
        before = self._render(example, upto=index, ask=True)
        if not text.startswith(before):
            raise TemplateError(
                "the model's chat template shows earlier turns differently once the conversation goes on, so it "
                "cannot be said which tokens are the assistant's; give one answer per row, or set weight 0 on earlier "
                "assistant messages"
            )
        start = len(before)
        end = self._end(example, index, text, start)
        if left_out(example.turns[index], text[start:end]):
            raise TemplateError(LEFT_OUT)
        return start, end

    def _end(self, example: Supervised, index: int, text: str, start: int) -> int:
        """Where a turn ends, with the token that ends it."""
        through = self._render(example, upto=index + 1)
        if text.startswith(through):
            return self._without_trailing_space(text, start, len(through))
        # The template treats the last turn specially. What stays when another message is put in this one's place comes
        # after it.
        turn = example.turns[index]._replace(content=_STAND_IN, extra="")
        other = self._render(replace(example, turns=(*example.turns[:index], turn, *example.turns[index + 1 :])))
        same = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(text), reversed(other), strict=False))
        end = max(start, len(text) - sum(1 for _ in same))
        end = start + len(text[start:end].rstrip())
        behind = text[end:]
        space = len(behind) - len(behind.lstrip())
        closing = next((t for t in self._closing if behind.startswith(t, space)), "")
        return end + (space + len(closing) if closing else 0)

    @cached_property
    def _closing(self) -> list[str]:
        """What may end a turn: some tokenizers do not call that token special."""
        added = [str(token) for token in self.tokenizer.added_tokens_decoder.values()]
        return [token for token in [*self.tokenizer.all_special_tokens, *added] if token.strip()]

    def _without_trailing_space(self, text: str, start: int, end: int) -> int:
        """Leaves out the line break that templates put after the token that ends a turn: nobody generates it."""
        stripped = text[start:end].rstrip()
        closes = any(stripped.endswith(token) for token in self._closing)
        return start + len(stripped) if closes else end

    def _render(self, example: Supervised, upto: int | None = None, *, ask: bool = False) -> str:
        return render(self.tokenizer, example.turns[:upto], example.tools, ask=ask)
