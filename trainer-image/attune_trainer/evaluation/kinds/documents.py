"""Documents: how well a model foresees held-out text."""

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attune_contract.enums import MetricName
from attune_trainer.data.encoding.text import SHORTEST_WINDOW, TextEncoder
from attune_trainer.data.examples import Document
from attune_trainer.errors import InvalidDataError
from attune_trainer.evaluation.forward import Asked
from attune_trainer.evaluation.kinds.base import Given, Metrics, Row
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.textmetrics.base import Description
from attune_trainer.evaluation.textmetrics.likelihoods import Perplexity, Read

_PERPLEXITY = Perplexity()
_DEFINITION = (
    "exp of the mean negative log-likelihood per token of the held-out documents, each cut into windows of "
    "training.sequenceLength that do not overlap; the first token of a window and end-of-text are not counted."
)


class DocumentKind:
    """Scores documents, each row by itself: rows are what the interval is over.

    Args:
        given: the rows.

    Raises:
        InvalidDataError: no row has two tokens.
    """

    def __init__(self, given: Given) -> None:
        self._encoder: TextEncoder = given.encoder
        self._forward = given.forward
        examples: list[Document] = given.held_out()
        self._ids = [array("i", self._text(example)) for example in examples]  # long, and lists take nine times as much
        self.rows = [Row.of(example) for example in examples]
        if not any(self._windows(i) for i in range(len(examples))):
            raise InvalidDataError(
                "spec.dataset.test or spec.dataset.split: no held-out document has two tokens; hold out longer ones."
            )

    def metrics(self) -> Metrics:
        """Perplexity."""
        return {MetricName.PERPLEXITY: _PERPLEXITY}

    def about(self) -> Mapping[MetricName, Description]:
        """What it means of documents."""
        return {MetricName.PERPLEXITY: replace(_PERPLEXITY.describe(), definition=_DEFINITION)}

    def batches(self) -> list[list[int]]:
        """Grouped by length."""
        return self._forward.groups([len(ids) for ids in self._ids])

    def ready(self, model: Any) -> None:
        """Nothing: one pass, no generation."""

    def score(self, model: Any, batch: list[int]) -> list[Score]:
        """The negative log-likelihood of each document, over all its windows."""
        windows = [(i, window) for i in batch for window in self._windows(i)]
        found = self._forward.log_likelihoods(model, [window for _, window in windows])
        nll, tokens = dict.fromkeys(batch, 0.0), dict.fromkeys(batch, 0)
        for (i, (_, foreseen)), likelihood in zip(windows, found, strict=True):
            nll[i] -= likelihood
            tokens[i] += len(foreseen)
        return [_score(i, nll[i], tokens[i]) for i in batch]

    def details(self) -> dict[str, Any]:
        """How many windows there are."""
        return {"windows": sum(len(self._windows(i)) for i in range(len(self.rows)))}

    def _text(self, example: Document) -> list[int]:
        ids = self._encoder.encode(example)
        return ids[:-1] if len(ids) > 1 and ids[-1] == self._encoder.tokenizer.eos_token_id else ids

    def _windows(self, row: int) -> list[Asked]:
        """Each window as its first token, and those foreseen from it on."""
        length, ids = self._encoder.sequence_length, self._ids[row]
        starts = range(0, len(ids) - SHORTEST_WINDOW + 1, length)
        return [([ids[start]], ids[start + 1 : start + length].tolist()) for start in starts]


def _score(row: int, nll: float, tokens: int) -> Score:
    figures = {MetricName.PERPLEXITY: _PERPLEXITY.row(Read(nll, tokens))}
    return Score(row, figures, {"nll": nll, "tokens": tokens})
