"""Figures of the rows' lengths in tokens: percentiles and the histogram."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

_BARS = 24
_PERCENTILES = (1, 5, 25, 50, 75, 90, 95, 99, 100)
_BEFORE_LAST_BAR = 99.5
Numbers = npt.NDArray[np.int64]


def figures(lengths: Mapping[int, int], sequence_length: int) -> dict[str, Any]:
    """Percentiles and histogram for the report.

    Args:
        lengths: how many rows of train have so many tokens, before they are cut.
        sequence_length: where rows are cut, which the page marks.

    Returns:
        `percentiles` by name (nearest rank), `histogram` as bars {from, to, rows} of equal width up to the 99.5th
        percentile (what is longer is in the last bar, whose `to` is the longest row), and `sequenceLength`.
    """
    tokens = np.array(sorted(lengths), np.int64)
    rows = np.array([lengths[int(t)] for t in tokens], np.int64)
    if not rows.sum():
        return {"percentiles": {}, "histogram": [], "sequenceLength": sequence_length}
    return {
        "percentiles": {f"p{p}": _nearest_rank(tokens, rows, p) for p in _PERCENTILES},
        "histogram": _histogram(tokens, rows),
        "sequenceLength": sequence_length,
    }


def _nearest_rank(tokens: Numbers, rows: Numbers, percent: float) -> int:
    passed = np.cumsum(rows)
    rank = np.ceil(percent * passed[-1] / 100)
    return int(tokens[np.searchsorted(passed, rank)])


def _histogram(tokens: Numbers, rows: Numbers) -> list[dict[str, int]]:
    top, longest = _nearest_rank(tokens, rows, _BEFORE_LAST_BAR), int(tokens[-1])
    width = max(1, -(-(top + 1) // _BARS))
    bars = min(_BARS, top // width + 1)
    counts = np.bincount(np.minimum(tokens // width, bars - 1), weights=rows, minlength=bars)
    last = max(bars * width - 1, longest)
    return [
        {"from": i * width, "to": last if i == bars - 1 else (i + 1) * width - 1, "rows": int(counts[i])}
        for i in range(bars)
    ]
