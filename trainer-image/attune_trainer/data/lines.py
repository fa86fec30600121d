"""Lines of a file, numbered as an editor numbers them; a file of any size in constant memory."""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from attune_trainer.data.problems import Finding

LONGEST_LINE = 64 << 20
"""Bytes. No sequence is that long; a line beyond it is passed over instead of filling the memory."""
_CHUNK = 1 << 20
_WIDE_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16", codecs.BOM_UTF32_BE: "UTF-32"}


@dataclass(frozen=True)
class Line:
    """One line that is not blank."""

    number: int
    """From 1."""
    text: str | None
    finding: Finding | None = None
    """Why there is no text."""


@dataclass
class Lines:
    """Reads a stream once, and knows the file's digest when it is through.

    A byte-order mark, CRLF and blank lines are fine.
    """

    stream: BinaryIO
    longest: int = LONGEST_LINE
    _sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __iter__(self) -> Iterator[Line]:
        for number, raw in enumerate(self._raw(), start=1):
            if number == 1 and (wide := _wide_encoding(raw)):
                yield Line(1, None, Finding("encoding_error", f"the file is {wide}; save it as UTF-8"))
                self._drain()
                return
            if raw is None:
                limit = self.longest >> 20
                yield Line(number, None, Finding("prompt_too_long", f"the line is longer than {limit} MiB"))
                continue
            line = _decode(number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw)
            if line.finding or (line.text and not line.text.isspace()):
                yield line

    @property
    def sha256(self) -> str:
        """`sha256:…` over the bytes read so far."""
        return f"sha256:{self._sha256.hexdigest()}"

    def _raw(self) -> Iterator[bytes | None]:
        """Lines without their end; None for one that is too long."""
        while line := self._read(self.longest):
            if line.endswith(b"\n"):
                yield line.rstrip(b"\r\n")
            elif len(line) < self.longest:
                yield line  # the last line, without an end
            else:
                self._skip_line()
                yield None

    def _read(self, limit: int) -> bytes:
        line = self.stream.readline(limit)
        self._sha256.update(line)
        return line

    def _skip_line(self) -> None:
        while (piece := self._read(_CHUNK)) and not piece.endswith(b"\n"):
            pass

    def _drain(self) -> None:
        while self._read(_CHUNK):
            pass


def _wide_encoding(raw: bytes | None) -> str | None:
    return next((name for mark, name in _WIDE_MARKS.items() if raw and raw.startswith(mark)), None)


def _decode(number: int, raw: bytes) -> Line:
    try:
        return Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} of the line (0x{raw[error.start]:02x}) is not UTF-8; save the file as UTF-8"
        return Line(number, None, Finding("encoding_error", found))
