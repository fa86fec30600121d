"""From two models' figures by row to one result per metric: value, difference, and how sure it is.

A kind of row (`kinds/`) says what its metrics mean; here is how each shape of metric is summed up.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from attune_contract.enums import MetricName
from attune_contract.outcome import MetricResult
from attune_trainer.errors import DivergedError
from attune_trainer.evaluation import statistics
from attune_trainer.evaluation.statistics import Certainty, Floats, Paired

BASE = "base"
NLL, TOKENS = "nll", "tokens"
SHARE_CERTAINTY = "95 %, Newcombe 1998 method 10; p-value: exact McNemar, two-sided"
RESAMPLED_CERTAINTY = (
    f"95 %, paired bootstrap over rows ({statistics.RESAMPLES:,} draws, percentiles); p-value: paired permutation, "
    "two-sided"
)
MEAN_CERTAINTY = "95 % and p-value: Student's t, paired by row, two-sided"
GROUPS_CERTAINTY = "95 % and p-value: Welch's t on tuned less base of the two groups, two-sided"


class Score(NamedTuple):
    """What one model made of one row."""

    row: int
    """Index of the row."""
    figures: dict[str, float]
    """Numbers by name, which metrics are made of; the same names for every row."""
    said: dict[str, Any]
    """What predictions.jsonl shows of it."""


@dataclass
class Tally:
    """One model's figures, eight bytes each, however long the answers are.

    Args:
        rows: how many rows there are.
    """

    rows: int
    _columns: dict[str, Floats] = field(default_factory=dict)

    def add(self, score: Score) -> None:
        """Takes the figures of one row."""
        for name, figure in score.figures.items():
            column = self._columns.get(name)
            if column is None:
                column = self._columns[name] = np.full(self.rows, np.nan)
            column[score.row] = figure

    def column(self, name: str) -> Floats:
        """One figure by row."""
        return self._columns[name]


class Comparison(NamedTuple):
    """A metric of both models, and how sure their difference is."""

    tuned: float
    base: float
    certainty: Certainty


@dataclass(frozen=True)
class Measure:
    """How a metric is made from figures by row.

    Args:
        definition: what it is, for the report.
        certainty: where interval and p-value come from, for the report.
        compare: from the tallies of tuned and base.
    """

    definition: str
    certainty: str
    compare: Callable[[Tally, Tally], Comparison]

    def result(self, metric: MetricName, tuned: Tally, base: Tally) -> MetricResult:
        """The metric for tuned and base."""
        found = self.compare(tuned, base)
        return MetricResult(
            metric=metric,
            tuned=_short(found.tuned),
            baseline=BASE,
            value=_short(found.base),
            delta=_short(found.tuned - found.base),
            low=_shorter(found.certainty.low),
            high=_shorter(found.certainty.high),
            p_value=_shorter(found.certainty.p_value),
            rows=tuned.rows,
        )


def share(definition: str, column: str) -> Measure:
    """The share of rows whose figure is 1."""

    def compare(tuned: Tally, base: Tally) -> Comparison:
        ours, theirs = ([bool(x) for x in t.column(column)] for t in (tuned, base))
        pairs = Paired.of(ours, theirs)
        low, high = statistics.newcombe(pairs)
        certainty = Certainty(low, high, statistics.mcnemar(pairs))
        return Comparison(sum(ours) / pairs.rows, sum(theirs) / pairs.rows, certainty)

    return Measure(definition, SHARE_CERTAINTY, compare)


def perplexity(definition: str) -> Measure:
    """Exp of the mean negative log-likelihood per token, from the figures `nll` and `tokens`."""

    def compare(tuned: Tally, base: Tally) -> Comparison:
        ours, theirs, tokens = tuned.column(NLL), base.column(NLL), tuned.column(TOKENS)
        certainty = statistics.resampled(_perplexity_difference, ours, theirs, tokens)
        return Comparison(_exp_of_mean(ours, tokens), _exp_of_mean(theirs, tokens), certainty)

    return Measure(definition, RESAMPLED_CERTAINTY, compare)


def mean(definition: str, column: str) -> Measure:
    """The mean of a figure over rows."""

    def compare(tuned: Tally, base: Tally) -> Comparison:
        ours, theirs = tuned.column(column), base.column(column)
        return Comparison(float(ours.mean()), float(theirs.mean()), statistics.paired_mean(ours - theirs))

    return Measure(definition, MEAN_CERTAINTY, compare)


def mean_resampled(definition: str, column: str) -> Measure:
    """The mean of a figure that has a heavy tail, such as a log loss."""

    def compare(tuned: Tally, base: Tally) -> Comparison:
        ours, theirs = tuned.column(column), base.column(column)
        certainty = statistics.resampled(_mean_difference, ours, theirs, np.ones(len(ours)))
        return Comparison(float(ours.mean()), float(theirs.mean()), certainty)

    return Measure(definition, RESAMPLED_CERTAINTY, compare)


def between_groups(definition: str, column: str, in_first: list[bool]) -> Measure:
    """The mean of a figure over one group of rows, less that over all others.

    Args:
        definition: what it is.
        column: the figure.
        in_first: by row, whether it is in the first group.
    """
    first = np.array(in_first)

    def between(figures: Floats) -> float:
        return float(figures[first].mean() - figures[~first].mean())

    def compare(tuned: Tally, base: Tally) -> Comparison:
        ours, theirs = tuned.column(column), base.column(column)
        moved = ours - theirs
        certainty = statistics.between_groups(moved[first], moved[~first])
        return Comparison(between(ours), between(theirs), certainty)

    return Measure(definition, GROUPS_CERTAINTY, compare)


def _exp_of_mean(nll: Floats, tokens: Floats) -> float:
    per_token = float(nll.sum()) / max(1.0, float(tokens.sum()))
    try:
        return math.exp(per_token)
    except OverflowError as error:
        raise DivergedError(f"The model gives the expected text {per_token:.0f} nats per token.") from error


def _perplexity_difference(tuned: Floats, base: Floats, tokens: Floats, axis: int = -1) -> Any:
    count = np.maximum(1.0, tokens.sum(axis))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.exp(tuned.sum(axis) / count) - np.exp(base.sum(axis) / count)


def _mean_difference(tuned: Floats, base: Floats, _weights: Floats, axis: int = -1) -> Any:
    return tuned.mean(axis) - base.mean(axis)


def _short(value: float) -> float:
    """Six significant digits: more would pretend, and the Outcome has 4 KiB."""
    return float(f"{value:.6g}")


def _shorter(value: float | None) -> float | None:
    return None if value is None else _short(value)
