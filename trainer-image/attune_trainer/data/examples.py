"""The rows from preflight on, one class per kind of method. What they have in common is `Example`.

Supervised  SFT                     a conversation, or prompt and completion; some turns are learnt
Pair        DPO, ORPO               a prompt, the answer that is wanted and the one that is not
Rated       KTO                     a prompt, an answer, and whether it is wanted
Document    ContinuedPretraining    text
Labeled     Classification          text and its label

A turn's role is `system`, `user`, `assistant` or `tool` where the model's chat template applies, and `prompt` or
`completion` where the two are put together as they are.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from attune_trainer import digests

PROMPT, COMPLETION, ASSISTANT = "prompt", "completion", "assistant"


class Turn(NamedTuple):
    """One message, or one half of a prompt and its completion."""

    role: str
    content: str
    weight: int = 0
    """1 where the model learns this turn."""
    extra: str = ""
    """JSON of what else the message has, for the chat template: tool_calls, tool_call_id, name. Empty: nothing."""


class Example(Protocol):
    """What every kind of row can say of itself."""

    @property
    def row_id(self) -> str:
        """`<file URI>#<line>`: the same from preflight to predictions, and it leads back to the source."""
        ...

    @property
    def slices(self) -> str:
        """JSON object of the columns in spec.evaluation.slices, values as text; empty: none are asked for."""
        ...

    def prompt_key(self) -> bytes:
        """What the model is given, unmistakably: rows that share it stay on one side of a split."""
        ...

    def content(self) -> Hashable:
        """All of the row, its row id and slices apart: rows of equal content are duplicates."""
        ...

    def size(self) -> int:
        """Characters, about."""
        ...

    def prompt_digest(self) -> str:
        """Digest of what the model is given."""
        ...

    def prompt_text(self) -> str:
        """What the model is given, as plain text; of a Document, its text."""
        ...

    def answer_text(self) -> str:
        """What is learnt, as plain text; empty for a Document."""
        ...

    def stratum(self) -> str | None:
        """The label by which a split is stratified, where there is one."""
        ...


def _key(turns: tuple[Turn, ...]) -> bytes:
    """Turns as bytes; the lengths tell where one ends and the next begins."""
    return "".join(f"{t.role}:{len(t.content)}:{t.content}{len(t.extra)}:{t.extra}" for t in turns).encode()


def digest(row: Example) -> str:
    """Digest of all of a row but its id: two rows with the same one teach and ask the same."""
    return digests.of_json(row.content())


def _joined(turns: tuple[Turn, ...]) -> str:
    return "\n".join(turn.content for turn in turns if turn.content)


@dataclass(frozen=True)
class Supervised:
    """One supervised example with at least one turn of weight 1."""

    row_id: str
    turns: tuple[Turn, ...]
    tools: str = ""
    """JSON list of the tools that the conversation may use; empty: none."""
    slices: str = ""
    """JSON object of the columns in spec.evaluation.slices, values as text; empty: none are asked for."""

    @property
    def is_chat(self) -> bool:
        """Whether the model's chat template applies."""
        return self.turns[0].role != PROMPT

    @property
    def answer_index(self) -> int:
        """Index of the last turn that is learnt: the one that evaluation asks for."""
        return max(i for i, turn in enumerate(self.turns) if turn.weight)

    @property
    def answer(self) -> str:
        """The text that evaluation expects."""
        return self.turns[self.answer_index].content

    def asked(self, answer: str | None = None) -> "Supervised":
        """The example as evaluation sees it: cut after its last answer, which alone counts.

        Args:
            answer: text to put in the answer's place; None leaves it.
        """
        last = self.answer_index
        before = tuple(turn._replace(weight=0) for turn in self.turns[:last])
        turn = self.turns[last]
        return replace(self, turns=(*before, turn if answer is None else turn._replace(content=answer)))

    def prompt_key(self) -> bytes:
        """All before the last answer."""
        return _key(self.turns[: self.answer_index])

    def content(self) -> Hashable:
        """All but the row id."""
        return (self.turns, self.tools)

    def size(self) -> int:
        """Characters."""
        return sum(len(turn.content) for turn in self.turns)

    def prompt_digest(self) -> str:
        """Digest of all before the last answer."""
        return digests.of_json([[t.role, t.content, t.extra] for t in self.turns[: self.answer_index]])

    def prompt_text(self) -> str:
        """All before the last answer."""
        return _joined(self.turns[: self.answer_index])

    def answer_text(self) -> str:
        """The last answer."""
        return self.answer

    def stratum(self) -> str | None:
        """None: answers are free text."""
        return None


