"""Rows with sensitive text or control tokens: how many, of which kinds, and where the first ones are."""

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from attune_contract.enums import DataWarning
from attune_trainer.data.quality import sensitive
from attune_trainer.data.quality.special import SpecialTokens

EXAMPLES = 20
"""Rows that the report names for each warning."""


@dataclass
class Tally:
    """Rows with one thing."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    first: list[tuple[int, str]] = field(default_factory=list)
    """The first rows by index, each with the kind that was found there."""
    _last: int = -1
    _kinds_of_last: set[str] = field(default_factory=set)

    def add(self, row: int, kind: str) -> None:
        """Counts a row once, and once for each kind."""
        if row != self._last:
            self._last, self._kinds_of_last = row, set()
            self.rows += 1
            if len(self.first) < EXAMPLES:
                self.first.append((row, kind))
        if kind not in self._kinds_of_last:
            self._kinds_of_last.add(kind)
            self.kinds[kind] += 1


@dataclass
class Scan:
    """Looks through texts.

    Args:
        special: the tokenizer's control tokens.
    """

    special: SpecialTokens
    of: dict[DataWarning, Tally] = field(
        default_factory=lambda: {
            code: Tally() for code in (DataWarning.PERSONAL_DATA, DataWarning.SECRETS, DataWarning.SPECIAL_TOKENS)
        }
    )

    def look(self, search: sensitive.Search, row: int, text: str, digits: int) -> None:
        """One text of a row, with as many digits; the texts of a row come one after another."""
        for hit in search.find(text, digits):
            self.of[hit.kind.code].add(row, hit.kind.name)
        self._look_for_tokens(row, text)

    def look_again(self, row: int, text: str) -> None:
        """Text that many rows share, such as a system message: it is searched once."""
        for kind in _kinds_in(text):
            self.of[kind.code].add(row, kind.name)
        self._look_for_tokens(row, text)

    def _look_for_tokens(self, row: int, text: str) -> None:
        token = self.special.find(text)
        if token:
            self.of[DataWarning.SPECIAL_TOKENS].add(row, token)


@lru_cache(maxsize=64)
def _kinds_in(text: str) -> frozenset[sensitive.Kind]:
    return frozenset(hit.kind for hit in sensitive.find(text))
