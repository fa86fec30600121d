"""Problems of the data: all of them on disk, the first few and the counts in memory."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from attune_contract.outcome import RowError
from attune_trainer.data.quality.sensitive import mask
from attune_trainer.data.quality.shapes import shape
from attune_trainer.errors import StageError

FIRST = 20
"""How many problems the resource's status shows."""
_SHAPES = 200


@dataclass(frozen=True)
class Finding:
    """What is wrong with one row, before it is said where the row is."""

    code: str
    message: str
    field: str | None = None
    whole_file: bool = False
    """Whether nothing of the file can be read any more: no share of bad rows makes up for that."""


@dataclass
class ProblemLog:
    """Collects problems in constant memory.

    Args:
        path: a scratch file that takes one JSON object per line.
    """

    path: Path
    first: list[RowError] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    beyond_rows: int = 0
    """Problems of files and of the whole; no share of bad rows makes up for them."""
    shapes: dict[tuple[str, int], str] = field(default_factory=dict)
    """Shapes of the first bad rows, by file and line."""

    def __post_init__(self) -> None:
        self._file: TextIO = self.path.open("w", encoding="utf-8")

    @property
    def total(self) -> int:
        """How many problems there are."""
        return self.counts.total()

    def add(self, error: RowError, *, of_row: bool = False) -> None:
        """Takes one problem; `of_row` where dropping the row would be rid of it."""
        error = error.model_copy(update={"message": mask(error.message)})  # some messages quote the row
        self.counts[error.code] += 1
        self.beyond_rows += not of_row
        if len(self.first) < FIRST:
            self.first.append(error)
        self._file.write(error.model_dump_json(exclude_none=True) + "\n")

    def remember(self, file: str, line: int | None, row: object) -> None:
        """Keeps the shape of one of the first bad rows."""
        if line is not None and len(self.shapes) < _SHAPES:
            self.shapes[file, line] = shape(row)

    def add_error(self, error: StageError, file: str, code: str) -> None:
        """Takes what a store said of a file."""
        self.add(RowError(code=code, file=file, message=str(error)))

    def all(self) -> Iterator[dict[str, object]]:
        """Every problem, in order."""
        self._file.flush()
        with self.path.open(encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines)

    def summary(self) -> str:
        """Counts by code in words: `missing_column 2, invalid_json 1`."""
        return ", ".join(f"{code} {count}" for code, count in self.counts.most_common())
