"""How far people agree who judged the same things: Krippendorff's alpha.

It takes any number of people, people who judged only some of the things, and judgements with an order; Fleiss' kappa
takes none of these three.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from attune_trainer.evaluation.textmetrics.base import Floats

RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff 2004: conclusions can rest on judgements from here on; from here on with care."""


class Level(StrEnum):
    """What two different judgements have to do with each other."""

    NOMINAL = "nominal"
    """They differ; that is all."""
    ORDINAL = "ordinal"
    """They have an order."""
    INTERVAL = "interval"
    """Their distance is a number."""


def krippendorff_alpha(units: Sequence[Sequence[float]], level: Level) -> float | None:
    """1 for full agreement, 0 for what chance would give, below 0 for less than that.

    Args:
        units: the judgements of each thing, by any people in any order; a thing that fewer than two judged is passed
            over.
        level: of the judgements.

    Returns:
        None where nothing was judged twice, or all judgements are the same: there is no disagreement to expect.

    Source: Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, section C.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in pairable for value in unit})
    if len(values) < 2:  # noqa: PLR2004 - one value cannot disagree
        return None
    coincidences = np.zeros((len(values), len(values)))
    for unit in pairable:
        counts = np.array([unit.count(value) for value in values], dtype=np.float64)
        coincidences += (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    each = coincidences.sum(axis=0)
    distances = _distances(np.array(values), each, level)
    observed = (coincidences * distances).sum()
    expected = (np.outer(each, each) * distances).sum() / (each.sum() - 1)
    return float(1 - observed / expected)


def in_words(alpha: float | None) -> str:
    """What an alpha means."""
    if alpha is None:
        return "cannot be told: no two people judged the same rows, or all judgements are the same"
    if alpha >= RELIABLE:
        return "reliable"
    return "tentative conclusions only" if alpha >= TENTATIVE else "too low to conclude from"


def _distances(values: Floats, each: Floats, level: Level) -> Floats:
    """Squared distances of values x values.

    Args:
        values: in order.
        each: how often each was given.
        level: of the judgements.
    """
    if level is Level.NOMINAL:
        return 1 - np.eye(len(values))
    # Ordinal: how many judgements lie between two, half of those at both ends among them.
    places = values if level is Level.INTERVAL else np.cumsum(each) - each / 2
    distances: Floats = (places[:, None] - places[None, :]) ** 2
    return distances
