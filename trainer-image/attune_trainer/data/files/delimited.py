"""Comma- and tab-separated values (RFC 4180): a header, then one row per record; quoted cells may have line breaks."""

import csv
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from attune_trainer.data.files.base import Cells, Record, broken
from attune_trainer.data.files.lines import LONGEST_LINE, Lines
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import shown


def records(stream: BinaryIO, delimiter: str) -> Iterator[Record]:
    """The rows of a file; a row's line is the one that it begins on.

    Args:
        stream: bytes.
        delimiter: a comma or a tab.
    """
    csv.field_size_limit(LONGEST_LINE)
    source = _Source(Lines(stream, whole=True))
    table = csv.reader(source, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = source.line + 1
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            source.take_fault()
            yield Record(line, None, Finding("data_type", _words(error)))
            continue
        fault = source.take_fault()
        if fault:
            yield Record(*fault)
            if fault[2].whole_file:
                return
        elif header is None and cells:
            header = cells
            if twice := [name for name, count in Counter(header).items() if count > 1 and name]:
                yield broken("data_type", f"the column {shown(twice[0])} is there twice in the header", line)
                return
        elif header is not None and cells:  # a blank line has none
            yield _record(line, header, cells)


class _Source:
    """Gives lines to the csv module, and remembers how far it is and which of them were at fault."""

    def __init__(self, lines: Lines) -> None:
        self._lines = iter(lines)
        self._fault: tuple[int, None, Finding] | None = None
        self.line = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, text, finding = next(self._lines)
        self.line = number
        if text is None:
            if self._fault is None and finding:
                self._fault = (number, None, finding)
            return "\n"
        return text

    def take_fault(self) -> tuple[int, None, Finding] | None:
        """What was wrong with the lines since it was last asked."""
        fault, self._fault = self._fault, None
        return fault


def _record(line: int, header: list[str], cells: list[str]) -> Record:
    if len(cells) < len(header):
        missing = header[len(cells)]
        text = f"the row has {len(cells)} cells and the header {len(header)}: {shown(missing)} is missing"
        return Record(line, None, Finding("missing_column", text, missing[:60]))
    if len(cells) > len(header):
        text = (
            f"the row has {len(cells)} cells and the header {len(header)}; put cells that contain the delimiter into "
            'quotes: "…"'
        )
        return Record(line, None, Finding("data_type", text))
    return Record(line, Cells(zip(header, cells, strict=True)))


def _words(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "not a row: a quote is opened and never closed"
    if "field limit" in text:
        return f"not a row: a cell is longer than {LONGEST_LINE >> 20} MiB; is a quote not closed?"
    return f'not a row: {text}; a quote within a cell is doubled: ""'
