"""Parquet: read in batches from a local copy, because its index is at its end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from attune_trainer.data.files.base import Record, broken
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row

_BATCH = 256
_BUFFER = 1 << 20


def records(path: Path) -> Iterator[Record]:
    """The rows of a file, numbered from 1.

    Keys of a nested object that are null are left out: every object of a column has all keys there.
    """
    try:
        with parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            yield from _rows(file)
    except (pa.ArrowException, OSError) as error:
        yield broken("encoding_error", f"not a parquet file that can be read: {str(error).splitlines()[0][:200]}")


def _rows(file: Any) -> Iterator[Record]:
    names = file.schema_arrow.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        yield broken("data_type", f"the column {twice[:60]!r} is there twice")
        return
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH):
        for row in _plain(batch):
            number += 1
            if isinstance(row, Finding):
                yield Record(number, None, row)
            else:
                yield Record(number, {name: _without_nulls(value) for name, value in row.items()})


def _plain(batch: Any) -> "Iterator[Row | Finding]":
    try:
        yield from batch.to_pylist()
    except (UnicodeDecodeError, ValueError, OverflowError):
        for i in range(batch.num_rows):
            try:
                yield batch.slice(i, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield Finding("encoding_error", "text of the row is not UTF-8")
            except (ValueError, OverflowError) as error:
                yield Finding("data_type", f"a value of the row cannot be read: {error}")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
