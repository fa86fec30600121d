"""Other runs below the same `output.uri`: where scores may lie that this run would only repeat. Read, never written."""

import logging
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from attune_contract import layout, uris
from attune_trainer.errors import StageError, StoreUnreachableError
from attune_trainer.storage.base import Store

MOST_RUNS = 256
"""Runs that are looked into; each is one listing."""
MOST_SECONDS = 30.0
"""After which no further run is looked into: the base is scored soon enough."""
_log = logging.getLogger(__name__)


@dataclass
class Siblings:
    """Looks into other runs, each once, and only as far as it must.

    What goes wrong on the way ends the search and never the evaluation: it is told in the log, and rows are scored.

    Args:
        store: of the output.
        runs: the prefix that all runs lie below; it ends in `/`.
        own: the id of this run, which is left out.
        now: a monotonic clock in seconds.
    """

    store: Store
    runs: str
    own: str
    now: Callable[[], float] = time.monotonic
    _names: list[str] | None = None
    _scores: dict[str, frozenset[str]] = field(default_factory=dict)
    _until: float | None = None
    _ended: bool = False

    def holding(self, *paths: str) -> Iterator[str]:
        """Ids of runs that have all of some objects.

        Args:
            paths: relative to a run, below `scores/`.
        """
        for name in self._all():
            if name not in self._scores and not self._look(name):
                continue
            if self._scores[name].issuperset(paths):
                yield name

    def root(self, name: str) -> str:
        """The prefix of a run."""
        return uris.join(self.runs, name)

    def give_up(self, error: StageError) -> None:
        """Ends the search where the store does not answer: every further question would wait a minute for nothing."""
        if isinstance(error, StoreUnreachableError):
            self._ended = True

    def _all(self) -> list[str]:
        """From this run's place in the order on, and round: no store lists by age, and ids are drawn at random."""
        if self._names is None:
            self._until = self.now() + MOST_SECONDS
            self._names = []
            try:
                found = sorted(name for name in self.store.folders(self.runs) if name != self.own)
            except StageError as error:
                _log.warning("other runs are not looked into for scores: %s", error)
            else:
                start = bisect(found, self.own)
                self._names = list(islice([*found[start:], *found[:start]], MOST_RUNS))
        return self._names

    def _look(self, name: str) -> bool:
        """Whether it could be looked into."""
        if self._ended or (self._until is not None and self.now() > self._until):
            return False
        prefix = self.root(name) + "/"
        try:
            found = self.store.list(f"{prefix}{layout.SCORES}/")
            self._scores[name] = frozenset(info.uri.removeprefix(prefix) for info in found)
        except StageError as error:
            _log.warning("run %s is not looked into for scores: %s", name, error)
            self.give_up(error)
            return False
        return True
