"""Reading every row once: problems to the log, good rows to scratch, a few bytes of each to memory."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from attune_contract.enums import DataFormat
from attune_contract.outcome import RowError
from attune_trainer.data.canonical import Writer
from attune_trainer.data.examples import Document, Example, Labeled
from attune_trainer.data.files.opening import Opened, kind
from attune_trainer.data.formats.base import Checked, Format
from attune_trainer.data.kept import Kept, Source
from attune_trainer.data.labels import Labels
from attune_trainer.data.measure import Measure, Measured, is_chat
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import Finding, ProblemLog
from attune_trainer.data.quality.observer import Observer
from attune_trainer.errors import AccessDeniedError, ObjectNotFoundError

_BATCH = 512
_CHARACTERS = 1 << 20
"""A batch ends there too: rows may be megabytes long."""


class Candidate(NamedTuple):
    """A row whose shape is right; its tokens are still to be counted."""

    example: Example
    line: int


class Ahead(NamedTuple):
    """A batch whose tokens are being counted while the next one is read: tokenizers work without Python's lock."""

    batch: list[Candidate]
    source: Source
    measured: "Future[Sequence[Measured]]"


class Progress(NamedTuple):
    """How far reading is."""

    rows: int
    total: int
    """Rows in all, as far as one can tell from the bytes read."""


