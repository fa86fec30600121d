"""What every kind of evidence can say of one quantity, of which more is better."""

from typing import NamedTuple, Protocol

POWER = 0.80
"""Chance with which an effect must show to be called detectable."""


class Interval(NamedTuple):
    """Two-sided; an end is None where the rows set none."""

    low: float | None
    high: float | None


class Evidence(Protocol):
    """What held-out rows say of a quantity."""

    @property
    def estimate(self) -> float:
        """The quantity, on these rows."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def above(self, bar: float) -> float:
        """One-sided p-value that the truth is above the bar: against that it is at it or below."""

    def below(self, bar: float) -> float:
        """One-sided p-value that the truth is below the bar."""

    def interval(self, confidence: float) -> Interval:
        """All bars that neither one-sided test rejects at half of 1 - confidence."""

    def detectable(self, bar: float, confidence: float) -> float | None:
        """How far above the bar the truth must be to be found there in four of five such sets of rows; None: never."""


def side(confidence: float) -> float:
    """The level of each side of a two-sided interval."""
    return round((1 - confidence) / 2, 12)  # 0.05 for 0.9, not a hair less
