"""One model's share of right rows: the exact binomial test and the interval that inverts it."""

from dataclasses import dataclass

from scipy import special

from attune_trainer.evaluation.significance.evidence import POWER, Interval, side


@dataclass(frozen=True)
class Share:
    """A share.

    Args:
        right: how many rows are right. Not a whole number where rows are right in part: of all figures between 0 and 1
            with that sum, whole ones have the widest spread, so that errs to the safe side.
        rows: of how many.
    """

    right: float
    rows: int

    @property
    def estimate(self) -> float:
        """The share, from 0 to 1."""
        return self.right / self.rows

    def above(self, bar: float) -> float:
        """P(as many right rows or more) at the bar (the binomial tail as incomplete beta function)."""
        if self.right <= 0 or bar >= 1:
            return 1.0
        return float(special.betainc(self.right, self.rows - self.right + 1, max(0.0, bar)))

    def below(self, bar: float) -> float:
        """P(as many right rows or fewer) at the bar."""
        return Share(self.rows - self.right, self.rows).above(1 - bar)

    def interval(self, confidence: float) -> Interval:
        """Source: Clopper and Pearson 1934, Biometrika 26:404-413. Keeps its confidence for any share and any rows."""
        level = side(confidence)
        wrong = self.rows - self.right
        low = special.betaincinv(self.right, wrong + 1, level) if self.right > 0 else 0.0
        high = 1 - special.betaincinv(wrong, self.right + 1, level) if wrong > 0 else 1.0
        return Interval(float(low), float(high))

    def detectable(self, bar: float, confidence: float) -> float | None:
        """From the fewest right rows that would pass."""
        if not 0 <= bar < 1:
            return None
        level = side(confidence)
        fewest = next((k for k in range(self.rows + 1) if Share(k, self.rows).above(bar) <= level), None)
        if fewest is None:
            return None
        return float(special.betaincinv(fewest, self.rows - fewest + 1, POWER)) - bar
