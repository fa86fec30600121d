"""How sure each question must be, so that all of them together raise no more false alarms than allowed.

The rate is one of looks: of the looks in which nothing has changed, at most the share `falseAlarms` raises an alarm,
however many looks there are and however far their windows overlap, since every single look keeps to it. A look knows
nothing of earlier ones, so neither patience nor frequency uses anything up. Whoever wants fewer asks for several looks
in a row (`triggers.drift.for`).
"""

from collections.abc import Sequence
from typing import NamedTuple

INPUTS, LABELS = "inputs", "labels"
_METRICS = 4
"""The champion's figures get four times the share of either other question: they are what it is kept for, and one
row says less of them than of a topic."""


class Levels(NamedTuple):
    """The largest p-value that counts as an alarm, by question."""

    inputs: float
    labels: float
    metric: float
    """Of each single metric."""


def share(false_alarms: float, *, inputs: bool, labels: bool, metrics: int) -> Levels:
    """Weighted Bonferroni over the questions that this look can ask; others give their share away.

    Args:
        false_alarms: the allowed rate over all of them.
        inputs: whether prompts are compared.
        labels: whether labels are.
        metrics: how many metrics are.

    Source: Genovese, Roeder and Wasserman 2006, Biometrika 93:509-524 (weights that average to one).
    """
    whole = int(inputs) + int(labels) + (_METRICS if metrics else 0)
    one = false_alarms / whole if whole else 0.0
    return Levels(one * inputs, one * labels, one * _METRICS / metrics if metrics else 0.0)


def permutations(level: float) -> int:
    """So many that the p-value at a level is told to a twentieth of it, and one in 1,999 at least."""
    return max(1_999, round(20 / level) - 1) if level > 0 else 1_999


def p_value(found: float, drawn: Sequence[float]) -> float:
    """The share of permutations that are as far out, the data itself among them.

    Source: Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9:39.
    """
    as_far = sum(1 for each in drawn if each >= found - 1e-12)
    return (1 + as_far) / (1 + len(drawn))