@dataclass
class Reader:
    """Reads files into scratch, those to train on first.

    Args:
        format: the shape that rows should have.
        measure: counts tokens; None where the model has no usable tokenizer, which is a problem of its own.
        problems: takes what is wrong.
        writer: takes the good rows.
        observer: sees the good rows.
        labels: of Classification; None for other methods.
        scratch: a folder for copies of files that cannot be streamed.
        has_template: whether the tokenizer has a chat template.
        on_progress: told how far reading is.
        total_bytes: of all files.
        pool: one thread, in which tokens are counted.
    """

    format: Format
    measure: Measure | None
    problems: ProblemLog
    writer: Writer[Any]
    observer: Observer
    labels: Labels | None
    scratch: Path
    has_template: bool
    on_progress: Callable[[Progress], None]
    total_bytes: int
    pool: Executor
    kept: Kept = field(default_factory=Kept)
    sources: list[Source] = field(default_factory=list)
    needs_template: bool = False
    """Whether a conversation was met, and there is no template for it."""
    denied: list[AccessDeniedError] = field(default_factory=list)
    passed_over: tuple[str, int | None] | None = None
    """File and line of the first row that the shape neither takes nor finds fault with (`detect.pass_over`)."""
    _bytes: int = 0
    _ahead: Ahead | None = None

    def read(self, file: DataFile) -> None:
        """Reads one file to its end; that it is not there, or not for us, is one problem."""
        source = Source(file, first=len(self.kept))
        self.sources.append(source)
        if kind(file.info.uri) == ".txt" and self.format.name is not DataFormat.TEXT:
            text = "a .txt file is plain text, which only ContinuedPretraining reads; its rows have no columns"
            self._reject([Finding("data_type", text, whole_file=True)], None, source)
            return
        if kind(file.info.uri) == ".txt" and self.format.slices:
            named = ", ".join(self.format.slices)
            text = f"a .txt file has no columns, and spec.evaluation.slices names {named}; use .jsonl, or leave it out"
            self._reject([Finding("missing_column", text, self.format.slices[0], whole_file=True)], None, source)
            return
        opened = Opened(file, self.scratch, self.format.names.columns.get("label"))
        try:
            self._read(opened, source)
        except AccessDeniedError as error:
            self.denied.append(error)
            self._reject([Finding("access_denied", str(error), whole_file=True)], None, source)
        except ObjectNotFoundError as error:
            self._reject([Finding("object_not_found", str(error), whole_file=True)], None, source)
        self._keep()
        self._tell(opened)
        source.sha256 = opened.sha256
        self._bytes += file.info.size

    @property
    def row_count(self) -> int:
        """Rows read, good and bad."""
        return sum(source.rows for source in self.sources)

    def _read(self, opened: Opened, source: Source) -> None:
        batch: list[Candidate] = []
        characters = 0
        for line, checked in self._checked(opened, source):
            if isinstance(checked, list):
                self._reject(checked, line, source)
                continue
            if not checked:
                self._pass_over(line, source)
            for example in checked:
                batch.append(Candidate(example, line or 0))
                characters += example.size()
            if len(batch) >= _BATCH or characters >= _CHARACTERS:
                self._send_ahead(batch, source)
                self._tell(opened)
                batch, characters = [], 0
        self._send_ahead(batch, source)

    def _checked(self, opened: Opened, source: Source) -> Iterator[tuple[int | None, Checked]]:
        """Each record of a file with what it holds, or all that is wrong with it."""
        uri, check, labels = source.file.info.uri, self.format.check, self.labels
        before, part, last = 0, 0, ""
        for record in opened:
            line = record.line
            if record.row is not None:
                checked = check(record.row, f"{uri}#{line}")
                if labels and not isinstance(checked, list):
                    checked = self._labeled(checked, labels, line or 0, source)
                if isinstance(checked, list):
                    self.problems.remember(uri, line, record.row)
                yield line, checked
            elif record.part is not None:
                # A line may be longer than a part.
                before, part = line or 0, (part + 1 if line == before else 0)
                row_id = f"{uri}#{line}.{part}" if part else f"{uri}#{line}"
                yield line, (Document(row_id, record.part.text, last if record.part.continues else ""),)
                last = row_id
            elif record.finding:
                last = f"{uri}#{line}"  # a part after it does not go on where the one before it ended
                yield line, [record.finding]

    def _labeled(self, checked: tuple[Example, ...], labels: Labels, line: int, source: Source) -> Checked:
        where, held_out = (source.file.info.uri, line), source.file.held_out
        findings = [labels.finding(e.label, where, held_out=held_out) for e in checked if isinstance(e, Labeled)]
        return [finding for finding in findings if finding] or checked

    def _reject(self, findings: list[Finding], line: int | None, source: Source) -> None:
        """Logs what is wrong with one row, or with the file from there on."""
        of_row = not any(f.whole_file for f in findings)
        source.rows += of_row
        source.invalid_rows += of_row
        for f in findings:
            error = RowError(code=f.code, file=source.file.info.uri, line=line, field=f.field, message=f.message)
            self.problems.add(error, of_row=of_row)

    def _pass_over(self, line: int | None, source: Source) -> None:
        self.passed_over = self.passed_over or (source.file.info.uri, line)
        source.rows += 1
        source.invalid_rows += 1

    def _send_ahead(self, batch: list[Candidate], source: Source) -> None:
        """Has a batch measured, and meanwhile keeps the one before it."""
        measured = self.pool.submit(self._measure, [example for example, _ in batch])
        self._keep()
        self._ahead = Ahead(batch, source, measured)

    def _keep(self) -> None:
        """Keeps the rows of the batch that was sent ahead, now that they are measured."""
        if self._ahead is None:
            return
        (batch, source, measured), self._ahead = self._ahead, None
        held_out = source.file.held_out
        for (example, line), tokens in zip(batch, measured.result(), strict=True):
            if isinstance(tokens, Finding):
                self._reject([tokens], line, source)
                continue
            source.rows += 1
            self.observer.see(example, len(self.kept), held_out)
            self.kept.add(example, line, tokens, held_out=held_out)
            self.writer.write(example)

    def _measure(self, examples: list[Example]) -> Sequence[Measured]:
        if self.measure and not self.has_template and any(is_chat(example) for example in examples):
            self.needs_template, self.measure = True, None
        return self.measure(examples) if self.measure else [0] * len(examples)

    def _tell(self, opened: Opened) -> None:
        done = self._bytes + opened.bytes_read
        rows = self.row_count
        self.on_progress(Progress(rows, max(rows, rows * self.total_bytes // done) if done else 0))
