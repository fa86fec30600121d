"""From encoded rows to the tensors of a micro-batch."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.supervised import Encoded

TOKENS = "tokens"
"""Key of a micro-batch under which it says how many tokens each of its rows has, where masks do not tell. The model
never sees it."""


def filled(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """Rows of numbers as one tensor of rows x longest; what is missing at the end is filled up."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])


class Collator:
    """Fills the rows of a micro-batch up to its longest, at the end.

    Args:
        padding: a token id; masked, so any.
    """

    def __init__(self, padding: int) -> None:
        self._padding = padding

    def __call__(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Tensors of batch x longest: input_ids, attention_mask, labels."""
        return {
            "input_ids": filled([row.input_ids for row in rows], self._padding),
            "attention_mask": filled([[1] * len(row.input_ids) for row in rows], 0),
            "labels": filled([row.labels for row in rows], IGNORED),
        }


class Rows(torch.utils.data.Dataset[Any]):  # type: ignore[misc]  # torch is not followed
    """Rows, and after them as many of a filler as are missing.

    Args:
        rows: encoded rows.
        missing: how many to add.
        filler: a row from which nothing is learnt.
        view: what the Trainer sees of a row.
    """

    def __init__(
        self, rows: Sequence[Any], missing: int = 0, filler: Any = None, view: Callable[[Any], Any] | None = None
    ) -> None:
        self._rows = rows
        self._missing = missing
        self._filler = filler
        self._view = view
        self._served: list[int] | None = None

    @property
    def missing(self) -> int:
        """Fillers behind the rows."""
        return self._missing

    def note_served(self) -> None:
        """From now on, keeps which rows it served."""
        self._served = []

    def take_served(self) -> list[int]:
        """Which rows it served since the last time."""
        served, self._served = self._served or [], []
        return served

    def sources(self, index: int) -> Sequence[int]:
        """Which rows of the data a place is made of; of a filler, none."""
        if index >= len(self._rows):
            return ()
        of: Callable[[int], Sequence[int]] | None = getattr(self._rows, "sources", None)
        return of(index) if of else (index,)

    def serves(self, index: int) -> None:
        """Takes down that a row is served."""
        if self._served is not None:
            self._served.append(index)

    def __len__(self) -> int:
        return len(self._rows) + self._missing

    def __getitem__(self, index: int) -> Any:
        self.serves(index)
        row = self._rows[index] if index < len(self._rows) else self._filler
        return row if self._view is None else self._view(row)
