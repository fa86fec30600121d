"""The one form of a supervised example from preflight on, and its parquet files.

An example is a sequence of turns. Some turns are answers, which the model learns; the rest it only reads:

- Chat: roles `system`, `user`, `assistant`; the assistant's turns with weight 1 are learnt.
- PromptCompletion: exactly two turns, of roles `prompt` and `completion`; the completion is learnt.

Columns of `data/train.parquet` and `data/test.parquet`:

| column | type | what |
| --- | --- | --- |
| row_id | string | `<file URI>#<line>`: the same from preflight to predictions, and it leads back to the source |
| turns | list of struct(role: string, content: string, weight: int8) | the example |
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pyarrow as pa
from pyarrow import parquet

from attune_trainer import digests

PROMPT, COMPLETION, ASSISTANT = "prompt", "completion", "assistant"
SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        (
            "turns",
            pa.list_(pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8())])),
        ),
    ]
)
_BATCH = 1024


class Turn(NamedTuple):
    """One message, or one half of a prompt and its completion."""

    role: str
    content: str
    weight: int = 0
    """1 where the model learns this turn."""


@dataclass(frozen=True)
class Example:
    """One supervised example with at least one turn of weight 1."""

    row_id: str
    turns: tuple[Turn, ...]

    @property
    def is_chat(self) -> bool:
        """Whether the model's chat template applies."""
        return self.turns[0].role != PROMPT

    @property
    def answer_index(self) -> int:
        """Index of the last turn that is learnt: the one that evaluation asks for."""
        return max(i for i, turn in enumerate(self.turns) if turn.weight)

    @property
    def answer(self) -> str:
        """The text that evaluation expects."""
        return self.turns[self.answer_index].content

    def asked(self, answer: str | None = None) -> "Example":
        """The example as evaluation sees it: cut after its last answer, which alone counts.

        Args:
            answer: text to put in the answer's place; None leaves it.
        """
        last = self.answer_index
        before = tuple(turn._replace(weight=0) for turn in self.turns[:last])
        turn = self.turns[last]
        return replace(self, turns=(*before, turn if answer is None else turn._replace(content=answer)))

    def prompt_digest(self) -> str:
        """Digest of all before the last answer: rows that share it stay on one side of a split."""
        return digests.of_json([turn[:2] for turn in self.turns[: self.answer_index]])

    def digest(self) -> str:
        """Digest of the whole example, its row id apart."""
        return digests.of_json(self.turns)


class Writer:
    """Writes examples to one parquet file, a row group at a time."""

    def __init__(self, path: Path) -> None:
        self._rows: list[dict[str, Any]] = []
        self._file = parquet.ParquetWriter(path, SCHEMA, compression="zstd")

    def write(self, example: Example) -> None:
        """Appends one example."""
        self._rows.append({"row_id": example.row_id, "turns": [turn._asdict() for turn in example.turns]})
        if len(self._rows) >= _BATCH:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []


def read(path: Path) -> Iterator[Example]:
    """The examples of a parquet file, in order, a batch at a time."""
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                yield Example(row["row_id"], tuple(Turn(**turn) for turn in row["turns"]))


def count(path: Path) -> int:
    """How many examples a parquet file has, without reading them."""
    return int(parquet.read_metadata(path).num_rows)
