"""The bytes of an object: counted and digested as they are stored, unpacked as they are read."""

import gzip
import hashlib
import io
import zlib
from typing import BinaryIO, cast

import zstandard

_BUFFER = 1 << 20
_PIECE = 1 << 12
"""Bytes that are unpacked at a time: even a bomb makes no more than 128 MiB of them."""


class PackingError(Exception):
    """A compressed file is damaged, or ends early."""


class Stored(io.RawIOBase):
    """Passes an object's bytes on, and knows their number and digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        """Reads into a buffer."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._sha256.update(data)
        self.count += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        """`sha256:…` over the bytes read so far."""
        return f"sha256:{self._sha256.hexdigest()}"

    def drain(self) -> None:
        """Reads what is left, for the digest."""
        while self.read(_BUFFER):
            pass


def unpacked(stored: Stored, name: str) -> BinaryIO:
    """The content of a file, by the end of its name. Reading it may raise PackingError."""
    buffered = io.BufferedReader(stored, _BUFFER)
    if name.endswith((".gz", ".zst")) and not buffered.peek(1):
        raise PackingError("the file ends early: it is empty")
    stream = cast("BinaryIO", buffered)
    if name.endswith(".gz"):
        return cast("BinaryIO", io.BufferedReader(_Gzip(stream), _BUFFER))
    if name.endswith(".zst"):
        return cast("BinaryIO", io.BufferedReader(_Zstandard(stream), _BUFFER))
    return stream


class _Gzip(io.RawIOBase):
    def __init__(self, stream: BinaryIO) -> None:
        self._file = gzip.GzipFile(fileobj=stream)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._file.read1(len(buffer))
        except EOFError as error:
            raise PackingError("the file ends early: its gzip stream is not complete") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise PackingError(f"the file is not whole gzip: {error}") from error
        buffer[: len(data)] = data
        return len(data)


class _Zstandard(io.RawIOBase):
    """zstandard's own reader takes a frame that ends early for the end of the file, so frames are counted here."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._begun = False
        """Whether the frame has bytes and is not complete."""
        self._rest, self._ready, self._at = b"", b"", 0
        self._frames = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while self._at >= len(self._ready):
            if not self._next():
                return 0
        data = self._ready[self._at : self._at + len(buffer)]
        self._at += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _next(self) -> bool:
        piece = self._rest or self._stream.read(_PIECE)
        self._rest = b""
        if not piece:
            if self._begun or not self._frames:
                raise PackingError("the file ends early: its zstd frame is not complete")
            return False
        try:
            self._ready, self._at = self._frame.decompress(piece), 0
        except zstandard.ZstdError as error:
            raise PackingError(f"the file is not whole zstd: {error}") from error
        self._begun = not self._frame.eof
        if self._frame.eof:
            self._frames += 1
            self._rest = self._frame.unused_data
            self._frame = zstandard.ZstdDecompressor().decompressobj()
        return True
