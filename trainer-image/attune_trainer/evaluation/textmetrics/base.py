"""What every metric is: a short vector per row, and a figure that depends on the sum of these vectors alone.

So a bootstrap or a permutation over rows is one matrix product, `weights @ rows`, whatever the metric: corpus BLEU,
which is no mean over rows, is drawn again as exactly as a share of right answers.
"""

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from attune_contract.enums import MetricName

Floats = NDArray[np.float64]
Answer_contra = TypeVar("Answer_contra", contravariant=True)
Expected_contra = TypeVar("Expected_contra", contravariant=True)


class Shape(StrEnum):
    """How a metric comes from its rows, which decides the test that fits it."""

    SHARE = "Share"
    """The mean of zeros and ones: exact McNemar fits."""
    MEAN = "Mean"
    """The mean of one number per row."""
    CORPUS = "Corpus"
    """Something else of the sums, such as a ratio: nothing fits but drawing rows again."""


@dataclass(frozen=True)
class Description:
    """What a figure is, complete enough to take it again. Goes into the report beside the figure."""

    definition: str
    """One or two sentences."""
    computed_by: str
    """The library and its version, or `attune`."""
    normalization: str
    """What is done to answers before they are compared; `none` where nothing is."""
    scale: str
    """The least and the most that it can be, and which is better."""
    source: str
    """The publication or the reference that defines it."""
    lower_is_better: bool = False
    signature: str | None = None
    """sacrebleu's own line for reproduction."""

    def document(self) -> dict[str, str]:
        """As JSON for the report; what is not there is left out."""
        fields = {
            "definition": self.definition,
            "computedBy": self.computed_by,
            "normalization": self.normalization,
            "scale": self.scale,
            "source": self.source,
            "better": "lower" if self.lower_is_better else "higher",
            "signature": self.signature,
        }
        return {name: text for name, text in fields.items() if text is not None}


class Metric(Protocol[Answer_contra, Expected_contra]):
    """One metric, with all its settings."""

    @property
    def name(self) -> MetricName:
        """Its name in manifests."""
        ...

    @property
    def shape(self) -> Shape:
        """How it comes from its rows."""
        ...

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        ...

    def row(self, answer: Answer_contra, expected: Expected_contra) -> Floats:
        """What one row adds to the sums: `width` numbers.

        For a Share or a Mean the first is the row's own figure and the second is 1.
        """
        ...

    def values(self, totals: Floats) -> Floats:
        """The metric, from sums of rows: ... x width to ... . NaN where the rows have none, as for no row at all."""
        ...

    def describe(self) -> Description:
        """What it is and how it was computed."""
        ...


def value(metric: Metric[Answer_contra, Expected_contra], rows: Floats) -> float:
    """The metric of rows x width."""
    return float(metric.values(rows.sum(axis=0)))


def drawn(metric: Metric[Answer_contra, Expected_contra], rows: Floats, weights: Floats) -> Floats:
    """The metric of many samples of the same rows.

    Args:
        metric: the metric.
        rows: rows x width.
        weights: samples x rows, how often each row is in each sample.

    Returns:
        One figure per sample.
    """
    return metric.values(weights @ rows)


def numbers(*figures: float) -> Floats:
    """A row."""
    return np.array(figures, dtype=np.float64)


def mean(totals: Floats) -> Floats:
    """Sums to means: the first number over the second; NaN for no row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        means: Floats = totals[..., 0] / totals[..., 1]
    return means


def library(name: str) -> str:
    """A library as a description names it, with the version that is installed."""
    return f"{name} {version(name)}"
