"""A dataset as preflight leaves it: read, checked, parted into train and test, and measured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attune_contract.enums import DataFormat
from attune_contract.outcome import RowError, Validation
from attune_contract.spec import Dataset
from attune_trainer.data import canonical, detect, split
from attune_trainer.data.check import Reader, Source
from attune_trainer.data.encoding import Encoder
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import ProblemLog
from attune_trainer.models import FIELD

MIN_TRAIN_ROWS = 2
MIN_TEST_ROWS = 1


@dataclass(frozen=True)
class Request:
    """What is asked of a dataset.

    Args:
        spec: the manifest's block.
        files: the objects that its URIs mean.
        model: URI of the base model, for messages.
        sequence_length: tokens beyond it are cut off.
        needs_closed_set: whether a metric chooses among the answers seen in train.
    """

    spec: Dataset
    files: tuple[DataFile, ...]
    model: str
    sequence_length: int
    needs_closed_set: bool


@dataclass(frozen=True)
class Checked:
    """What came of it."""

    format: str
    sources: tuple[Source, ...]
    sides: split.Sides

    def validation(self, problems: ProblemLog, report_uri: str) -> Validation:
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
            error_count=problems.total,
            errors=tuple(problems.first),
            report_uri=report_uri,
        )


def check(
    request: Request, encoder: Encoder | None, problems: ProblemLog, scratch: Path, on_rows: Callable[[int], None]
) -> Checked:
    """Reads every row of every file.

    Args:
        request: what is asked.
        encoder: the model's tokenizer; None where it has no usable one, which is among the problems already.
        problems: takes everything that is wrong.
        scratch: a folder for train.parquet, test.parquet and what is in between.
        on_rows: told how many rows were read so far.

    Raises:
        InvalidConfigurationError: the format is not one for SFT, or `columns` names no field of it.
    """
    choice = detect.choose(request.spec.format, request.spec.columns, request.files)
    if choice is None:
        _unrecognized(request, problems)
    elif choice.format.name is DataFormat.CHAT and encoder and not encoder.tokenizer.chat_template:
        _no_chat_template(request, problems)
        encoder = None
    spool = scratch / "rows.parquet"
    with canonical.Writer(spool) as writer:
        reader = Reader(choice.format if choice else None, encoder, problems, writer, on_rows)
        for file in request.files if choice else ():
            reader.read(file)
    sides = split.write_sides(spool, reader.kept, _held_out(request, reader), scratch, request.sequence_length)
    if choice:
        _judge(request, sides, problems)
    return Checked(choice.why if choice else "", tuple(reader.sources), sides)


def _held_out(request: Request, reader: Reader) -> bytearray:
    if request.spec.test:
        return reader.kept.held_out
    part = request.spec.split
    return split.held_out_by_fraction(reader.kept.prompts, part.test_fraction, part.seed)


def _judge(request: Request, sides: split.Sides, problems: ProblemLog) -> None:
    """Problems that only show once all rows are read."""
    where = "spec.dataset.test" if request.spec.test else "spec.dataset.split.testFraction"
    for name, rows, least, field in (
        ("training", sides.train_rows, MIN_TRAIN_ROWS, "spec.dataset.train"),
        ("evaluation", sides.test_rows, MIN_TEST_ROWS, where),
    ):
        if rows < least:
            text = f"{rows} usable rows are left for {name}, and at least {least} are needed"
            problems.add(RowError(code="too_few_rows", file=_first_file(request), field=field, message=text))
    if request.needs_closed_set and sides.answers > split.CLOSED_SET:
        text = (
            f"Accuracy chooses among the answers seen in train, and there are more than {split.CLOSED_SET} of them; "
            "use ExactMatch for free text"
        )
        problems.add(
            RowError(
                code="accuracy_needs_closed_set",
                file=_first_file(request),
                field="spec.evaluation.metrics",
                message=text,
            )
        )


def _unrecognized(request: Request, problems: ProblemLog) -> None:
    if request.files:
        text = (
            f"none of the first {detect.LOOKED_AT} rows of any file has 'messages', or 'prompt' and 'completion'; say "
            "with spec.dataset.columns what they are called here"
        )
        problems.add(
            RowError(
                code="missing_column", file=_first_file(request), line=1, field="spec.dataset.format", message=text
            )
        )


def _no_chat_template(request: Request, problems: ProblemLog) -> None:
    text = (
        "the data is Chat and the model has no chat template; use an instruction-tuned model, or PromptCompletion data"
    )
    problems.add(RowError(code="no_chat_template", file=request.model, field=FIELD, message=text))


def _first_file(request: Request) -> str:
    return request.files[0].info.uri if request.files else request.spec.train[0]
