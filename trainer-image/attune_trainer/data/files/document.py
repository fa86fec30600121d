"""JSON that is one document: a list of objects, one object, or several behind each other, over many lines."""

import codecs
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from attune_trainer.data import rows
from attune_trainer.data.files import jsonlines
from attune_trainer.data.files.base import Record, broken
from attune_trainer.data.files.lines import LONGEST_LINE
from attune_trainer.data.problems import Finding

_CHUNK = 1 << 16
_NEAR_THE_END = 16
"""Characters. What the parser stumbles over closer to the end of the buffer may only be cut off."""
_SPACE = re.compile(r"[ \t\n\r]*")


def records(stream: BinaryIO, rating: str | None) -> Iterator[Record]:
    """The rows of a .json file: JSON Lines where its first line is a whole object, else values behind each other."""
    first = _first_line(stream)
    rest = io.BufferedReader(_Joined(first, stream), 1 << 20)
    text = first.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").strip()
    wide = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE))
    if wide or (text[:1] not in {"[", "{", ""}) or (text[:1] == "{" and _is_whole(text)):
        yield from jsonlines.records(rest, rating)
    else:
        yield from _Values(rest, rating).records()


def _first_line(stream: BinaryIO) -> bytes:
    """The first line that is not blank, with those before it."""
    found = b""
    while line := stream.readline(LONGEST_LINE):
        found += line
        if line.strip() or len(found) > LONGEST_LINE:
            break
    return found


def _is_whole(text: str) -> bool:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.msg == "Extra data"
    except (ValueError, RecursionError):
        pass
    return True


class _Joined(io.RawIOBase):
    """Bytes that were read already, and the stream that they came from."""

    def __init__(self, first: bytes, stream: BinaryIO) -> None:
        self._first = io.BytesIO(first)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        data = self._first.read(len(buffer)) or self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Values:
    """Takes one value after the other from a buffer that grows only as far as a value needs."""

    def __init__(self, stream: BinaryIO, rating: str | None) -> None:
        self._stream = stream
        self._rating = rating
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self._text, self._at, self._line = "", 0, 1
        self._ended = False
        self._fault_line: int | None = None
        self._indent: str | None = None
        """White space before the first object, where it begins a line: those that follow begin alike."""

    def records(self) -> Iterator[Record]:
        """The rows, up to the first fault that nothing can be read after."""
        in_list = self._peek() == "["
        if in_list:
            self._skip(1)
        yield from self._rows(in_list=in_list)

    def _rows(self, *, in_list: bool) -> Iterator[Record]:
        separated = True
        while character := self._peek():
            if in_list and character == "]":
                self._skip(1)
                if self._peek():
                    yield broken("invalid_json", "there is text after the end of the list", self._line)
                return
            fault = None if separated or not in_list else self._comma(character)
            self._note_indent()
            line = self._line
            taken = fault or self._take()
            if isinstance(taken, str):
                row = _undecoded(taken) or rows.parse(taken, self._rating)
                yield Record(line, None, row) if isinstance(row, Finding) else Record(line, row)
                separated = False
                continue
            going_on = not taken.whole_file and self._resume()
            yield Record(self._fault_line or line, None, taken if going_on else replace(taken, whole_file=True))
            if not going_on:
                return
            separated = True
        if in_list:
            yield broken("invalid_json", "the list is not closed: the file ends early", self._line)

    def _comma(self, character: str) -> Finding | None:
        self._fault_line = self._line
        if character != ",":
            return Finding("invalid_json", "not JSON: between two rows of the list there must be a comma")
        self._skip(1)
        if self._peek() == "]":
            return Finding("invalid_json", "not JSON: there is a comma after the last row of the list")
        return None

    def _take(self) -> "str | Finding":
        """The text of one value, or why there is none."""
        self._fault_line = None
        while True:
            try:
                _, end = _LENIENT.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.pos >= len(self._text) - _NEAR_THE_END or error.msg.startswith("Unterminated string")
                if self._ended or not cut:
                    self._fault_line = self._line + self._text.count("\n", self._at, error.pos)
                    column = error.pos - self._text.rfind("\n", 0, error.pos)
                    return Finding("invalid_json", f"not JSON: {error.msg} at column {column}")
            except (RecursionError, ValueError) as error:
                what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                return Finding("invalid_json", f"not usable JSON: {what}", whole_file=True)
            else:
                if end < len(self._text) or self._ended:
                    text = self._text[self._at : end]
                    self._skip(len(text))
                    return text
            if len(self._text) - self._at > LONGEST_LINE:
                text = f"one row is longer than {LONGEST_LINE >> 20} MiB, and nothing after it was read"
                return Finding("prompt_too_long", text, whole_file=True)
            self._more(max(_CHUNK, len(self._text) - self._at))

    def _resume(self) -> bool:
        """After a fault, goes to the next line that begins as the first row did; False where there is none."""
        if self._indent is None:
            return False
        begins = f"\n{self._indent}{{"
        while (found := self._text.find(begins, self._at)) < 0:
            if self._ended:
                return False
            self._skip(max(0, len(self._text) - self._at - len(begins)))
            self._more(_CHUNK)
        self._skip(found + 1 - self._at)
        return True

    def _note_indent(self) -> None:
        if self._indent is None and self._line > 1:
            indent = self._text[self._text.rfind("\n", 0, self._at) + 1 : self._at]
            self._indent = indent if indent.isspace() or not indent else None

    def _peek(self) -> str:
        """The next character that is no white space, which stays; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._skip((match.end() if match else self._at) - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._more(_CHUNK)

    def _skip(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _more(self, size: int) -> None:
        """Reads on; what was passed goes, but for the line that the next value begins on."""
        data = self._stream.read(size)
        self._ended = not data
        keep = max(self._text.rfind("\n", 0, self._at), 0) if self._indent is None else self._at
        keep = keep if self._at - keep < _CHUNK else self._at
        self._text = self._text[keep:] + self._decoder.decode(data, final=not data)
        self._at -= keep


def _undecoded(text: str) -> Finding | None:
    """Bytes that are not UTF-8 come out of the decoder as halves of characters, so that reading can go on."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        return Finding("encoding_error", f"a byte of the row (0x{byte:02x}) is not UTF-8; save the file as UTF-8")
    return None


_LENIENT = json.JSONDecoder()
