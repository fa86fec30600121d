"""Metrics that compare an answer's text with the expected one."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from attune_contract.enums import MetricName
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Shape, mean, numbers
from attune_trainer.evaluation.textmetrics.normalization import SQUAD, STRIPPED, Normalization
from attune_trainer.evaluation.textmetrics.subsequence import longest_common

OWN = "attune"
SHARE_SCALE = "0 to 1, higher is better"
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class ExactMatch:
    """The share of answers that equal the expected ones."""

    normalization: Normalization = STRIPPED
    name: ClassVar = MetricName.EXACT_MATCH
    shape: ClassVar = Shape.SHARE
    width: ClassVar = 2

    def row(self, answer: str, expected: str) -> Floats:
        """Equal or not, and 1."""
        return numbers(self.normalization(answer) == self.normalization(expected), 1)

    def values(self, totals: Floats) -> Floats:
        """Shares."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Share of rows whose answer equals the expected one.",
            computed_by=OWN,
            normalization=self.normalization.in_words(),
            scale=SHARE_SCALE,
            source="Rajpurkar et al. 2016 (SQuAD), with the normalisation given here",
        )


@dataclass(frozen=True)
class TokenF1:
    """Overlap of words, counted with repetition, as in SQuAD's evaluation script."""

    normalization: Normalization = SQUAD
    name: ClassVar = MetricName.TOKEN_F1
    shape: ClassVar = Shape.MEAN
    width: ClassVar = 2

    def row(self, answer: str, expected: str) -> Floats:
        """F1 of the words, and 1. Where one side has no words, it is 1 if neither has any (as in SQuAD 2.0)."""
        theirs, ours = (self.normalization(text).split() for text in (expected, answer))
        if not theirs or not ours:
            return numbers(theirs == ours, 1)
        return numbers(_f1((Counter(theirs) & Counter(ours)).total(), len(ours), len(theirs)), 1)

    def values(self, totals: Floats) -> Floats:
        """Means."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Mean over rows of F1 of the answer's words (split at white space) against the expected ones.",
            computed_by=OWN,
            normalization=self.normalization.in_words(),
            scale=SHARE_SCALE,
            source="Rajpurkar et al. 2018 (SQuAD 2.0), evaluate-v2.0.py: compute_f1",
        )


@dataclass(frozen=True)
class RougeL:
    """The longest common subsequence of words, as F1; docs/decisions/0014 says why it is computed here."""

    name: ClassVar = MetricName.ROUGE_L
    shape: ClassVar = Shape.MEAN
    width: ClassVar = 2

    def row(self, answer: str, expected: str) -> Floats:
        """F1 of the longest common subsequence, and 1; 0 where either side has no words."""
        ours, theirs = (_WORD.findall(text.lower()) for text in (answer, expected))
        return numbers(_f1(longest_common(ours, theirs), len(ours), len(theirs)), 1)

    def values(self, totals: Floats) -> Floats:
        """Means."""
        return mean(totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Mean over rows of F1 of the longest common subsequence of words; no stemming, no sentence "
            "split. On ASCII text equal to rouge-score 0.1.2 (rougeL, use_stemmer=False).",
            computed_by=OWN,
            normalization="lower case, split into runs of letters and digits of any script",
            scale=SHARE_SCALE,
            source="Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries, section 3 (beta = 1)",
        )


def _f1(common: int, ours: int, theirs: int) -> float:
    """F1 from how many words are in both, in the answer and in the expected answer."""
    if common == 0:
        return 0.0
    precision, recall = common / ours, common / theirs
    return 2 * precision * recall / (precision + recall)
