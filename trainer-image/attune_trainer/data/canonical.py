"""The canonical form of the rows, one per kind of method, and its parquet files.

Only preflight knows file formats; every later stage reads data/{train,validation,test}.parquet of the run.

| kind | columns beside `row_id` and `slices` |
| --- | --- |
| Supervised | turns, tools |
| Pair | prompt, chosen, rejected (turns each), tools |
| Rated | prompt, completion (turns each), desirable, tools |
| Document | text, follows |
| Labeled | text, label |

A turn is struct(role: string, content: string, weight: int8, extra: string).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from itertools import accumulate, chain
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import pyarrow as pa
from pyarrow import parquet

from attune_contract.enums import Method
from attune_trainer.data.examples import Document, Example, Labeled, Pair, Rated, Supervised, Turn

E = TypeVar("E", bound=Example)
_TURN = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8()), ("extra", pa.string())])
_TURNS = pa.list_(_TURN)
_COLUMN_TYPES: dict[str, pa.DataType] = {
    "turns": _TURNS,
    "prompt": _TURNS,
    "chosen": _TURNS,
    "rejected": _TURNS,
    "completion": _TURNS,
    "desirable": pa.bool_(),
}
_BATCH = 1024
_CHARACTERS = 8 << 20
"""A row group ends there too: rows may be megabytes long."""


@dataclass(frozen=True)
class Kind(Generic[E]):
    """One kind of row, and how it is written and read.

    Args:
        make: the class of its rows.
    """

    make: Callable[..., E]

    @property
    def schema(self) -> pa.Schema:
        """The columns of its parquet files."""
        names = [field.name for field in fields(self.make)]  # type: ignore[arg-type]  # each `make` is a dataclass
        return pa.schema([(name, _COLUMN_TYPES.get(name, pa.string())) for name in names])

    def load(self, row: dict[str, Any]) -> E:
        """One row of a parquet file."""
        return self.make(**{name: _value(name, value) for name, value in row.items()})


SUPERVISED = Kind(Supervised)
PAIR = Kind(Pair)
RATED = Kind(Rated)
DOCUMENT = Kind(Document)
LABELED = Kind(Labeled)
_OF_METHOD: dict[Method, Kind[Any]] = {
    Method.SFT: SUPERVISED,
    Method.DPO: PAIR,
    Method.ORPO: PAIR,
    Method.KTO: RATED,
    Method.CONTINUED_PRETRAINING: DOCUMENT,
    Method.CLASSIFICATION: LABELED,
}


def kind_of(method: Method) -> Kind[Any]:
    """The kind of row that a method learns from."""
    return _OF_METHOD[method]


class Writer(Generic[E]):
    """Writes rows of one kind to one parquet file, a row group at a time.

    Columns are put together here rather than row by row: that is several times as fast.

    Args:
        path: the file.
        kind: the kind of row.
        compression: as pyarrow calls it.
    """

    def __init__(self, path: Path, kind: Kind[E], compression: str = "zstd") -> None:
        self._schema = kind.schema
        self._names: list[str] = self._schema.names
        self._file = parquet.ParquetWriter(path, self._schema, compression=compression)
        self._rows: list[E] = []
        self._characters = 0

    def write(self, example: E) -> None:
        """Appends one row."""
        self._rows.append(example)
        self._characters += example.size()
        if len(self._rows) >= _BATCH or self._characters >= _CHARACTERS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            columns = [_column([getattr(row, name) for row in self._rows], name) for name in self._names]
            self._file.write_table(pa.Table.from_arrays(columns, schema=self._schema))
            self._rows, self._characters = [], 0


def read(path: Path, kind: Kind[E]) -> Iterator[E]:
    """The rows of a parquet file, in order, a row group at a time."""
    for group in groups(path):
        for row in group.to_pylist():
            yield kind.load(row)


def groups(path: Path) -> Iterator[Any]:
    """The row groups of a parquet file, as tables: small ones, however many rows the file has."""
    with parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def part(path: Path, places: Any, targets: Sequence[Path], schema: pa.Schema) -> None:
    """Parts a file without looking into its rows.

    Args:
        path: the file.
        places: by row, the index of the target that it goes to, as a numpy array.
        targets: where rows go.
        schema: the columns.
    """
    at = 0
    with ExitStack() as stack:
        files = [stack.enter_context(_Gathering(target, schema)) for target in targets]
        for group in groups(path):
            here = places[at : at + group.num_rows]
            at += group.num_rows
            for number, file in enumerate(files):
                file.add(group.filter(pa.array(here == number)))


class _Gathering:
    """Writes tables to one file, small ones together."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._file = parquet.ParquetWriter(path, schema, compression="zstd")
        self._tables: list[Any] = []

    def add(self, table: Any) -> None:
        self._tables.append(table)
        if sum(t.num_rows for t in self._tables) >= _BATCH or sum(t.nbytes for t in self._tables) >= _CHARACTERS:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._tables:
            self._file.write_table(pa.concat_tables(self._tables).combine_chunks())
        self._tables = []


def is_of(path: Path, kind: Kind[Any]) -> bool:
    """Whether a parquet file has rows of a kind, without reading them."""
    return list(parquet.read_schema(path).names) == list(kind.schema.names)


def count(path: Path) -> int:
    """How many rows a parquet file has, without reading them."""
    return int(parquet.read_metadata(path).num_rows)


def _column(values: list[Any], name: str) -> Any:
    if _COLUMN_TYPES.get(name) is not _TURNS:
        return pa.array(values, _COLUMN_TYPES.get(name, pa.string()))
    ends = [0, *accumulate(map(len, values))]
    turns = list(chain.from_iterable(values))
    parts = zip(*turns, strict=True) if turns else ([], [], [], [])
    arrays = [pa.array(list(part), field.type) for part, field in zip(parts, _TURN, strict=True)]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.StructArray.from_arrays(arrays, fields=list(_TURN)))


def _value(name: str, value: Any) -> Any:
    return tuple(Turn(**turn) for turn in value) if _COLUMN_TYPES.get(name) is _TURNS else value
