"""How many rows each label has."""

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

IMBALANCE = 10
"""Ratio of the most frequent label's rows to the rarest one's from which it is warned of."""
MOST_LABELS = 1_000
"""Labels that are counted by name; a column with more is hardly one of labels."""
_OTHER = "(other labels)"


@dataclass
class Labels:
    """Counts labels, which are known before it is known which rows train."""

    _codes: dict[str, int] = field(default_factory=dict)
    _of_row: "array[int]" = field(default_factory=lambda: array("H"))

    def add(self, label: str | None) -> None:
        """The label of one row; None where rows have none."""
        if label is None:
            return
        name = label if label in self._codes or len(self._codes) < MOST_LABELS else _OTHER
        self._of_row.append(self._codes.setdefault(name, len(self._codes)))

    def counts(self, side: npt.NDArray[np.bool_]) -> dict[str, int]:
        """Rows by label on one side, most frequent first; empty where rows have no labels."""
        if not len(self._of_row):
            return {}
        codes = np.frombuffer(self._of_row, np.uint16)
        found = np.bincount(codes[side[: len(codes)]], minlength=len(self._codes))
        counted = Counter({name: int(found[code]) for name, code in self._codes.items() if found[code]})
        return dict(counted.most_common())


def ratio(counts: dict[str, int]) -> float:
    """How many times as many rows the most frequent label has as the rarest; 1 where there are fewer than two."""
    rows = [n for name, n in counts.items() if name != _OTHER and n]
    return max(rows) / min(rows) if len(rows) > 1 else 1.0
