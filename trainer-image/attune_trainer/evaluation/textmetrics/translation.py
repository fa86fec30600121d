"""BLEU and chrF: sacrebleu's counts of each row, and sacrebleu's figure from their sum. Nothing is computed here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from attune_contract.enums import MetricName
from attune_trainer.evaluation.textmetrics.base import Description, Floats, Shape, library, numbers

_SCALE = "0 to 100, higher is better"


class _Opened:
    """Opens to the outside what sacrebleu's metrics keep for subclasses and for its own significance tests."""

    def counts(self: Any, answer: str, expected: str) -> Sequence[int]:
        """Counts of one row, which add up over rows."""
        found: Sequence[int] = self._extract_corpus_statistics([answer], [[expected]])[0]
        return found

    def figure(self: Any, counts: list[int]) -> float:
        """The corpus figure of summed counts."""
        return float(self._compute_score_from_stats(counts).score)

    def signature(self: Any) -> str:
        """The line that sacrebleu prints for others to reproduce a figure."""
        self.counts("", "")  # it knows the number of references from the first row
        return str(self.get_signature())


class _Bleu(_Opened, BLEU):
    """BLEU, opened."""


class _Chrf(_Opened, CHRF):
    """chrF, opened."""


def _figures(opened: _Opened, totals: Floats) -> Floats:
    """From ... x counts; through integers, so that not even rounding differs from sacrebleu's own."""
    sums = totals.reshape(-1, totals.shape[-1]).round().astype(np.int64).tolist()
    return np.array([opened.figure(counts) for counts in sums]).reshape(totals.shape[:-1])


@dataclass(frozen=True)
class Bleu:
    """Corpus BLEU against one reference.

    Args:
        tokenize: sacrebleu's name of a tokenizer: `13a` for languages with spaces, `zh`, `char`, `intl`.
        lowercase: whether case is ignored.
    """

    tokenize: str = "13a"
    lowercase: bool = False
    name: ClassVar = MetricName.BLEU
    shape: ClassVar = Shape.CORPUS
    width: ClassVar = 10

    @cached_property
    def _opened(self) -> _Bleu:
        return _Bleu(tokenize=self.tokenize, lowercase=self.lowercase)

    def row(self, answer: str, expected: str) -> Floats:
        """Words of answer and expected answer, then matches and n-grams of 1 to 4 words."""
        return numbers(*self._opened.counts(answer, expected))

    def values(self, totals: Floats) -> Floats:
        """Corpus BLEU."""
        return _figures(self._opened, totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Corpus BLEU of up to 4 words, exponential smoothing, against the one expected answer.",
            computed_by=library("sacrebleu"),
            normalization=f"sacrebleu's tokenizer {self.tokenize}" + (", lower case" if self.lowercase else ""),
            scale=_SCALE,
            source="Papineni et al. 2002; Post 2018 (sacrebleu)",
            signature=self._opened.signature(),
        )


@dataclass(frozen=True)
class Chrf:
    """Corpus chrF2: n-grams of 1 to 6 characters, recall counting twice."""

    lowercase: bool = False
    name: ClassVar = MetricName.CHRF
    shape: ClassVar = Shape.CORPUS
    width: ClassVar = 18

    @cached_property
    def _opened(self) -> _Chrf:
        return _Chrf(lowercase=self.lowercase)

    def row(self, answer: str, expected: str) -> Floats:
        """For each n: n-grams of the answer, of the expected answer, and in both."""
        return numbers(*self._opened.counts(answer, expected))

    def values(self, totals: Floats) -> Floats:
        """Corpus chrF."""
        return _figures(self._opened, totals)

    def describe(self) -> Description:
        """What it is."""
        return Description(
            definition="Corpus chrF: F2 of character n-grams (1 to 6) against the one expected answer.",
            computed_by=library("sacrebleu"),
            normalization="white space removed" + (", lower case" if self.lowercase else ""),
            scale=_SCALE,
            source="Popović 2015; Post 2018 (sacrebleu)",
            signature=self._opened.signature(),
        )
