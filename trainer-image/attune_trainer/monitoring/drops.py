"""Is the champion worse than it was when it was promoted?

Its figure at promotion is from other rows, so nothing can be paired, and it is as uncertain as the recent one. Two
things must hold for an alarm:

- The interval of the difference, put together from the two figures' own intervals, leaves out 0. That keeps the rate
  over all champions, however few rows either figure is from.
- Recent rows are surely below a bar, the lower end of the 60 % interval of the figure at promotion. That keeps the rate
  week after week for eight of ten champions: the figure at promotion is one draw that every look is held against, and a
  champion that was lucky by two points would ring in each sixth week though nothing changes.

Both rest on the evidence that gates rest on: exact for shares of right rows, studentised bootstrap for the rest.

Sources: Newcombe 1998, Statistics in Medicine 17:873-890 (method 10); Zou and Donner 2008, Statistics in Medicine
27:1693-1702, for any two figures that have intervals.
"""

import math

from attune_contract.enums import MetricName
from attune_contract.monitoring import MetricDrop
from attune_trainer.evaluation.significance import comparing
from attune_trainer.evaluation.significance.evidence import Evidence
from attune_trainer.evaluation.significance.figures import Figures, Shape
from attune_trainer.evaluation.significance.resampling import Draws
from attune_trainer.evaluation.textmetrics.base import Floats
from attune_trainer.monitoring import levels

_STEPS = 20
_AT_PROMOTION = 0.6


def compare(
    name: MetricName, shape: Shape, before: Floats, now: Floats, *, level: float, seed: int
) -> MetricDrop | None:
    """Whether a metric has dropped; None where a side has no figure.

    Args:
        name: the metric.
        shape: how its value comes from rows.
        before: rows x width, of the champion on its held-out rows.
        now: the same on recent rows.
        level: largest p-value that counts as a drop.
        seed: of resampling.
    """
    values = [float(shape.value(rows.sum(axis=0))) for rows in (before, now)]
    if not all(math.isfinite(value) for value in values):
        return None
    draws = Draws(seed, levels.permutations(level))
    at_promotion, lately = (comparing.value(Figures(shape, rows), draws) for rows in (before, now))
    bar = at_promotion.interval(_AT_PROMOTION).low
    p_value = 1.0 if bar is None else max(_p_value(at_promotion, lately), lately.below(bar))
    drop = (values[1] - values[0]) if shape.lower_is_better else (values[0] - values[1])
    return MetricDrop(
        metric=name,
        before=_short(values[0]),
        before_rows=len(before),
        now=_short(values[1]),
        rows=len(now),
        bar=None if bar is None else _short(_unit(bar, shape)),
        drop=_short(drop),
        p_value=float(f"{p_value:.4g}"),
        dropped=p_value <= level,
    )


def _p_value(before: Evidence, now: Evidence) -> float:
    """The smallest level at which the interval of the drop leaves 0 out; 1 where there is no drop or no interval."""
    if not before.estimate > now.estimate:
        return 1.0
    least, most = 1e-6, 0.5
    if _lower(before, now, least) > 0:
        return least
    for _ in range(_STEPS):  # by halves of the logarithm
        middle = math.sqrt(least * most)
        least, most = (least, middle) if _lower(before, now, middle) > 0 else (middle, most)
    return most


def _lower(before: Evidence, now: Evidence, level: float) -> float:
    """Lower end of the one-sided interval of the drop at 1 - level, on the scale on which more is better."""
    low, high = before.interval(1 - 2 * level).low, now.interval(1 - 2 * level).high
    if low is None or high is None:
        return -math.inf
    return before.estimate - now.estimate - math.hypot(before.estimate - low, high - now.estimate)


def _unit(bar: float, shape: Shape) -> float:
    """A bar of `comparing.value`, on whose scale more is better, in the metric's own unit."""
    sign = -1.0 if shape.lower_is_better else 1.0
    return math.exp(sign * bar) if shape.ratio else sign * bar


def _short(value: float) -> float:
    return float(f"{value:.6g}")
