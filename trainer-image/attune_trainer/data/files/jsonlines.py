"""JSON Lines: one object to a line."""

from collections.abc import Iterator
from typing import BinaryIO

from attune_trainer.data import rows
from attune_trainer.data.files.base import Record
from attune_trainer.data.files.lines import Lines
from attune_trainer.data.problems import Finding


def records(stream: BinaryIO, rating: str | None) -> Iterator[Record]:
    """The rows of a file; blank lines are passed over.

    Args:
        stream: bytes.
        rating: a column in which NaN is told apart from other faults of JSON.
    """
    parse = rows.parse
    for number, text, finding in Lines(stream):
        if text is None:
            yield Record(number, None, finding)
            continue
        row = parse(text, rating)
        yield Record(number, None, row) if isinstance(row, Finding) else Record(number, row)
