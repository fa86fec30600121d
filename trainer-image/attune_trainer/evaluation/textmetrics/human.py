"""HumanPreference: what people say of the answers, joined with the held-out rows by row id."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar

from attune_contract.enums import MetricName
from attune_trainer.evaluation.textmetrics import agreement
from attune_trainer.evaluation.textmetrics.agreement import Level
from attune_trainer.evaluation.textmetrics.answers import OWN
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Shape, mean, numbers
from attune_trainer.evaluation.textmetrics.judgements import TUNED, Judgements, Rating, Vote

_SOURCES = {Vote: "win rate with ties as halves (Chiang et al. 2024)", Rating: "mean opinion score (ITU-T P.800.1)"}


@dataclass(frozen=True)
class Judged:
    """What people said of tuned and one baseline, on the rows that they judged."""

    tuned: Mapping[str, float]
    """By row id: share of votes won, ties as halves; or the mean rating."""
    baseline: Mapping[str, float]
    """The same of the baseline, on the same rows."""
    people: int
    judgements: int
    alpha: float | None
    """Krippendorff's alpha, ordinal; None where it cannot be told."""

    def in_words(self) -> str:
        """For the report: how much was judged, and how far people agree."""
        alpha = "" if self.alpha is None else f"{self.alpha:.3f}, "
        return (
            f"{self.judgements} judgements of {len(self.tuned)} rows by {self.people} people; agreement "
            f"(Krippendorff's alpha, ordinal): {alpha}{agreement.in_words(self.alpha)}"
        )


@dataclass(frozen=True)
class HumanPreference:
    """The share of votes that a model won, or its mean rating: over the people of a row, then over rows.

    Args:
        kind: Vote or Rating, as the file has.
    """

    kind: type[Vote] | type[Rating]
    name: ClassVar = MetricName.HUMAN_PREFERENCE
    shape: ClassVar = Shape.MEAN
    width: ClassVar = 2

    def row(self, answer: float, _expected: object = None) -> Floats:
        """The row's figure, of `Judged`, and 1."""
        return numbers(answer, 1)

    def values(self, totals: Floats) -> Floats:
        """Means."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        votes = self.kind is Vote
        return Description(
            definition="Mean over rows of the share of people who preferred the answer, ties as halves."
            if votes
            else "Mean over rows of the mean rating by people, 1 to 5.",
            computed_by=OWN,
            normalization="each row counts the same, however many people judged it",
            scale="0 to 1, higher is better; 0.5 is a draw" if votes else "1 to 5, higher is better",
            source=f"{_SOURCES[self.kind]}; agreement: Krippendorff 2011",
        )


@dataclass
class _Gathered:
    """Judgements by row, and by thing that was judged."""

    tuned: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    baseline: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    units: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    people: set[str] = field(default_factory=set)

    def judged(self) -> Judged:
        return Judged(
            tuned={row: fmean(figures) for row, figures in self.tuned.items()},
            baseline={row: fmean(figures) for row, figures in self.baseline.items()},
            people=len(self.people),
            judgements=sum(map(len, self.units.values())),
            alpha=agreement.krippendorff_alpha(list(self.units.values()), Level.ORDINAL),
        )


def against(found: Judgements, baseline: str) -> Judged | None:
    """What people say of tuned beside a baseline; None where they say nothing of it.

    Args:
        found: what the file says.
        baseline: the baseline's name.
    """
    gathered = _Gathered()
    if found.kind is Vote:
        _gather_votes(found, baseline, gathered)
    else:
        _gather_ratings(found, baseline, gathered)
    return gathered.judged() if gathered.tuned else None


def _gather_votes(found: Judgements, baseline: str, gathered: _Gathered) -> None:
    for vote in found.votes:
        if vote.over == baseline:
            won = vote.won
            gathered.tuned[vote.row].append(won)
            gathered.baseline[vote.row].append(1 - won)
            gathered.units[vote.row, ""].append(won)
            gathered.people.add(vote.person)


def _gather_ratings(found: Judgements, baseline: str, gathered: _Gathered) -> None:
    """Only people who rated both answers to a row: who likes to give fives gives them to both."""
    given = {(rating.row, rating.person, rating.model): float(rating.rating) for rating in found.ratings}
    for (row, person, model), rating in given.items():
        theirs = given.get((row, person, baseline))
        if model == TUNED and theirs is not None:
            gathered.tuned[row].append(rating)
            gathered.baseline[row].append(theirs)
            gathered.units[row, TUNED].append(rating)
            gathered.units[row, baseline].append(theirs)
            gathered.people.add(person)
