"""The closed set of answers that Accuracy chooses from in supervised rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.examples import Supervised
from attune_trainer.evaluation.forward import Asked


@dataclass(frozen=True)
class ClosedSet:
    """The labels, and what a model would have to say for each."""

    labels: tuple[str, ...] = ()
    """The distinct answers of train, sorted. Empty where nobody asks."""
    tokens: tuple[int, ...] | None = None
    """One token per label, if each label is one token after every prompt; then one forward pass tells all."""
    candidates: tuple[tuple[Asked, ...], ...] = ()
    """By row, then by label, where labels are longer than one token."""

    def in_words(self) -> str | None:
        """How labels are scored."""
        if not self.labels:
            return None
        return "one token per label, one forward pass" if self.tokens else "summed log-likelihood per label"


def of(train: Iterable[Supervised], examples: Sequence[Supervised], encoder: Encoder) -> ClosedSet:
    """The closed set of the training rows, as it is asked for after each held-out prompt."""
    labels = tuple(sorted({e.answer for e in train}))
    tokens = single_tokens(_candidates(example, encoder, labels) for example in examples)
    if tokens:
        return ClosedSet(labels, tokens)
    return ClosedSet(labels, None, tuple(_candidates(example, encoder, labels) for example in examples))


def single_tokens(candidates: Iterable[Sequence[Asked]]) -> tuple[int, ...] | None:
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


def _candidates(example: Supervised, encoder: Encoder, labels: tuple[str, ...]) -> tuple[Asked, ...]:
    """One candidate per label. Prompts that are equal, as they mostly are, are kept once."""
    made = [encoder.prompt_and_answer(example, text) for text in labels]
    first = made[0][0]
    return tuple((first if prompt == first else prompt, answer) for prompt, answer in made)
