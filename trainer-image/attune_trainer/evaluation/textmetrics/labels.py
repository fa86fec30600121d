"""Metrics of labels: which one was chosen, and how likely the right one was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attune_contract.enums import MetricName
from attune_trainer.evaluation.textmetrics.answers import OWN, SHARE_SCALE
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Shape, mean, numbers

_LEAST = float(np.log(np.finfo(np.float64).eps))
"""scikit-learn's log_loss clips there too, so that one label held impossible does not make the mean infinite."""


@dataclass(frozen=True)
class Accuracy:
    """The share of rows whose label is right."""

    name: ClassVar = MetricName.ACCURACY
    shape: ClassVar = Shape.SHARE
    width: ClassVar = 2

    def row(self, answer: str | None, expected: str) -> Floats:
        """Right or not, and 1; None is an answer that is no label."""
        return numbers(answer == expected, 1)

    def values(self, totals: Floats) -> Floats:
        """Shares."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Share of rows whose label is the expected one.",
            computed_by=OWN,
            normalization="none",
            scale=SHARE_SCALE,
            source="scikit-learn: accuracy_score",
        )


@dataclass(frozen=True)
class MacroF1:
    """F1 by label, each label counting the same.

    Args:
        labels: all of them. One that is neither expected nor answered in the rows has no F1 and does not count.
    """

    labels: tuple[str, ...]
    name: ClassVar = MetricName.MACRO_F1
    shape: ClassVar = Shape.CORPUS

    @property
    def width(self) -> int:
        """Three counts per label."""
        return 3 * len(self.labels)

    def row(self, answer: str | None, expected: str) -> Floats:
        """For each label: right, answered wrongly, missed. An answer that is no label is a miss of the expected one.

        Raises:
            ValueError: the expected label is none of the labels.
        """
        counts = np.zeros((len(self.labels), 3))
        theirs, ours = self._place(expected), self._places.get(answer)
        if ours == theirs:
            counts[theirs, 0] = 1
        else:
            counts[theirs, 2] = 1
            if ours is not None:
                counts[ours, 1] = 1
        return counts.reshape(-1)

    def values(self, totals: Floats) -> Floats:
        """F1 by label is 2 right / (2 right + answered wrongly + missed); then the mean."""
        right, wrongly, missed = np.moveaxis(totals.reshape(*totals.shape[:-1], -1, 3), -1, 0)
        seen = 2 * right + wrongly + missed
        with np.errstate(divide="ignore", invalid="ignore"):
            by_label = np.where(seen > 0, 2 * right / seen, 0.0)
            means: Floats = by_label.sum(axis=-1) / (seen > 0).sum(axis=-1)
        return means

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition=f"Mean of F1 over the labels that are expected or answered, each counting the same; "
            f"{len(self.labels)} labels. An answer that is no label counts against the expected label only.",
            computed_by=OWN,
            normalization="none",
            scale=SHARE_SCALE,
            source="scikit-learn: f1_score(average='macro')",
        )

    def _place(self, label: str) -> int:
        place = self._places.get(label)
        if place is None:
            raise ValueError(f"the expected label {label!r} is none of {', '.join(self.labels)}")
        return place

    @cached_property
    def _places(self) -> dict[str | None, int]:
        return {label: i for i, label in enumerate(self.labels)}


@dataclass(frozen=True)
class LabelLogLoss:
    """How unlikely the right label was held, in nats.

    Args:
        labels: all of them, in the order of the likelihoods.
    """

    labels: tuple[str, ...]
    name: ClassVar = MetricName.LABEL_LOG_LOSS
    shape: ClassVar = Shape.MEAN
    width: ClassVar = 2

    def row(self, answer: Sequence[float], expected: str) -> Floats:
        """The negative log-likelihood of the expected label among all labels, and 1.

        Args:
            answer: log-likelihood of each label, in any unit of probability: they are made to add up to one.
            expected: the right label.

        Raises:
            ValueError: there is not one likelihood per label, or the expected label is none of them.
        """
        if len(answer) != len(self.labels):
            raise ValueError(f"{len(answer)} likelihoods for {len(self.labels)} labels")
        given = np.array(answer, dtype=np.float64)
        likelihood = given[self.labels.index(expected)] - np.logaddexp.reduce(given)
        return numbers(-max(float(likelihood), _LEAST), 1)

    def values(self, totals: Floats) -> Floats:
        """Means."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Mean negative log-likelihood of the right label among all labels, in nats. A likelihood below "
            "2.2e-16 counts as that.",
            computed_by=OWN,
            normalization="the likelihoods of a row's labels are scaled to add up to one",
            scale="0 to 36, lower is better",
            source="scikit-learn: log_loss",
            lower_is_better=True,
        )


def confusion(labels: Sequence[str], pairs: Iterable[tuple[str | None, str]]) -> NDArray[np.int64]:
    """How often each label was answered for each.

    Args:
        labels: all labels.
        pairs: answer and expected label of each row.

    Returns:
        Expected x answered, with one more column for answers that are no label. Without that column it is
        sklearn.metrics.confusion_matrix.
    """
    places = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels) + 1), dtype=np.int64)
    for answer, expected in pairs:
        counts[places[expected], len(labels) if answer is None else places.get(answer, len(labels))] += 1
    return counts
