"""Plain text: one document per file, in parts that can be held out and streamed."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from attune_trainer.data.files.base import Part, Record
from attune_trainer.data.files.lines import Lines

PART = 4000
"""Characters of a part, at most."""


def records(stream: BinaryIO) -> Iterator[Record]:
    """The parts of a document, each at the line that it begins on."""
    faults: list[Record] = []
    continues = False
    for number, text in parts(_lines(stream, faults)):
        yield from faults
        faults.clear()
        if not text.isspace():
            yield Record(number, part=Part(text, continues))
            continues = True
    yield from faults


def parts(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Cuts a document: at blank lines where it can be, else at the ends of lines, of words, or where it must be.

    Args:
        lines: their numbers and texts, with their ends.

    Yields:
        Number of the first line, and text. All texts behind each other are the document.
    """
    first, held = 0, ""
    for number, piece in _paragraphs(lines):
        if held and len(held) + len(piece) > PART:
            yield first, held
            held = ""
        first = first if held else number
        held += piece
    if held:
        yield first, held


def _paragraphs(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Paragraphs, with the blank lines behind them; one that is too long in pieces."""
    first, held, ended = 0, "", False
    for number, line in lines:
        blank = line.isspace()
        for piece in [line] if len(line) <= PART else _pieces(line):
            if held and ((ended and not blank) or len(held) + len(piece) > PART):
                yield first, held
                held = ""
            first = first if held else number
            held += piece
        ended = blank
    if held:
        yield first, held


def _pieces(line: str) -> Iterator[str]:
    at = 0
    while at < len(line):
        end = at + PART
        space = line.rfind(" ", at + 1, end) if end < len(line) else -1
        end = space if space > at else end
        yield line[at:end]
        at = end


def _lines(stream: BinaryIO, faults: list[Record]) -> Iterator[tuple[int, str]]:
    for number, text, finding in Lines(stream, whole=True):
        if text is None:
            faults.append(Record(number, None, finding))
            if finding and finding.whole_file:
                return
        else:
            yield number, text
