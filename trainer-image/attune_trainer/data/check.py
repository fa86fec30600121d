"""Reading every row once: problems to the log, good rows to scratch, a few bytes of each to memory."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from attune_contract.outcome import RowError
from attune_trainer.data import rows
from attune_trainer.data.canonical import Example, Writer
from attune_trainer.data.encoding import Encoder, TemplateError
from attune_trainer.data.formats import Checked, Format
from attune_trainer.data.lines import Line, Lines
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import Finding, ProblemLog

_BATCH = 512
_HEX_OF_64_BITS = 16
_LOOKED_AT_CLOSELY = 100
"""So many rows are encoded in any case: a template that cannot be trained on shows in the first ones."""


@dataclass
class Kept:
    """What is remembered of each good row: 21 bytes, so that millions of rows fit."""

    prompts: "array[int]" = field(default_factory=lambda: array("Q"))
    """First 64 bits of the digest of all before the answer."""
    examples: "array[int]" = field(default_factory=lambda: array("Q"))
    """First 64 bits of the digest of the whole row."""
    tokens: "array[int]" = field(default_factory=lambda: array("I"))
    """Length before truncation."""
    held_out: bytearray = field(default_factory=bytearray)
    """1 where the row came from a test file."""

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass
class Source:
    """One file after it was read, for the report and the lineage."""

    file: DataFile
    rows: int = 0
    invalid_rows: int = 0
    sha256: str = ""


class Candidate(NamedTuple):
    """A row whose shape is right; its tokens are still to be counted."""

    example: Example
    line: int


@dataclass
class Reader:
    """Reads files into scratch.

    Args:
        format: the shape that rows should have; None where none was recognised, and then no file is read.
        encoder: counts tokens; None where the model has no usable tokenizer, which is a problem of its own.
        problems: takes what is wrong.
        writer: takes the good rows.
        on_rows: told how many rows were read so far.
    """

    format: Format | None
    encoder: Encoder | None
    problems: ProblemLog
    writer: Writer
    on_rows: Callable[[int], None]
    kept: Kept = field(default_factory=Kept)
    sources: list[Source] = field(default_factory=list)

    def read(self, file: DataFile) -> None:
        """Reads one file to its end."""
        source = Source(file)
        self.sources.append(source)
        batch: list[Candidate] = []
        with file.store.open(file.info.uri) as stream:
            lines = Lines(stream)
            for line in lines:
                source.rows += 1
                batch += self._candidates(line, source)
                if len(batch) >= _BATCH:
                    self._keep(batch, source)
                    batch = []
            self._keep(batch, source)
            source.sha256 = lines.sha256

    @property
    def row_count(self) -> int:
        """Rows read, good and bad."""
        return sum(source.rows for source in self.sources)

    @property
    def invalid_count(self) -> int:
        """Rows with at least one problem."""
        return sum(source.invalid_rows for source in self.sources)

    def _candidates(self, line: Line, source: Source) -> Iterator[Candidate]:
        checked = self._check(line)
        if isinstance(checked, list):
            self._reject(checked, line.number, source)
        else:
            yield Candidate(Example(f"{source.file.info.uri}#{line.number}", checked), line.number)

    def _check(self, line: Line) -> Checked:
        if line.text is None:
            return [line.finding] if line.finding else []
        row = rows.parse(line.text)
        if isinstance(row, Finding):
            return [row]
        assert self.format is not None, "files are read only once their format is known"  # noqa: S101
        return self.format.check(row)

    def _reject(self, findings: list[Finding], line: int, source: Source) -> None:
        source.invalid_rows += 1
        for f in findings:
            error = RowError(code=f.code, file=source.file.info.uri, line=line, field=f.field, message=f.message)
            self.problems.add(error, of_row=True)

    def _keep(self, batch: list[Candidate], source: Source) -> None:
        for candidate, tokens in zip(batch, self._measure(batch), strict=True):
            finding = tokens if isinstance(tokens, Finding) else self._finding(candidate.example, tokens)
            if finding:
                self._reject([finding], candidate.line, source)
            elif isinstance(tokens, int):
                self._accept(candidate.example, tokens, held_out=source.file.held_out)
        self.on_rows(self.row_count)

    def _measure(self, batch: list[Candidate]) -> "list[int | Finding]":
        if self.encoder is None:
            return [0] * len(batch)
        try:
            return list(self.encoder.lengths([c.example for c in batch]))
        except TemplateError:
            return [self._measure_one(c.example) for c in batch]

    def _measure_one(self, example: Example) -> "int | Finding":
        try:
            return self.encoder.lengths([example])[0] if self.encoder else 0
        except TemplateError as error:
            return Finding("chat_template_error", str(error))

    def _finding(self, example: Example, tokens: int) -> Finding | None:
        """What only the tokens show. Encoding tells more than counting, and costs more, so it is done where needed."""
        if self.encoder is None:
            return None
        plain = len(self.kept) >= _LOOKED_AT_CLOSELY and example.turns[-1].weight
        several = sum(turn.weight for turn in example.turns) > 1
        if tokens <= self.encoder.sequence_length and plain and not several:
            return None
        try:
            if self.encoder.encode(example).learns:
                return None
        except TemplateError as error:
            return Finding("chat_template_error", str(error))
        limit = self.encoder.sequence_length
        text = f"of {tokens} tokens the first {limit} are used (training.sequenceLength), and none is of the answer"
        return Finding("prompt_too_long", text)

    def _accept(self, example: Example, tokens: int, *, held_out: bool) -> None:
        self.kept.prompts.append(_head(example.prompt_digest()))
        self.kept.examples.append(_head(example.digest()))
        self.kept.tokens.append(tokens)
        self.kept.held_out.append(held_out)
        self.writer.write(example)


def _head(digest: str) -> int:
    return int(digest.removeprefix("sha256:")[:_HEX_OF_64_BITS], 16)
