"""Parts of the held-out rows by a column of their files, so that a regression in a corner is seen."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 10
"""Rows that a slice needs."""
MOST = 20
"""Slices of one column; of more values those with the most rows are taken."""


@dataclass(frozen=True)
class Slices:
    """The slices, and what is too small or too much to be one.

    Args:
        masks: which rows are in each slice, by `column=value`.
        left_out: rows by `column=value` of values that are no slice.
    """

    masks: Mapping[str, NDArray[np.bool_]]
    left_out: Mapping[str, int]


def of(columns: Sequence[str], examples: Sequence[Any]) -> Slices:
    """The slices of some rows.

    Args:
        columns: spec.evaluation.slices.
        examples: the rows.
    """
    values = [json.loads(example.slices or "{}") for example in examples] if columns else []
    masks: dict[str, NDArray[np.bool_]] = {}
    left_out: dict[str, int] = {}
    for column in columns:
        here = [str(row.get(column, "")) for row in values]
        counted = sorted(Counter(here).items(), key=lambda item: (-item[1], item[0]))
        for place, (value, rows) in enumerate(counted):
            name = f"{column}={value}"
            if rows < FEWEST or place >= MOST:
                left_out[name] = rows
            else:
                masks[name] = np.array([v == value for v in here])
    return Slices(masks, left_out)
