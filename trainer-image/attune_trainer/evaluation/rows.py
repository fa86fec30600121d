"""Held-out rows as both models see them: tokenised once, with everything that the metrics ask for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from attune_contract.enums import MetricName
from attune_trainer.data.canonical import Example
from attune_trainer.data.encoding import Encoder

SOME_MORE = 8


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


Candidate = tuple[list[int], list[int]]
"""What the model is given, and what it would have to say for one label."""


@dataclass(frozen=True)
class HeldOut:
    """All rows, and how the closed set is scored on them."""

    rows: tuple[Row, ...]
    labels: tuple[str, ...] = ()
    """The closed set that Accuracy chooses from: the distinct answers of train, sorted. Empty where nobody asks."""
    label_tokens: tuple[int, ...] | None = None
    """One token per label, if each label is one token after every prompt; then one forward pass tells all."""
    candidates: tuple[tuple[Candidate, ...], ...] = ()
    """By row, then by label, where labels are longer than one token."""
    stop_tokens: tuple[int, ...] = ()
    """Special tokens that end expected answers, such as a chat template's end of turn; generation ends there too."""
    max_new_tokens: int = 0
    """How long a generated answer may get: the longest expected one, and some more to see that a model rambles on."""


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
    labels = tuple(sorted({e.answer for e in train})) if MetricName.ACCURACY in metrics else ()
    rows = tuple(_row(example, encoder, labels) for example in examples)
    held_out = HeldOut(
        rows=rows,
        labels=labels,
        stop_tokens=tuple(sorted({row.answer[-1] for row in rows} & set(encoder.tokenizer.all_special_ids))),
        max_new_tokens=max(len(row.answer) for row in rows) + SOME_MORE,
    )
    if not labels:
        return held_out
    tokens = single_tokens(_candidates(example, encoder, labels) for example in examples)
    if tokens:
        return replace(held_out, label_tokens=tokens)
    return replace(held_out, candidates=tuple(_candidates(example, encoder, labels) for example in examples))


def single_tokens(candidates: Iterable[Sequence[Candidate]]) -> tuple[int, ...] | None:
    """The one token of each label, if every row's candidates differ in that token only.

    Args:
        candidates: by row, then by label; read no further than needed.

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


def _candidates(example: Example, encoder: Encoder, labels: tuple[str, ...]) -> tuple[Candidate, ...]:
    """One candidate per label. Prompts that are equal, as they mostly are, are kept once."""
    made = [encoder.prompt_and_answer(example, text) for text in labels]
    first = made[0][0]
    return tuple((first if prompt == first else prompt, answer) for prompt, answer in made)


def _row(example: Example, encoder: Encoder, labels: tuple[str, ...]) -> Row:
    prompt, answer = encoder.prompt_and_answer(example)
    expected = encoder.tokenizer.decode(answer, skip_special_tokens=True)
    return Row(
        row_id=example.row_id,
        prompt_digest=example.prompt_digest(),
        prompt=prompt,
        answer=answer,
        expected=expected,
        label=labels.index(example.answer) if example.answer in labels else None,
    )
