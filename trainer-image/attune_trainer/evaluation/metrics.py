"""From two models' scores to figures: each metric's definition, and how sure the difference is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from attune_contract.enums import MetricName
from attune_contract.outcome import MetricResult
from attune_trainer.errors import DivergedError
from attune_trainer.evaluation.rows import Row
from attune_trainer.evaluation.scoring import Score
from attune_trainer.evaluation.statistics import Paired, mcnemar, newcombe

BASE = "base"
DEFINITIONS = {
    MetricName.ACCURACY: "Share of rows whose answer has the highest likelihood among the distinct answers of train "
    "(the closed set): by the logit of its one token where every answer is one token after every prompt, else by the "
    "sum of its tokens' log-likelihoods, the end token included. A row whose answer is not in the set is wrong.",
    MetricName.EXACT_MATCH: "Share of rows whose greedily generated answer equals the expected one. Normalisation: "
    "special tokens removed, white space at both ends stripped; nothing else.",
    MetricName.PERPLEXITY: "exp of the mean negative log-likelihood over all answer tokens of all rows, the end token "
    "included; rows are cut at training.sequenceLength. Lower is better.",
}


def is_right(metric: MetricName, row: Row, score: Score) -> bool:
    """Whether a row counts for a 0/1 metric."""
    if metric is MetricName.ACCURACY:
        return row.label is not None and score.label == row.label
    return (score.text or "").strip() == row.expected.strip()


@dataclass
class Tally:
    """One model's scores, gathered row by row: two numbers and a bit per row, however long its answers.

    Args:
        rows: the held-out rows.
        metrics: those asked for.
    """

    rows: Sequence[Row]
    metrics: Sequence[MetricName]
    right: dict[MetricName, list[bool]] = field(default_factory=dict)
    nll: float = 0.0
    tokens: int = 0

    def add(self, score: Score) -> None:
        """Takes the score of one row."""
        self.nll += score.nll or 0.0
        self.tokens += score.tokens
        for metric in self.metrics:
            if metric is not MetricName.PERPLEXITY:
                by_row = self.right.setdefault(metric, [False] * len(self.rows))
                by_row[score.row] = is_right(metric, self.rows[score.row], score)

    def perplexity(self) -> float:
        """Exp of the mean negative log-likelihood per answer token.

        Raises:
            DivergedError: it is too large for a number.
        """
        mean = self.nll / max(1, self.tokens)
        try:
            return math.exp(mean)
        except OverflowError as error:
            raise DivergedError(f"The model gives the expected answers {mean:.0f} nats per token.") from error


def compare(metric: MetricName, tuned: Tally, base: Tally) -> MetricResult:
    """One metric for tuned and base."""
    compute: Callable[[MetricName, Tally, Tally], MetricResult]
    compute = _perplexity if metric is MetricName.PERPLEXITY else _share
    return compute(metric, tuned, base)


def _share(metric: MetricName, tuned: Tally, base: Tally) -> MetricResult:
    pairs = Paired.of(tuned.right[metric], base.right[metric])
    ours, theirs = (sum(t.right[metric]) / pairs.rows for t in (tuned, base))
    low, high = newcombe(pairs)
    return MetricResult(
        metric=metric,
        tuned=_short(ours),
        baseline=BASE,
        value=_short(theirs),
        delta=_short(ours - theirs),
        low=_short(low),
        high=_short(high),
        p_value=_short(mcnemar(pairs)),
        rows=pairs.rows,
    )


def _perplexity(metric: MetricName, tuned: Tally, base: Tally) -> MetricResult:
    ours, theirs = tuned.perplexity(), base.perplexity()
    return MetricResult(
        metric=metric,
        tuned=_short(ours),
        baseline=BASE,
        value=_short(theirs),
        delta=_short(ours - theirs),
        rows=len(tuned.rows),
    )


def _short(value: float) -> float:
    """Six significant digits: more would pretend, and the Outcome has 4 KiB."""
    return float(f"{value:.6g}")
