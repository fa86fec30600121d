"""Preference pairs: how much likelier the wanted answer is than the other."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attune_contract.enums import MetricName
from attune_trainer.data.encoding.pairs import EncodedPair, PairEncoder
from attune_trainer.data.examples import Pair
from attune_trainer.evaluation.kinds.base import Given, Metrics, Row
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.textmetrics.base import Description
from attune_trainer.evaluation.textmetrics.likelihoods import Both, PreferenceMargin

_MARGIN = PreferenceMargin()
_DEFINITION = (
    "Mean over held-out pairs of the log-likelihood of the chosen answer less that of the rejected one, each summed "
    "over the answer's tokens, in nats; rows are cut at training.sequenceLength."
)


class PairKind:
    """Scores preference pairs.

    Args:
        given: the rows.
    """

    def __init__(self, given: Given) -> None:
        encoder: PairEncoder = given.encoder
        examples: list[Pair] = given.held_out()
        self._forward = given.forward
        self._encoded: list[EncodedPair] = [encoder.encode(example) for example in given.as_asked(examples)]
        self.rows = [
            Row.of(example, chosenTokens=len(encoded.chosen), rejectedTokens=len(encoded.rejected))
            for example, encoded in zip(examples, self._encoded, strict=True)
        ]

    def metrics(self) -> Metrics:
        """PreferenceMargin."""
        return {MetricName.PREFERENCE_MARGIN: _MARGIN}

    def about(self) -> Mapping[MetricName, Description]:
        """What it means of pairs."""
        return {MetricName.PREFERENCE_MARGIN: replace(_MARGIN.describe(), definition=_DEFINITION)}

    def batches(self) -> list[list[int]]:
        """Grouped by length; a pair is two rows to the model."""
        return self._forward.groups([2 * encoded.longest for encoded in self._encoded])

    def ready(self, model: Any) -> None:
        """Nothing: one pass, no generation."""

    def score(self, model: Any, batch: list[int]) -> list[Score]:
        """Both log-likelihoods of each pair."""
        pairs = [self._encoded[i] for i in batch]
        asked = [(pair.prompt, answer) for pair in pairs for answer in (pair.chosen, pair.rejected)]
        found = self._forward.log_likelihoods(model, asked)
        return [_score(i, *found[2 * n : 2 * n + 2]) for n, i in enumerate(batch)]

    def details(self) -> dict[str, Any]:
        """Nothing more to tell."""
        return {}


def _score(row: int, chosen: float, rejected: float) -> Score:
    figures = {MetricName.PREFERENCE_MARGIN: _MARGIN.row(Both(chosen, rejected))}
    return Score(row, figures, {"chosen": chosen, "rejected": rejected, "margin": chosen - rejected})
