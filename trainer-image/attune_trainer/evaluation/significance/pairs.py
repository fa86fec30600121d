"""Two models' shares of right rows, on the same rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special

from attune_trainer.evaluation.significance.evidence import POWER, Interval, side

_ZERO = 1e-12
_HALVINGS = 36  # of an interval two wide: to ten digits


@dataclass(frozen=True)
class Score:
    """Tango's test of a difference of paired shares. It depends on rows on which only one model is right.

    Args:
        gained: rows on which only tuned is right.
        lost: rows on which only the baseline is right.
        rows: all rows.
        correction: rows by which the difference is moved towards the bar. With one, as Edwards 1948 gave McNemar's
            test, the level is kept (every table enumerated, in the tests); with none it is Tango's own.

    Source: Tango 1998, Statistics in Medicine 17:891-908.
    """

    gained: float
    lost: float
    rows: int
    correction: float = 1.0

    def above(self, share: float) -> float:
        """One-sided p-value that the true difference is above this one."""
        if share < -1:
            return 0.0
        ahead = self.gained - self.lost - self.rows * share - self.correction
        variance = self.variance(share) if share < 1 else 0.0
        if variance <= _ZERO:
            return 0.0 if ahead > 0 else 1.0
        return float(special.ndtr(-ahead / math.sqrt(variance)))

    def low(self, level: float) -> float:
        """The least difference that is not rejected."""
        return _least(lambda share: self.above(share) > level, -1.0, (self.gained - self.lost) / self.rows)

    def high(self, level: float) -> float:
        """The largest difference that is not rejected."""
        return -Score(self.lost, self.gained, self.rows, self.correction).low(level)

    def variance(self, share: float) -> float:
        """Of gained - lost, if the true difference is `share`: the likeliest share of losses is a quadratic's root."""
        a = 2 * self.rows
        b = (2 * self.rows - self.gained + self.lost) * share - self.gained - self.lost
        c = -self.lost * share * (1 - share)
        lost = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        return max(0.0, self.rows * (2 * lost + share * (1 - share)))


@dataclass(frozen=True)
class Pairs:
    """How much better tuned is than the baseline: exact at bar 0, by score elsewhere.

    Args:
        gained: rows on which only tuned is right. Rows that are gained in part count in part: of all figures with these
            sums, whole ones have the widest spread, so that errs to the safe side.
        lost: rows on which only the baseline is right.
        rows: all rows.
        unit: how much a row is worth that is wholly gained: 1 for shares.
    """

    gained: float
    lost: float
    rows: int
    unit: float = 1.0

    @property
    def estimate(self) -> float:
        """The difference tuned less baseline."""
        return self.unit * (self.gained - self.lost) / self.rows

    def above(self, bar: float) -> float:
        """At bar 0 a fair coin over rows on which one is right (McNemar 1947, Psychometrika 12:153-157, exact)."""
        if abs(bar) < _ZERO:
            return float(special.betainc(self.gained, self.lost + 1, 0.5)) if self.gained > 0 else 1.0
        return self._score.above(bar / self.unit)

    def below(self, bar: float) -> float:
        """The same with the models turned."""
        return Pairs(self.lost, self.gained, self.rows, self.unit).above(-bar)

    def interval(self, confidence: float) -> Interval:
        """Bars that neither test rejects; about 0 the exact one decides."""
        level = side(confidence)
        low, high = self._score.low(level) * self.unit, self._score.high(level) * self.unit
        return Interval(
            min(low, 0.0) if self.above(0.0) > level else low, max(high, 0.0) if self.below(0.0) > level else high
        )

    def detectable(self, bar: float, confidence: float) -> float | None:
        """By normal approximation to the score test, with as many rows changed as here, or as the effect needs."""
        share, level = bar / self.unit, side(confidence)
        if not -1 <= share < 1:
            return None
        changed = (self.gained + self.lost + 1) / (self.rows + 2)

        def shows(effect: float) -> bool:
            truth = share + effect
            moved = max(changed, abs(truth))
            expected = Score(self.rows * (moved + truth) / 2, self.rows * (moved - truth) / 2, self.rows)
            needed = -float(special.ndtri(level)) * math.sqrt(expected.variance(share))
            spare = float(special.ndtri(POWER)) * math.sqrt(max(0.0, self.rows * (moved - truth**2)))
            return self.rows * effect - expected.correction >= needed + spare

        return self.unit * _least(shows, 0.0, 1 - share) if shows(1 - share) else None

    @property
    def _score(self) -> Score:
        return Score(self.gained, self.lost, self.rows)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least number between two for which something holds, if it holds from there on."""
    if holds(low):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
