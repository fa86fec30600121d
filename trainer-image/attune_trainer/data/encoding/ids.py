"""Many lists of token ids in little memory."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any


class IdLists(Sequence[list[int]]):
    """Lists of token ids in four bytes per id; as lists of numbers they would take thirty and more."""

    def __init__(self) -> None:
        self._ids, self._ends = array("i"), array("q", [0])

    def extend(self, rows: Iterable[Sequence[int]]) -> None:
        """Adds lists."""
        for row in rows:
            self._ids.extend(row)
            self._ends.append(len(self._ids))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index % len(self)
        return list(self._ids[self._ends[place] : self._ends[place + 1]])
