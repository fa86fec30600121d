"""Rated answers: how much likelier wanted answers are than unwanted ones."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from attune_contract.enums import MetricName
from attune_trainer.data.encoding.rated import EncodedRated, RatedEncoder
from attune_trainer.data.examples import Rated
from attune_trainer.errors import InvalidDataError
from attune_trainer.evaluation.kinds.base import Given, Metrics, Row
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.textmetrics.base import Description
from attune_trainer.evaluation.textmetrics.likelihoods import RatedMargin

_MARGIN = RatedMargin()
_DEFINITION = (
    "Mean log-likelihood of held-out desirable answers less that of undesirable ones, each summed over the answer's "
    "tokens, in nats; rows are cut at training.sequenceLength. Answers to different prompts are compared, so that only "
    "the difference to the base tells something."
)


class RatedKind:
    """Scores rated answers.

    Args:
        given: the rows.

    Raises:
        InvalidDataError: the held-out rows are all desirable, or all undesirable.
    """

    def __init__(self, given: Given) -> None:
        encoder: RatedEncoder = given.encoder
        examples: list[Rated] = given.held_out()
        self._desirable = [example.desirable for example in examples]
        _demand_both(self._desirable)
        self._forward = given.forward
        self._encoded: list[EncodedRated] = [encoder.encode(example) for example in given.as_asked(examples)]
        self.rows = [
            Row.of(example, desirable=example.desirable, tokens=len(encoded.answer))
            for example, encoded in zip(examples, self._encoded, strict=True)
        ]

    def metrics(self) -> Metrics:
        """PreferenceMargin."""
        return {MetricName.PREFERENCE_MARGIN: _MARGIN}

    def about(self) -> Mapping[MetricName, Description]:
        """What it means of ratings."""
        return {MetricName.PREFERENCE_MARGIN: replace(_MARGIN.describe(), definition=_DEFINITION)}

    def batches(self) -> list[list[int]]:
        """Grouped by length."""
        return self._forward.groups([encoded.longest for encoded in self._encoded])

    def ready(self, model: Any) -> None:
        """Nothing: one pass, no generation."""

    def score(self, model: Any, batch: list[int]) -> list[Score]:
        """The log-likelihood of each answer."""
        asked = [(self._encoded[i].prompt, self._encoded[i].answer) for i in batch]
        found = self._forward.log_likelihoods(model, asked)
        return [
            Score(
                i,
                {MetricName.PREFERENCE_MARGIN: _MARGIN.row(figure, self._desirable[i])},
                {"logLikelihood": figure},
            )
            for i, figure in zip(batch, found, strict=True)
        ]

    def details(self) -> dict[str, Any]:
        """How many rows each mean is over."""
        wanted = sum(self._desirable)
        return {"groups": {"desirable": wanted, "undesirable": len(self._desirable) - wanted}}


def _demand_both(desirable: list[bool]) -> None:
    if len(set(desirable)) > 1:
        return
    kind = "desirable" if desirable and desirable[0] else "undesirable"
    raise InvalidDataError(
        f"spec.dataset.test or spec.dataset.split: all {len(desirable)} held-out rows are {kind}, and PreferenceMargin "
        "compares desirable with undesirable answers. Hold out rows of both ratings: add rows, or raise "
        "split.testFraction."
    )
