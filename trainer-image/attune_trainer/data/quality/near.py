"""Rows that hardly differ: MinHash over pairs of words (Broder 1997).

Candidates are found by bands (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter 3). datasketch makes the
signatures; bands are compared by sorting, which is quicker than its index and takes less memory.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from attune_trainer.data.quality.keys import Twin
from attune_trainer.data.quality.words import Batch

MOST_ROWS = 50_000
"""Rows of the train files that are compared, and as many of the test files at most; later ones are not."""
MOST_SHINGLES = 16_000_000
"""Pairs of words that are kept, in 64 MB."""
MOST_OF_ROW = 2_000
"""Pairs of words of one row that are kept: those of the lowest hashes."""
SIMILAR = 0.75
"""Rows are nearly the same from this Jaccard similarity of their pairs of words on: one word in twenty differs."""
_SHINGLE = 2
_BANDS, _PER_BAND = 21, 6
"""Two rows of similarity s become candidates with probability 1 - (1 - s^6)^21: 0.98 at 0.75, and 0.28 at 0.5."""
_SIGNATURE = _BANDS * _PER_BAND
_COMMON_SHARE, _COMMON_ROWS = 0.1, 10
"""Pairs of words in more rows than this, both as a share and in number, are boilerplate; they are not compared."""
_FEWEST = 4
"""Rows that consist of boilerplate but for fewer pairs are compared with it."""
Signatures = npt.NDArray[np.uint32]


@dataclass
class Shingles:
    """Pairs of words of the first rows."""

    most_rows: int = MOST_ROWS
    most: int = MOST_SHINGLES
    seconds: float = 0.0
    """What the search has cost."""
    _rows: list[int] = field(default_factory=list)
    _sets: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    _count: int = 0
    _of_side: list[int] = field(default_factory=lambda: [0, 0])
    _left_out: int = 0

    def wants(self, *, test_file: bool) -> bool:
        """Whether another row is taken; asked once for each row."""
        if self._of_side[test_file] >= self.most_rows or self._count >= self.most:
            self._left_out += 1
            return False
        self._of_side[test_file] += 1
        return True

    def add(self, words: Batch, rows: npt.NDArray[np.int64], wanted: npt.NDArray[np.bool_]) -> None:
        """The pairs of words of a batch.

        Args:
            words: the texts' words.
            rows: index of the row that each text is of, ascending.
            wanted: whether the row of each text is taken.
        """
        began = time.perf_counter()
        if wanted.any():
            hashes, owner = words.runs(_SHINGLE)
            chosen = wanted[owner]
            self._take((hashes[chosen] >> np.uint64(32)).astype(np.uint32), rows[owner[chosen]])
        self.seconds += time.perf_counter() - began

    @property
    def rows(self) -> int:
        """Rows that are compared."""
        return sum(self._of_side)

    @property
    def left_out(self) -> int:
        """Rows that are not."""
        return self._left_out

    def twins(self, train: npt.NDArray[np.bool_]) -> list[Twin]:
        """Rows that are nearly a row of train: each row of train with an earlier one, rows of test with any.

        Every row is compared with the first of each group that a band puts it in, so that cost grows with rows and not
        with their pairs. A row may come several times.

        Args:
            train: which rows are in train.
        """
        began = time.perf_counter()
        found = list(self._twins(train)) if len(self._sets) > 1 else []
        self.seconds += time.perf_counter() - began
        return found

    def _take(self, hashes: npt.NDArray[np.uint32], rows: npt.NDArray[np.int64]) -> None:
        starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1])) if len(rows) else rows
        for start, part in zip(starts, np.split(hashes, starts[1:]), strict=False):
            row, own = int(rows[start]), np.unique(part)
            if self._rows and self._rows[-1] == row:  # a long row comes in several texts
                own = np.union1d(self._sets.pop(), own)
                self._count -= len(own)
            else:
                self._rows.append(row)
            self._sets.append(own[:MOST_OF_ROW])  # hashes are sorted, and as good as random
            self._count += len(own[:MOST_OF_ROW])

    def _twins(self, train: npt.NDArray[np.bool_]) -> Iterator[Twin]:
        rows = np.array(self._rows)
        order = np.argsort(~train[rows], kind="stable")  # train first, so that a group's first is of train if any is
        rows = rows[order]
        signatures = np.stack(list(_signatures(self._telling())))[order]
        later, earlier = _candidates(signatures)
        of_train = train[rows[earlier]]
        later, earlier = later[of_train], earlier[of_train]
        for start in range(0, len(later), 100_000):  # in parts: each pair takes half a kilobyte here
            part = slice(start, start + 100_000)
            alike = (signatures[later[part]] == signatures[earlier[part]]).mean(axis=1) >= SIMILAR
            for one, other in zip(rows[later[part][alike]], rows[earlier[part][alike]], strict=True):
                yield Twin(int(one), int(other))

    def _telling(self) -> Iterator[npt.NDArray[np.uint32]]:
        """The pairs of words of each row without boilerplate."""
        every = np.concatenate(self._sets)
        known, rows_of = np.unique(every, return_counts=True)
        common = known[rows_of > max(_COMMON_ROWS, _COMMON_SHARE * len(self._sets))]
        place = np.minimum(np.searchsorted(common, every), max(0, len(common) - 1))
        rare = common[place] != every if len(common) else np.ones(len(every), bool)
        ends = np.cumsum([len(own) for own in self._sets])
        for own, telling in zip(self._sets, np.split(rare, ends[:-1]), strict=True):
            yield own[telling] if telling.sum() >= _FEWEST else own


def _signatures(sets: Iterator[npt.NDArray[np.uint32]]) -> Iterator[Signatures]:
    from datasketch import MinHash  # it brings scipy along, which takes a moment

    as_lists = (own.tolist() for own in sets)
    made: Any
    for made in MinHash.generator(as_lists, num_perm=_SIGNATURE, hashfunc=_itself, scheme="affine32"):
        yield made.hashvalues


def _itself(value: int) -> int:
    """The pairs of words are hashes already."""
    return value


def _candidates(signatures: Signatures) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of rows that agree in a band, as (later, earlier), each pair once."""
    count = len(signatures)
    pairs: list[npt.NDArray[np.int64]] = []
    for band in range(_BANDS):
        part = np.ascontiguousarray(signatures[:, band * _PER_BAND : (band + 1) * _PER_BAND])
        words = part.view([("", part.dtype)] * _PER_BAND).ravel()
        _, first, group = np.unique(words, return_index=True, return_inverse=True)
        earlier = first[group]
        later = np.flatnonzero(earlier != np.arange(count))
        pairs.append(later * count + earlier[later])
    every = np.unique(np.concatenate(pairs))
    return every // count, every % count
