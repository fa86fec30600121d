"""How sure a difference between two models on the same rows is.

| figures by row | interval | p-value |
| --- | --- | --- |
| right or wrong | Newcombe | exact McNemar |
| any number, of which means are taken | paired t | paired t |
| any number, in two groups of rows | Welch's t | Welch's t |
| any number, of which something else is made, or a heavy tail | bootstrap over rows | permutation |

What scipy has is scipy's; it has neither McNemar's test nor Newcombe's interval.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 9_999
SEED = 17
"""Of resampling: the same figures give the same interval."""
_FEWEST = 2  # rows from which a spread can be told
_NUMBERS_AT_ONCE = 4_000_000  # in a batch of resamples: 32 MB


class Certainty(NamedTuple):
    """How sure a difference is; None where the rows cannot tell."""

    low: float | None = None
    """Lower end of the interval."""
    high: float | None = None
    p_value: float | None = None


class Paired(NamedTuple):
    """Two models' 0/1 scores on the same rows, as counts of the four cases."""

    both: int
    only_tuned: int
    only_base: int
    neither: int

    @classmethod
    def of(cls, tuned: Sequence[bool], base: Sequence[bool]) -> "Paired":
        """Counts the cases; row i of one is row i of the other."""
        cases = list(zip(tuned, base, strict=True))
        return cls(*(cases.count(c) for c in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(self)


def mcnemar(pairs: Paired) -> float:
    """Exact two-sided p-value that the models differ: a fair coin over the rows on which only one is right.

    Source: McNemar 1947, in the exact form (binomial test on discordant pairs).
    """
    n = pairs.only_tuned + pairs.only_base
    k = min(pairs.only_tuned, pairs.only_base)
    tail = sum(math.exp(_log_choose(n, i) - n * math.log(2)) for i in range(k + 1))
    return min(1.0, 2 * tail)


def newcombe(pairs: Paired, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Interval for the difference tuned less base of two paired shares.

    Source: Newcombe 1998, Statistics in Medicine 17:2635-2650, method 10 (Wilson intervals, joined with the
    correlation of the pairs, continuity corrected). Keeps its coverage with few rows and shares near 0 or 1.
    """
    n = pairs.rows
    tuned, base = (pairs.both + pairs.only_tuned) / n, (pairs.both + pairs.only_base) / n
    (low_t, high_t), (low_b, high_b) = wilson(tuned, n, confidence), wilson(base, n, confidence)
    phi = _phi(pairs)
    down_t, up_t, down_b, up_b = tuned - low_t, high_t - tuned, base - low_b, high_b - base
    below = math.sqrt(max(0.0, down_t**2 - 2 * phi * down_t * up_b + up_b**2))
    above = math.sqrt(max(0.0, up_t**2 - 2 * phi * up_t * down_b + down_b**2))
    return max(-1.0, tuned - base - below), min(1.0, tuned - base + above)


def paired_mean(differences: Floats, confidence: float = CONFIDENCE) -> Certainty:
    """How sure the mean of tuned less base is, by Student's t over rows (scipy.stats.ttest_1samp: the paired test).

    Args:
        differences: tuned less base, by row.
        confidence: of the interval.
    """
    from scipy import stats

    if len(differences) < _FEWEST:
        return Certainty()
    return _of_t(lambda: stats.ttest_1samp(differences, 0.0), confidence)


def between_groups(first: Floats, second: Floats, confidence: float = CONFIDENCE) -> Certainty:
    """How sure the mean of one group of rows less that of another is, by Welch's t (scipy.stats.ttest_ind).

    Args:
        first: a figure by row, of one group.
        second: the same of the other.
        confidence: of the interval.
    """
    from scipy import stats

    if min(len(first), len(second)) < _FEWEST:
        return Certainty()
    return _of_t(lambda: stats.ttest_ind(first, second, equal_var=False), confidence)


def resampled(
    statistic: Callable[..., Any], tuned: Floats, base: Floats, weights: Floats, confidence: float = CONFIDENCE
) -> Certainty:
    """How sure a difference is of which no formula is known: bootstrap and permutation over rows, with a fixed seed.

    Percentile interval of Efron 1979 (scipy.stats.bootstrap): rows are drawn with their figures of both models.
    p-value: both models' figures of a row are swapped at random, and their sums compared (Fisher's randomisation test,
    scipy.stats.permutation_test; exact where there are few rows).

    Args:
        statistic: the difference, from tuned, base and weights along the last axis.
        tuned: figures by row.
        base: the same of the base.
        weights: what else the statistic needs of a row, such as its number of tokens.
        confidence: of the interval.
    """
    from scipy import stats

    rows = len(tuned)
    if rows < _FEWEST:
        return Certainty()
    batch = max(1, _NUMBERS_AT_ONCE // rows)
    drawn = stats.bootstrap(
        (tuned, base, weights),
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=batch,
        method="percentile",
        confidence_level=confidence,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    swapped = stats.permutation_test(
        (tuned, base),
        lambda ours, theirs, axis=-1: ours.sum(axis) - theirs.sum(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=batch,
        rng=np.random.default_rng(SEED),
    )
    return _finite(drawn.low, drawn.high, swapped.pvalue)


def _of_t(test: Callable[[], Any], confidence: float) -> Certainty:
    """A t test's interval and p-value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows that all differ alike: nothing finite to say of p
        found = test()
        interval = found.confidence_interval(confidence)
    return _finite(interval.low, interval.high, found.pvalue)


def _finite(*figures: float) -> Certainty:
    return Certainty(*(float(figure) if math.isfinite(figure) else None for figure in figures))


def wilson(share: float, rows: int, confidence: float) -> tuple[float, float]:
    """Score interval for one share. Source: Wilson 1927."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = share + z**2 / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return (middle - half) / (1 + z**2 / rows), (middle + half) / (1 + z**2 / rows)


def _phi(pairs: Paired) -> float:
    both, only_tuned, only_base, neither = pairs
    product = (both + only_tuned) * (only_base + neither) * (both + only_base) * (only_tuned + neither)
    if product == 0:
        return 0.0
    cross = both * neither - only_tuned * only_base
    corrected = max(cross - pairs.rows / 2, 0.0) if cross > 0 else cross
    return corrected / math.sqrt(product)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
