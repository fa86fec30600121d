"""What a metric is made of: a vector per row, and a function from the sum of the vectors to its value.

So the same resampling serves every metric, and none is taken again from the answers (`textmetrics/base.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune_contract.enums import MetricName
from attune_trainer.evaluation.textmetrics.base import Floats, Metric
from attune_trainer.evaluation.textmetrics.base import Shape as Kind
from attune_trainer.evaluation.textmetrics.base import mean as mean_of
from attune_trainer.evaluation.textmetrics.human import HumanPreference
from attune_trainer.evaluation.textmetrics.judgements import Vote

_UP_TO_ONE = frozenset({MetricName.TOKEN_F1, MetricName.ROUGE_L})


@dataclass(frozen=True)
class Shape:
    """How a metric's value comes from sums over rows.

    Args:
        value: from sums (… x k) to values (…), for any number of leading axes.
        mean: whether it is a mean: the first column over the second, which is 1 in each row.
        whole: whether every row's figure is 0 or 1.
        span: the largest figure that a row can have, for means from 0 up; None where there is none.
        ratio: whether it is judged by ratio, as perplexity is: on the scale of its logarithm.
        lower_is_better: whether it counts downwards.
    """

    value: Callable[[Floats], Floats]
    mean: bool = False
    whole: bool = False
    span: float | None = None
    ratio: bool = False
    lower_is_better: bool = False


@dataclass(frozen=True, eq=False)
class Figures:
    """One metric of two models on the same rows; the same as no other, so that evidence is kept by it.

    Args:
        shape: how its value is made.
        tuned: the rows' vectors, rows x k.
        baseline: the same of the other model, row by row; None for a figure that only tuned has.
    """

    shape: Shape
    tuned: Floats
    baseline: Floats | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.tuned)

    def only(self, chosen: NDArray[np.bool_]) -> "Figures":
        """The same on some of the rows."""
        return Figures(self.shape, self.tuned[chosen], None if self.baseline is None else self.baseline[chosen])


def shape_of(metric: Metric[Any, Any]) -> Shape:
    """The shape of a metric of the evaluation."""
    return Shape(
        value=metric.values,
        mean=metric.shape is not Kind.CORPUS,
        whole=metric.shape is Kind.SHARE,
        span=1.0 if metric.shape is Kind.SHARE or metric.name in _UP_TO_ONE or _is_vote(metric) else None,
        ratio=metric.name is MetricName.PERPLEXITY,
        lower_is_better=metric.describe().lower_is_better,
    )


def _is_vote(metric: Metric[Any, Any]) -> bool:
    """Shares of votes lie between 0 and 1, ratings do not."""
    return isinstance(metric, HumanPreference) and metric.kind is Vote


def _perplexity(sums: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(mean_of(sums)))


SHARE = Shape(mean_of, mean=True, whole=True, span=1.0)
"""The share of rows that are right. Columns: 0 or 1, and 1."""
PERPLEXITY = Shape(_perplexity, ratio=True, lower_is_better=True)
"""Columns: negative log-likelihood of the row in nats, its tokens."""
PER_TOKEN = Shape(mean_of, lower_is_better=True)
"""Columns: a cost summed over the row's tokens, its tokens."""


def mean(*, span: float | None = None, lower_is_better: bool = False) -> Shape:
    """The mean of a figure. Columns: the figure, and 1.

    Args:
        span: the largest that it can be, where the least is 0; None where it has no bounds.
        lower_is_better: whether it counts downwards.
    """
    return Shape(mean_of, mean=True, span=span, lower_is_better=lower_is_better)


def column(figures: Floats) -> Floats:
    """Figures by row as columns of a mean or a share: rows x 2."""
    return np.stack([figures, np.ones(len(figures))], axis=1)
