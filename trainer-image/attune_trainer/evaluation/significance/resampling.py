"""Numbers by row: the studentised bootstrap over rows, and the sign-flip permutation where nothing should differ.

A quantity that is no mean is made one by its jackknife pseudo-values: what each row adds to it (Tukey 1958).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attune_trainer.evaluation.significance.evidence import POWER, Interval, side
from attune_trainer.evaluation.textmetrics.base import Floats

FEWEST = 2
"""Rows from which a spread can be told."""
_KEPT = 4_000_000  # numbers in memory: 32 MB; of resamples that take no more all are kept and used again
_AT_ONCE = 2_000_000  # numbers in memory of those that are not: 16 MB; fewer make products of many columns slow
_ZERO = 1e-12


@dataclass(frozen=True)
class Draws:
    """How resamples are drawn.

    Args:
        seed: the same seed and rows give the same figures.
        resamples: how many; no p-value is below 1 / (resamples + 1).
    """

    seed: int
    resamples: int = 9_999


@dataclass(frozen=True)
class Resampled:
    """A quantity from rows.

    Args:
        estimate: its value on all rows.
        parts: what each row adds to it (rows): its pseudo-values, or the figures that it is the mean of.
        draws: how rows are resampled.
        swap: gives the one-sided p-values, above and below 0, of a permutation test that both models are alike; None
            for one model's figure. It is taken only where 0 is in question.
    """

    estimate: float
    parts: Floats
    draws: Draws
    swap: Callable[[], tuple[float, float]] | None = None

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.parts)

    def above(self, bar: float) -> float:
        """By the studentised bootstrap; at 0 by permutation too, and the larger p-value of both counts.

        Sources: Hall 1988, Annals of Statistics 16:927-953; Bickel, Götze and van Zwet 1997, Statistica Sinica 7:1-31,
        for resamples of fewer rows. Half the rows keep the level with 30 skewed ones, where as many do not.
        """
        return self._tested(bar, upward=True)

    def below(self, bar: float) -> float:
        """The same on the other side."""
        return self._tested(bar, upward=False)

    def interval(self, confidence: float) -> Interval:
        """The bars that are not rejected: from the same resamples."""
        level = side(confidence)
        if not self._usable:
            return Interval(None, None)
        if self._spread <= _ZERO:
            sure = 0.5**self.rows <= level
            return Interval(self.estimate, self.estimate) if sure else Interval(None, None)
        rank = self._rank(confidence)
        if rank < 0:
            return Interval(None, None)
        low = self.estimate - self._ts[-1 - rank] * self._spread
        high = self.estimate - self._ts[rank] * self._spread
        if low > 0:
            low = min(low, 0.0) if self._swapped[0] > level else low
        if high < 0:
            high = max(high, 0.0) if self._swapped[1] > level else high
        return Interval(_finite(low), _finite(high))

    def detectable(self, bar: float, confidence: float) -> float | None:  # noqa: ARG002 - the spread is taken to stay
        """From the same resamples: how far they must move for four of five to pass."""
        rank = self._rank(confidence)
        if not self._usable or rank < 0:
            return None
        needed, usual = self._ts[-1 - rank], self._ts[int((1 - POWER) * self.draws.resamples)]
        return _finite((needed - usual) * self._spread) if self._spread > _ZERO else 0.0

    def _tested(self, bar: float, *, upward: bool) -> float:
        if not self._usable:
            return 1.0
        ahead = self.estimate - bar if upward else bar - self.estimate
        if self._spread <= _ZERO:  # all rows alike: as sure as that a coin falls the same way each time
            return 0.5**self.rows if ahead > 0 else 1.0
        t = ahead / self._spread
        ts = self._ts
        as_far = len(ts) - np.searchsorted(ts, t, "left") if upward else np.searchsorted(ts, -t, "right")
        p = (1 + int(as_far)) / (len(ts) + 1)
        return max(p, self._swapped[0 if upward else 1]) if abs(bar) < _ZERO else p

    def _rank(self, confidence: float) -> int:
        """So many resamples may be as far out; below 0 where there are too few of them."""
        return int(side(confidence) * (self.draws.resamples + 1) + 1e-9) - 1

    @property
    def _usable(self) -> bool:
        return self.rows >= FEWEST and math.isfinite(self.estimate) and math.isfinite(self._spread)

    @cached_property
    def _swapped(self) -> tuple[float, float]:
        return (0.0, 0.0) if self.swap is None else self.swap()

    @cached_property
    def _spread(self) -> float:
        return float(self.parts.std()) if self.rows else 0.0

    @cached_property
    def _ts(self) -> Floats:
        """How far resampled means are from the mean, in their own spreads, in order, as of that many rows.

        A resample without spread is infinitely far, which widens the interval on the side of what was not seen.
        """
        found = []
        drawn = _half(self.rows)
        for means, squares in _moments(self.parts - self.parts.mean(), self.draws):
            spread = np.sqrt(np.maximum(squares - means**2, 0.0))
            flat = spread <= 1e-7 * self._spread
            infinite = np.where(np.abs(means) <= 1e-7 * self._spread, 0.0, np.copysign(np.inf, means))
            found.append(np.where(flat, infinite, means / np.where(flat, 1.0, spread)))
        return np.sort(np.concatenate(found)) * math.sqrt(drawn / self.rows)


def parts_of(quantity: Callable[[Floats], Floats], figures: Floats) -> tuple[float, Floats]:
    """A quantity and its jackknife pseudo-values.

    Args:
        quantity: from sums (… x k).
        figures: rows x k.

    Returns:
        Its value on all rows, and what each row adds to it. Source: Tukey 1958; Efron and Tibshirani 1993, chapter 11.
    """
    rows = len(figures)
    sums = figures.sum(axis=0)
    value = float(quantity(sums))
    if rows < FEWEST:
        return value, np.full(rows, value)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        without = quantity(sums - figures)
        return value, rows * value - (rows - 1) * without


def swap_test(
    gain: Callable[[Floats, Floats], Floats], tuned: Floats, baseline: Floats, draws: Draws
) -> tuple[float, float]:
    """One-sided p-values that tuned is better, and worse: both models' figures of a row are swapped at random.

    Args:
        gain: from sums of tuned and of the baseline (… x k), more being better.
        tuned: rows x k.
        baseline: the same of the other model.
        draws: seed and number of swaps; where all swaps are fewer, each is taken once and the test is exact.

    Source: Fisher 1935; Noreen 1989 for metrics of a whole corpus.
    """
    rows = len(tuned)
    middle, half = (tuned + baseline).sum(axis=0) / 2, (tuned - baseline) / 2
    seen = float(gain(tuned.sum(axis=0), baseline.sum(axis=0)))
    if not math.isfinite(seen):
        return 1.0, 1.0
    near = 1e-9 * max(1.0, abs(seen))
    exact = 2**rows <= draws.resamples
    better = worse = total = 0
    for signs in _signs(rows, draws):
        moved = signs @ half
        found = gain(middle + moved, middle - moved)
        better += int((found >= seen - near).sum())
        worse += int((found <= seen + near).sum())
        total += len(found)
    seen_itself = 0 if exact else 1
    return (better + seen_itself) / (total + seen_itself), (worse + seen_itself) / (total + seen_itself)


def _moments(centred: Floats, draws: Draws) -> Iterator[tuple[Floats, Floats]]:
    """The mean of each resample of half as many rows, and that of the squares, in pieces."""
    rows, drawn = len(centred), _half(len(centred))
    if rows * draws.resamples <= _KEPT:
        means, squares = (_all_weights(rows, draws) @ np.stack([centred, centred**2], axis=1)).T / drawn
        yield means, squares
        return
    rng = np.random.default_rng(draws.seed)
    for count in _pieces(rows, draws.resamples):
        found = centred[rng.integers(0, rows, size=(count, drawn), dtype=np.int32)]
        yield found.mean(axis=1), np.einsum("ij,ij->i", found, found) / drawn


@lru_cache(maxsize=4)
def _all_weights(rows: int, draws: Draws) -> Floats:
    return _drawn(np.random.default_rng(draws.seed), rows, draws.resamples)


def _drawn(rng: np.random.Generator, rows: int, count: int) -> Floats:
    places = rng.integers(0, rows, size=(count, _half(rows)), dtype=np.int32) + rows * np.arange(count)[:, None]
    return np.bincount(places.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)


def _signs(rows: int, draws: Draws) -> Iterator[Floats]:
    if 2**rows <= draws.resamples or rows * draws.resamples <= _KEPT:
        yield _all_signs(rows, draws)
        return
    rng = np.random.default_rng(draws.seed)
    yield from (_thrown(rng, rows, count) for count in _pieces(rows, draws.resamples))


@lru_cache(maxsize=4)
def _all_signs(rows: int, draws: Draws) -> Floats:
    if 2**rows <= draws.resamples:
        return _as_signs((np.arange(2**rows)[:, None] >> np.arange(rows)) & 1)
    return _thrown(np.random.default_rng(draws.seed), rows, draws.resamples)


def _thrown(rng: np.random.Generator, rows: int, count: int) -> Floats:
    return _as_signs(rng.integers(0, 2, size=(count, rows), dtype=np.int8))


def _as_signs(bits: NDArray[Any]) -> Floats:
    return 2.0 * bits.astype(np.float64) - 1.0


def _half(rows: int) -> int:
    return (rows + 1) // 2


def _pieces(rows: int, resamples: int) -> Iterator[int]:
    piece = max(1, _AT_ONCE // rows)
    for start in range(0, resamples, piece):
        yield min(piece, resamples - start)


def _finite(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None
