"""What every reader yields."""

from typing import NamedTuple

from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row


class Cells(dict[str, str]):
    """A row of a file that knows only text (.csv, .tsv): `true` and `4.5` in it may stand for what they look like."""


class Part(NamedTuple):
    """A document, or a part of a long one."""

    text: str
    continues: bool
    """Whether it goes on where the one before it ended."""


class Record(NamedTuple):
    """One row of a file, a part of a document, or what is wrong in its place."""

    line: int | None
    """From 1; of .parquet, the row; None where a problem is the file's."""
    row: Row | None = None
    finding: Finding | None = None
    part: Part | None = None


def broken(code: str, message: str, line: int | None = None) -> Record:
    """A problem after which nothing of the file can be read."""
    return Record(line, finding=Finding(code, message, whole_file=True))
