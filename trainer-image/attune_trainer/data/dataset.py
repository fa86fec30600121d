"""A dataset as preflight leaves it: read, checked, parted into train and test, and measured."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract.abilities import PACKS
from attune_contract.enums import ClassificationStyle, DataWarning, Method, MetricName
from attune_contract.outcome import RowError, Validation, WarningCount
from attune_contract.spec import Workload
from attune_trainer.data import canonical, detect, figures, split
from attune_trainer.data.check import Progress, Reader
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.data.kept import Source
from attune_trainer.data.labels import Labels
from attune_trainer.data.measure import Measure
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import ProblemLog
from attune_trainer.data.quality import observer, warnings
from attune_trainer.data.quality.keys import Twin
from attune_trainer.data.quality.observer import QualityReport
from attune_trainer.data.verdict import judge

_EXAMPLES = 3
"""Rows that a warning names."""


@dataclass(frozen=True)
class Request:
    """What is asked of a dataset.

    Args:
        work: the manifest's blocks: method, dataset, metrics, classification.
        files: the objects that the dataset's URIs mean.
        sequence_length: tokens beyond it are cut off.
    """

    work: Workload
    files: tuple[DataFile, ...]
    sequence_length: int

    @property
    def needs_closed_set(self) -> bool:
        """Whether a metric chooses among the answers seen in train."""
        metrics = self.work.evaluation.resolved_metrics(self.work.method)
        return self.work.method is Method.SFT and any(metric.name is MetricName.ACCURACY for metric in metrics)

    @property
    def says_labels(self) -> bool:
        """Whether each label must be one token."""
        style = self.work.resolved_classification().style
        return self.work.method is Method.CLASSIFICATION and style is ClassificationStyle.TOKEN

    @property
    def first_file(self) -> str:
        """Where a problem of the whole is said to be."""
        return self.files[0].info.uri if self.files else self.work.dataset.train[0]


@dataclass(frozen=True)
class Checked:
    """What came of it."""

    format: str
    sources: tuple[Source, ...]
    sides: figures.Sides
    quality: QualityReport
    warnings: tuple[WarningCount, ...]
    packed_sequences: int | None
    """Sequences that packing would make of the rows of train."""
    labels: tuple[str, ...] = ()
    """Of Classification: all of them, in the order of their numbers."""

    @property
    def lengths(self) -> Counter[int]:
        """How many rows of train have so many tokens, for histograms and estimates."""
        return self.sides.lengths

    def validation(self, problems: ProblemLog, report_uri: str | None) -> Validation:
        """The figures for the resource's status."""
        sides = self.sides
        return Validation(
            format=self.format,
            rows=sum(s.rows for s in self.sources),
            train_rows=sides.train_rows,
            test_rows=sides.test_rows,
            invalid_rows=sum(s.invalid_rows for s in self.sources),
            duplicate_rows=sides.duplicate_rows,
            leaked_rows=sides.leaked_rows,
            truncated_rows=sides.truncated_rows,
            tokens=sides.tokens,
            labels=sides.labels_shown,
            packed_sequences=self.packed_sequences,
            warnings=self.warnings,
            error_count=problems.total,
            counts=dict(problems.counts.most_common()),
            errors=tuple(problems.first),
            report_uri=report_uri,
        )


def check(
    request: Request,
    tokenizer: Any | None,
    problems: ProblemLog,
    scratch: Path,
    on_progress: Callable[[Progress], None],
) -> Checked:
    """Reads every row of every file.

    Args:
        request: what is asked.
        tokenizer: the model's, with the chat template that the run uses; None where it has no usable one, which is
            among the problems already, or where none is asked for: then no tokens are counted.
        problems: takes everything that is wrong.
        scratch: a folder for train.parquet, validation.parquet, test.parquet and what is in between.
        on_progress: told how far reading is.

    Raises:
        InvalidConfigurationError: the format is not one of the method's, or `columns` names no field of it.
        AccessDeniedError: none of the files may be read.
    """
    work = request.work
    choice = detect.choose(work, request.files, scratch)
    shape = choice.format if choice else detect.pass_over(work)
    labels = _labels(work, shape.names.columns.get("label", "label"))
    spool, kind = scratch / "rows.parquet", canonical.kind_of(work.method)
    encoder = (
        encoder_for(work, tokenizer, request.sequence_length, labels.given if labels else ()) if tokenizer else None
    )
    with canonical.Writer(spool, kind, "lz4") as writer, ThreadPoolExecutor(1) as pool:
        reader = Reader(
            format=shape,
            measure=Measure(encoder) if encoder else None,
            problems=problems,
            writer=writer,
            observer=observer.new(tokenizer),
            labels=labels,
            scratch=scratch,
            has_template=bool(tokenizer and tokenizer.chat_template),
            on_progress=on_progress,
            total_bytes=sum(file.info.size for file in request.files),
            pool=pool,
        )
        for file in sorted(request.files, key=lambda file: file.held_out):
            reader.read(file)
    if reader.denied and len(reader.denied) == len(request.files):
        raise reader.denied[0]
    return _conclude(request, reader, choice, tokenizer, scratch)


