"""Exact duplicates, contradictions and exact leaks, from 16 bytes of each row."""

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
"""Indices of rows, ascending."""
MOST_ROWS = 20_000_000
"""Rows beyond it are not compared: 320 MB is enough."""


@dataclass(frozen=True)
class Twin:
    """A row, and an earlier one that it has to do with."""

    row: int
    other: int


@dataclass
class Keys:
    """What is remembered of each row."""

    most: int = MOST_ROWS
    _subjects: "array[int]" = field(default_factory=lambda: array("Q"))
    _rows: "array[int]" = field(default_factory=lambda: array("Q"))

    def add(self, subject: int, row: int) -> None:
        """One row."""
        if len(self._rows) < self.most:
            self._subjects.append(subject)
            self._rows.append(row)

    def __len__(self) -> int:
        return len(self._rows)

    def same(self, one: int, other: int) -> bool:
        """Whether two rows are exactly the same; False where one of them is beyond the bound."""
        return max(one, other) < len(self._rows) and self._rows[one] == self._rows[other]

    def contradict(self, one: int, other: int) -> bool:
        """Whether two rows share their subject; False where one of them is beyond the bound."""
        known = max(one, other) < len(self._rows)
        return known and bool(self._subjects[one]) and self._subjects[one] == self._subjects[other]

    def repeats(self, train: npt.NDArray[np.bool_]) -> list[Twin]:
        """Rows of train that repeat an earlier one exactly, each with the first of its like."""
        rows = np.flatnonzero(train[: len(self)])
        keys = self._array(self._rows)[rows]
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        origin = first[inverse]
        again = origin != np.arange(len(rows))
        return [Twin(int(r), int(o)) for r, o in zip(rows[again], rows[origin[again]], strict=True)]

    def contradictions(self, train: npt.NDArray[np.bool_]) -> list[Twin]:
        """Rows of train that share their subject with a different row, each with one that contradicts it."""
        subjects, keys = self._array(self._subjects), self._array(self._rows)
        rows = np.flatnonzero(train[: len(self)] & (subjects != 0))
        if not len(rows):
            return []
        order = rows[np.lexsort((keys[rows], subjects[rows]))]
        starts = np.flatnonzero(np.append(True, subjects[order][1:] != subjects[order][:-1]))
        sizes = np.diff(np.append(starts, len(order)))
        low, high = np.repeat(starts, sizes), np.repeat(starts + sizes - 1, sizes)
        key = keys[order]
        other = np.where(key[low] != key, low, high)
        found = np.flatnonzero(key[low] != key[high])
        found = found[np.argsort(order[found])]
        return [Twin(int(order[i]), int(order[other[i]])) for i in found]

    def leaks(self, train: npt.NDArray[np.bool_]) -> list[Twin]:
        """Rows of test that are in train as they are, each with the first such row."""
        keys = self._array(self._rows)
        in_train, in_test = np.flatnonzero(train[: len(self)]), np.flatnonzero(~train[: len(self)])
        known, first = np.unique(keys[in_train], return_index=True)
        if not len(known):
            return []
        at = np.minimum(np.searchsorted(known, keys[in_test]), len(known) - 1)
        found = np.flatnonzero(known[at] == keys[in_test])
        return [Twin(int(in_test[i]), int(in_train[first[at[i]]])) for i in found]

    @staticmethod
    def _array(numbers: "array[int]") -> npt.NDArray[np.uint64]:
        return np.frombuffer(numbers, np.uint64) if len(numbers) else np.empty(0, np.uint64)
