"""A training that goes wrong: a loss that is no number, or one that exploded; at which step, and from which rows.

The losses of steps are looked at when they are logged, so that an accelerator is not waited for at every one.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from attune_trainer.checkpointing.gang import Gang
from attune_trainer.errors import DivergedError

FACTOR = 3.0
LEAST = 1.0
PATIENCE = 20
"""A loss has exploded that is, at so many logged steps in a row, over FACTOR times the median of those before (or of
LEAST, where that is more). Single spikes, which training recovers from, do not count."""
MOST_ROWS = 20
"""So many rows are named; the others of a batch are counted."""


@dataclass
class Batch:
    """What one optimizer step of this process learnt from."""

    step: int
    rows: list[int]
    """Places in the data that the Trainer sees: rows, packed sequences or windows."""
    losses: list[torch.Tensor]


class Remembering:
    """A collator that remembers which rows it was given, in the order in which they are learnt.

    Args:
        inner: makes the micro-batches.
        data: whose rows; it notes which ones it served.
    """

    def __init__(self, inner: Callable[[Sequence[Any]], Any], data: Any) -> None:
        self._inner = inner
        self._data = data
        self.waiting: deque[list[int]] = deque()
        """Micro-batches that were made and are not learnt yet."""

    def __call__(self, rows: Sequence[Any]) -> Any:
        """The micro-batch."""
        served = self._data.take_served()
        if served:  # none: these rows are of the data that training is watched with
            self.waiting.append(served)
        return self._inner(rows)


class Record:
    """The batches since the last logged step, and the losses that were logged.

    Args:
        gang: the processes that train together.
        ids: row ids of places in the data; read only when something went wrong.
        advice: how to mend it.
    """

    def __init__(self, gang: Gang, ids: Callable[[Iterable[int]], list[str]], advice: str) -> None:
        self._gang = gang
        self._ids = ids
        self._advice = advice
        self._batches: list[Batch] = []
        self._above: list[Batch] = []
        self._logged: list[float] = []

    def resume(self, losses: Iterable[float]) -> None:
        """Takes over what earlier attempts logged."""
        self._logged = list(losses)

    def learnt(self, step: int, rows: list[int], loss: torch.Tensor) -> None:
        """A micro-batch was learnt.

        Args:
            step: optimizer steps done with it.
            rows: places in the data.
            loss: of it, on whatever device.
        """
        if not self._batches or self._batches[-1].step != step:
            self._batches.append(Batch(step, [], []))
        self._batches[-1].rows += rows
        self._batches[-1].losses.append(loss)

    def check(self, loss: float, step: int, total: int) -> None:
        """Looks at a logged loss. All processes log at the same steps, and see the same figure.

        Args:
            loss: mean since the last logged step.
            step: optimizer steps done.
            total: in all.

        Raises:
            DivergedError: it is no number, or it exploded.
        """
        batches, self._batches = self._batches, []
        if not math.isfinite(loss):
            self._refuse(f"The loss became {loss}", _first_bad(batches), step, total)
        usual = statistics.median(self._logged) if len(self._logged) >= PATIENCE else math.inf
        if loss <= FACTOR * max(usual, LEAST):
            self._logged.append(loss)
            self._above = []
            return
        self._above += batches[:1]
        if len(self._above) >= PATIENCE:
            self._refuse(f"The loss exploded from {usual:.3g} to {loss:.3g}", self._above[0], step, total)

    def _refuse(self, what: str, batch: Batch | None, step: int, total: int) -> None:
        own = [batch.step, self._ids(batch.rows)] if batch else [step, []]
        said = self._gang.all(own)
        first = min(at for at, _ in said)
        rows = list(dict.fromkeys(row for at, found in said if at == first for row in found))
        raise DivergedError(f"{what} at step {first} of {total}{_in_words(rows)}. {self._advice}")


def row_ids(read: Callable[[], Iterable[str]], sources: Callable[[int], Iterable[int]]) -> Callable[..., list[str]]:
    """Looks up row ids.

    Args:
        read: the ids of all rows in their order.
        sources: which rows a place in the data is made of.
    """

    def look_up(places: Iterable[int]) -> list[str]:
        wanted = {row for place in places for row in sources(place)}
        numbered = enumerate(islice(read(), max(wanted, default=-1) + 1))
        return [row for number, row in numbered if number in wanted]

    return look_up


def _first_bad(batches: Sequence[Batch]) -> Batch | None:
    """The first step whose loss is no number; where none of this process is, another's was: the last one."""
    bad = (b for b in batches if not all(bool(torch.isfinite(loss).all()) for loss in b.losses))
    return next(bad, batches[-1] if batches else None)


def _in_words(rows: Sequence[str]) -> str:
    """Row ids, `<file>#<number>`, file by file."""
    files: dict[str, list[str]] = {}
    for row in rows[:MOST_ROWS]:
        file, _, number = row.rpartition("#")
        files.setdefault(file, []).append(number)
    said = "; ".join(", ".join(numbers) + (f" of {file}" if file else "") for file, numbers in files.items())
    more = f" and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
    return f", learning rows {said}{more}" if rows else ""
