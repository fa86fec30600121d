"""How sure a difference between two models on the same rows is. Standard library only."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


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


def newcombe(pairs: Paired, confidence: float = 0.95) -> tuple[float, float]:
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
