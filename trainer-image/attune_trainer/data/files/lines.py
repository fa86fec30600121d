"""Lines of a stream, numbered as an editor numbers them."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from attune_trainer.data.problems import Finding

LONGEST_LINE = 16 << 20
"""Bytes. No sequence is that long; a line beyond it is passed over instead of filling the memory."""
_CHUNK = 1 << 20
_WIDE_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF32_BE: "UTF-32"}


class Line(NamedTuple):
    """One line."""

    number: int
    """From 1."""
    text: str | None
    finding: Finding | None = None
    """Why there is no text."""


@dataclass(frozen=True)
class Lines:
    r"""Reads a stream once. A byte-order mark and CRLF are fine.

    Args:
        stream: bytes.
        longest: bytes of a line; a longer one is passed over and found fault with.
        whole: whether blank lines and the ends of lines (as `\\n`) are wanted too.
    """

    stream: BinaryIO
    longest: int = LONGEST_LINE
    whole: bool = False

    def __iter__(self) -> Iterator[Line]:
        for number, raw in enumerate(self._raw(), start=1):
            if number == 1 and (wide := _wide_encoding(raw)):
                yield Line(1, None, Finding("encoding_error", f"the file is {wide}; save it as UTF-8", whole_file=True))
                return
            if raw is None:
                limit = self.longest >> 20
                yield Line(number, None, Finding("prompt_too_long", f"the line is longer than {limit} MiB"))
                continue
            try:
                text = (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).decode("utf-8")
            except UnicodeDecodeError as error:
                yield Line(number, None, _not_utf8(error))
                continue
            if self.whole and "\0" in text:
                yield Line(number, None, _nul(number))
                continue
            if self.whole or (text and not text.isspace()):
                yield Line(number, text)

    def _raw(self) -> Iterator[bytes | None]:
        """Lines, with their end only where they are wanted whole; None for one that is too long."""
        longest = self.longest
        readline = self.stream.readline
        while line := readline(longest):
            if line[-1] == _NEWLINE:
                bare = line.rstrip(b"\r\n")
                yield bare + b"\n" if self.whole else bare
            elif len(line) < longest:
                yield line  # the last line, without an end
            else:
                while (piece := readline(_CHUNK)) and piece[-1] != _NEWLINE:
                    pass
                yield None


_NEWLINE = ord("\n")


def _wide_encoding(raw: bytes | None) -> str | None:
    return next((name for mark, name in _WIDE_MARKS.items() if raw and raw.startswith(mark)), None)


def _nul(number: int) -> Finding:
    """NUL characters are no text; from the first line on, they are UTF-16 without a byte-order mark."""
    text = "the line has NUL characters; save the file as UTF-8"
    return Finding("encoding_error", text, whole_file=number == 1)


def _not_utf8(error: UnicodeDecodeError) -> Finding:
    byte = error.object[error.start]
    found = f"byte {error.start + 1} of the line (0x{byte:02x}) is not UTF-8; save the file as UTF-8"
    return Finding("encoding_error", found)
