"""Metrics of likelihoods: how surprised a model is by text, and which of two answers it finds likelier."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from attune_contract.enums import MetricName
from attune_trainer.evaluation.textmetrics.answers import OWN
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Shape, mean, numbers

_NATS = "any number of nats, higher is better"


class Read(NamedTuple):
    """How a model read a text."""

    nll: float
    """Negative log-likelihood, summed over its tokens, in nats."""
    tokens: int


class Both(NamedTuple):
    """Log-likelihoods of the two answers of a pair, each summed over its tokens, in nats."""

    chosen: float
    rejected: float


@dataclass(frozen=True)
class Perplexity:
    """How many tokens a model hesitates between, on the geometric mean."""

    name: ClassVar = MetricName.PERPLEXITY
    shape: ClassVar = Shape.CORPUS
    width: ClassVar = 2

    def row(self, answer: Read, _expected: object = None) -> Floats:
        """Nats and tokens."""
        return numbers(*answer)

    def values(self, totals: Floats) -> Floats:
        """Exp of nats per token; infinite where that is more than a number can hold."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(mean(totals)))

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="exp of the mean negative log-likelihood per token, over all tokens of all rows.",
            computed_by=OWN,
            normalization="none: the model's own tokens; comparable only between models of one tokenizer",
            scale="1 and more, lower is better",
            source="Jelinek et al. 1977",
            lower_is_better=True,
        )


@dataclass(frozen=True)
class PreferenceMargin:
    """How much likelier chosen answers are than rejected ones (DPO, ORPO)."""

    name: ClassVar = MetricName.PREFERENCE_MARGIN
    shape: ClassVar = Shape.MEAN
    width: ClassVar = 2

    def row(self, answer: Both, _expected: object = None) -> Floats:
        """The margin, and 1."""
        return numbers(answer.chosen - answer.rejected, 1)

    def values(self, totals: Floats) -> Floats:
        """Means."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Mean over pairs of the log-likelihood of the chosen answer less that of the rejected one, each "
            "summed over the answer's tokens.",
            computed_by=OWN,
            normalization="none",
            scale=_NATS,
            source="Rafailov et al. 2023 (DPO), the reward margin at beta = 1 without the reference",
        )


@dataclass(frozen=True)
class RatedMargin:
    """How much likelier desirable answers are than undesirable ones, each to its own prompt (KTO)."""

    name: ClassVar = MetricName.PREFERENCE_MARGIN
    shape: ClassVar = Shape.CORPUS
    width: ClassVar = 4

    def row(self, answer: float, expected: bool) -> Floats:
        """Log-likelihood and 1, in the first two places for a desirable answer, in the last two for another."""
        return numbers(answer, 1, 0, 0) if expected else numbers(0, 0, answer, 1)

    def values(self, totals: Floats) -> Floats:
        """Difference of the two means; NaN for a sample without either kind."""
        return mean(totals[..., :2]) - mean(totals[..., 2:])

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Mean log-likelihood of desirable answers less that of undesirable ones, each summed over the "
            "answer's tokens; only the difference between models tells something.",
            computed_by=OWN,
            normalization="none",
            scale=_NATS,
            source="Ethayarajh et al. 2024 (KTO)",
        )
