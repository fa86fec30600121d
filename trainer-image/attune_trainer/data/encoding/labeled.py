"""From a text and its label to token ids: the label as one token (Token), or as a number (Head)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attune_contract.spec import Workload
from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.supervised import Encoded
from attune_trainer.data.examples import Labeled
from attune_trainer.data.problems import Finding

ASK = "\nLabel:"
"""What a language model is asked after the text; it answers with one token."""


def label_set(work: Workload, seen: Iterable[str]) -> tuple[str, ...]:
    """All labels in the order of their numbers: those that the manifest gives, else those seen in train, sorted."""
    return work.resolved_classification().labels or tuple(sorted(set(seen)))


@dataclass(frozen=True)
class EncodedLabel:
    """Token ids of a text, and the number of its label."""

    input_ids: list[int]
    label: int


@dataclass(frozen=True)
class TokenEncoder:
    """The language model reads the text and `Label:`, and says the label, with a space before it, as one token.

    Args:
        tokenizer: a fast tokenizer of transformers.
        sequence_length: text that is too long is cut at its end, so that the question and the label still fit.
        labels: all labels, in order; empty while they are not known.
    """

    tokenizer: Any
    sequence_length: int
    labels: tuple[str, ...] = ()

    def encode(self, row: Labeled) -> Encoded:
        """Ids of prompt and label; the label's token alone is learnt.

        Raises:
            ValueError: the label is not one token; preflight does not let it through.
        """
        prompt = self.prompt(row.text)
        token = self.token_of(row.label)
        if token is None:
            raise ValueError(f"the label {row.label!r} is not one token")
        return Encoded([*prompt, token], [IGNORED] * len(prompt) + [token])

    def prompt(self, text: str) -> list[int]:
        """Ids of the text and the question, at most one less than the sequence length."""
        limit = self.sequence_length - 1
        ids, offsets = self._ids(text + ASK)
        while len(ids) > limit and text:
            over = len(ids) - limit
            kept = [start for start, _ in offsets if start < len(text)]
            text = text[: min(kept[-over] if over < len(kept) else 0, len(text) - 1)]
            ids, offsets = self._ids(text + ASK)
        return ids[-limit:]

    def token_of(self, label: str) -> int | None:
        """The one token that says a label after the question, or None where it takes several."""
        before = self._ids(ASK)[0]
        after = self._ids(f"{ASK} {label}")[0]
        return after[-1] if after[:-1] == before else None

    @cached_property
    def label_tokens(self) -> dict[str, int | None]:
        """The token of each label."""
        return {label: self.token_of(label) for label in self.labels}

    def lengths(self, rows: Sequence[Labeled]) -> list[int]:
        """Tokens of each row before cutting, with the question and the label's token."""
        if not rows:
            return []
        ids = self.tokenizer([row.text + ASK for row in rows], return_attention_mask=False)["input_ids"]
        return [len(self._open(row)) + 1 for row in ids]

    def finding(self, row: Labeled) -> Finding | None:
        """`unknown_label`, or `label_not_one_token`, also where two labels would be the same token."""
        if self.labels and row.label not in self.labels:
            return _unknown(row, self.labels)
        token = self.label_tokens.get(row.label) if self.labels else self.token_of(row.label)
        if token is None:
            return Finding(
                "label_not_one_token", f"the label {row.label!r} is not one token of this model; {_MEND}", "label"
            )
        same = [label for label, other in self.label_tokens.items() if other == token and label != row.label]
        if same:
            return Finding(
                "label_not_one_token", f"the labels {row.label!r} and {same[0]!r} are the same token; {_MEND}", "label"
            )
        return None

    def _ids(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoding = self.tokenizer(text, return_offsets_mapping=True)
        ids = self._open(list(encoding["input_ids"]))
        return ids, encoding["offset_mapping"][: len(ids)]

    def _open(self, ids: list[int]) -> list[int]:
        """Without an end that the tokenizer puts behind every text: the label follows."""
        return ids[:-1] if ids and ids[-1] == self.tokenizer.eos_token_id else ids


@dataclass(frozen=True)
class HeadEncoder:
    """The model reads the text, with the tokenizer's special tokens; a head says the number of the label.

    Args:
        tokenizer: a fast tokenizer of transformers.
        sequence_length: tokens beyond it are cut off.
        labels: all labels, in the order of their numbers; empty while they are not known.
    """

    tokenizer: Any
    sequence_length: int
    labels: tuple[str, ...] = ()

    def encode(self, row: Labeled) -> EncodedLabel:
        """Ids and the label's number."""
        return EncodedLabel(self.prompt(row.text), self.labels.index(row.label))

    def prompt(self, text: str) -> list[int]:
        """Ids of the text, cut at its end: the special tokens stay."""
        return list(self.tokenizer(text, truncation=True, max_length=self.sequence_length)["input_ids"])

    def lengths(self, rows: Sequence[Labeled]) -> list[int]:
        """Tokens of each text before cutting."""
        if not rows:
            return []
        backend = self.tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return [len(encoding) for encoding in backend.encode_batch_fast([row.text for row in rows])]

    def finding(self, row: Labeled) -> Finding | None:
        """`unknown_label`."""
        return _unknown(row, self.labels) if self.labels and row.label not in self.labels else None


_MEND = "use short words or numbers for labels, or classification.style: Head"


def _unknown(row: Labeled, labels: tuple[str, ...]) -> Finding:
    some = ", ".join(labels[:10]) + (", …" if len(labels) > 10 else "")  # noqa: PLR2004 - a few are enough to see
    return Finding("unknown_label", f"the label {row.label!r} is none of {some}", "label")
