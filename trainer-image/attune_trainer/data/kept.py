"""What is remembered of each good row: some thirty bytes, so that millions of rows fit."""

import hashlib
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from attune_trainer.data.examples import Document, Example
from attune_trainer.data.objects import DataFile

_64_BITS = (1 << 64) - 1
WHOLE, ON, TORN = 0, 1, 2
"""A row that begins its document; a part that goes on where the row before it ended; one whose part before it is not
the row before it."""


@dataclass
class Source:
    """One file after it was read, for the report and the lineage."""

    file: DataFile
    rows: int = 0
    invalid_rows: int = 0
    sha256: str = ""
    first: int = 0
    """How many rows were kept before this file."""


@dataclass
class Kept:
    """Good rows, in the order in which they were read; one column of numbers each."""

    prompts: "array[int]" = field(default_factory=lambda: array("Q"))
    """64 bits of a digest of what the model is given."""
    examples: "array[int]" = field(default_factory=lambda: array("Q"))
    """64 bits of a digest of the whole row, which differs from process to process."""
    answers: "array[int]" = field(default_factory=lambda: array("Q"))
    """The same, of the answer alone."""
    tokens: "array[int]" = field(default_factory=lambda: array("I"))
    """Length before truncation."""
    lines: "array[int]" = field(default_factory=lambda: array("I"))
    strata: "array[int]" = field(default_factory=lambda: array("I"))
    """Number of the row's label in `labels`; empty where rows have none."""
    labels: dict[str, int] = field(default_factory=dict)
    """Numbers of the labels, in the order in which they were met."""
    held_out: bytearray = field(default_factory=bytearray)
    """1 where the row came from a test file."""
    joins: bytearray = field(default_factory=bytearray)
    """How a row joins the one before it: WHOLE, ON or TORN."""
    _last: str = ""

    def __len__(self) -> int:
        return len(self.prompts)

    def add(self, example: Example, line: int, tokens: int, *, held_out: bool) -> None:
        """Takes one row."""
        self.prompts.append(int.from_bytes(hashlib.blake2b(example.prompt_key(), digest_size=8).digest(), "big"))
        self.examples.append(hash(example.content()) & _64_BITS)
        self.answers.append(hash(example.answer_text()) & _64_BITS)
        self.tokens.append(tokens)
        self.lines.append(line)
        self.held_out.append(held_out)
        follows = example.follows if isinstance(example, Document) else ""
        self.joins.append((ON if follows == self._last else TORN) if follows else WHOLE)
        self._last = example.row_id
        label = example.stratum()
        if label is not None:
            self.strata.append(self.labels.setdefault(label, len(self.labels)))

    def locate(self, index: int, sources: list[Source]) -> tuple[str, int]:
        """File and line of a row."""
        source = sources[bisect_right(sources, index, key=lambda s: s.first) - 1]
        return source.file.info.uri, self.lines[index]
