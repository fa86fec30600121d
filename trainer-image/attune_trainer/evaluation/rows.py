"""Held-out rows as both models see them: tokenised once, with everything that the metrics ask for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attune_contract.enums import MetricName
from attune_trainer.data.canonical import Example
from attune_trainer.data.encoding import Encoder


@dataclass(frozen=True)
class Row:
    """One held-out row."""

    row_id: str
    prompt_digest: str
    prompt: list[int]
    """What the model is given."""
    answer: list[int]
    """What it should say, with the token that ends an answer."""
    expected: str
    """The answer as text."""
    label: int | None
    """Index of the answer among the closed set's; None where it is not in it, and then the row counts as wrong."""


@dataclass(frozen=True)
class Labels:
    """The closed set of answers that Accuracy chooses from: those seen in train, sorted."""

    texts: tuple[str, ...]

    @classmethod
    def of(cls, train: Iterable[Example]) -> "Labels":
        """The distinct answers of the training rows."""
        return cls(tuple(sorted({example.answer for example in train})))

    def candidates(self, encoder: Encoder, example: Example) -> list[tuple[list[int], list[int]]]:
        """For each label, what the model is given and what it would have to say."""
        return [encoder.prompt_and_answer(example, text) for text in self.texts]


@dataclass(frozen=True)
class HeldOut:
    """All rows, and how the closed set is scored on them."""

    rows: tuple[Row, ...]
    labels: Labels | None
    """None where no metric needs them."""
    label_tokens: tuple[int, ...] | None
    """One token per label, if each label is one token after every prompt; then one forward pass tells all."""
    candidates: tuple[tuple[tuple[list[int], list[int]], ...], ...] = ()
    """By row, then by label: prompt and answer, where labels are longer than one token."""
    stop_tokens: tuple[int, ...] = ()
    """Special tokens that end expected answers, such as a chat template's end of turn; generation ends there too."""
    max_new_tokens: int = 0
    """How long a generated answer may get: the longest expected one, and some more to see that a model rambles on."""


SOME_MORE = 8


def prepare(
    examples: Sequence[Example], train: Iterable[Example], encoder: Encoder, metrics: Sequence[MetricName]
) -> HeldOut:
    """Tokenises the held-out rows once.

    Args:
        examples: the held-out rows.
        train: the training rows, for the closed set.
        encoder: the base's tokenizer and template.
        metrics: what will be measured.
    """
    labels = Labels.of(train) if MetricName.ACCURACY in metrics else None
    rows = tuple(_row(example, encoder, labels) for example in examples)
    longest = max(len(row.answer) for row in rows) + SOME_MORE
    stops = tuple(sorted({row.answer[-1] for row in rows} & set(encoder.tokenizer.all_special_ids)))
    if labels is None:
        return HeldOut(rows, None, None, stop_tokens=stops, max_new_tokens=longest)
    candidates = tuple(tuple(labels.candidates(encoder, example)) for example in examples)
    tokens = single_tokens(candidates)
    return HeldOut(rows, labels, tokens, () if tokens else candidates, stops, longest)


def single_tokens(candidates: Sequence[Sequence[tuple[list[int], list[int]]]]) -> tuple[int, ...] | None:
    """The one token of each label, if every row's candidates differ in that token only.

    Args:
        candidates: by row, then by label: prompt and answer.

    Returns:
        Tokens by label; None where some label is longer, or reads differently after some prompt.
    """
    found: tuple[int, ...] | None = None
    for row in candidates:
        prompt, (_, *ending) = row[0]
        same = all(p == prompt and a[1:] == ending for p, a in row)
        tokens = tuple(a[0] for _, a in row)
        if not same or len(set(tokens)) < len(tokens) or found not in {None, tokens}:
            return None
        found = tokens
    return found


def _row(example: Example, encoder: Encoder, labels: Labels | None) -> Row:
    prompt, answer = encoder.prompt_and_answer(example)
    expected = encoder.tokenizer.decode(answer, skip_special_tokens=True)
    known = labels is not None and example.answer in labels.texts
    return Row(
        row_id=example.row_id,
        prompt_digest=example.prompt_digest(),
        prompt=prompt,
        answer=answer,
        expected=expected,
        label=labels.texts.index(example.answer) if labels and known else None,
    )