class _Prompted:
    """What rows have in common whose prompt is apart from its answers."""

    prompt: tuple[Turn, ...]

    @property
    def is_chat(self) -> bool:
        """Whether the model's chat template applies."""
        return self.prompt[0].role != PROMPT

    def prompt_key(self) -> bytes:
        """The prompt."""
        return _key(self.prompt)

    def prompt_digest(self) -> str:
        """Digest of the prompt."""
        return digests.of_json([[t.role, t.content, t.extra] for t in self.prompt])

    def prompt_text(self) -> str:
        """The prompt."""
        return _joined(self.prompt)


@dataclass(frozen=True)
class Pair(_Prompted):
    """Two answers to one prompt, of which the first is wanted."""

    row_id: str
    prompt: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    """The turns that follow the prompt: one of role `completion`, or one or more of a conversation."""
    rejected: tuple[Turn, ...]
    tools: str = ""
    slices: str = ""

    def content(self) -> Hashable:
        """All but the row id."""
        return (self.prompt, self.chosen, self.rejected, self.tools)

    def size(self) -> int:
        """Characters."""
        return sum(len(turn.content) for part in (self.prompt, self.chosen, self.rejected) for turn in part)

    def answer_text(self) -> str:
        """The wanted answer."""
        return _joined(self.chosen)

    def stratum(self) -> str | None:
        """None: there is no label."""
        return None


@dataclass(frozen=True)
class Rated(_Prompted):
    """One answer to a prompt, wanted or not."""

    row_id: str
    prompt: tuple[Turn, ...]
    completion: tuple[Turn, ...]
    desirable: bool
    tools: str = ""
    slices: str = ""

    def content(self) -> Hashable:
        """All but the row id."""
        return (self.prompt, self.completion, self.desirable, self.tools)

    def size(self) -> int:
        """Characters."""
        return sum(len(turn.content) for part in (self.prompt, self.completion) for turn in part)

    def answer_text(self) -> str:
        """The answer."""
        return _joined(self.completion)

    def stratum(self) -> str | None:
        """`desirable` or `undesirable`."""
        return "desirable" if self.desirable else "undesirable"


@dataclass(frozen=True)
class Document:
    """A document, or a part of a long one."""

    row_id: str
    text: str
    follows: str = ""
    """Row id of the part of the same document that comes directly before it; empty: it begins one. Where that part is
    the row before it, no end-of-text comes between the two; it may also be held out, or not usable."""
    slices: str = ""

    @property
    def continues(self) -> bool:
        """Whether something of its document comes before it."""
        return bool(self.follows)

    def prompt_key(self) -> bytes:
        """The text."""
        return self.text.encode()

    def content(self) -> Hashable:
        """All but the row id."""
        return self.text

    def size(self) -> int:
        """Characters."""
        return len(self.text)

    def prompt_digest(self) -> str:
        """Digest of the text."""
        return digests.of_json(self.text)

    def prompt_text(self) -> str:
        """The text."""
        return self.text

    def answer_text(self) -> str:
        """Empty: nothing is asked."""
        return ""

    def stratum(self) -> str | None:
        """None: there is no label."""
        return None


@dataclass(frozen=True)
class Labeled:
    """A text and its label."""

    row_id: str
    text: str
    label: str
    slices: str = ""

    def prompt_key(self) -> bytes:
        """The text."""
        return self.text.encode()

    def content(self) -> Hashable:
        """All but the row id."""
        return (self.text, self.label)

    def size(self) -> int:
        """Characters."""
        return len(self.text)

    def prompt_digest(self) -> str:
        """Digest of the text."""
        return digests.of_json(self.text)

    def prompt_text(self) -> str:
        """The text."""
        return self.text

    def answer_text(self) -> str:
        """The label."""
        return self.label

    def stratum(self) -> str | None:
        """The label."""
        return self.label
