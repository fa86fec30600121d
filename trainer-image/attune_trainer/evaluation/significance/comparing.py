"""Which evidence fits which figures: one model's value, the gain of one over another, and the ratio of two."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from attune_trainer.evaluation.significance.evidence import Evidence
from attune_trainer.evaluation.significance.figures import Figures
from attune_trainer.evaluation.significance.pairs import Pairs
from attune_trainer.evaluation.significance.resampling import Draws, Resampled, parts_of, swap_test
from attune_trainer.evaluation.significance.shares import Share
from attune_trainer.evaluation.textmetrics.base import Floats

Compared = Callable[[Floats, Floats], Floats]
"""From sums of tuned and sums of the baseline."""
FEW_CHANGED = 10
"""With fewer rows than these that tell anything, resampling sees too little of what could be: bounds are used."""


class Difference(NamedTuple):
    """Tuned less baseline in the metric's own direction, with no bar in mind."""

    delta: float
    low: float | None
    high: float | None
    p_value: float
    """Two-sided, against that there is none."""
    smallest_detectable: float | None
    """The smallest that four of five such sets of rows would show."""


def difference(figures: Figures, confidence: float, draws: Draws) -> Difference:
    """What status.evaluation.results says of a metric."""
    found = gain(figures, draws)
    low, high = found.interval(confidence)
    p_value = min(1.0, 2 * min(found.above(0.0), found.below(0.0)))
    detectable = found.detectable(0.0, confidence)
    if figures.shape.lower_is_better:
        low, high = (None if high is None else -high), (None if low is None else -low)
        return Difference(-found.estimate, low, high, p_value, detectable)
    return Difference(found.estimate, low, high, p_value, detectable)


def value(figures: Figures, draws: Draws) -> Evidence:
    """Of tuned's own value, turned so that more is better.

    Its negative where the metric counts downwards, and its logarithm where it is judged by ratio.
    """
    shape, rows = figures.shape, figures.rows
    if shape.mean and shape.span is not None:
        right = figures.tuned[:, 0] / shape.span
        telling = min(int((right > 0).sum()), int((right < 1).sum()))
        if shape.whole or (shape.span == 1 and not shape.lower_is_better and telling < FEW_CHANGED):
            return Share(float(right.sum()), rows)
    sign = -1.0 if shape.lower_is_better else 1.0

    def quantity(sums: Floats) -> Floats:
        found = shape.value(sums)
        return sign * (_log(found) if shape.ratio else found)

    return Resampled(*parts_of(quantity, figures.tuned), draws)


@lru_cache(maxsize=32)
def gain(figures: Figures, draws: Draws) -> Evidence:
    """Of how much better tuned is than the baseline, in the metric's unit. Result and check ask it of the same."""
    shape, rows, tuned, baseline = figures.shape, figures.rows, figures.tuned, _baseline(figures)
    sign = -1.0 if shape.lower_is_better else 1.0
    if shape.mean and shape.span is not None:
        moved = sign * (tuned[:, 0] - baseline[:, 0]) / shape.span
        if shape.whole or int((moved != 0).sum()) < FEW_CHANGED:
            gained, lost = float(moved[moved > 0].sum()), -float(moved[moved < 0].sum())
            return Pairs(gained, lost, rows, shape.span)
    return _compared(lambda ours, theirs: sign * (shape.value(ours) - shape.value(theirs)), figures, draws)


def log_ratio(figures: Figures, draws: Draws) -> Evidence:
    """Of how much better tuned is, as the logarithm of a ratio; for metrics above 0."""
    shape = figures.shape
    sign = -1.0 if shape.lower_is_better else 1.0
    return _compared(lambda ours, theirs: sign * (_log(shape.value(ours)) - _log(shape.value(theirs))), figures, draws)


def _compared(quantity: Compared, figures: Figures, draws: Draws) -> Evidence:
    tuned, baseline = figures.tuned, _baseline(figures)
    columns = tuned.shape[1]

    def of_both(sums: Floats) -> Floats:
        return quantity(sums[..., :columns], sums[..., columns:])

    estimate, parts = parts_of(of_both, np.concatenate([tuned, baseline], axis=1))
    return Resampled(estimate, parts, draws, lambda: swap_test(quantity, tuned, baseline, draws))


def _baseline(figures: Figures) -> Floats:
    if figures.baseline is None:
        raise ValueError("there is no baseline to compare with")
    return figures.baseline


def _log(x: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(x))