def _conclude(
    request: Request, reader: Reader, choice: detect.Choice | None, tokenizer: Any | None, scratch: Path
) -> Checked:
    """Parts the rows, and says what only shows once all of them are read."""
    work, kept, problems = request.work, reader.kept, reader.problems
    parts = _parts(work, reader)
    held_out = parts.held_out
    kind = canonical.kind_of(work.method)
    limit = None if work.method is Method.CONTINUED_PRETRAINING else request.sequence_length
    end = int(tokenizer is not None and tokenizer.eos_token_id is not None)
    sides = figures.part(scratch / "rows.parquet", kind, kept, parts, folder=scratch, limit=limit, end=end)
    quality = reader.observer.conclude(held_out, lambda index: kept.locate(index, reader.sources))
    cut = _truncation(reader, parts, sides, limit)
    found = (*([cut] if cut else []), *quality.warnings)
    if reader.passed_over:
        _unrecognized(request, reader.passed_over, problems)
    elif choice or request.files:
        if reader.needs_template:
            _no_chat_template(work, problems)
        judge(request, reader, sides, tokenizer)
        _refuse_leaks(request, reader, quality.leaks)
        _enforce(request, found, problems)
    return Checked(
        format=choice.why if choice else "",
        sources=tuple(reader.sources),
        sides=sides,
        quality=quality,
        warnings=found,
        packed_sequences=figures.packed(sides.lengths, request.sequence_length) if work.method in PACKS else None,
        labels=reader.labels.all if reader.labels else (),
    )


def _labels(work: Workload, column: str) -> Labels | None:
    given = work.resolved_classification().labels
    return Labels(given, column) if work.method is Method.CLASSIFICATION else None


def _parts(work: Workload, reader: Reader) -> split.Parts:
    kept, asked = reader.kept, work.dataset.split
    strata = () if reader.labels and reader.labels.too_many else kept.strata
    rows = split.Rows(kept.prompts, strata, tuple(kept.labels))
    held_out = (
        kept.held_out
        if work.dataset.test
        else split.held_out_by_fraction(rows.prompts, asked.test_fraction, asked.seed, rows.strata, rows.labels)
    )
    fraction = asked.resolved_validation_fraction(work.training.keep_best)
    return split.Parts.of(held_out, rows, fraction, asked.seed)


def _refuse_leaks(request: Request, reader: Reader, leaks: Sequence[Twin]) -> None:
    """Rows of test that are learnt are errors, for figures taken on them say nothing; `allowLeakage` admits them."""
    if request.work.evaluation.allow_leakage:
        return
    for leak in leaks:
        (file, line), (other, there) = (reader.kept.locate(row, reader.sources) for row in (leak.row, leak.other))
        text = (
            f"this row of test is in train too, at {warnings.Place(other, there)}; remove it from one of the two, or "
            "set spec.evaluation.allowLeakage to true, and the reports say that the figures look too good"
        )
        reader.problems.add(RowError(code=DataWarning.LEAKAGE.value, file=file, line=line, message=text))


def _truncation(reader: Reader, parts: split.Parts, sides: figures.Sides, limit: int | None) -> WarningCount | None:
    if limit is None or not sides.truncated_rows:
        return None
    kept = reader.kept
    apart = zip(parts.held_out, parts.validation, strict=True)
    learnt = (i for i, (held_out, watched) in enumerate(apart) if not (held_out or watched))
    cut = (i for i in learnt if kept.tokens[i] > limit)
    first = [kept.locate(index, reader.sources) for index, _ in zip(cut, range(_EXAMPLES), strict=False)]
    return warnings.truncation(sides.truncated_rows, sides.train_rows, limit, first)


def _enforce(request: Request, found: tuple[WarningCount, ...], problems: ProblemLog) -> None:
    """Warnings that spec.dataset.strict names are errors."""
    for warning in found:
        if warning.code in request.work.dataset.strict:
            problems.add(
                RowError(
                    code=warning.code.value,
                    file=request.first_file,
                    field="spec.dataset.strict",
                    message=warning.message,
                )
            )


def _unrecognized(request: Request, first: tuple[str, int | None], problems: ProblemLog) -> None:
    text = (
        f"none of the first {detect.LOOKED_AT} rows of any file has {detect.expected(request.work)}; say with "
        "spec.dataset.columns what they are called here"
    )
    file, line = first
    problems.add(RowError(code="missing_column", file=file, line=line, field="spec.dataset.format", message=text))


def _no_chat_template(work: Workload, problems: ProblemLog) -> None:
    text = (
        "the data is conversations and the model has no chat template; give one as spec.model.chatTemplate, use an "
        "instruction-tuned model, or data of plain prompts and answers"
    )
    error = RowError(code="no_chat_template", file=work.model.source, field="spec.model.chatTemplate", message=text)
    problems.add(error)
