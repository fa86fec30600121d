"""Opens a data file of any kind: by the end of its name it is known how it is packed and what reads it."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from attune_trainer.data.files import columnar, delimited, document, jsonlines, text
from attune_trainer.data.files.base import Record, broken
from attune_trainer.data.files.stored import PackingError, Stored, unpacked
from attune_trainer.data.objects import DataFile

_PACKED = (".gz", ".zst")
_COPIED = 1 << 20


class Opened:
    """One pass over a data file.

    Args:
        file: the object.
        scratch: a folder for the copy that parquet needs.
        rating: the column in which NaN is told apart from other faults of JSON (Rated).
    """

    def __init__(self, file: DataFile, scratch: Path, rating: str | None = None) -> None:
        self._file = file
        self._scratch = scratch
        self._rating = rating
        self._stored: Stored | None = None

    def __iter__(self) -> Iterator[Record]:
        """The file's records, to its end."""
        with self._file.store.open(self._file.info.uri) as stream:
            self._stored = Stored(stream)
            try:
                yield from self._records(unpacked(self._stored, self._file.info.uri.lower()))
            except PackingError as error:
                yield broken("encoding_error", f"{error}; what came before was read")
            self._stored.drain()

    @property
    def sha256(self) -> str:
        """`sha256:…` of the object as it is stored."""
        return self._stored.sha256 if self._stored else ""

    @property
    def bytes_read(self) -> int:
        """How far the object is read."""
        return self._stored.count if self._stored else 0

    def _records(self, stream: BinaryIO) -> Iterator[Record]:
        match kind(self._file.info.uri):
            case ".json":
                return document.records(stream, self._rating)
            case ".csv":
                return delimited.records(stream, ",")
            case ".tsv":
                return delimited.records(stream, "\t")
            case ".txt":
                return text.records(stream)
            case ".parquet":
                return self._parquet(stream)
            case _:
                return jsonlines.records(stream, self._rating)

    def _parquet(self, stream: BinaryIO) -> Iterator[Record]:
        with tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".parquet") as copy:
            while piece := stream.read(_COPIED):
                copy.write(piece)
            copy.flush()
            with closing(columnar.records(Path(copy.name))) as found:  # type: ignore[type-var]
                yield from found


def kind(uri: str) -> str:
    """The end of a file's name that says what it is: `.csv` of `s3://data/a.csv.gz`; unknown ones are JSON Lines."""
    name = uri.rsplit("/", 1)[-1].lower()
    for packing in _PACKED:
        name = name.removesuffix(packing)
    return "." + name.rpartition(".")[2] if "." in name else ""
