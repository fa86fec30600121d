"""Thirteen words in a row that are in train and test both: how contamination of test sets is usually told.

Runs that more than ten rows of train share are boilerplate, such as an instruction that each prompt begins with, and
tell nothing; nor do runs that overlap with such a one. Source: Brown et al. 2020, "Language Models are Few-Shot
Learners", appendix C.
"""

from dataclasses import dataclass, field
from itertools import starmap

import numpy as np
import numpy.typing as npt

from attune_trainer.data.quality.keys import Twin
from attune_trainer.data.quality.words import Batch, Hashes

WORDS = 13
BOILERPLATE = 10
MOST_RUNS = 6_000_000
"""Runs that are kept, in 96 MB. Beyond it half of them are let go of, again and again: the same ones of both sides."""
_TABLE_BITS = 24


@dataclass
class Runs:
    """The runs of all rows, or a sample of them that depends on the words alone."""

    most: int = MOST_RUNS
    _hashes: list[Hashes] = field(default_factory=list)
    _rows: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    _places: list[npt.NDArray[np.uint32]] = field(default_factory=list)
    """Index of each run's first word among all words; two rows' runs are always at least 13 apart."""
    _words: int = 0
    _kept: int = 0
    _halvings: int = 0

    def add(self, words: Batch, rows: npt.NDArray[np.int64]) -> None:
        """The runs of a batch.

        Args:
            words: the texts' words.
            rows: index of the row that each text is of.
        """
        hashes, owner, places = words.placed_runs(WORDS)
        if self._halvings:
            chosen = self._chosen(hashes)
            hashes, owner, places = hashes[chosen], owner[chosen], places[chosen]
        self._hashes.append(hashes)
        self._rows.append(rows[owner].astype(np.uint32))
        self._places.append((places + self._words).astype(np.uint32))
        self._words += len(words.owner)
        self._kept += len(hashes)
        while self._kept > self.most:
            self._halve()

    @property
    def one_in(self) -> int:
        """One in so many runs was looked at."""
        return 1 << self._halvings

    def shared(self, train: npt.NDArray[np.bool_]) -> list[Twin]:
        """Rows of test with a run that is in train too, and a row of train that has it."""
        if not self._kept:
            return []
        hashes, rows, places = self._columns()
        is_train = train[rows]
        known = np.unique(hashes[~is_train])
        if not len(known):
            return []
        likely = is_train & _may_be_among(hashes, known)
        place = np.minimum(np.searchsorted(known, hashes[likely]), len(known) - 1)
        hit = known[place] == hashes[likely]
        pairs = np.unique(np.stack([place[hit], rows[likely][hit].astype(np.int64)]), axis=1)
        rows_of_train = np.bincount(pairs[0], minlength=len(known))
        example = np.zeros(len(known), np.int64)
        example[pairs[0][::-1]] = pairs[1][::-1]
        asked = np.searchsorted(known, hashes[~is_train])
        leaks = self._telling(rows_of_train[asked], places[~is_train].astype(np.int64), int(train.sum()))
        found, first = np.unique(rows[~is_train][leaks], return_index=True)
        return list(starmap(Twin, zip(found.tolist(), example[asked[leaks][first]].tolist(), strict=True)))

    def _columns(self) -> tuple[Hashes, npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        self._hashes = [np.concatenate(self._hashes)]  # so that each column is there once
        self._rows, self._places = [np.concatenate(self._rows)], [np.concatenate(self._places)]
        return self._hashes[0], self._rows[0], self._places[0]

    @staticmethod
    def _telling(
        rows_of_train: npt.NDArray[np.int64], places: npt.NDArray[np.int64], train_rows: int
    ) -> npt.NDArray[np.bool_]:
        """Which runs of test, at these places, tell of a leak: few rows of train have them, and no boilerplate does."""
        limit = max(1, min(BOILERPLATE, train_rows // 2))
        common = places[rows_of_train > limit]
        if not len(common):
            return rows_of_train > 0
        after = np.searchsorted(common, places)
        far = np.full(len(places), np.iinfo(np.int64).max)
        behind = np.where(after > 0, places - common[after - 1], far)
        ahead = np.where(after < len(common), common[np.minimum(after, len(common) - 1)] - places, far)
        return np.asarray((rows_of_train > 0) & (np.minimum(behind, ahead) >= WORDS))

    def _chosen(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        return np.asarray(hashes & np.uint64(self.one_in - 1) == 0)

    def _halve(self) -> None:
        self._halvings += 1
        hashes, rows, places = self._columns()
        chosen = self._chosen(hashes)
        self._hashes, self._rows, self._places = [hashes[chosen]], [rows[chosen]], [places[chosen]]
        self._kept = int(chosen.sum())


def _may_be_among(hashes: Hashes, known: Hashes) -> npt.NDArray[np.bool_]:
    """Rules out most of what is not among `known`, much quicker than a search in order."""
    low = np.uint64((1 << _TABLE_BITS) - 1)
    table = np.zeros(1 << _TABLE_BITS, bool)
    table[known & low] = True
    return np.asarray(table[hashes & low])
